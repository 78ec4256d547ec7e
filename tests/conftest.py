"""What every test that fails says about the machine it ran on, when it does; and which tests run one after the other."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from tests.harness.stolen import Stolen

BEGUN = pytest.StashKey[Stolen]()
MACHINE = "the machine"  # a section of the report
# What takes minutes begins first where tests run beside each other.
LONGEST = ("tests/machines/", "tests/soak/", "tests/network/", "tests/packaging/")
ONE_BY_ONE = "tests/machines/"  # two emulated machines at a time would be slower than one after the other


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    item.stash[BEGUN] = Stolen()
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed:
        report.sections.append((MACHINE, str(item.stash[BEGUN])))
    return report


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    def rank(item: pytest.Item) -> int:
        return next((place for place, prefix in enumerate(LONGEST) if item.nodeid.startswith(prefix)), len(LONGEST))

    items.sort(key=rank)


@pytest.hookimpl(optionalhook=True)  # pytest-xdist's
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):  # type: ignore[misc]  # has no types
        """The tests of a file run one after the other in one process, since they share what takes long to start."""

        def _split_scope(self, nodeid: str) -> str:
            return ONE_BY_ONE if nodeid.startswith(ONE_BY_ONE) else nodeid.partition("::")[0]

    return ByFile(config, log)


class AtOnce:
    """A line for each failure when it happens: a run that is ended from outside prints no summary."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        terminal = self._config.pluginmanager.get_plugin("terminalreporter")
        if report.failed and terminal:  # a worker has none
            crash = getattr(report.longrepr, "reprcrash", None)
            message = crash.message.partition("\n")[0] if crash else report.longreprtext.rpartition("\n")[2]
            machine = "; ".join(content for title, content in report.sections if title == MACHINE)
            terminal.ensure_newline()
            terminal.write_line(f"{report.when} of {report.nodeid}: {message} ({machine})")


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(AtOnce(config))
