"""Logging: structlog's events and other libraries' records through one stdlib handler, one format, secrets masked."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from edgecam.journal import JOURNAL_SOCKET, JournalHandler, datagram, fields_of, is_journal, place_of
from edgecam.redaction import mask, mask_text, register_secret
from edgecam.settings import LogSettings

__all__ = ["configure", "register_secret"]

Format = Literal["console", "json", "journald"]

# They tell every packet and every request; what matters of it, edgecam says itself.
CHATTY = ("aiortc", "aioice", "aiohttp.access", "aiohttp.server", "libav", "asyncio")

# What a line begins with, whatever order its keys were bound in.
HEAD = ("timestamp", "level", "event", "logger")
PLACE = "_place"  # where the record was made, on its way to the journal


def configure(
    settings: LogSettings,
    *,
    stream: TextIO = sys.stderr,
    environ: Mapping[str, str] = os.environ,
    journal_socket: Path = JOURNAL_SOCKET,
) -> None:
    """Set up logging of the whole process; may be called again.

    Nothing that goes wrong while logging raises, be it a closed pipe or a journal that is gone.
    """
    chosen = _chosen(settings, stream, environ)
    handler: JournalHandler | _PatientStreamHandler
    handler = JournalHandler(journal_socket) if chosen == "journald" else _PatientStreamHandler(stream)
    handler.setFormatter(_formatter(chosen, colors=stream.isatty()))

    root = logging.getLogger()
    for old in [handler for handler in root.handlers if isinstance(handler, JournalHandler | _PatientStreamHandler)]:
        root.removeHandler(old)
        old.close()
    root.addHandler(handler)
    level = getattr(logging, settings.level.upper())
    handler.setLevel(level)
    # A recorder (see `record_to`) has what happened whatever is shown.
    level = min(level, logging.INFO)
    root.setLevel(level)
    for name in CHATTY:
        logging.getLogger(name).setLevel(logging.INFO if settings.level == "debug" else logging.WARNING)
    logging.captureWarnings(True)

    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.stdlib.PositionalArgumentsFormatter(),
            *_common(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,  # loggers of modules must follow a second configure()
    )


def record_to(recorder: logging.Handler) -> None:
    """Hand every record from `info` upwards to `recorder` too, as one JSON object with secrets masked; `configure` keeps it."""
    recorder.setFormatter(_formatter("json", colors=False))
    logging.getLogger().addHandler(recorder)


def _chosen(settings: LogSettings, stream: TextIO, environ: Mapping[str, str]) -> Format:
    if settings.format != "auto":
        return settings.format
    if stream.isatty():
        return "console"
    return "journald" if is_journal(stream, environ) else "json"


class _PatientStreamHandler(logging.StreamHandler[TextIO]):
    """A stream handler that says nothing about its own failures: there is nowhere left to say it."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        if isinstance(sys.exception(), BrokenPipeError):
            # What is stuck in the buffer would fail again when Python exits, and turn the exit code into 120.
            with contextlib.suppress(OSError, ValueError):
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, self.stream.fileno())
                os.close(nowhere)


def _common() -> list[Processor]:
    """What every record gets, ours or another library's."""
    return [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]


def _formatter(chosen: Format, *, colors: bool) -> logging.Formatter:
    render: list[Processor]
    keep: list[Processor] = []
    match chosen:
        case "console":
            # Plain tracebacks: the rich ones print local variables, secrets among them.
            plain = structlog.dev.plain_traceback
            render = [structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=plain)]
        case "journald":
            render = [_to_journal]
            keep = [_keep_place]
        case "json":
            render = [structlog.processors.JSONRenderer(ensure_ascii=False, default=str)]
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[structlog.contextvars.merge_contextvars, *_common()],
        processors=[
            *keep,
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            _redact,
            *render,
        ],
    )


def _redact(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """No secret passes here: tracebacks are text by now, and values have become plain data."""
    event = {key: event[key] for key in (*HEAD, *event) if key in event}
    return {key: value if key in {"timestamp", "level", PLACE} else mask(key, value) for key, value in event.items()}


def _keep_place(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    event[PLACE] = place_of(event["_record"])
    return event


def _to_journal(_logger: WrappedLogger, _method: str, event: EventDict) -> str:
    """The event as a journal datagram, its bytes as Latin-1 text (see JournalHandler)."""
    level, name = str(event.pop("level", "info")), str(event.pop("event", ""))
    logger = str(event.pop("logger", ""))
    event.pop("timestamp", None)  # the journal has its own
    place = event.pop(PLACE, {})
    values = {key: _text(value) for key, value in event.items() if value is not None}
    trailer = values.get("exception", "")
    shown = " ".join([name, *(f"{key}={value}" for key, value in values.items() if key not in {"exception", "stack"})])
    message = mask_text(f"{shown}\n{trailer}" if trailer else shown)
    fields = fields_of(name, logger, level, message, values) | place
    return datagram(fields).decode("latin-1")


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
