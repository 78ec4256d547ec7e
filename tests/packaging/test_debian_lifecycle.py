"""The packages in a booted Debian 13: what a person has after `apt install`, after an upgrade, and after a purge."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.machines.container import Container, container
from tests.machines.package import Built, built
from tests.machines.trixie import tree

pytestmark = pytest.mark.timeout(300)  # the tree and the packages may have to be made first

PACKAGES = "/var/tmp/packages"
STATUS = "http://127.0.0.1:8088"
# systemd's own name for "a unit has started".
STARTED = "MESSAGE_ID=39f53479d3a045ac8e11786248231fbf"

# Everything that stands on the disk, but what systemd, apt and dpkg keep about their own work.
INVENTORY = r"""
find / -xdev \( -path /var/log -o -path /var/cache -o -path /var/lib/apt -o -path /var/lib/dpkg -o -path /var/tmp/packages \
    -o -path /var/lib/systemd/catalog -o -path /var/lib/systemd/random-seed -o -path /tmp -o -path /var/tmp/systemd-private-\* \
    -o -path /var/lib/systemd/timers -o -path /var/lib/private -o -path /var/log/private \) -prune -o -print
find /var/lib/dpkg /var/lib/private /var/log/private /var/cache /run /tmp /etc/systemd -iname '*edgecam*' 2>/dev/null || true
cut -d: -f1,4 /etc/group
cut -d: -f1 /etc/passwd
systemctl list-unit-files --no-legend --plain | cut -d' ' -f1
systemctl list-units --all --no-legend --plain 'edgecam*'
"""
# Copies that any change of a user leaves.
COPIES = {
    "/etc/.pwd.lock",
    "/etc/passwd-",
    "/etc/group-",
    "/etc/shadow-",
    "/etc/gshadow-",
    "/etc/subuid-",
    "/etc/subgid-",
}


@pytest.fixture(scope="module")
def packages() -> Built:
    return built()


@contextmanager
def _machine(packages: Built) -> Iterator[Container]:
    """Debian 13 with everything that the packages depend on, and the packages to be installed."""
    with container(tree()) as machine:
        shutil.copytree(packages.directory, _seen_from_here(machine, PACKAGES))
        yield machine


def _seen_from_here(machine: Container, path: str) -> Path:
    return Path(f"/proc/{machine.leader}/root{path}")


def _apt(machine: Container, *words: str) -> str:
    apt = "DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends"
    return machine.sh(f"{apt} {' '.join(words)} 2>&1 </dev/null", within=120)


def _files(packages: Built, *names: str) -> list[str]:
    return [f"{PACKAGES}/{packages.package(name).name}" for name in names]


def _everything(packages: Built) -> list[str]:
    return _files(packages, "edgecam-common", "edgecam", "edgecam-server")


def _newer(machine: Container, packages: Built, scratch: Path, config: str) -> list[str]:
    """The same packages as a later version whose default configuration is `config`."""
    made = []
    for package in packages.packages:
        content = scratch / package.stem
        subprocess.run(["dpkg-deb", "-R", package, content], check=True)
        control = content / "DEBIAN/control"
        version = re.search(r"(?m)^Version: (\S+)$", control.read_text())
        assert version
        control.write_text(control.read_text().replace(version[1], f"{version[1]}+later"))
        if (content / "etc/edgecam/edgecam.toml").exists():
            (content / "etc/edgecam/edgecam.toml").write_text(config)
        name = package.name.replace(version[1], f"{version[1]}+later")
        subprocess.run(
            ["dpkg-deb", "--root-owner-group", "-Znone", "-b", content, scratch / name], check=True, capture_output=True
        )
        shutil.copy(scratch / name, _seen_from_here(machine, PACKAGES))
        made.append(f"{PACKAGES}/{name}")
    return made


def _starts(machine: Container, unit: str) -> int:
    machine.sh("journalctl --sync")
    return machine.sh(f"journalctl -o cat {STARTED} UNIT={unit} || true").count("Started")


def _inventory(machine: Container) -> set[str]:
    return set(machine.sh(INVENTORY).splitlines()) - COPIES


def test_after_install_a_picture_can_be_watched_on_this_machine_and_nowhere_else(packages: Built) -> None:
    with _machine(packages) as machine:
        said = _apt(machine, "install", *_everything(packages))
        assert "debconf" not in said.partition("Setting up edgecam-common")[2]

        assert machine.sh("systemctl is-active edgecam edgecam-server").split() == ["active", "active"]
        assert machine.sh("systemctl is-enabled edgecam edgecam-server").split() == ["enabled", "enabled"]
        assert "<!doctype html>" in machine.sh(f"curl -sSf {STATUS}/")
        assert json.loads(machine.sh(f"curl -sSf {STATUS}/api/v1/status"))["cameras"][0]["name"] == "test"
        # The picture is drawn once somebody asks; two of them differ, so it moves.
        picture = f"curl -sSf {STATUS}/api/v1/cameras/test/snapshot.jpg | md5sum"
        first = machine.sh(picture)
        assert machine.sh(f"curl -sSf {STATUS}/api/v1/cameras/test/snapshot.jpg | head -c 3 | od -An -tx1").split() == [
            "ff",
            "d8",
            "ff",
        ]
        machine.sh(f"for i in $(seq 100); do [ \"$({picture})\" = '{first}' ] || exit 0; sleep 0.1; done; exit 1")

        # Nothing of it is to be seen from outside.
        listening = machine.sh("ss -Hlntup | awk '/edgecam/ {print $5}'").split()
        assert sorted(listening) == ["127.0.0.1:8080", "127.0.0.1:8088"]
        assert machine.sh("edgecam check-config && edgecam status && systemctl is-system-running || true")


def test_an_upgrade_keeps_the_configuration_and_restarts_once(packages: Built, tmp_path: Path) -> None:
    with _machine(packages) as machine:
        _apt(machine, "install", *_everything(packages))
        default = machine.sh("cat /etc/edgecam/edgecam.toml") + "\n"
        mine = default.replace("[camera.test]", "[camera.mine]")
        machine.write("/etc/edgecam/edgecam.toml", mine)
        machine.sh("systemctl restart edgecam; systemctl disable edgecam-server")
        before = {unit: _starts(machine, unit) for unit in ("edgecam.service", "edgecam-server.service")}

        _apt(machine, "install", *_newer(machine, packages, tmp_path, default))
        assert "+later" in machine.sh("dpkg-query -W edgecam")
        assert machine.sh("cat /etc/edgecam/edgecam.toml") + "\n" == mine
        assert machine.sh("cd /etc/edgecam && ls").split() == ["edgecam.toml"]
        assert "camera mine" in machine.sh("edgecam status")
        after = {unit: _starts(machine, unit) for unit in before}
        assert after == {unit: count + 1 for unit, count in before.items()}
        # What an administrator has switched off is off after the upgrade.
        assert machine.run("systemctl", "is-enabled", "edgecam-server").out.strip() == "disabled"


def test_a_configuration_that_nobody_touched_follows_the_package(packages: Built, tmp_path: Path) -> None:
    with _machine(packages) as machine:
        _apt(machine, "install", *_files(packages, "edgecam-common", "edgecam"))
        later = '[camera.later]\nsource = "test"\ncapture = "on-demand"\n'
        _apt(machine, "install", *(file for file in _newer(machine, packages, tmp_path, later) if "server" not in file))
        assert machine.sh("cat /etc/edgecam/edgecam.toml") + "\n" == later
        assert "camera later" in machine.sh("edgecam status")


def test_purge_leaves_nothing_behind_and_what_was_removed_comes_back(packages: Built) -> None:
    with _machine(packages) as machine:
        before = _inventory(machine)
        _apt(machine, "install", *_everything(packages))
        machine.sh(
            'printf \'[camera.yard]\\nsource = "test"\\n[web]\\nlisten = "127.0.0.1:8089"\\n\' >/etc/edgecam/edgecam@yard.toml'
        )
        machine.sh("systemctl enable --now edgecam@yard")
        machine.sh(f"curl -sSf {STATUS}/api/v1/cameras/test/snapshot.jpg >/dev/null")
        assert _inventory(machine) > before

        _apt(machine, "remove", "edgecam", "edgecam-server", "edgecam-common")
        assert (
            machine.sh("systemctl list-units --no-legend --plain --state=active 'edgecam*'; pgrep -fa edgecam || true")
            == ""
        )
        assert machine.sh("cat /etc/edgecam/edgecam.toml")

        _apt(machine, "install", *_everything(packages))
        assert machine.sh("systemctl is-active edgecam edgecam-server").split() == ["active", "active"]

        # The file of edgecam@yard is the administrator's, as dpkg says when it leaves the directory.
        machine.sh("rm /etc/edgecam/edgecam@yard.toml")
        said = _apt(machine, "purge", "edgecam", "edgecam-server", "edgecam-common")
        assert "warning" not in said.lower(), said
        assert _inventory(machine) == before

        _apt(machine, "install", *_everything(packages))
        assert "camera test" in machine.sh("edgecam status")


def test_each_package_alone_can_be_purged(packages: Built) -> None:
    """In either order; the user that is left keeps the group that both share."""
    with _machine(packages) as machine:
        before = _inventory(machine)
        for first, second in (("edgecam", "edgecam-server"), ("edgecam-server", "edgecam")):
            _apt(machine, "install", *_everything(packages))
            _apt(machine, "purge", first)
            assert machine.sh(f"systemctl is-active {second}") == "active"
            assert machine.sh(f"systemctl restart {second} && systemctl is-active {second}") == "active"
            _apt(machine, "purge", second, "edgecam-common")
            assert _inventory(machine) == before


def test_the_server_needs_no_media_stack(packages: Built) -> None:
    with _machine(packages) as machine:
        _apt(machine, "purge", "python3-aiortc", "python3-av", "python3-aioice")
        _apt(machine, "autoremove")
        _apt(machine, "install", *_files(packages, "edgecam-common", "edgecam-server"))
        assert machine.sh("systemctl is-active edgecam-server") == "active"
        assert "<!doctype html>" in machine.sh("curl -sSf http://127.0.0.1:8080/").lower()
        assert "http://127.0.0.1:8080/" in machine.sh("edgecam invite --camera front --url http://127.0.0.1:8080")
        assert machine.run("test", "-e", "/usr/lib/systemd/system/edgecam.service").code == 1
        refused = machine.run("edgecam", "run")
        assert (refused.code, refused.err.count("\n")) == (1, 1)
        assert "Debian's package edgecam" in refused.err
