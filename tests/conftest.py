"""What every test that fails says about the machine it ran on."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from tests.harness.stolen import Stolen

BEGUN = pytest.StashKey[Stolen]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    item.stash[BEGUN] = Stolen()
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed:
        report.sections.append(("the machine", str(item.stash[BEGUN])))
    return report
