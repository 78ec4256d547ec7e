"""Sensors as the kernel shows them, and machines that have none."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgecam.governors import disk, memory, power, temperature
from edgecam.governors.meter import InterfaceMeter
from tests.governors.machine import Machine


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_a_machine_without_sensors_has_none(machine: Machine) -> None:
    root = machine.root
    assert (temperature.read(root), power.read(root), memory.read(root)) == (None, None, None)


def test_this_machine_can_be_read_whatever_it_has(tmp_path: Path) -> None:
    root = Path("/")
    found = memory.read(root)
    assert found is not None
    assert found.available > 0
    hot = temperature.read(root)
    assert hot is None or -40 < hot.celsius < 150
    power.read(root)


def test_the_hottest_zone_of_the_processor_counts_and_no_other(machine: Machine) -> None:
    machine.zone(51.2)
    machine.zone(64.5, "gpu-thermal", 1)
    machine.zone(99, "iwlwifi_1", 2)
    machine.zone(98, "acpitz", 3)
    found = temperature.read(machine.root)
    assert found == temperature.Temperature(64.5, "gpu-thermal")
    assert found.usual_limit == 75


def test_hwmon_is_asked_where_there_are_no_zones_and_x86_may_be_hotter(machine: Machine) -> None:
    machine.chip("nvme", 0, temp1_input=88_000)
    machine.chip("k10temp", 1, temp1_input=71_250, temp3_input=72_000)
    found = temperature.read(machine.root)
    assert found == temperature.Temperature(72, "k10temp")
    assert found.usual_limit == 90


@pytest.mark.parametrize("nonsense", ["", "hot", "-273000", "4294967296000", "12 13"])
def test_a_zone_that_talks_nonsense_is_not_there(machine: Machine, nonsense: str) -> None:
    machine.zone(0)
    machine.put("sys/class/thermal/thermal_zone0/temp", nonsense)
    assert temperature.read(machine.root) is None


def test_undervoltage_is_told_by_the_driver_or_by_the_firmware(machine: Machine) -> None:
    machine.chip("cpu_thermal", 0, temp1_input=50_000)
    assert power.read(machine.root) is None
    machine.chip("rpi_volt", 1, in0_lcrit_alarm=0)
    assert power.read(machine.root) == power.Power(low=False)
    machine.chip("rpi_volt", 1, in0_lcrit_alarm=1)
    assert power.read(machine.root) == power.Power(low=True)
    machine.chip("rpi_volt", 1, in0_lcrit_alarm=0)
    for bits, expected in (
        (0, power.Power(low=False)),
        (0x1, power.Power(low=True)),
        (0x50005, power.Power(low=True, slowed=True, was_low=True)),
        (0x50000, power.Power(low=False, was_low=True)),
        (0x8, power.Power(low=False, slowed=True)),
    ):
        machine.firmware(bits)
        assert power.read(machine.root) == expected, hex(bits)


def test_memory_is_what_the_machine_or_the_control_group_leaves_whichever_is_less(machine: Machine) -> None:
    machine.memory(500_000_000)
    assert memory.read(machine.root) == memory.Memory(available=499_999_744)
    machine.memory(512_000_000, used=90_000_000, limit=100_000_000, cached=30_000_000, stalled=12.5)
    assert memory.read(machine.root) == memory.Memory(40_000_000, used=60_000_000, limit=100_000_000, stalled=12.5)
    machine.memory(512_000_000, used=90_000_000)
    assert memory.read(machine.root) == memory.Memory(512_000_000, used=90_000_000)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system of 1 MB."""
    place = tmp_path / "small"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", place], check=True)
    yield place
    subprocess.run(["umount", place], check=True)


def test_a_disk_is_looked_at_before_the_directory_is_made(small_disk: Path) -> None:
    found = disk.read(small_disk / "edgecam" / "not" / "yet")
    assert found is not None
    assert 900_000 < found.free <= 1 << 20
    assert not found.read_only
    (small_disk / "full").write_bytes(bytes(900_000))
    smaller = disk.read(small_disk)
    assert smaller is not None
    assert smaller.free < 150_000
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    closed = disk.read(small_disk)
    assert closed is not None
    assert closed.read_only


def test_interfaces_are_counted_both_ways_through_resets_and_replugging(machine: Machine) -> None:
    machine.interface("wwan0", 1000, 500)
    machine.interface("eth0", 9000, 9000)
    meter = InterfaceMeter(machine.root, ("wwan*", "ppp0"))
    assert meter.take() == 0
    machine.interface("wwan0", 1500, 600)
    machine.interface("eth0", 99_000, 99_000)
    assert meter.take() == 600
    machine.interface("wwan0", 70, 30)  # the modem was reset
    assert meter.take() == 100
    machine.interface("ppp0", 11, 22)
    assert meter.take() == 33
