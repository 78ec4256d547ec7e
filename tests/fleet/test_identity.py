"""Who a device is."""

from __future__ import annotations

import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from edgecam.commands.discover import targets
from edgecam.errors import ConfigError
from edgecam.fleet.identity import APP_ID, MACHINE_ID, app_specific, device
from edgecam.fleet.records import found, instance_name, text_record
from edgecam.settings import DeviceSettings

NOTHING = Path("/nothing/here")


def test_the_id_is_what_systemd_makes_of_the_machines_own() -> None:
    assert shutil.which("systemd-id128"), "apt install systemd"
    done = subprocess.run(["systemd-id128", "machine-id", f"--app-specific={APP_ID}"], capture_output=True, text=True, check=True)
    assert device(DeviceSettings(), NOTHING).id == done.stdout.strip()
    assert MACHINE_ID.read_text().strip() != done.stdout.strip()


def test_another_machine_is_another_device() -> None:
    one, other = (app_specific(f"{number:032x}") for number in (1, 2))
    assert one != other
    assert one[12] == "4"  # a UUID of version 4


@pytest.mark.parametrize("written", [None, "", "uninitialized\n", "0" * 32, "nonsense", "ä" * 32])
def test_without_a_machine_id_one_is_made_and_stays(tmp_path: Path, written: str | None) -> None:
    machine_id, state = tmp_path / "machine-id", tmp_path / "state"
    if written is not None:
        machine_id.write_text(written)
    first, second = (device(DeviceSettings(), state, machine_id) for _ in range(2))
    assert first == second
    assert len(first.id) == 32
    assert (state / "device-id").stat().st_mode & 0o077 == 0
    assert device(DeviceSettings(), tmp_path / "another", machine_id).id != first.id


def test_a_state_directory_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("")
    with pytest.raises(ConfigError, match="cannot keep the device's id"):
        device(DeviceSettings(), tmp_path / "state", NOTHING)


def test_names_are_the_configured_ones_and_the_hosts_without() -> None:
    named = device(DeviceSettings(id="gate-1", name="Front gate", location="north"), NOTHING)
    assert (named.id, named.name, named.location, named.host) == ("gate-1", "Front gate", "north", "edgecam-gate1")
    assert device(DeviceSettings(), NOTHING).name == socket.gethostname()


def test_an_announced_name_is_one_label_of_at_most_63_bytes() -> None:
    assert instance_name("cam.example.org") == "cam-example-org"
    assert instance_name(" ") == "edgecam"
    assert len(instance_name("ä" * 60).encode()) == 60


def test_a_record_holds_as_many_cameras_as_fit_and_is_read_back() -> None:
    me = device(DeviceSettings(id="gate-1", name="Tür", location="north"), NOTHING)
    cameras = [f"camera-{number:02}" for number in range(40)]
    record = text_record(me, cameras, ready=True, tls=False)
    assert all(len(f"{key}={value}".encode()) <= 255 for key, value in record.items())
    read = found("edgecam-gate1.local.", 8088, ["fd00::1", "10.0.0.1"], {k.encode(): v.encode() for k, v in record.items()})
    assert (read.id, read.name, read.location, read.state) == ("gate-1", "Tür", "north", "ready")
    assert read.cameras == tuple(cameras[: len(read.cameras)])
    assert len(read.cameras) > 20
    assert (read.authority, read.url) == ("10.0.0.1:8088", "http://10.0.0.1:8088/")


def test_what_strangers_announce_is_shown_without_control_characters() -> None:
    read = found("x.local.", 80, [], {b"name": b"\x1b[31mred\xff", b"path": b"javascript:", b"cameras": None})
    assert (read.name, read.path, read.cameras, read.url) == ("?[31mred\ufffd", "/", (), "")


def test_prometheus_is_told_where_a_device_is_whatever_it_says_of_its_pages() -> None:
    read = found("x.local.", 443, ["fd00::1"], {b"name": b"gate", b"path": b"/cameras/", b"tls": b"1"})
    assert read.url == "https://[fd00::1]:443/cameras/"
    (group,) = targets([read])
    assert (group["targets"], group["labels"]["__scheme__"]) == (["[fd00::1]:443"], "https")
