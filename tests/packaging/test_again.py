"""CI may try what failed once more, and nothing else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.again import AGAIN, MOST

HOME = Path(__file__).resolve().parents[2]
# Without waiting for calm: what is tested is what follows.
AT_ONCE = "import sys; from tests import again; again.CALMER = 0.0; sys.exit(again.main(sys.argv[1:]))"
PASSES = "def test_passes(): pass\n"
ONCE = """
def test_fails_once(pytestconfig):
    been = pytestconfig.rootpath / "been"
    assert been.exists() or been.touch()
"""
KILLED = "import os, pytest\n@pytest.mark.alone\ndef test_is_killed(): os.kill(os.getpid(), 9)\n"
ALWAYS = "def test_fails(): assert False\n"
MANY = "import pytest\n@pytest.mark.parametrize('n', range({n}))\n" + ONCE.replace(
    "(pytestconfig)", "(n, pytestconfig)"
)


def run(where: Path, text: str, *options: str) -> tuple[int, str]:
    (where / "pytest.ini").write_text("[pytest]\n")
    (where / "test_it.py").write_text(text)
    env = {"PYTHONPATH": str(HOME), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        [sys.executable, "-c", AT_ONCE, *options, "-p", "no:timeout", "-p", "tests.conftest"],
        cwd=where,
        env=env,
        text=True,
        capture_output=True,
    )
    return done.returncode, done.stdout


def test_what_passes_is_run_once(tmp_path: Path) -> None:
    code, said = run(tmp_path, PASSES)
    assert code == 0
    assert "once more" not in said


@pytest.mark.parametrize("options", [[], ["--plain"]])
def test_what_passes_by_itself_is_named(tmp_path: Path, options: list[str]) -> None:
    code, said = run(tmp_path, PASSES + ONCE, *options)
    assert code == 0
    assert "1 failed, 1 passed" in said
    assert "of its processors' time was taken away" in said
    assert "FAILED ONCE" in said
    assert "test_it.py::test_fails_once" in said.partition("FAILED ONCE")[2]


@pytest.mark.parametrize(
    ("text", "runs"),
    [
        pytest.param(PASSES + ALWAYS, 1 + AGAIN, id="fails always"),
        pytest.param(ALWAYS + ONCE, 1 + AGAIN, id="one of two fails always"),
        pytest.param(MANY.format(n=MOST + 1).replace("been.touch()", "False"), 1, id="too many"),
        pytest.param("import nothing_of_that_name\n", 1, id="cannot be imported"),
        pytest.param("import os\ndef test_ends_the_run(): os._exit(1)\n", 1 + AGAIN, id="ends its process"),
        pytest.param(PASSES + KILLED, 1, id="the last phase is killed"),
        pytest.param("def test_interrupts(): raise KeyboardInterrupt\n" + ALWAYS, 1, id="interrupted"),
        pytest.param("", 1, id="no tests"),
    ],
)
def test_everything_else_fails(tmp_path: Path, text: str, runs: int) -> None:
    code, said = run(tmp_path, text)
    assert code != 0
    assert said.count("once more") == runs - 1
    assert "FAILED ONCE" not in said
