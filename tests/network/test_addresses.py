"""Which of a machine's addresses are candidates, and that their change is noticed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from edgecam.rtc.ice.addresses import AddressWatch, usable_addresses
from edgecam.settings import IceSettings
from tests.network.namespaces import Machine, machine
from tests.network.sides import side


@pytest.fixture
def host() -> Iterator[Machine]:
    with machine("interfaces") as made:
        for name, address in (("eth0", "192.168.7.2/24"), ("docker0", "172.17.0.1/16"), ("wlan0", "169.254.3.4/16")):
            made.ip("link", "add", name, "type", "bridge")
            made.ip("address", "add", address, "dev", name)
            made.ip("link", "set", name, "up")
        made.ip("address", "add", "2001:db8:7::2/64", "dev", "eth0", "nodad")
        yield made


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, {"192.168.7.2", "2001:db8:7::2"}),
        ({"ipv6": False}, {"192.168.7.2"}),
        ({"ipv6": False, "link_local": True}, {"192.168.7.2", "169.254.3.4"}),
        ({"interfaces": ["docker*"]}, {"172.17.0.1"}),
        ({"exclude_interfaces": ["eth0"]}, {"172.17.0.1"}),
        ({"interfaces": ["lo"]}, {"127.0.0.1", "::1"}),
    ],
)
def test_the_addresses_that_the_settings_allow(host: Machine, settings: dict[str, object], expected: set[str]) -> None:
    with host.inside():
        assert {a.address for a in usable_addresses(IceSettings.model_validate(settings))} == expected


def test_a_change_is_noticed_at_once(host: Machine) -> None:
    async def changed() -> tuple[list[str], list[str], float]:
        loop = asyncio.get_running_loop()
        watch = AddressWatch(IceSettings(ipv6=False))
        assert [a.address for a in watch.current] == ["192.168.7.2"]
        changes = watch.changes()
        waiting = asyncio.ensure_future(anext(changes))
        await asyncio.sleep(0)
        begun = loop.time()
        host.ip("address", "add", "192.168.8.2/24", "dev", "eth0")
        host.ip("address", "del", "192.168.7.2/24", "dev", "eth0")
        gone, come = await asyncio.wait_for(waiting, 5)
        await changes.aclose()  # type: ignore[attr-defined]
        return [a.address for a in gone], [a.address for a in come], loop.time() - begun

    with side(host) as there:
        gone, come, seconds = there.run(changed())
    assert (gone, come) == (["192.168.7.2"], ["192.168.8.2"])
    assert seconds < 1
