"""The black box of this process: finds what the process before left behind, records, and says at the end how it ended."""

from __future__ import annotations

import faulthandler
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import structlog

from edgecam import __version__
from edgecam.blackbox.deaths import Deaths
from edgecam.blackbox.recorder import Recorder
from edgecam.blackbox.ring import Ring
from edgecam.errors import EdgecamError
from edgecam.health.ladder import ExhaustedError
from edgecam.redaction import mask
from edgecam.settings.blackbox import BlackboxSettings
from edgecam.supervisor import leaf_errors

log = structlog.get_logger(__name__)

RING, STACKS = "blackbox", "stacks"  # files in systemd's RuntimeDirectory, which is a tmpfs
SERVICE_RUNTIME_DIR = Path("/run/edgecam")

# What faulthandler writes first, and what it means.
_REASONS = {
    "Aborted": "aborted",  # systemd's watchdog sends SIGABRT
    "Segmentation fault": "segfault",
    "Bus error": "bus-error",
    "Illegal instruction": "illegal-instruction",
    "Floating-point exception": "floating-point",
}


@dataclass(frozen=True, slots=True)
class BlackBox:
    """What happened lately, and what earlier daemons died of."""

    ring: Ring
    recorder: Recorder
    deaths: Deaths

    def note(self, event: str, **values: object) -> None:
        """Add a record that does not belong into the log; masked as if it did."""
        masked = {key: mask(key, value) for key, value in values.items()}
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        self.ring.append(json.dumps({"timestamp": stamp, "event": event, **masked}, default=str))


def runtime_dir(environ: Mapping[str, str] = os.environ) -> Path | None:
    """systemd's RuntimeDirectory; None when there is none."""
    first = environ.get("RUNTIME_DIRECTORY", "").split(":")[0]
    return Path(first) if first else None


@contextmanager
def recording(
    settings: BlackboxSettings, state_dir: Path, directory: Path | None, listen: Callable[[Recorder], None] = lambda _: None
) -> Iterator[BlackBox]:
    """The black box while this process runs. `directory` is where the ring outlives it; without one it does not. `listen` connects
    the recorder to the log.

    What a process before left that did not end in an orderly way is written to `state_dir`; so is what this one leaves when
    the block raises a bug, or gives up a camera. The disk failing at that is logged, never raised.
    """
    deaths = Deaths(state_dir / "blackbox", settings.keep, settings.writes_per_day)
    ring, stacks = _opened(settings, directory)
    box = BlackBox(ring, Recorder(ring), deaths)
    listen(box.recorder)
    before = stacks.read() if stacks is not None else ""
    if not ring.was_clean:
        _keep(box, _reason(before, ring), before)
    ring.mark(clean=False)
    _catch_fatal_signals(stacks)
    try:
        yield box
    except BaseException as error:
        if _is_bug(error):
            log.critical("daemon.died", exc_info=error)
            _keep(box, "crash", "")
        elif (gave_up := _gave_up(error)) is not None:
            log.critical("daemon.gave-up", code=gave_up.code, detail=str(gave_up), exit_code=gave_up.exit_code)
            _keep(box, gave_up.code, "")
        ring.mark(clean=True)
        raise
    else:
        ring.mark(clean=True)
    finally:
        faulthandler.disable()
        if stacks is not None:
            stacks.close()


def _opened(settings: BlackboxSettings, directory: Path | None) -> tuple[Ring, TextIO | None]:
    if directory is not None:
        try:
            ring = Ring(settings.memory_bytes, directory / RING)
            descriptor = os.open(directory / STACKS, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            return ring, os.fdopen(descriptor, "r+", encoding="utf-8", errors="replace")
        except OSError as error:
            log.warning("blackbox.memory-only", directory=str(directory), reason=str(error))
    return Ring(settings.memory_bytes), None


def _catch_fatal_signals(stacks: TextIO | None) -> None:
    """From now on a fatal signal leaves the stacks of all threads: in the file, else on standard error."""
    if stacks is None:
        faulthandler.enable()
        return
    with suppress(OSError):
        stacks.truncate(0)
        stacks.seek(0)
    faulthandler.enable(stacks)


def _is_bug(error: BaseException) -> bool:
    """Whether the error does not say by itself what a person has to know."""
    return any(isinstance(leaf, Exception) and not isinstance(leaf, EdgecamError) for leaf in leaf_errors(error))


def _gave_up(error: BaseException) -> ExhaustedError | None:
    """Whether a camera's ladder ended the daemon: what led to it is wanted as much as what led to a crash."""
    return next((leaf for leaf in leaf_errors(error) if isinstance(leaf, ExhaustedError)), None)


def _reason(stacks: str, ring: Ring) -> str:
    for said, reason in _REASONS.items():
        if said in stacks[:200]:
            return reason
    ends = [line for line in ring.lines()[-50:] if '"daemon.stopp' in line or '"daemon.starting"' in line]
    return "stop-hung" if ends and '"daemon.stopping"' in ends[-1] else "killed"


def _keep(box: BlackBox, reason: str, stacks: str) -> None:
    lines = box.ring.lines()
    if stacks:
        # systemd has the stacks nowhere else: they went into the file.
        log.error("daemon.stacks", reason=reason, stack=stacks[:20_000])
        lines.append(json.dumps({"event": "stacks", "text": stacks[:200_000]}))
    found = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    facts: dict[str, object] = {"version": __version__, "python": sys.version.split()[0], "found": found}
    try:
        path = box.deaths.save(reason, lines, facts)
    except OSError as error:
        log.warning("blackbox.unwritable", directory=str(box.deaths.directory), reason=str(error))
        return
    if path is None:
        log.warning("blackbox.not-kept", death=reason, reason="as many as [blackbox] allows were written today")
    else:
        log.warning("blackbox.kept", death=reason, file=str(path))
