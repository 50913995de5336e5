"""`socmon demo`: all of it at work on this machine, with faults, and a recount at the end."""

import asyncio
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from socmon.cli import INTERRUPTED, PROBLEMS, Options
from socmon.text import printable

if TYPE_CHECKING:
    from socmon.demo.recount import Counts, Recount
    from socmon.demo.story import Mutation
    from socmon.event import Alert

_ROWS = (
    ("sent", "messages written and sent"),
    ("lost_in_kill", "lost by TCP and UDP when the daemon was killed"),
    ("received", "received"),
    ("evaluated", "evaluated"),
    ("unparsed", "unparsed"),
    ("dropped", "dropped"),
    ("matches", "matches"),
    ("alerts", "alerts"),
    ("delivered", "delivered to the centre"),
    ("acknowledged", "acknowledged by the centre"),
    ("duplicates_at_centre", "stored twice by the centre"),
)


@click.command("demo")
@click.option(
    "--duration",
    "duration_s",
    type=click.FloatRange(min=0, min_open=True),
    envvar="SOCMON_DEMO_DURATION_S",
    show_envvar=True,
    metavar="SECONDS",
    help="How long all of it takes, about (default: until Ctrl-C).",
)
@click.option("--keep", type=click.Path(path_type=Path), metavar="DIR", help="Leave everything in DIR, to look at.")
@click.option("--mutate", type=click.Choice(["drop-row", "forget-position"]), hidden=True)
@click.option("-o", "--output", type=click.Choice(["human", "json"]), default=None, help="human or json.")
@click.pass_obj
def command(
    options: Options, duration_s: float | None, keep: Path | None, mutate: "Mutation | None", output: str | None
) -> int:
    """Run a daemon and a national centre with throw-away keys, play a break-in, and break things.

    The logs of a province come in through files, over TCP, UDP and MQTT, and what a sensor saw, with an attack in them
    from the first scan to the cleared history. The link is cut, a reply is lost, the daemon is killed; then everything
    is counted anew. Exit status 1 when something was lost, came twice, or was not detected.
    """
    import msgspec

    from socmon.demo.story import Plan, Story

    as_json = (output or options.output) in {"json", "ndjson"}  # one object is one line
    with _folder(keep) as folder:
        story = Story(Plan(folder, duration_s, mutate), _teller(quiet=options.quiet, err=as_json))
        try:
            result = asyncio.run(story.play())
        except asyncio.CancelledError:
            return INTERRUPTED
    if as_json:
        click.echo(msgspec.json.encode(result.counts).decode())
    else:
        _print_story(result.story)
        _print_table(result.counts)
    return _verdict(result)


@contextmanager
def _folder(keep: Path | None) -> Iterator[Path]:
    if keep is None:
        with tempfile.TemporaryDirectory(prefix="socmon-demo-") as name:
            yield Path(name)
        return
    try:
        keep.mkdir(mode=0o750, parents=True, exist_ok=True)
        used = any(keep.iterdir())
    except OSError as error:
        reason = (error.strerror or "error").lower()
        raise click.BadParameter(f"cannot use {keep}: {reason}; choose another", param_hint="--keep") from error
    if used:
        raise click.BadParameter(f"{keep} is not empty; choose another, or empty it", param_hint="--keep")
    yield keep.absolute()


def _teller(*, quiet: bool, err: bool) -> Callable[[str], None]:
    def say(text: str) -> None:
        if not quiet:
            click.echo(f"{datetime.now().astimezone():%H:%M:%S}  {printable(text)}", err=err)

    return say


def _print_story(alerts: "Sequence[Alert]") -> None:
    """What happened, as the alerts tell it, in the order of its beginnings."""
    from socmon.event import rfc3339

    click.echo()
    for alert in sorted(alerts, key=lambda each: each.first_us):
        group = " ".join(f"{name}={value}" for name, value in alert.group.items())
        owner = "/".join(filter(None, (alert.agency, alert.system)))
        line = f"{rfc3339(alert.first_us):<28}{alert.level:<14}{owner:<20}{alert.title}  {group}  {alert.count}×"
        click.echo(f"  {printable(line)}")


def _print_table(counts: "Counts") -> None:
    width = max(len(what) for _, what in _ROWS)
    click.echo()
    for name, what in _ROWS:
        click.echo(f"  {what:<{width}} {getattr(counts, name):>8}")
    balance = "yes" if counts.balance_ok else "NO"
    equal = "yes" if counts.sets_equal else "NO"
    click.echo(f"  {'it balances: each message once and in order':<{width}} {balance:>8}")
    click.echo(f"  {'the centre holds what the province holds':<{width}} {equal:>8}")


def _verdict(result: "Recount") -> int:
    for problem in result.problems:
        click.echo(f"socmon: {printable(problem)}", err=True)
    return PROBLEMS if result.problems else 0
