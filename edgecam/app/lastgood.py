"""The last configuration that was good, kept in the state directory: the file's text as it was, and what worked with it.

Only the file is kept. What came from the environment, credentials or the command line is asked for again where it came from,
so no secret gets onto the disk that was not in the file, and the copy can be read by its owner alone.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import structlog

from edgecam.http.tokens import read_private, write_private

log = structlog.get_logger(__name__)

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def digest_of(text: str) -> str:
    """SHA-256 in hexadecimal: what `sha256sum` says of the file."""
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Remembered:
    """`file`: whose copy it is. `since`: Unix time since when it is good. `ready`: lines of the health board that were ready with
    it. `boot` and `ended`: the last run's boot, and whether somebody ended it. `refused`: the file that was rolled back last."""

    file: str
    digest: str
    since: float
    ready: tuple[str, ...] = ()
    boot: str = ""
    ended: bool = False
    refused: str = ""


class LastGood:
    """`last-good.toml` and what is known of it, in `directory`. Writing never raises: a full disk must not end the daemon."""

    def __init__(self, directory: Path, file: Path) -> None:
        self.path = directory / "last-good.toml"
        self._facts = directory / "last-good.json"
        self._file = str(file.absolute())
        self._known = self._read()

    @property
    def known(self) -> Remembered | None:
        """What is remembered of that file; None when nothing usable is."""
        return self._known

    @property
    def unasked(self) -> bool:
        """Whether nobody seems to have asked for this start: the machine was booted since, or the last run ended by itself."""
        return self._known is not None and (self._known.boot != _boot() or not self._known.ended)

    def keep(self, text: str, ready: Collection[str], since: float) -> None:
        """From now on that text is the last good one."""
        before = self._known
        self._known = Remembered(self._file, digest_of(text), since, tuple(sorted(ready)), _boot())
        if before is None or before.digest != self._known.digest:
            self._write(self.path, text)
        self._save()

    def begun(self) -> None:
        """The daemon runs."""
        self._note(boot=_boot(), ended=False)

    def ended(self) -> None:
        """The daemon ends because somebody wants it to."""
        self._note(ended=True)

    def refuse(self, digest: str) -> None:
        """The file with that digest was rolled back."""
        self._note(refused=digest)

    def _note(self, **facts: object) -> None:
        if self._known is not None:
            noted = replace(self._known, **facts)  # type: ignore[arg-type]  # names and types are those above
            if noted != self._known:
                self._known = noted
                self._save()

    def _save(self) -> None:
        if self._known is not None:
            self._write(self._facts, json.dumps(asdict(self._known)))

    def _write(self, path: Path, text: str) -> None:
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_private(path, text)
        except OSError as error:
            log.warning("config.not-kept", path=str(path), reason=error.strerror or str(error))

    def _read(self) -> Remembered | None:
        with suppress(OSError, ValueError, TypeError, KeyError):
            facts = json.loads(read_private(self._facts) or "")
            known = Remembered(**{**facts, "ready": tuple(facts["ready"])})
            text = self.path.read_text(encoding="utf-8")
            if known.file == self._file and known.digest == digest_of(text):
                return known
        return None


def _boot() -> str:
    try:
        return BOOT_ID.read_text().strip()
    except OSError:
        return ""
