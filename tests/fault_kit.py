"""The faults that the feed must survive, by number, and what each test of one did to the machine.

A test of fault 2 is called `test_fault_02_…` and stands in tests/feed; `make faults` prints a row for each.
"""

import re
import signal
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

FAULTS = {
    1: "receiver down 24 h",
    2: "reply lost after commit",
    3: "connection cut mid-body",
    4: "sender killed between write and send",
    5: "sender killed between reply and mark",
    6: "receiver killed before commit",
    7: "receiver killed after commit",
    8: "sender's disk full",
    9: "outbox damaged",
    10: "receiver's disk full",
    11: "one bad event in 500",
    12: "an outbox body that is no JSON",
    13: "batch too large",
    14: "429 or 503 with Retry-After",
    15: "alert storm",
    16: "critical alert during a backlog",
    17: "update before its create",
    18: "same id, other content",
    19: "gap in the sequence",
    20: "sender restored from a backup",
    21: "receiver restored from a backup",
    22: "client certificate expired or revoked",
    23: "source of another province",
    24: "unknown authority, or no certificate",
    25: "wrong server certificate",
    26: "one bit of a signature changed",
    27: "alg none, or algorithm swapped",
    28: "captured batch replayed",
    29: "key rotated mid-backlog",
    30: "clock skew, or set back",
    31: "personal data in a field",
    32: "TLP:RED, or not approved",
    33: "approval withdrawn",
    34: "slow-loris, gzip bomb, deep JSON",
    35: "unknown field, new schema version",
    38: "a deadline during an outage",
    39: "silence",
    40: "Vietnamese in NFC and NFD",
}
_NAMED = re.compile(r"test_fault_(\d\d)_")
_PROPERTY = "fault"


@dataclass
class Used:
    """What a test did: names of programs it started, signals it sent, file systems it mounted."""

    processes: Counter[str] = field(default_factory=Counter)
    signals: Counter[str] = field(default_factory=Counter)
    mounts: int = 0
    over: bool = False

    def heard(self, event: str, values: tuple[Any, ...]) -> None:
        """Take note of an audit event of Python (PEP 578), until the test is over and cleans up."""
        if self.over:
            return
        if event == "subprocess.Popen":
            self.started([str(word) for word in values[1]] if isinstance(values[1], list | tuple) else [str(values[0])])
            if "SOCMON_FAILPOINT" in (values[3] or {}):
                self.signals["SIGKILL"] += 1  # to itself
        elif event == "os.kill" and values[1]:
            self.signals[signal.Signals(values[1]).name] += 1

    def started(self, command: list[str]) -> None:
        if Path(command[0]).name == "mount":
            self.mounts += 1
        elif "socmon" in command:
            verbs = {"run", "ncsc", "feed", "db", "report", "alerts", "keys", "check"}
            self.processes[next((word for word in command if word in verbs), "socmon")] += 1
        elif Path(command[0]).name != "umount":
            self.processes[Path(command[0]).name] += 1


_hearing: list[Used] = []


def _hook(event: str, values: tuple[Any, ...]) -> None:
    for used in _hearing:
        used.heard(event, values)


sys.addaudithook(_hook)


@contextmanager
def noted() -> Iterator[Used]:
    """What is done while the body runs."""
    used = Used()
    _hearing.append(used)
    try:
        yield used
    finally:
        _hearing.remove(used)


def number_of(test: str) -> int | None:
    """The fault that a test is of, by its name; None if it is of none."""
    named = _NAMED.match(test)
    return int(named[1]) if named else None


def property_of(number: int, used: Used) -> tuple[str, tuple[int, str]]:
    """What a test's report carries from the process that ran it to the one that prints."""
    processes = ", ".join(f"{name} {count}" for name, count in sorted(used.processes.items()))
    signals = ", ".join(f"{name} {count}" for name, count in sorted(used.signals.items())) or "-"
    return _PROPERTY, (number, f"{processes or 'none':34} {signals:26} {used.mounts or '-'}")


def rows(reports: Mapping[str, Sequence[Any]]) -> list[str]:
    """The table, of pytest's reports by outcome."""
    failed = {report.nodeid for outcome in ("failed", "error") for report in reports.get(outcome, ())}
    lines: list[tuple[int, str]] = []
    for report in (each for group in reports.values() for each in group if isinstance(each, pytest.TestReport)):
        carried: dict[str, Any] = dict(report.user_properties)
        if report.when == "teardown" and _PROPERTY in carried:
            number, did = carried[_PROPERTY]
            end = "FAILED" if report.nodeid in failed else "ok"
            lines.append((number, f"{number:2}  {FAULTS[number]:40} {did:68} {end}"))
    head = f"{'':2}  {'fault':40} {'processes':34} {'signals':26} {'mounts':6}"
    tested = len({number for number, _ in lines})
    return [head, *(line for _, line in sorted(lines)), f"{tested} of {len(FAULTS)} faults have a test"]
