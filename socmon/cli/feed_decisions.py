"""`socmon feed approve` and `withdraw`: people decide which alerts go to a destination; the running daemon does it."""

from collections.abc import Mapping, Sequence

import click
from msgspec import Struct

from socmon.cli import NOT_FOUND, PARTLY, Options, place
from socmon.cli.alert_ids import choose
from socmon.cli.completing import offer_destinations
from socmon.cli.confirming import confirm
from socmon.cli.output import Row, as_json, write_csv, write_ndjson
from socmon.cli.shown import SHORT_ID
from socmon.event import Alert, rfc3339
from socmon.i18n import Translator, mark
from socmon.text import printable

MAX_REASON_CHARS = 500  # as socmon.store.decisions has it, which takes long to import
_COLUMNS = ("id", "outcome", "then")
_TOLD = {
    ("approve", "released"): mark("approved, it goes out now"),
    ("approve", ""): mark("approved, the destination has it as it is"),
    ("withdraw", "held"): mark("withdrawn, nothing of it goes out"),
    ("withdraw", "void"): mark("withdrawn, it is taken back on its way"),
    ("withdraw", "closing"): mark("withdrawn, a closing revision goes out"),
}
_BEFORE = {"approve": mark("it was approved before"), "withdraw": mark("it was withdrawn before")}


class _Decided(Struct, frozen=True):
    """What became of one alert, as `socmon.store.decisions.Decided`."""

    id: str
    outcome: str
    then: str = ""


class _Answer(Struct, frozen=True):
    """The daemon's answer to `feed.decide`."""

    actor: str
    time_us: int
    alerts: list[_Decided]


destination = click.argument("destination", shell_complete=offer_destinations)
alerts = click.argument("ids", metavar="ALERT…", nargs=-1, required=True)
dry_run = click.option("--dry-run", is_flag=True, help="Show what would become of them; change nothing.")
yes = click.option("--yes", is_flag=True, help="Do not ask; needed where nobody can be asked.")


@click.command("approve")
@destination
@alerts
@click.option("--reason", default="", metavar="TEXT", help="Why; kept with the decision.")
@dry_run
@yes
@click.pass_obj
def approve(options: Options, destination: str, ids: tuple[str, ...], reason: str, *, dry_run: bool, yes: bool) -> int:
    """Let alerts go to DESTINATION that wait for it, with all their later revisions.

    ALERT is an alert's id, or as much of its beginning as tells it from others; `-` reads them from standard input.
    It is also how a withdrawn or dropped alert goes out again. What is TLP:RED, or not shared, stays held.
    """
    return _decide(options, destination, ids, ("approve", reason), dry_run=dry_run, ask=not yes)


@click.command("withdraw")
@destination
@alerts
@click.option("--reason", required=True, metavar="TEXT", help="Why; kept with the decision.")
@dry_run
@yes
@click.pass_obj
def withdraw(options: Options, destination: str, ids: tuple[str, ...], reason: str, *, dry_run: bool, yes: bool) -> int:
    """Withdraw alerts from DESTINATION, until they are approved again.

    What waits is not sent, and what is on its way is taken back. Where the destination may have one already, a closing
    revision goes out, which says only that it is withdrawn. ALERT as with `approve`.
    """
    return _decide(options, destination, ids, ("withdraw", reason), dry_run=dry_run, ask=not yes)


def checked_reason(options: Options, text: str) -> str:
    """`text`, if it can be kept.

    Raises:
        BadParameter: it is too long, or no Unicode.
    """
    if len(text) > MAX_REASON_CHARS:
        said = options.tr("it has more than {count} characters", count=MAX_REASON_CHARS)
        raise click.BadParameter(said, param_hint="--reason")
    if any("\ud800" <= char <= "\udfff" for char in text):  # how Python shows bytes that are none
        raise click.BadParameter(options.tr("it is not UTF-8"), param_hint="--reason")
    return text


def _decide(
    options: Options,
    destination: str,
    ids: Sequence[str],
    decision: tuple[str, str],
    *,
    dry_run: bool,
    ask: bool,
) -> int:
    """Find the alerts, ask the daemon, and show what became of each; the exit code."""
    from socmon.cli.control_client import asking

    verb, reason = decision[0], checked_reason(options, decision[1])
    found = place.find(options.config)
    with asking(found.state_dir):  # without a daemon that is what is wrong, whatever the ids are
        pass
    chosen = choose(options, found.store, ids)
    if isinstance(chosen, int):
        return chosen
    answer = _Answer("", 0, [])
    if chosen.alerts:
        asked = {"destination": destination, "ids": list(chosen.alerts), "decision": verb, "reason": reason}
        with asking(found.state_dir) as told:
            answer = told("feed.decide", _Answer, **asked, dry_run=True)
        if not dry_run:
            if any(each.outcome == "changed" for each in answer.alerts):
                _confirm(options, verb, destination, len(chosen.alerts), yes=not ask)
            with asking(found.state_dir) as told:
                answer = told("feed.decide", _Answer, **asked)
    done = [*answer.alerts, *(_Decided(text, "not_found") for text in chosen.missing)]
    _write(options, (destination, verb), answer, done, chosen.alerts, dry_run=dry_run)
    missing = sum(each.outcome == "not_found" for each in done)
    return 0 if not missing else NOT_FOUND if missing == len(done) else PARTLY


def _confirm(options: Options, verb: str, destination: str, count: int, *, yes: bool) -> None:
    tr, name = options.tr, printable(destination)
    if verb == "approve":
        question = tr.many("Let {count} alert go to {name}?", "Let {count} alerts go to {name}?", count, name=name)
    else:
        question = tr.many(
            "Withdraw {count} alert from {name}?", "Withdraw {count} alerts from {name}?", count, name=name
        )
    confirm(options, question, yes=yes)


def _write(
    options: Options,
    what: tuple[str, str],
    answer: _Answer,
    done: Sequence[_Decided],
    alerts: Mapping[str, Alert],
    *,
    dry_run: bool,
) -> None:
    rows: list[Row] = [{"id": each.id, "outcome": each.outcome, "then": each.then} for each in done]
    match options.output:
        case "json":
            whole = {
                "schema": "socmon.feed.decide/v1",
                "destination": what[0],
                "decision": what[1],
                "dry_run": dry_run,
                "actor": answer.actor or None,
                "time": rfc3339(answer.time_us) if answer.actor else None,
                "alerts": rows,
            }
            click.echo(as_json(whole))
        case "ndjson":
            write_ndjson(rows)
        case "csv":
            write_csv(rows, _COLUMNS)
        case "human":
            for each in done:
                alert = alerts.get(each.id)
                title = f"  {options.tr(alert.title)}" if alert else ""
                click.echo(printable(f"{each.id[:SHORT_ID]}{title}  {_told(each, what[1], options.tr)}"))
            if dry_run and not options.quiet:
                click.echo(options.tr("nothing was changed (--dry-run)"), err=True)


def _told(each: _Decided, verb: str, tr: Translator) -> str:
    match each.outcome:
        case "changed":
            return tr(_TOLD[verb, each.then])
        case "unchanged":
            return tr(_BEFORE[verb])
        case _:
            return tr("not found")
