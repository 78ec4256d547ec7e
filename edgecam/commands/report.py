"""`edgecam report`: ask the daemon, look around on the machine, and put all of it into one archive."""

from __future__ import annotations

import json
import socket
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from edgecam.blackbox.box import RING, SERVICE_RUNTIME_DIR, runtime_dir
from edgecam.blackbox.deaths import Deaths
from edgecam.blackbox.ring import read
from edgecam.commands.query import ask
from edgecam.commands.running import last_good
from edgecam.config import DEFAULT_FILE, load, render_effective
from edgecam.errors import EdgecamError, FatalError
from edgecam.http.tokens import SERVICE_STATE_DIRS, state_dir_of
from edgecam.report.archive import Archive
from edgecam.report.host import host_facts, journal, said_by, unit_facts
from edgecam.settings import Settings

PROBE_WITHIN, DOCTOR_WITHIN = 30.0, 120.0  # seconds
AS_ROOT = "as this user it cannot be read; run `edgecam report` as root or as the service's user"


def report(config: Path | None, overrides: Mapping[str, object], output: Path | None, *, doctor: bool) -> int:
    """Write the archive and say where it is and what is not in it. Raises FatalError when it cannot be written."""
    started = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    path = output or Path(f"edgecam-report-{socket.gethostname()}-{started}.tar.gz")
    archive = Archive(f"edgecam report of {socket.gethostname()}, {started}")
    settings = _configuration(archive, config, overrides)
    tell("asking the daemon")
    _daemon(archive, settings)
    tell("reading the system's and the service's state")
    archive.add("host.txt", host_facts())
    archive.add("units.txt", unit_facts(), absent="there is no systemd")
    archive.add("journal.txt", journal(), absent=f"no journal of the units, or {AS_ROOT}")
    tell("looking for cameras and encoders")
    archive.add("probe.json", said_by([*_ourselves(), "probe", "--json"], PROBE_WITHIN), absent=f"no answer in {PROBE_WITHIN:.0f} s")
    if doctor:
        tell("running the doctor, up to two minutes")
        options = [] if config is None else ["--config", str(config)]
        archive.add("doctor.txt", said_by([*_ourselves(), "doctor", *options], DOCTOR_WITHIN), absent="it did not end in time")
    try:
        archive.write(path)
    except OSError as error:
        raise FatalError(f"cannot write {path}: {error.strerror}", remedy="choose another file with -o") from error
    for line in archive.missing:
        tell(f"not in it: {line}")
    print(f"{path}: {', '.join(archive.contents())}")
    tell("secrets are masked and public addresses renamed; look through it before you attach it to a bug report")
    return 0


def tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _ourselves() -> list[str]:
    return [sys.executable, "-m", "edgecam"]


def _configuration(archive: Archive, config: Path | None, overrides: Mapping[str, object]) -> Settings:
    """The effective settings; those of the last good file when this one is wrong, else the defaults: a report must survive that."""
    try:
        loaded = load(config, overrides, default_file=DEFAULT_FILE if DEFAULT_FILE.exists() else None)
    except EdgecamError as error:
        archive.add("config.txt", f"the configuration is wrong:\n{error}")
        return next(last_good(config, overrides), Settings())
    archive.add("config.txt", render_effective(loaded))
    return loaded.settings


def _daemon(archive: Archive, settings: Settings) -> None:
    """What it says; one that does not answer is asked once only."""
    silent: EdgecamError | None = None
    for name, path in (("status.json", "/api/v1/status"), ("metrics.txt", "/metrics"), ("events.jsonl", "/api/v1/blackbox")):
        try:
            text = _asked(settings, path, silent).decode("utf-8", "replace")
        except EdgecamError as error:
            silent = error if error.code == "daemon-unreachable" else silent
            # A daemon that hangs has its last events in memory all the same.
            _events_of_silent_daemon(archive, error) if name == "events.jsonl" else archive.add(name, "", absent=str(error))
            continue
        archive.add(name, json.dumps(json.loads(text), indent=1) if name.endswith(".json") else text)
    _deaths(archive, settings, silent)


def _asked(settings: Settings, path: str, silent: EdgecamError | None) -> bytes:
    """Raises EdgecamError, at once where the daemon was `silent` before."""
    if silent is not None:
        raise silent
    return ask(settings, path)


def _events_of_silent_daemon(archive: Archive, error: EdgecamError) -> None:
    path = (runtime_dir() or SERVICE_RUNTIME_DIR) / RING
    try:
        archive.add("events.jsonl", "\n".join(read(path)))
    except FileNotFoundError:
        archive.add("events.jsonl", "", absent=str(error))
    except (OSError, ValueError) as unreadable:
        archive.add("events.jsonl", "", absent=f"{error}; {path}: {unreadable}; {AS_ROOT}")


def _deaths(archive: Archive, settings: Settings, silent: EdgecamError | None) -> None:
    """From the daemon, or, when it does not answer, from where it keeps them."""
    try:
        for name in json.loads(_asked(settings, "/api/v1/blackbox/deaths", silent)):
            archive.add_death(name, ask(settings, f"/api/v1/blackbox/deaths/{name}"))
    except EdgecamError:
        for directory in dict.fromkeys((state_dir_of(settings), *SERVICE_STATE_DIRS)):
            deaths = Deaths(directory / "blackbox", keep=0, per_day=0)
            for name in deaths.names():
                try:
                    archive.add_death(name, (deaths.directory / name).read_bytes())
                except OSError as error:
                    archive.missing.append(f"{name}: {error.strerror}; {AS_ROOT}")
