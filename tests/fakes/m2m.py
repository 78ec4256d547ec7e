"""The fake V4L2 hardware encoder: built once, broken and occupied at will."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from tests.fakes.library import build_library

SOURCE = Path(__file__).with_name("fakem2m.c")

FORCE_KEY_FRAME = 0x009909E5
BITRATE = 0x009909CF
REPEAT_SEQ_HEADER = 0x009909E2


def build_fake_m2m(cache_dir: Path) -> Path:
    """The shared object for LD_PRELOAD, compiled into `cache_dir` unless it is there. Raises when it cannot be."""
    return build_library(SOURCE, cache_dir, "apt-get install gcc libc6-dev linux-libc-dev libx264-dev")


@dataclass(frozen=True, slots=True)
class FakeM2m:
    """/dev/video11, an encoder, for processes that are started with `env`; nothing else is listed in their /dev.

    `directory` holds its state, and what is made known of it.
    """

    library: Path
    directory: Path

    def install(self, state: str = "ok") -> None:
        (self.directory / "dev").mkdir(parents=True, exist_ok=True)
        self.set(state)

    def set(self, state: str) -> None:
        """ok, delay, hang, hang-open, eio, crash, busy, single; see fakem2m.c."""
        fresh = self.directory / "state.new"
        fresh.write_text(state)
        fresh.replace(self._file)  # at once: a half-written word is no state

    def set_to(self, control: int) -> list[int]:
        """The values that this control was given, in order."""
        log = self.directory / "log"
        lines = [line.split() for line in log.read_text().splitlines()] if log.exists() else []
        return [int(value) for name, value in lines if int(name, 16) == control]

    @property
    def _file(self) -> Path:
        return self.directory / "dev" / "video11"

    @property
    def env(self) -> dict[str, str]:
        """What a process needs in its environment, besides the rest of it."""
        others = os.environ.get("LD_PRELOAD", "")
        preload = f"{self.library}:{others}" if others else str(self.library)
        return {"LD_PRELOAD": preload, "FAKE_M2M": str(self._file), "FAKE_M2M_LOG": str(self.directory / "log")}
