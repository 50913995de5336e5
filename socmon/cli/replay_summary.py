"""What a replay came to, for people: figures, the rules that matched most, and a sparkline over event time."""

import resource
from collections.abc import Iterator, Sequence
from datetime import tzinfo
from pathlib import Path
from typing import NamedTuple

from socmon.cli.output import cut, wrapped
from socmon.cli.progress import rate_of
from socmon.cli.shown import clock, span
from socmon.i18n import Translator
from socmon.replaying import ArchiveReplay, Run
from socmon.replaying.timeline import Span, Timeline
from socmon.sigma import RuleSet

_RULES = 10
_COLUMNS = 60
_SPARKS, _ASCII_SPARKS = " ▁▂▃▄▅▆▇█", " .:-=+*#@"
_MIB = 1024 * 1024


class Summary(NamedTuple):
    """What a replay came to.

    Attributes:
        of_journal: the lines are records of the journal.
        rules: id, title and matches of the rules that matched most.
        rules_left: how many more matched.
        levels: alerts by level; None where alerts were not asked for.
        span: when the alerts began, or the matches were; None where there is none, or nothing tells when.
        span_of: "alerts" or "matches".
        memory_bytes: the most that this process had in memory.
        worker_bytes: the same of the largest other process; None where there was none.
    """

    lines: int
    evaluated: int
    unparsed: int
    dropped: int
    matches: int
    rules: Sequence[tuple[str, str, int]]
    rules_left: int
    levels: dict[str, int] | None
    span: Span | None
    span_of: str
    seconds: float
    memory_bytes: int
    worker_bytes: int | None
    interrupted: bool
    of_journal: bool

    @property
    def rate(self) -> float:
        """Lines a second."""
        return self.lines / self.seconds if self.seconds > 0 else 0.0


def summary_of(
    run: Run, rules: RuleSet, seconds: float, alerts: Timeline | None, *, worker_bytes: int | None = None
) -> Summary:
    """What `run` has come to.

    Args:
        seconds: what it took, without loading rules.
        alerts: when the alerts began; None where matches were asked for.
        worker_bytes: see Summary.
    """
    titles = {rule.id: rule.title for rule in rules.rules}
    counts = run.counts
    most = sorted(counts.by_rule.items(), key=lambda item: (-item[1], item[0]))
    return Summary(
        lines=counts.records,
        evaluated=counts.evaluated,
        unparsed=counts.unparsed,
        dropped=counts.dropped,
        matches=counts.matches,
        rules=[(rule, titles.get(rule, rule), count) for rule, count in most[:_RULES]],
        rules_left=max(0, len(most) - _RULES),
        levels=None if alerts is None else run.levels,
        span=(counts.matched if alerts is None else alerts).span(_COLUMNS),
        span_of="matches" if alerts is None else "alerts",
        seconds=seconds,
        memory_bytes=peak_bytes(),
        worker_bytes=worker_bytes,
        interrupted=run.stopped,
        of_journal=isinstance(run, ArchiveReplay),
    )


def summary_lines(summary: Summary, tr: Translator, zone: tzinfo | None, *, width: int, blocks: bool) -> Iterator[str]:
    """It in lines of at most `width` columns.

    Args:
        blocks: the terminal shows the characters of a sparkline; else it is made of ASCII.
    """
    if summary.interrupted:
        yield from wrapped(tr("interrupted: this is of the beginning only"), width)
    yield from wrapped(_read(summary, tr), width)
    yield from wrapped(_cost(summary, tr), width)
    for _, title, count in summary.rules:
        yield cut(f"{count:>11,}  {tr(title)}", width)
    if summary.rules_left:
        yield cut(" " * 13 + tr("and {count} rules more", count=summary.rules_left), width)
    if summary.levels is not None:
        told = [f"{count:,} {tr(level)}" for level, count in summary.levels.items()]
        total = sum(summary.levels.values())
        text = tr.many("{count} alert", "{count} alerts", total)
        yield from wrapped(f"{text}: {', '.join(told)}" if told else text, width)
    if summary.span is not None and len(summary.span.counts) > 1:
        yield from _sparkline(summary.span, summary.span_of, tr, zone, width=width, blocks=blocks)


def _read(summary: Summary, tr: Translator) -> str:
    parts = [
        tr("{count} records", count=f"{summary.lines:,}")
        if summary.of_journal
        else tr("{lines} lines", lines=f"{summary.lines:,}"),
        tr("{count} evaluated", count=f"{summary.evaluated:,}"),
        tr("{count} unparsed", count=f"{summary.unparsed:,}"),
    ]
    if summary.dropped:
        parts.append(tr("{count} lost before the journal", count=f"{summary.dropped:,}"))
    parts.append(tr("{count} matched by a rule", count=f"{summary.matches:,}"))
    return ", ".join(parts)


def _cost(summary: Summary, tr: Translator) -> str:
    parts = [
        tr("{seconds} s", seconds=f"{summary.seconds:,.1f}"),
        rate_of(summary.rate, tr, of_journal=summary.of_journal),
        tr("{size} MiB of memory at most", size=f"{summary.memory_bytes / _MIB:,.0f}"),
    ]
    if summary.worker_bytes:
        parts.append(tr("{size} MiB in a worker", size=f"{summary.worker_bytes / _MIB:,.0f}"))
    return ", ".join(parts)


def _sparkline(found: Span, of: str, tr: Translator, zone: tzinfo | None, *, width: int, blocks: bool) -> Iterator[str]:
    """The curve, and below it what it spans; of columns that a narrow terminal has no room for, several become one."""
    counts = list(found.counts)
    column_us = found.column_us
    while len(counts) > width - 2:
        counts = [sum(counts[at : at + 2]) for at in range(0, len(counts), 2)]
        column_us *= 2
    sparks = _SPARKS if blocks else _ASCII_SPARKS
    most = max(counts)
    # What is there is seen: the lowest mark is for none at all.
    line = "".join(sparks[-(-count * (len(sparks) - 1) // most)] for count in counts)
    yield f"|{line}|"
    first, last = clock(found.first_us, zone), clock(found.last_us, zone)
    what = tr("alerts by their first event") if of == "alerts" else tr("matches by event time")
    each = tr("{span} each, at most {count}", span=span(column_us, tr), count=f"{most:,}")
    yield from wrapped(f"{what}, {first} … {last}, {each}", width)


def peak_bytes(process: int | str = "self") -> int:
    """The most memory that a process had; not its ru_maxrss, which a large parent passes on to those that it starts."""
    try:
        status = Path(f"/proc/{process}/status").read_text("ascii", "replace")
        return int(status.partition("VmHWM:")[2].split()[0]) * 1024
    except (OSError, IndexError, ValueError):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
