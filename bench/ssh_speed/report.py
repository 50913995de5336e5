"""Writes the results: JSON for machines, a Markdown page for people; no name of a host and no path stands in them."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from bench.keeping import heading, keep, machine

Spread = tuple[float, float, float]
"""Least, median and most of several rounds."""


class Cost(NamedTuple):
    """CPU seconds of one child over the log, and of the same one over an empty log, in the same round."""

    lines: int
    whole_s: float
    start_s: float

    @property
    def rate(self) -> float:
        """Lines per CPU second of the whole process."""
        return self.lines / self.whole_s

    @property
    def rate_beyond(self) -> float:
        """The same without the start."""
        return self.lines / (self.whole_s - self.start_s)


class Ratio(NamedTuple):
    """Lines per CPU second of one runner over those of another, round by round.

    Attributes:
        demanded: what the median must be at least, whole processes compared.
        whole: whole processes, their start included.
        beyond: without the start.
    """

    of: str
    to: str
    demanded: float
    whole: Spread
    beyond: Spread

    @property
    def is_reached(self) -> bool:
        """Whether the whole processes' median is what is demanded."""
        return self.whole[1] >= self.demanded

    @property
    def verdict(self) -> str:
        """In words."""
        return "reached" if self.is_reached else "NOT REACHED"

    def __str__(self) -> str:
        whole, beyond = (
            f"{least:.2f} / {median:.2f} / {most:.2f}" for least, median, most in (self.whole, self.beyond)
        )
        return f"{self.of} to {self.to}: {whole}, beyond the start {beyond}; demanded {self.demanded}: {self.verdict}"


class Found(NamedTuple):
    """What one run of the benchmark found.

    Attributes:
        alerts: of our rule.
        unlike: how many of them the 1,000 other rules changed; must be 0; None where there are no such rules.
        costs: {runner: of each round}.
    """

    lines: int
    origin: str
    rounds: int
    alerts: int
    unlike: int | None
    costs: Mapping[str, Sequence[Cost]]
    ratios: Sequence[Ratio]


def _rates(costs: Sequence[Cost]) -> dict[str, Any]:
    whole = [cost.rate for cost in costs]
    return {
        "rounds": len(costs),
        "lines": costs[0].lines,
        "lines_per_cpu_second": dict(zip(("least", "median", "most"), map(round, spread_of(whole)), strict=True)),
        "beyond_the_start": round(statistics.median(cost.rate_beyond for cost in costs)),
        "start_cpu_s": round(statistics.median(cost.start_s for cost in costs), 2),
    }


def spread_of(values: Sequence[float]) -> Spread:
    """Least, median and most."""
    return min(values), statistics.median(values), max(values)


def as_json(found: Found) -> dict[str, Any]:
    return {
        **heading("ssh_speed"),
        "log": {"lines": found.lines, "real_lines": found.origin},
        "rounds": found.rounds,
        "alerts": found.alerts,
        "alerts_changed_by_1000_rules": found.unlike,
        "runners": {name: _rates(costs) for name, costs in found.costs.items()},
        "ratios": [
            {
                "of": ratio.of,
                "to": ratio.to,
                "demanded": ratio.demanded,
                "whole": [round(value, 3) for value in ratio.whole],
                "beyond_the_start": [round(value, 3) for value in ratio.beyond],
                "reached": ratio.is_reached,
            }
            for ratio in found.ratios
        ],
    }


def as_markdown(found: Found) -> str:
    on = machine()
    rows = ""
    for name, costs in found.costs.items():
        rates = _rates(costs)
        least, median, most = rates["lines_per_cpu_second"].values()
        rows += f"| {name} | {rates['rounds']} × {rates['lines']:,} | {least:,} | {median:,} | {most:,} "
        rows += f"| {rates['beyond_the_start']:,} | {rates['start_cpu_s']} s |\n"
    ratios = ""
    for ratio in found.ratios:
        whole, beyond = (" / ".join(f"{value:.2f}" for value in spread) for spread in (ratio.whole, ratio.beyond))
        ratios += f"| {ratio.of} to {ratio.to} | {ratio.demanded} | {whole} | {beyond} | {ratio.verdict} |\n"
    same = "no rules of SigmaHQ here" if found.unlike is None else f"{found.unlike} of them differ with 1,000 rules"
    return f"""# The sshd job: lines per CPU second

{found.lines:,} lines around {found.origin}, {found.rounds} interleaved rounds.
{found.alerts:,} alerts of our rule; {same}.
Measured on {on["cores"]} cores of {on["cpu"]}, {on["system"]}, Python {on["python"]}, shared with others:
trust the ratios.

| Ratio | demanded | whole process: least / median / most | beyond the start | |
|---|---|---|---|---|
{ratios}
| | rounds × lines | least | median | most | median beyond the start | start |
|---|---|---|---|---|---|---|
{rows}"""


def write(found: Found) -> None:
    keep("ssh_speed", as_json(found), as_markdown(found))
