"""The soak runs beside all other tests."""

from __future__ import annotations

import pytest

from tests.harness.beside import Beside

MINUTES = 2.0

AFTER_THAT = MINUTES * 60 + 30.0  # seconds: one scene must not disturb the other

_SOAK = Beside("soaked", "tests.soak", "--calm", "--minutes", str(MINUTES))
_LOAD = Beside(
    "loaded", "tests.soak", "--watchdog", "--one-core", "--minutes", str(MINUTES), "--delay", str(AFTER_THAT)
)  # fmt: skip


def pytest_collection_finish(session: pytest.Session) -> None:
    _SOAK.begin(session)
    _LOAD.begin(session)


def pytest_unconfigure() -> None:
    _SOAK.end()
    _LOAD.end()


@pytest.fixture
def soaked() -> tuple[int, str]:
    """Exit code and output of the soak."""
    return _SOAK.result(MINUTES * 60 + 60)


@pytest.fixture
def loaded() -> tuple[int, str]:
    """Exit code and output of the scene under full load."""
    return _LOAD.result(AFTER_THAT + MINUTES * 60 + 60)
