"""`socmon alerts test`: one marked alert the whole way to every destination, each step shown as it happens."""

import re
import time
from collections.abc import Iterator, Sequence
from typing import Any

import click
from msgspec import Struct

from socmon.cli import PARTLY, REFUSED, Options
from socmon.cli.completing import offer_destinations
from socmon.cli.output import as_json, csv_row
from socmon.cli.shown import clock
from socmon.event import rfc3339
from socmon.text import printable

_LOOK_S = 0.05
_COLUMNS = ("time", "step", "destination", "detail")
_SCHEMA = "socmon.alerts.test/v1"
_UNITS_S = {"": 1.0, "s": 1.0, "ms": 0.001, "m": 60.0, "h": 3600.0}
_MAX_S = 24 * 3600.0


class _Started(Struct, frozen=True):
    """The daemon's answer to `alerts.test`."""

    test_id: str
    alert_id: str
    seq: int
    time_us: int
    to: list[str]


class _Delivery(Struct, frozen=True):
    """Of a row of the outbox, what is shown."""

    stream: str
    seq: int
    state: str
    released_us: int
    settled_us: int | None
    code: str


class _Trouble(Struct, frozen=True):
    """Why a destination takes nothing."""

    error: str
    refused: bool
    time_us: int


class _Reached(Struct, frozen=True):
    """How far the alert has come on its way to one destination."""

    delivery: _Delivery | None
    trouble: _Trouble | None


class _Progress(Struct, frozen=True):
    """The daemon's answer to `alerts.progress`."""

    stored_us: int | None
    destinations: dict[str, _Reached]


class Step(Struct, frozen=True):
    """Something that happened; `destination` is "" before the alert's ways part."""

    time_us: int
    step: str
    destination: str
    detail: str


class Journey:
    """What is known of the alert on its way, and the steps of it that were not told yet."""

    def __init__(self, started: _Started) -> None:
        self._started = started
        self._told: set[tuple[str, str]] = set()
        self.acknowledged: set[str] = set()
        self.refused: set[str] = set()
        self._refusing: set[str] = set()

    def begin(self) -> Step:
        """The first step."""
        started = self._started
        return Step(started.time_us, "journalled", "", f"record {started.seq}, test {started.test_id}")

    def advance(self, progress: _Progress) -> Iterator[Step]:
        """The steps that `progress` has news of, in the order of their times."""
        steps: list[Step] = []
        if progress.stored_us is not None:
            steps.append(Step(progress.stored_us, "alert", "", self._started.alert_id))
        for name, reached in progress.destinations.items():
            steps += self._towards(name, reached)
        for step in sorted(steps, key=lambda each: each.time_us):
            key = (step.destination, f"{step.step} {step.detail}" if step.step == "trouble" else step.step)
            if key not in self._told:
                self._told.add(key)
                yield step

    def _towards(self, name: str, reached: _Reached) -> Iterator[Step]:
        delivery, trouble = reached.delivery, reached.trouble
        if delivery is not None:
            yield Step(delivery.released_us, "released", name, f"{delivery.stream} {delivery.seq}")
        if delivery is not None and delivery.settled_us is not None:
            kept = {"acknowledged": self.acknowledged}.get(delivery.state, self.refused)
            kept.add(name)
            step = "acknowledged" if kept is self.acknowledged else "refused"
            yield Step(delivery.settled_us, step, name, delivery.code)
        elif trouble is not None:
            yield Step(trouble.time_us, "trouble", name, trouble.error)
            if trouble.refused:
                self._refusing.add(name)
            if trouble.refused and trouble.time_us >= self._started.time_us:
                self.refused.add(name)  # it was asked since, and waiting will not help

    @property
    def over(self) -> bool:
        """Whether every destination has said what it has to say."""
        return self.acknowledged | self.refused >= set(self._started.to)

    @property
    def missing(self) -> list[str]:
        """Destinations that have not acknowledged, in their order."""
        return [name for name in self._started.to if name not in self.acknowledged]

    @property
    def code(self) -> int:
        """The exit code, when nothing more is waited for."""
        if not self.missing:
            return 0
        return REFUSED if (self.refused | self._refusing) & set(self.missing) else PARTLY


class _Duration(click.ParamType[float]):
    """`30s`, `500ms`, `2m`; a bare number is seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        found = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,3})?)(ms|s|m|h|)", str(value))
        seconds = float(found[1]) * _UNITS_S[found[2]] if found else 0.0
        if not 0 < seconds <= _MAX_S:
            self.fail(f"{value!r} is no time to wait; write one such as 30s or 2m, at most 24h", param, ctx)
        return seconds


@click.command("test")
@click.option("--timeout", "timeout_s", default="30s", show_default=True, type=_Duration(), help="How long to wait.")
@click.option(
    "--to",
    multiple=True,
    metavar="DESTINATION",
    shell_complete=offer_destinations,
    help="Wait for this one only; may be given several times.",
)
@click.pass_obj
def test(options: Options, timeout_s: float, to: tuple[str, ...]) -> int:
    """Send a marked alert the whole way, and wait until every destination has acknowledged it.

    The running daemon writes a record of its own, which goes through journal, rules, store and outbox as any other
    does, to every destination. The alert is called "Test alert of socmon", its level is informational and its tag
    socmon.test. Exits with 0 when it was acknowledged everywhere, 7 when not in time, 8 when a destination refused it,
    4 when there is no daemon or it ends meanwhile, and 5 when there is no such destination.
    """
    from socmon.cli.control_client import asking
    from socmon.config import load

    until_s = time.monotonic() + timeout_s
    with asking(load(options.config).state_dir) as ask:
        started = ask("alerts.test", _Started, to=to)
        shown = _Shown(options)
        journey = Journey(started)
        shown.step(journey.begin())
        while True:
            progress = ask("alerts.progress", _Progress, alert_id=started.alert_id, to=started.to)
            for step in journey.advance(progress):
                shown.step(step)
            if journey.over or time.monotonic() >= until_s:
                break
            time.sleep(_LOOK_S)
    shown.end(started, journey, timeout_s)
    return journey.code


class _Shown:
    """Writes steps in the form that was asked for: as they come, or, as JSON, in one object at the end."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._steps: list[Step] = []
        if options.output == "csv":
            click.echo(",".join(_COLUMNS) + "\r\n", nl=False)

    def step(self, step: Step) -> None:
        """One more step."""
        match self._options.output:
            case "json":
                self._steps.append(step)
            case "ndjson":
                click.echo(as_json(_row(step)))
            case "csv":
                click.echo(csv_row(_row(step).values()), nl=False)
            case "human" if not self._options.quiet:
                color = {"acknowledged": "green", "refused": "red", "trouble": "yellow"}.get(step.step)
                told = click.style(f"{step.step:<12}", fg=color)
                rest = " ".join(filter(None, (step.destination, step.detail)))
                at = clock(step.time_us, self._options.zone, fine=True)
                click.echo(f"{at}  {told}  {printable(rest)}")

    def end(self, started: _Started, journey: Journey, timeout_s: float) -> None:
        """What it came to."""
        if self._options.output == "json":
            outcome = {0: "acknowledged", REFUSED: "refused", PARTLY: "not_in_time"}[journey.code]
            whole = {
                "schema": _SCHEMA,
                "test_id": started.test_id,
                "alert_id": started.alert_id,
                "seq": started.seq,
                "outcome": outcome,
                "acknowledged": [name for name in started.to if name in journey.acknowledged],
                "missing": journey.missing,
                "steps": [_row(step) for step in self._steps],
            }
            click.echo(as_json(whole))
        if journey.missing:
            what = "refused by" if journey.code == REFUSED else f"not acknowledged within {timeout_s:g} s by"
            names = _refusing_or_missing(journey)
            click.echo(
                f"socmon: {what} {', '.join(names)}; the alert stays in the outbox, see `socmon feed queue`", err=True
            )


def _refusing_or_missing(journey: Journey) -> Sequence[str]:
    return [name for name in journey.missing if journey.code != REFUSED or name in journey.refused] or journey.missing


def _row(step: Step) -> dict[str, str]:
    return {"time": rfc3339(step.time_us), "step": step.step, "destination": step.destination, "detail": step.detail}
