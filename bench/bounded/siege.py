"""The attack against rules and correlation in one process, and what memory it held meanwhile."""

import gc
import os
import time
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from socmon.event import Event, Match, clock_of
from socmon.sigma import RuleSet
from socmon.sigma.correlator import Clock, Correlator
from socmon.sigma.joining import Limits

BATCH = 1000  # events, as a frame of the journal holds at most
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_INCARNATION = uuid.UUID(int=1)


@dataclass(frozen=True)
class Sample:
    """What is held after some events.

    Attributes:
        rss_bytes: resident memory of the process.
        memo_bytes: what the rule set says it remembers; None while it does not say.
        groups, members: of correlation.
    """

    events: int
    rss_bytes: int
    memo_bytes: int | None
    groups: int
    members: int


@dataclass(frozen=True)
class Siege:
    """What became of it.

    Attributes:
        before: with all rules loaded, before the first event.
        samples: at even distances.
        took_s: seconds, of the clock on the wall; cpu_s: of the processor.
    """

    before: Sample
    samples: list[Sample]
    matched: int
    alerts: int
    took_s: float
    cpu_s: float

    @property
    def growth_bytes(self) -> int:
        """By how much the process was ever larger than before the first event."""
        return max(sample.rss_bytes for sample in self.samples) - self.before.rss_bytes


def besieged(
    rules: RuleSet, attack: Iterable[Event], every: int, *, limits: Limits, show: Callable[[Sample], None]
) -> Siege:
    """Let all of `attack` through, in batches, as the daemon does; a sample every so many events."""
    correlator = Correlator(rules.rules, _INCARNATION, limits)
    gc.collect()
    before, samples = _sample(0, rules, correlator), []
    matched = alerts = done = 0
    began_s, began_cpu_s = time.monotonic(), time.process_time()
    coming = iter(attack)
    while batch := list(islice(coming, BATCH)):
        matches, highs = _matched(rules, batch)
        correlator.process(matches, highs)
        matched += len(matches)
        alerts += len(correlator.take_alerts())
        correlator.take_snapshot()
        done += len(batch)
        if done % every < len(batch):
            samples.append(_sample(done, rules, correlator))
            show(samples[-1])
    return Siege(before, samples, matched, alerts, time.monotonic() - began_s, time.process_time() - began_cpu_s)


def _matched(rules: RuleSet, batch: Iterable[Event]) -> tuple[list[Match], dict[Clock, int]]:
    matches: list[Match] = []
    highs: dict[Clock, int] = {}
    for event in batch:
        time_us = event.time_us or 0
        clock = clock_of(event)
        highs[clock] = max(time_us, highs.get(clock, time_us))
        if found := rules.match(event.fields, event.logsource):
            matches.append(Match(event, [*found], highs[clock]))
    return matches, highs


def _sample(events: int, rules: RuleSet, correlator: Correlator) -> Sample:
    resident = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return Sample(events, resident * _PAGE_BYTES, memo_bytes(rules), *correlator.size)


def memo_bytes(rules: RuleSet) -> int | None:
    """What the rule set says it remembers, in bytes; None if it does not say."""
    held: int | None = getattr(getattr(rules, "memory", None), "held", None)
    return held
