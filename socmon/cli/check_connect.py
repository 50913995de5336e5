"""`socmon check --connect`: goes all the way to each destination and delivers nothing; all at the same time."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, cast

import click
from msgspec import Struct

from socmon.cli import Options
from socmon.cli.output import Row
from socmon.errors import SocmonError
from socmon.i18n import Message, mark
from socmon.text import printable

if TYPE_CHECKING:
    from socmon.component import Forwarder
    from socmon.config import Config, Wiring
    from socmon.outgoing import Step

State = Literal["ok", "warning", "problem", "untried"]
_HANGS = 3  # times its limit after which a destination that does not keep it is given up
_COLORS: Mapping[str, str] = {"ok": "green", "warning": "yellow", "problem": "red"}
_WORDS: Mapping[str, str] = {
    "ok": mark("ok"),
    "warning": mark("warning"),
    "problem": mark("problem"),
    "untried": mark("not tried"),
}
_TEXTS: Mapping[str, str] = {
    "own": mark("our certificate {file} ends {expires}"),
    "name": mark("{host} is {addresses}"),
    "tcp": mark("{address} takes connections"),
    "tls": mark("{version} with {subject}, whose certificate ends {expires}"),
    "clock": mark("its clock is {skew_s} s from ours"),
    "centre": mark("it knows {streams} of our streams"),
}
_OLDER = mark("it answers us, and cannot say how far it has our streams (an older centre)")
_UNREACHED = mark("not every destination can be reached")
_UNTRIED = mark("a destination of kind {kind} cannot be tried")


class Tried(Struct, frozen=True):
    """What the way to a destination came to; `steps` are those of the forwarder, each with its state."""

    name: str
    kind: str
    state: State
    steps: list[tuple[State, "Step"]]


def try_all(config: "Config", timeout_s: float) -> list[Tried]:
    """Try each destination of the configuration, in its order."""

    async def work() -> list[Tried]:
        days = config.delivery.certificate_warn_days
        return await asyncio.gather(*(_try(wiring, timeout_s, days) for wiring in config.forwarders))

    return asyncio.run(work())


async def _try(wiring: "Wiring", timeout_s: float, warn_days: int) -> Tried:
    from socmon.outgoing import Step

    forwarder = cast("type[Forwarder[Any]]", wiring.cls)
    steps: Sequence[Step] | None
    try:
        async with asyncio.timeout(_HANGS * timeout_s):
            steps = await forwarder.trial(wiring.name, wiring.settings, timeout_s)
    except TimeoutError:
        steps = [Step("tcp", error=Message(mark("it hangs: no answer within {age} s"), age=f"{_HANGS * timeout_s:g}"))]
    except SocmonError as error:
        steps = [Step("own", error=str(error))]
    if steps is None:
        return Tried(wiring.name, wiring.kind, "untried", [])
    judged = [(_state(step, warn_days), step) for step in steps]
    states = [state for state, _ in judged]
    worst: State = "problem" if "problem" in states else "warning" if "warning" in states else "ok"
    return Tried(wiring.name, wiring.kind, worst, judged)


def _state(step: "Step", warn_days: int) -> State:
    if step.error:
        return "problem"
    expires = step.values.get("expires")
    soon = datetime.now(UTC) + timedelta(days=warn_days)
    return "warning" if expires and datetime.fromisoformat(str(expires)) < soon else "ok"


def rows(tried: Sequence[Tried]) -> list[Row]:
    """For programs; never translated."""
    return [
        {
            "name": each.name,
            "kind": each.kind,
            "state": each.state,
            "steps": [
                {"name": step.name, "state": state, "error": step.error, "values": dict(step.values)}
                for state, step in each.steps
            ],
        }
        for each in tried
    ]


def lines(tried: Sequence[Tried], options: Options) -> Iterator[str]:
    """For people: a line a step."""
    tr = options.tr
    for each in tried:
        if each.state == "untried":
            yield f"{tr(_WORDS['untried'])}  {each.name}: {tr(_UNTRIED, kind=each.kind)}"
        for state, step in each.steps:
            text = tr(step.error) if step.error else tr(_text(step), **step.values)
            word = click.style(tr(_WORDS[state]), fg=_COLORS[state])
            yield f"{word}  {each.name}: {printable(step.name)}: {printable(text)}"


def _text(step: "Step") -> str:
    return _OLDER if step.name == "centre" and "streams" not in step.values else _TEXTS[step.name]


def verdict(tried: Sequence[Tried]) -> str:
    """What is bad, in one line: a clock that is off keeps nobody from being reached."""
    bad = {step.name for each in tried for state, step in each.steps if state == "problem"}
    return mark("the clock of a destination is not ours") if bad == {"clock"} else _UNREACHED


def is_bad(tried: Sequence[Tried]) -> bool:
    """Whether something is to be mended."""
    return any(each.state == "problem" for each in tried)
