"""The truth: who failed at sshd too often too fast, by one regular expression and a deque; imports nothing of socmon.

A failure is an sshd line `Failed METHOD for … from ADDRESS port N`; the tag is `sshd-session` since OpenSSH 9.8.
"Invalid user" and PAM lines do not count; "message repeated N times: [ … ]" counts N. An offender has `--at-least`
failures within `--within` seconds of event time, both ends included. RFC 3164 stamps carry no year: it is the latest
that puts the line at most a day after the file's modification time.
"""

import argparse
import json
import re
from collections import deque
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

# The name of the user is the attacker's to choose, and may hold " from 10.9.8.7 port 22": only the last is sshd's own.
FAILURE = re.compile(
    r"(?P<stamp>[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d) \S+ sshd(?:-session|-auth)?\[\d+\]: "
    r"(?:message repeated (?P<times>\d+) times: \[ )?"
    r"Failed \S+ for .* from (?P<address>\S+) port \d+\b"
)
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class Opening(NamedTuple):
    """The window that made an offender, as RFC 3339 UTC: its oldest failure, and the one that was too many."""

    since: str
    at: str


def dated(stamp: str, anchor: datetime) -> datetime:
    """The moment of `Dec 31 23:59:59` in the latest year that puts it at most a day after `anchor`."""
    month, day = MONTHS.index(stamp[:3]) + 1, int(stamp[4:6])
    hour, minute, second = map(int, stamp[7:].split(":"))
    for year in range(anchor.year + 1, anchor.year - 9, -1):
        if (month, day) == (2, 29) and (year % 4 or (year % 100 == 0 and year % 400)):
            continue
        moment = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
        if moment <= anchor + timedelta(days=1):
            return moment
    raise ValueError(f"no year fits {stamp!r} before {anchor}")


def rfc3339(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def offenders(
    lines: Iterable[str], anchor: datetime, *, at_least: int = 5, within_s: int = 60, ignore_repeat: bool = False
) -> dict[str, Opening]:
    """{address: its first opening}, in the order of their discovery.

    Args:
        lines: in time order.
        anchor: the modification time of the file that they come from.
        at_least: failures that make an offender.
        within_s: the greatest time between the first and the last of them.
        ignore_repeat: count "message repeated N times" as one (a mutation: the bench shows that this is noticed).

    Raises:
        ValueError: a line is older than the one before it.
    """
    found: dict[str, Opening] = {}
    recent: dict[str, deque[tuple[int, int]]] = {}
    held: dict[str, int] = {}
    last_stamp, now = "", 0
    for line in lines:
        failure = FAILURE.match(line)
        if failure is None:
            continue
        stamp, times, address = failure.group("stamp", "times", "address")
        if stamp != last_stamp:
            before, now = now, int(dated(stamp, anchor).timestamp())
            if now < before:
                raise ValueError(f"{stamp!r} follows {last_stamp!r}; the lines must be in time order")
            last_stamp = stamp
        count = int(times) if times and not ignore_repeat else 1
        window = recent.setdefault(address, deque())
        window.append((now, count))
        total = held.get(address, 0) + count
        while window[0][0] < now - within_s:
            total -= window.popleft()[1]
        held[address] = total
        if total >= at_least and address not in found:
            found[address] = Opening(rfc3339(window[0][0]), rfc3339(now))
    return found


def of_file(path: Path, *, at_least: int = 5, within_s: int = 60, ignore_repeat: bool = False) -> dict[str, Opening]:
    """The offenders of the log at `path`, dated by its modification time."""
    anchor = datetime.fromtimestamp(path.stat().st_mtime, UTC)
    with path.open(encoding="utf-8", errors="backslashreplace") as lines:
        return offenders(lines, anchor, at_least=at_least, within_s=within_s, ignore_repeat=ignore_repeat)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("log", type=Path)
    options.add_argument("--at-least", type=int, default=5)
    options.add_argument("--within", type=int, default=60, help="seconds, both ends included")
    options.add_argument("--ignore-repeat", action="store_true")
    asked = options.parse_args()
    found = of_file(asked.log, at_least=asked.at_least, within_s=asked.within, ignore_repeat=asked.ignore_repeat)
    print(json.dumps({address: opening._asdict() for address, opening in found.items()}, indent=1))


if __name__ == "__main__":
    main()
