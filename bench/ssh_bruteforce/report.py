"""Writes the results: JSON for machines, a Markdown page for people; no name of a host and no path stands in them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bench.keeping import heading, keep, machine
from bench.ssh_bruteforce.exact import Difference
from bench.ssh_bruteforce.make import Log
from bench.ssh_bruteforce.speed import Speed


@dataclass(frozen=True)
class Found:
    """What one run of the benchmark found.

    Attributes:
        offenders: how many the truth has.
        replayed: how many alerts `socmon replay` raised, an offender may have several.
        replay: its difference from the truth.
        lived: how many alerts the daemon raised that replay did not, or the reverse; must be 0.
        mutations: {what was broken: the difference that showed it}.
        blamed: what SEC says, compared with the truth; None where it is not installed.
        speeds: {runner: what it needed}.
    """

    offenders: int
    replayed: int
    replay: Difference
    lived: int
    mutations: Mapping[str, Difference]
    blamed: Difference | None
    speeds: Mapping[str, Speed]


def _counts(difference: Difference) -> dict[str, int | None]:
    return {name: len(addresses) for name, addresses in vars(difference).items()}


def as_json(log: Log, found: Found, rounds: int) -> dict[str, Any]:
    return {
        **heading("ssh_bruteforce"),
        "log": {"lines": len(log.lines), "real_lines": log.origin, "trapped_addresses": len(log.known)},
        "exact": {
            "offenders": found.offenders,
            "replay": _counts(found.replay) | {"alerts": found.replayed},
            "daemon_alerts_unlike_replay": found.lived,
            "mutations": {name: _counts(difference) for name, difference in found.mutations.items()},
            "sec": None if found.blamed is None else _counts(found.blamed) | {"misdated": None},
        },
        "speed": {
            "rounds": rounds,
            "runners": {
                name: {
                    "lines_per_cpu_second": speed.lines_per_cpu_s._asdict(),
                    "ratio_to_truth_script": speed.to_truth._asdict(),
                }
                for name, speed in found.speeds.items()
            },
        },
    }


def as_markdown(log: Log, found: Found, rounds: int) -> str:
    on = machine()
    answers = [_row("socmon replay", found.replay)]
    answers += [_row(f"broken on purpose: {name}", difference) for name, difference in found.mutations.items()]
    if found.blamed is not None:
        answers.append(_row("SEC: goes by the clock on the wall, counts a repeat once", found.blamed, misdated="-"))
    return f"""# SSH brute force: exact on a real job

{len(log.lines):,} lines around {log.origin}, {found.offenders:,} true offenders.
Measured on {on["cores"]} cores of {on["cpu"]}, {on["system"]}, Python {on["python"]}, shared with others:
trust the ratios.

| Who answers | missed | invented | dated wrongly |
|---|---|---|---|
{"".join(answers)}
Alerts of replay: {found.replayed:,}. Alerts of the running daemon unlike them: {found.lived}.

Lines per CPU second in {rounds} interleaved rounds, the start of each process included:

| | least | median | most | to the truth script, median |
|---|---|---|---|---|
{"".join(_speed_row(name, speed) for name, speed in found.speeds.items())}"""


def _row(name: str, difference: Difference, *, misdated: str = "") -> str:
    """A row of the first table; `misdated` stands in for a number that is not known."""
    misdated = misdated or f"{len(difference.misdated):,}"
    return f"| {name} | {len(difference.missed):,} | {len(difference.invented):,} | {misdated} |\n"


def _speed_row(name: str, speed: Speed) -> str:
    least, median, most = speed.lines_per_cpu_s
    return f"| {name} | {least:,.0f} | {median:,.0f} | {most:,.0f} | {speed.to_truth.median:.3f} |\n"


def write(log: Log, found: Found, rounds: int) -> None:
    keep("ssh_bruteforce", as_json(log, found, rounds), as_markdown(log, found, rounds))
