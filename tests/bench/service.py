"""From `systemctl start edgecam` to READY=1: the installed package with its own configuration, under Debian 13's systemd.

In a container on this machine (tests/machines/container.py), with the sandbox of the unit. The times are systemd's own: from the beginning
of the start job to the notification. The configuration is the packaged one: a test picture that is drawn while somebody watches.
"""

from __future__ import annotations

from tests.bench.figures import Figure
from tests.machines.container import container
from tests.machines.package import installed
from tests.machines.units import Unit


def measure(starts: int) -> dict[str, Figure]:
    """`starts` warm ones and a cold one before them: the first after the boot of the container."""
    with container(installed()) as machine:
        unit = Unit(machine, "edgecam.service")
        took = [1000 * unit.seconds_to_ready]
        for _ in range(starts):
            unit.systemctl("stop")
            unit.systemctl("start")
            took.append(1000 * unit.seconds_to_ready)
    return {"start_to_ready_ms": Figure.of("systemctl start → READY, packaged configuration", "ms", took[1:], first=took[0])}
