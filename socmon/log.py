"""Logging: structlog to standard error, JSON or logfmt, UTC; what others wrote is made safe and cut before it is shown.

Python's own `logging`, which asyncio and aiohttp use, ends in the same place and shape.
"""

import logging
import math
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import date, datetime
from enum import Enum
from ipaddress import IPv4Address, IPv6Address
from pathlib import PurePath
from typing import Any, Literal, cast
from uuid import UUID

import structlog
from structlog.typing import EventDict, FilteringBoundLogger, Processor, WrappedLogger

from socmon.secrets import SecretRef
from socmon.text import printable

Level = Literal["debug", "info", "warning", "error"]
Format = Literal["json", "logfmt"]

MAX_CHARS = 500
_MAX_TRACEBACK_CHARS = 8_000
_FIRST_KEYS = ("timestamp", "level", "event")
_MAX_ITEMS = 20
_MAX_DEPTH = 3

# Anything else is shown by the name of its type only: its repr may hold a secret, or all of a batch.
_SHOWN = (PurePath, BaseException, SecretRef, Enum, UUID, date, datetime, IPv4Address, IPv6Address)


def configure(level: Level = "info", format: Format = "json") -> None:  # noqa: A002  the configuration's word
    """Set up logging for this process; may be called again, and reaches loggers that were got before."""
    number = logging.getLevelNamesMapping()[level.upper()]
    _configure_structlog(number, format)
    logging.basicConfig(level=max(number, logging.WARNING), handlers=[_Bridge()], force=True)


def get(name: str) -> FilteringBoundLogger:
    """A logger with `module=name` bound; bind more with `.bind(component=…)`."""
    return cast("FilteringBoundLogger", structlog.get_logger(module=name))


def _configure_structlog(level: int, format: Format) -> None:  # noqa: A002  the configuration's word
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            safe,
            _renderer(format),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=_Stderr,
        cache_logger_on_first_use=False,
    )


def safe(_logger: WrappedLogger, _method: str, entry: EventDict) -> EventDict:
    """Processor: every value as plain data, controls escaped, cut to 500 characters; of a traceback the end is kept."""
    traceback = entry.pop("exception", None)
    ordered = {**{key: entry[key] for key in _FIRST_KEYS if key in entry}, **entry}
    shown: EventDict = {key: _plain(value, _MAX_DEPTH) for key, value in ordered.items()}
    if traceback is not None:
        lines = str(traceback)[-_MAX_TRACEBACK_CHARS:].splitlines()
        shown["exception"] = "\n".join(printable(line) for line in lines)
    return shown


def _plain(value: Any, depth: int) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, bytes):
        value = value[: MAX_CHARS + 1].decode("utf-8", "backslashreplace")
    if isinstance(value, _SHOWN):
        value = str(value)
    if isinstance(value, str):
        return printable(value if len(value) <= MAX_CHARS else f"{value[:MAX_CHARS]}…")
    if depth and isinstance(value, Mapping):
        return {printable(str(key)[:60]): _plain(item, depth - 1) for key, item in list(value.items())[:_MAX_ITEMS]}
    if depth and isinstance(value, list | tuple | set | frozenset):
        return [_plain(item, depth - 1) for item in list(value)[:_MAX_ITEMS]]
    return f"<{type(value).__name__}>"


def _renderer(format: Format) -> Processor:  # noqa: A002  the configuration's word
    if format == "json":
        return structlog.processors.JSONRenderer(ensure_ascii=False)
    return structlog.processors.LogfmtRenderer(bool_as_flag=False)


class _Stderr:
    """Where lines go. A full disk or a closed pipe behind standard error must not end the daemon."""

    def __init__(self, *_args: Any) -> None: ...

    def msg(self, line: str) -> None:
        with suppress(OSError, ValueError):
            sys.stderr.write(f"{line}\n")
            sys.stderr.flush()

    debug = info = warning = error = critical = msg


class _Bridge(logging.Handler):
    """Passes records of Python's `logging` to structlog."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            message = record.getMessage()
        except (TypeError, ValueError):  # the caller's arguments do not fit its format
            self.handleError(record)
            return
        level = max(
            logging.WARNING, min(record.levelno // 10 * 10, logging.CRITICAL)
        )  # structlog knows no other levels
        get(record.name).log(level, message, exc_info=record.exc_info or None)


# Until `configure` is called: structlog's own default would print to standard output.
_configure_structlog(logging.INFO, "json")


class Rarely:
    """Decides when to warn of what others may cause as often as they like.

    Args:
        every_s: the least time between two warnings of one kind.
    """

    def __init__(self, every_s: float = 60.0) -> None:
        self._every_s = every_s
        self._kinds: dict[str, tuple[float, int]] = {}

    def times(self, kind: str, more: int = 1) -> int:
        """Count `more` of `kind` (from a fixed list); how many to tell of now, 0 for not now."""
        now_s = time.monotonic()
        told_s, untold = self._kinds.get(kind, (-math.inf, 0))
        if now_s - told_s < self._every_s:
            self._kinds[kind] = (told_s, untold + more)
            return 0
        self._kinds[kind] = (now_s, 0)
        return untold + more
