"""Writes the results: JSON for machines, a Markdown page for people; no name of a host and no path stands in them."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from bench.end_to_end.journey import Journey
from bench.keeping import heading, keep, machine
from bench.ssh_bruteforce.speed import Spread, spread

NAME = "end_to_end"


@dataclass(frozen=True)
class Found:
    """What one run found."""

    rules: int
    journeys: Sequence[Journey]

    def of(self, workers: int) -> list[Journey]:
        """With so many workers."""
        return [each for each in self.journeys if each.workers == workers]

    @property
    def workers(self) -> list[int]:
        """The numbers of workers that were tried."""
        return sorted({each.workers for each in self.journeys})

    @property
    def problems(self) -> list[str]:
        """What is not as required: every event is evaluated, and the alerts are the same with any number of workers."""
        first = self.journeys[0]
        told = []
        for number, each in enumerate(self.journeys, 1):
            if each.evaluated + each.unparsed != each.events:
                told.append(f"journey {number}: {each.evaluated + each.unparsed:,} of {each.events:,} events evaluated")
            if (each.alerts, each.evaluated) != (first.alerts, first.evaluated):
                told.append(f"journey {number}, {each.workers} workers: other alerts than journey 1")
        return told


def _columns(journeys: Sequence[Journey]) -> dict[str, Spread]:
    return {
        "events_per_s": spread([each.rate for each in journeys], 0),
        "main_us_per_event": spread([each.microseconds(each.main_cpu_s) for each in journeys], 1),
        "workers_us_per_event": spread([each.microseconds(each.workers_cpu_s) for each in journeys], 1),
        "main_share": spread([each.main_share for each in journeys], 3),
    }


def as_json(found: Found) -> dict[str, Any]:
    rows = [
        {name: value for name, value in asdict(each).items() if name != "alerts"} | {"alerts": len(each.alerts)}
        for each in found.journeys
    ]
    return {
        **heading("end_to_end"),
        "rules": found.rules,
        "problems": found.problems,
        "journeys": rows,
        "by_workers": {
            str(workers): {name: each._asdict() for name, each in _columns(found.of(workers)).items()}
            for workers in found.workers
        },
    }


def as_markdown(found: Found) -> str:
    on, first = machine(), found.journeys[0]
    rounds = len(found.of(first.workers))
    same = "; ".join(found.problems) or "the same in all journeys"
    return f"""# End to end: from a file to stored alerts

{first.events:,} real Windows events in a file, {found.rules:,} rules; a daemon of its own for each journey reads,
journals, matches, correlates and stores them, with the journal forced to disk as by default.
Alerts: {len(first.alerts):,}, {same}.
Measured on {on["cores"]} cores of {on["cpu"]}, {on["system"]}, Python {on["python"]}, shared with others; medians of
{rounds} interleaved rounds.

| workers | events per second | least | most | µs of the processor per event: main | workers | main's share |
|---|---|---|---|---|---|---|
{"".join(_row(workers, _columns(found.of(workers))) for workers in found.workers)}"""


def _row(workers: int, columns: dict[str, Spread]) -> str:
    rate, share = columns["events_per_s"], columns["main_share"]
    return (
        f"| {workers} | {rate.median:,.0f} | {rate.least:,.0f} | {rate.most:,.0f} "
        f"| {columns['main_us_per_event'].median:,.1f} | {columns['workers_us_per_event'].median:,.1f} "
        f"| {share.median:.0%} |\n"
    )


def write(found: Found) -> None:
    keep("end_to_end", as_json(found), as_markdown(found))
