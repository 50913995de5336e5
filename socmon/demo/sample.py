"""The sample log, made for the demonstration: ten minutes of a provincial data centre, and how its lines are numbered.

The lines are as OpenSSH, sudo, cron and systemd write them over rsyslog (RFC 3164, section 4.1). Addresses of strangers
are those for documentation (RFC 5737, RFC 3849). The process id of a written line is its message number, so that lost =
numbers that are absent from the journal.
"""

import re
from datetime import datetime
from importlib.resources import files

from msgspec import Struct

# Both trip the rule SSH brute force; 198.51.100.23, which tries four times in all, must not.
ATTACKERS = ("203.0.113.7", "2001:db8:1:7::c0de")

_LINE = re.compile(r".{15} (\S+ [\w-]+)\[[0-9]+\]: (.*)")
_NUMBERED = re.compile(rb"\[([0-9]{7,10})\]: ")
_FIRST = 1_000_000  # no process id of the sample is as long
_STRANGER_4 = re.compile(r"\b(203\.0\.113|198\.51\.100)\.([0-9]{1,3})\b")
_STRANGER_6 = re.compile(r"\b2001:db8:1:")


class Line(Struct, frozen=True):
    """A line of the sample without its time and process id; `origin` is host and tag."""

    origin: str
    message: str


def lines() -> list[Line]:
    """The sample, in its order."""
    text = (files("socmon.demo") / "sample.log").read_text(encoding="utf-8")
    return [Line(*found.groups()) for found in map(_LINE.fullmatch, text.splitlines()) if found]


def written(line: Line, number: int, turn: int, now: datetime) -> bytes:
    """`line` as message `number` (from 1) of the log, in its `turn`-th repetition (from 0), as rsyslog writes it."""
    return f"{now:%b %e %H:%M:%S} {line.origin}[{_FIRST + number}]: {fresh(line.message, turn)}\n".encode()


def fresh(text: str, turn: int) -> str:
    """`text` with other strangers in each repetition, so that each is an attack of its own; for 254 of them."""
    text = _STRANGER_4.sub(lambda found: f"{found[1]}.{(int(found[2]) - 1 + turn) % 254 + 1}", text)
    return _STRANGER_6.sub(f"2001:db8:{turn % 0xFFFF + 1:x}:", text)


def number_of(data: bytes) -> int:
    """The message number of a written line; 0 if it has none."""
    found = _NUMBERED.search(data)
    return int(found[1]) - _FIRST if found else 0
