"""Step: the addresses of this machine that media may use."""

from __future__ import annotations

import ipaddress

from edgecam.doctor.findings import Finding, ok, problem
from edgecam.rtc.ice.addresses import usable_addresses
from edgecam.settings import IceSettings

STEP = "addresses"


def addresses_finding(ice: IceSettings, *, outside: bool) -> Finding:
    """`outside`: whether the configuration names anything that is not on this machine."""
    found = usable_addresses(ice)
    shown = ", ".join(f"{local.address} ({local.interface})" for local in found)
    facts = {"addresses": [local.address for local in found]}
    if all(ipaddress.ip_address(local.address).is_loopback for local in found) and outside:
        detail = f"no address for media{f' but {shown}' if shown else ''}"
        remedy = "plug in the cable, or join the Wi-Fi; look at `ip address`, and at interfaces and exclude_interfaces in [ice]"
        return problem(STEP, "", detail, code="network-down", remedy=remedy, **facts)
    return ok(STEP, "", shown or "none but this machine's own", **facts)
