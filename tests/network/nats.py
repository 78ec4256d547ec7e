"""Camera and viewer at home, each behind a router of its own, and what lies between: a public network with a TURN server."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tests.network.namespaces import PUBLIC_ADDRESS, Machine, cable, machine

Nat = Literal["cone", "symmetric"]

# Both let in what answers something (port-restricted). A cone maps a socket to one public port, whomever it talks to; a
# symmetric NAT to another one for each.
_ROUTER = """
table ip nat {{
  chain outwards {{ type nat hook postrouting priority srcnat; oifname "wan" masquerade {flag}; }}
}}
table inet fw {{
  chain forward {{ type filter hook forward priority filter; policy drop;
    {blocked}
    {no_ipv6}
    ct state established,related accept
    iifname "lan" accept
    meta l4proto ipv6-icmp accept
  }}
  chain input {{ type filter hook input priority filter; policy drop;
    iifname {{ "lo", "lan" }} accept
    ct state established,related accept
    meta l4proto {{ icmp, ipv6-icmp }} accept
  }}
}}
"""
_NO_UDP = "meta l4proto udp drop"
_NO_IPV6 = "meta nfproto ipv6 drop"
CUT = "table inet cut {\n chain forward {\n type filter hook forward priority filter; policy drop;\n }\n"
CUT += ' chain input { type filter hook input priority filter; iifname != "lo" drop; }\n}\n'
APART = "table inet apart {\n chain forward {\n type filter hook forward priority filter; meta l4proto udp drop;\n }\n}\n"
CAMERA_LAN, VIEWER_LAN = "192.168.1", "192.168.2"
CAMERA_V6, VIEWER_V6, PUBLIC_V6 = "2001:db8:1", "2001:db8:2", "2001:db8:80::80"


@dataclass(frozen=True, slots=True)
class Homes:
    """Five machines. The two routers are set by `routers`; `public` lets everything pass unless told otherwise."""

    camera: Machine
    camera_router: Machine
    public: Machine
    viewer_router: Machine
    viewer: Machine

    def routers(
        self,
        camera: Nat,
        viewer: Nat,
        *,
        udp_blocked_at: Literal["camera", "viewer", ""] = "",
        ipv6: bool = False,
        apart: bool = False,
    ) -> None:
        """Set both routers anew. With `ipv6` it passes, untranslated, in answer to what went out. `apart`: no UDP from one home to
        the other, but to servers."""
        for router, nat, name in ((self.camera_router, camera, "camera"), (self.viewer_router, viewer, "viewer")):
            flag = "fully-random" if nat == "symmetric" else ""
            blocked = _NO_UDP if udp_blocked_at == name else ""
            router.firewall(_ROUTER.format(flag=flag, blocked=blocked, no_ipv6="" if ipv6 else _NO_IPV6))
        self.public.firewall(APART if apart else "")

    def readdress(self, before: str, after: str) -> None:
        """Another IPv4 address for the camera, by its last number: routers do that when a lease ends."""
        self.camera.ip("address", "del", f"{CAMERA_LAN}.{before}/24", "dev", "eth0")
        self.camera.ip("address", "add", f"{CAMERA_LAN}.{after}/24", "dev", "eth0")
        self.camera.ip("route", "replace", "default", "via", f"{CAMERA_LAN}.1")


@contextmanager
def homes() -> Iterator[Homes]:
    """The five machines, with IPv4 behind the routers and IPv6 all the way."""
    with ExitStack() as stack:
        roles = ("camera", "camera-router", "public", "viewer-router", "viewer")
        made = Homes(*(stack.enter_context(machine(role)) for role in roles))
        public = made.public
        public.ip("address", "add", f"{PUBLIC_ADDRESS}/32", "dev", "lo")
        public.ip("address", "add", f"{PUBLIC_V6}/128", "dev", "lo", "nodad")
        _home(made.camera, made.camera_router, public, "camera", CAMERA_LAN, "203.0.113", CAMERA_V6)
        _home(made.viewer, made.viewer_router, public, "viewer", VIEWER_LAN, "198.51.100", VIEWER_V6)
        # A server that finds no route to a peer's private address may give up the whole allocation.
        public.ip("route", "add", "default", "via", "203.0.113.2")
        for each in (public, made.camera_router, made.viewer_router):
            with each.inside():
                Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
                Path("/proc/sys/net/ipv6/conf/all/forwarding").write_text("1")
        yield made


def _home(host: Machine, router: Machine, public: Machine, name: str, lan: str, wan: str, v6: str) -> None:
    cable((host, "eth0", f"{lan}.2/24"), (router, "lan", f"{lan}.1/24"))
    cable((router, "wan", f"{wan}.2/30"), (public, name, f"{wan}.1/30"))
    for where, interface, address in (
        (host, "eth0", f"{v6}::2/64"),
        (router, "lan", f"{v6}::1/64"),
        (router, "wan", f"{v6}:ffff::2/64"),
        (public, name, f"{v6}:ffff::1/64"),
    ):
        where.ip("address", "add", address, "dev", interface, "nodad")
    host.ip("route", "add", "default", "via", f"{lan}.1")
    host.ip("-6", "route", "add", "default", "via", f"{v6}::1")
    router.ip("route", "add", "default", "via", f"{wan}.1")
    router.ip("-6", "route", "add", "default", "via", f"{v6}:ffff::1")
    public.ip("-6", "route", "add", f"{v6}::/64", "via", f"{v6}:ffff::2")
