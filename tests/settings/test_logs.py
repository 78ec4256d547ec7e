"""One format for our events and other libraries' records; no secret passes; nothing raises."""

from __future__ import annotations

import array
import io
import json
import logging
import os
import socket
import struct
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from edgecam import logs
from edgecam.journal import MESSAGE_IDS, JournalHandler
from edgecam.settings import LogSettings


@pytest.fixture(autouse=True)
def restored_logging() -> Iterator[None]:
    root = logging.getLogger()
    level, handlers = root.level, root.handlers[:]
    yield
    for added in [handler for handler in root.handlers if handler not in handlers]:
        root.removeHandler(added)
        added.close()
    root.setLevel(level)
    for name in logs.CHATTY:
        logging.getLogger(name).setLevel(logging.NOTSET)
    logging.captureWarnings(False)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def json_lines(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


@pytest.fixture
def stream() -> io.StringIO:
    stream = io.StringIO()
    logs.configure(LogSettings(format="json"), stream=stream, environ={})
    return stream


def test_our_events_and_other_libraries_records_look_alike(stream: io.StringIO) -> None:
    structlog.get_logger("edgecam.app").info("camera.started", camera="front")
    logging.getLogger("aiohttp.web").warning("slow %s", "request")
    ours, theirs = json_lines(stream)
    assert ours.pop("timestamp")
    assert ours == {"event": "camera.started", "level": "info", "logger": "edgecam.app", "camera": "front"}
    assert theirs.pop("timestamp")
    assert theirs == {"event": "slow request", "level": "warning", "logger": "aiohttp.web"}


def test_what_is_bound_to_the_task_stands_on_every_line(stream: io.StringIO) -> None:
    with structlog.contextvars.bound_contextvars(viewer="v1"):
        structlog.get_logger("edgecam").info("session.ended")
        logging.getLogger("other").warning("x")
    assert [line["viewer"] for line in json_lines(stream)] == ["v1", "v1"]


def test_lines_below_the_level_are_left_out(stream: io.StringIO) -> None:
    structlog.get_logger("edgecam").debug("packet.sent")
    logging.getLogger("other").debug("x")
    assert stream.getvalue() == ""


def test_chatty_libraries_speak_only_when_debugging(stream: io.StringIO) -> None:
    logging.getLogger("aioice.ice").info("chat")
    assert stream.getvalue() == ""
    logs.configure(LogSettings(format="json", level="debug"), stream=stream, environ={})
    logging.getLogger("aioice.ice").info("chat")
    logging.getLogger("aiortc.rtcrtpsender").debug("> every single packet")
    assert [line["event"] for line in json_lines(stream)] == ["chat"]


def test_configuring_twice_does_not_log_twice(stream: io.StringIO) -> None:
    logs.configure(LogSettings(format="json"), stream=stream, environ={})
    structlog.get_logger("edgecam").info("once")
    assert len(json_lines(stream)) == 1


@pytest.mark.parametrize("chosen", ["console", "json"])
def test_no_secret_is_written_not_even_in_a_traceback(chosen: str) -> None:
    stream = io.StringIO()
    logs.configure(LogSettings.model_validate({"format": chosen}), stream=stream, environ={})
    logs.register_secret("correct-horse-battery")
    try:
        raise ValueError("server refused correct-horse-battery")
    except ValueError:
        structlog.get_logger("edgecam").exception("x", token="31415926", url="http://h/?token=31415926")
    logging.getLogger("other").warning("got %s", "correct-horse-battery")
    written = stream.getvalue()
    assert "refused" in written
    assert "Traceback" in written
    assert "correct-horse-battery" not in written
    assert "31415926" not in written


def test_console_on_a_terminal_json_elsewhere(stream: io.StringIO) -> None:
    master, slave = os.openpty()
    with os.fdopen(master, "rb", buffering=0) as screen, os.fdopen(slave, "w") as terminal:
        logs.configure(LogSettings(), stream=terminal, environ={})
        structlog.get_logger("edgecam").warning("camera.absent", camera="front")
        shown = screen.read(4096).decode()
    assert "\x1b[" in shown
    assert "camera.absent" in shown
    logs.configure(LogSettings(), stream=stream, environ={})
    structlog.get_logger("edgecam").warning("camera.absent")
    assert json_lines(stream)[-1]["event"] == "camera.absent"


def test_a_value_json_cannot_write_is_written_as_text(stream: io.StringIO) -> None:
    structlog.get_logger("edgecam").info("x", path=Path("/dev/video0"), data={1: b"\xff"}, names={"a"})
    assert json_lines(stream)[0]["path"] == "/dev/video0"


def test_a_closed_pipe_never_raises() -> None:
    program = """
        import sys, structlog
        from edgecam import logs
        from edgecam.settings import LogSettings
        sys.stdin.readline()
        logs.configure(LogSettings(format="json"))
        for _ in range(3):
            structlog.get_logger("edgecam").info("into the void")
        print("survived")
    """
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={key: value for key, value in os.environ.items() if key != "PYTHONUNBUFFERED"},
    ) as process:
        assert process.stderr
        process.stderr.close()
        process.stderr = None
        assert process.communicate("go\n", timeout=20)[0] == "survived\n"
        assert process.returncode == 0


class Journal:
    """What journald is to us: a datagram socket that takes messages and memfds."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._socket.settimeout(5)

    def read(self) -> dict[str, str]:
        data, ancillary, _, _ = self._socket.recvmsg(1 << 20, socket.CMSG_SPACE(4))
        for _, _, payload in ancillary:
            (descriptor,) = array.array("i", payload)
            with os.fdopen(descriptor, "rb") as file:
                file.seek(0)
                data = file.read()
        return dict(self._fields(data))

    def _fields(self, data: bytes) -> Iterator[tuple[str, str]]:
        while data:
            line, _, rest = data.partition(b"\n")
            key, equals, value = line.partition(b"=")
            if not equals:
                (length,) = struct.unpack("<Q", rest[:8])
                value, rest = rest[8 : 8 + length], rest[8 + length + 1 :]
            yield key.decode(), value.decode()
            data = rest

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    journal = Journal(tmp_path / "journal")
    logs.configure(LogSettings(format="journald"), stream=io.StringIO(), environ={}, journal_socket=journal.path)
    yield journal
    journal.close()


def test_the_journal_gets_fields(journal: Journal) -> None:
    structlog.get_logger("edgecam.app").warning("camera.absent", camera="front", after_s=2.5, token="31415926")
    fields = journal.read()
    assert (fields.pop("CODE_FILE"), fields.pop("CODE_FUNC")) == (__file__, "test_the_journal_gets_fields")
    assert int(fields.pop("CODE_LINE")) > 0
    assert fields == {
        "MESSAGE": "camera.absent camera=front after_s=2.5 token=********",
        "PRIORITY": "4",
        "SYSLOG_IDENTIFIER": "edgecam",
        "EDGECAM_EVENT": "camera.absent",
        "EDGECAM_LOGGER": "edgecam.app",
        "EDGECAM_CAMERA": "front",
        "EDGECAM_AFTER_S": "2.5",
        "EDGECAM_TOKEN": "********",
    }


def test_what_concerns_a_camera_is_found_by_its_name_and_what_matters_by_an_id(journal: Journal) -> None:
    log = structlog.get_logger("edgecam.health")
    log.warning("component.state", component="encoder.front.door", state="degraded")
    fields = journal.read()
    assert fields["EDGECAM_CAMERA"] == "front.door"
    assert fields["EDGECAM_COMPONENT"] == "encoder.front.door"
    assert fields["MESSAGE_ID"] == MESSAGE_IDS["component.state"]
    log.info("component.state", component="relay", state="running")
    assert "EDGECAM_CAMERA" not in journal.read()


def test_the_journal_gets_other_libraries_records_too(journal: Journal) -> None:
    logging.getLogger("aiohttp.server").error("broken: %s", "ü")
    fields = journal.read()
    assert (fields["MESSAGE"], fields["PRIORITY"]) == ("broken: ü", "3")


def test_a_traceback_reaches_the_journal_whole(journal: Journal) -> None:
    try:
        raise ValueError("two\nlines")
    except ValueError:
        structlog.get_logger("edgecam").exception("x")
    fields = journal.read()
    assert fields["MESSAGE"].startswith("x\nTraceback")
    assert fields["EDGECAM_EXCEPTION"].endswith("ValueError: two\nlines")


def test_a_record_too_long_for_a_datagram_goes_as_a_memfd(journal: Journal) -> None:
    structlog.get_logger("edgecam").info("x", long="y" * 3_000_000)
    assert journal.read()["EDGECAM_LONG"] == "y" * 3_000_000


def test_a_journal_that_is_gone_or_full_loses_lines_and_nothing_else(journal: Journal) -> None:
    log = structlog.get_logger("edgecam")
    for number in range(2000):  # more than the socket's queue holds; nobody reads
        log.info("x", number=number)
    journal.path.unlink()
    log.info("nobody there")
    handler = next(each for each in logging.getLogger().handlers if isinstance(each, JournalHandler))
    assert handler.lost > 0


def test_under_systemd_the_journal_is_found_by_itself(tmp_path: Path, journal: Journal) -> None:
    with (tmp_path / "stderr").open("w") as stream:
        status = os.fstat(stream.fileno())
        environ = {"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"}
        logs.configure(LogSettings(), stream=stream, environ=environ, journal_socket=journal.path)
        structlog.get_logger("edgecam").info("daemon.starting")
    assert journal.read()["MESSAGE"] == "daemon.starting"
