"""What a soak found, as people read it and as it is kept: one file, in which the last run of each seed stands."""

import json
from dataclasses import asdict
from typing import Any

from bench.feed_soak.soak import Found
from bench.keeping import RESULTS, heading, keep, machine

NAME = "feed_soak"


def as_text(found: Found) -> str:
    """All of one run."""
    rows = [f"  {kind:24} {times:5}" for kind, times in found.struck.items()]
    rows += [f"NOT AS REQUIRED: {problem}" for problem in found.problems]
    end = "equal, each once, last revision right" if not found.problems else "see above"
    took = f"seed {found.seed}: {found.took_s:.0f} s of faults, drained in {found.drain_s:.0f} s"
    events = f"{found.messages:,} events at the centre, {found.duplicates:,} of them duplicates"
    head = f"{took}; {found.lines:,} lines, {events}, {found.dead} dead letters"
    return "\n".join([head, *rows, f"{found.alerts:,} alerts: {end}"])


def write(found: Found) -> None:
    """Keep it beside the runs of other seeds."""
    path = RESULTS / f"{NAME}.json"
    before: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    runs = [run for run in before.get("runs", []) if run["seed"] != found.seed] + [asdict(found)]
    runs.sort(key=lambda run: run["seed"])
    keep(NAME, {**heading(NAME), "runs": runs}, as_markdown(runs))


def as_markdown(runs: list[dict[str, Any]]) -> str:
    """The page of `runs`, each as a `Found` has it."""
    on = machine()
    kinds = list(runs[0]["struck"])
    rows = [
        f"| {run['seed']} | {run['took_s']:.0f} s | {run['lines']:,} | {run['alerts']:,} | {run['messages']:,} "
        f"| {run['duplicates']:,} | {' | '.join(str(run['struck'][kind]) for kind in kinds)} |\n"
        for run in runs
    ]
    return f"""# Feed soak: nothing lost, nothing twice

A daemon and a centre under faults that come from a seed, then peace: the set of alerts here is the set at the centre,
each once, at its last revision. How often each fault struck stands in its column.
Measured on {on["cores"]} cores of {on["cpu"]}, {on["system"]}, Python {on["python"]}, shared with others.

| seed | took | lines | alerts | events | duplicates | {" | ".join(kinds)} |
|{"---|" * (6 + len(kinds))}
{"".join(rows)}"""
