"""Writes the results: JSON for machines, a Markdown page for people; no name of a host and no path stands in them."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from bench.engine.passes import NAMES, Lines, Round
from bench.keeping import heading, keep, machine
from bench.ssh_bruteforce.speed import Spread, spread

NAME = "engine"
LABELS = {
    "first pass": "ours, first pass",
    "warm": "ours, warm",
    "unseen": "ours, unseen",
    "hostile": "ours, hostile",
    **{f"decode, {name}": f"msgspec.json.decode alone, {name}" for name in NAMES},
    **{f"naive, {name}": f"naive, {name}" for name in NAMES},
}
# Ratios of two rates of one round, and what the median has to be.
DEMANDED = {
    ("warm", "naive, warm"): 150.0,
    ("unseen", "naive, unseen"): 80.0,
    ("hostile", "naive, hostile"): 15.0,
    ("warm", "decode, warm"): 0.40,
    ("unseen", "decode, unseen"): 0.25,
}
WORKERS = 1.8  # two workers to one
NO_WORKERS = "Two workers were not raced with one: that takes two processors, and matching in processes.\n"


@dataclass(frozen=True)
class Found:
    """What one run found.

    Attributes:
        workers: two workers to one, round by round; empty where there are none, or one processor only.
        workers_agree: one and two workers gave the same answers.
    """

    rules: int
    lines: Lines
    rounds: Sequence[Round]
    workers: Sequence[float] = ()
    workers_agree: bool = True

    def rate(self, name: str) -> Spread:
        """Events a CPU second."""
        return spread([each.rates[name] for each in self.rounds], 0)

    @property
    def ratios(self) -> dict[str, tuple[Spread, float]]:
        """By name, over all rounds, and what is demanded of the median."""
        found = {
            f"{LABELS[one]} / {LABELS[other]}": (
                spread([each.rates[one] / each.rates[other] for each in self.rounds], 3),
                least,
            )
            for (one, other), least in DEMANDED.items()
        }
        if self.workers:
            found["2 workers / 1 worker"] = (spread(list(self.workers), 3), WORKERS)
        return found

    @property
    def differences(self) -> list[str]:
        """Where answers differ; all rounds must have the same."""
        told = [f"round {number}: {each}" for number, one in enumerate(self.rounds, 1) for each in one.differences]
        for number, one in enumerate(self.rounds[1:], 2):
            if one.answers != self.rounds[0].answers:
                told.append(f"round {number} has other answers than round 1")
        return told if self.workers_agree else [*told, "one worker and two have other answers"]

    @property
    def problems(self) -> list[str]:
        """What is not as required."""
        return [f"DIFFERENT: {each}" for each in self.differences] + [
            f"NOT REACHED: {name} is {ratio.median:g}, not {least:g}"
            for name, (ratio, least) in self.ratios.items()
            if ratio.median < least
        ]


def as_json(found: Found) -> dict[str, Any]:
    return {
        **heading("engine"),
        "rules": found.rules,
        "events": {name: len(getattr(found.lines, name)) for name in NAMES},
        "events_of_naive": {name: len(found.lines.places(name)) for name in NAMES},
        "rounds": len(found.rounds),
        "answers": {name: asdict(answer) for name, answer in found.rounds[0].answers.items()},
        "differences": found.differences,
        "events_per_cpu_second": {name: found.rate(name)._asdict() for name in LABELS},
        "ratios": {
            name: {**ratio._asdict(), "demanded": least, "reached": ratio.median >= least}
            for name, (ratio, least) in found.ratios.items()
        },
    }


def as_markdown(found: Found) -> str:
    on = machine()
    counts = {name: f"{len(getattr(found.lines, name)):,}" for name in NAMES}
    pairs = ", ".join(f"{name} {answer.pairs:,}" for name, answer in found.rounds[0].answers.items())
    same = f"{len(found.differences)} differences" if found.differences else "all the same"
    return f"""# Engine: a line of JSON → the rules that it matches

{found.rules:,} rules of SigmaHQ, real Windows events, one core, {len(found.rounds)} interleaved rounds.
Measured on {on["cores"]} cores of {on["cpu"]}, {on["system"]}, Python {on["python"]}, shared with others:
trust the ratios.

- warm: the second pass over {counts["warm"]} events, by an engine that knew nothing before the first.
- unseen: {counts["unseen"]} other events, by that engine.
- hostile: {counts["hostile"]} others; in each, the four texts that most rules read hold what no other event has.
- naive: every rule in turn, its condition walked, nothing remembered (tests/sigma_naive.py); it is given an even part
  of the same events, {len(found.lines.places("warm")):,} of each.

Pairs of event and rule that match: {pairs}. Engine, naive engine and all rounds: {same}.

| ratio, within a round | least | median | most | demanded | |
|---|---|---|---|---|---|
{"".join(_ratio_row(name, *ratio) for name, ratio in found.ratios.items())}
{"" if found.workers else NO_WORKERS}
Events per CPU second:

| | least | median | most |
|---|---|---|---|
{"".join(_rate_row(found, name) for name in LABELS)}"""


def _ratio_row(name: str, ratio: Spread, demanded: float) -> str:
    reached = "reached" if ratio.median >= demanded else "NOT REACHED"
    return f"| {name} | {ratio.least:g} | {ratio.median:g} | {ratio.most:g} | {demanded:g} | {reached} |\n"


def _rate_row(found: Found, name: str) -> str:
    least, median, most = found.rate(name)
    return f"| {LABELS[name]} | {least:,.0f} | {median:,.0f} | {most:,.0f} |\n"


def write(found: Found) -> None:
    keep("engine", as_json(found), as_markdown(found))
