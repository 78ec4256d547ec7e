"""Avahi on a machine of the test's own: another implementation of multicast DNS, with a message bus of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.harness.waiting import until
from tests.network.namespaces import Machine

BUS = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>custom</type><listen>unix:path={path}</listen><auth>EXTERNAL</auth>
<policy context="default"><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/></policy></busconfig>
"""
# Its pid file would tell it that the machine's own avahi-daemon, if there is one, is itself: it gets a /run of its own.
OWN_RUN = 'mount -t tmpfs none /run && exec "$0" -f "$1" --no-drop-root --no-chroot --no-rlimits'

Browse = Callable[[], list[list[str]]]


@contextmanager
def avahi(where: Machine, interface: str, directory: Path) -> Iterator[Browse]:
    """Yields `avahi-browse -rpt _edgecam._tcp` on that machine: the fields of each line."""
    directory.mkdir(parents=True, exist_ok=True)
    bus, config, log = directory / "bus", directory / "avahi.conf", directory / "avahi.log"
    (directory / "bus.conf").write_text(BUS.format(path=bus))
    config.write_text(f"[server]\nhost-name=laptop\nallow-interfaces={interface}\n")
    environment = {**os.environ, "DBUS_SYSTEM_BUS_ADDRESS": f"unix:path={bus}"}

    def program(name: str) -> str:
        found = shutil.which(name) or shutil.which(name, path="/usr/sbin")
        assert found, f"{name} is not installed: apt install avahi-daemon avahi-utils dbus"
        return found

    def browse() -> list[list[str]]:
        with where.inside():
            command = [program("avahi-browse"), "-rpt", "_edgecam._tcp"]
            done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=20)
        assert done.returncode == 0, done.stderr
        return [line.split(";") for line in done.stdout.splitlines()]

    running: list[subprocess.Popen[bytes]] = []
    try:
        with log.open("wb") as out, where.inside():
            bus_command = [program("dbus-daemon"), f"--config-file={directory}/bus.conf", "--nofork", "--nopidfile"]
            running.append(subprocess.Popen(bus_command, stdout=out, stderr=out))
            until(bus.exists, within=10, what="a message bus", explain=log.read_text)
            command = ["unshare", "-m", "sh", "-c", OWN_RUN, program("avahi-daemon"), str(config)]
            running.append(subprocess.Popen(command, env=environment, stdout=out, stderr=out))
        until(lambda: "startup complete" in log.read_text(), within=10, what="avahi-daemon", explain=log.read_text)
        yield browse
    finally:
        for process in reversed(running):
            process.terminate()
            process.wait(5)
