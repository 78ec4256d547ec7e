"""One emulated machine for all tests that need a kernel and drivers of their own: it takes a minute to switch on."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.machines.vm_camera import CameraMachine, camera_machine
from tests.machines.vm_times import RESTART_WITHIN, Times


@pytest.fixture(scope="package")
def times(request: pytest.FixtureRequest) -> Iterator[Times]:
    measured = Times()
    yield measured
    reporter = request.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None:
        reporter.write_line("\n".join(["", "measured in the emulated machine:", *measured.lines]))


@pytest.fixture(scope="package")
def emulated(times: Times) -> Iterator[CameraMachine]:
    """Ready. Switched off after the last test of this package."""
    begun = time.monotonic()
    with camera_machine() as made:
        made.vm.wait_boot()
        made.wait_active()
        times.add("switched on: READY after", time.monotonic() - begun)
        times.add("  of which from the start of the process to READY, the machine still booting", made.start_seconds)
        made.wait_ready(within=RESTART_WITHIN)
        yield made
