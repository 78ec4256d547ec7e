"""The ring outlives its writer, is bounded, and gives whole lines only."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from edgecam.blackbox.ring import HEADER_BYTES, LONGEST_LINE, Ring, read


def test_lines_come_back_oldest_first() -> None:
    ring = Ring(65_536)
    for number in range(10):
        ring.append(f"line {number}")
    assert ring.lines() == [f"line {number}" for number in range(10)]


def test_the_oldest_go_and_only_whole_lines_stay() -> None:
    ring = Ring(65_536)
    for number in range(20_000):
        ring.append(f"line {number} " + "x" * (number % 97))
    lines = ring.lines()
    numbers = [int(line.split()[1]) for line in lines]
    assert numbers == list(range(numbers[0], 20_000))
    assert sum(len(line) + 1 for line in lines) > 65_536 - 200


def test_a_line_that_is_too_long_is_cut_and_stays_one_line() -> None:
    ring = Ring(65_536)
    ring.append("a\nb" + "ü" * LONGEST_LINE)
    (line,) = ring.lines()
    assert line.startswith("a bü")
    assert len(line.encode()) <= LONGEST_LINE + 2


def test_what_a_killed_process_wrote_is_there(tmp_path: Path) -> None:
    path = tmp_path / "ring"
    code = f"""
from pathlib import Path
import os, signal
from edgecam.blackbox.ring import Ring
ring = Ring(65536, Path({str(path)!r}))
ring.mark(clean=False)
for number in range(3000):
    ring.append(f"line {{number}} of many")
os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", code], timeout=20).returncode == -signal.SIGKILL
    assert read(path)[-1] == "line 2999 of many"
    ring = Ring(65_536, path)
    assert not ring.was_clean
    ring.append("and on")
    assert ring.lines()[-2:] == ["line 2999 of many", "and on"]
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("content", [b"", b"something else", b"x" * (HEADER_BYTES + 65_536)])
def test_what_is_no_ring_is_begun_anew(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "ring"
    path.write_bytes(content)
    ring = Ring(65_536, path)
    assert ring.was_clean
    assert ring.lines() == []


def test_a_damaged_header_harms_nothing(tmp_path: Path) -> None:
    path = tmp_path / "ring"
    Ring(65_536, path).append("one")
    whole = bytearray(path.read_bytes())
    whole[24:32] = b"\xff" * 8  # written: more than there ever was
    path.write_bytes(bytes(whole))
    ring = Ring(65_536, path)
    ring.append("two")
    assert ring.lines() == ["two"]
    with pytest.raises(ValueError, match="no ring"):
        read(Path(__file__))
