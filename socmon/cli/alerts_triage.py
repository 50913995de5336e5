"""`socmon alerts ack`, `close`, `reopen`, `comment`: triage. The running daemon does it and writes down who asked."""

import codecs
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import click
from msgspec import Struct

from socmon.cli import NOT_FOUND, PARTLY, PROBLEMS, Options, place
from socmon.cli.alert_ids import choose
from socmon.cli.output import Row, as_json, write_csv, write_ndjson
from socmon.cli.shown import REASON_WORDS, SHORT_ID, reason_word
from socmon.event import Alert, rfc3339
from socmon.i18n import Translator
from socmon.text import printable

_COLUMNS = ("id", "outcome", "status_before", "status", "reason", "revision")


class _Triaged(Struct, frozen=True):
    """What became of one alert; `outcome` as in `socmon.store.triage.Triaged`."""

    id: str
    outcome: str
    status_before: str = ""
    status: str = ""
    reason: str = ""
    revision: int = 0


class _Answer(Struct, frozen=True):
    """The daemon's answer to `alerts.change`."""

    actor: str
    time_us: int
    alerts: list[_Triaged]


_ids = click.argument("ids", metavar="ID…", nargs=-1, required=True)
_dry_run = click.option("--dry-run", is_flag=True, help="Show what would become of them; change nothing.")


@click.command("ack")
@_ids
@_dry_run
@click.pass_obj
def ack(options: Options, ids: tuple[str, ...], *, dry_run: bool) -> int:
    """Acknowledge alerts: somebody has seen them and sees to them.

    ID is an alert's id, or as much of its beginning as tells it from others; `-` reads them from standard input, one a
    line, or what `socmon alerts list -o ndjson` writes.
    """
    return change_alerts(options, ids, {"verb": "ack"}, dry_run=dry_run)


@click.command("close")
@_ids
@click.option(
    "--reason",
    required=True,
    type=click.Choice([*REASON_WORDS]),
    help="A true positive that was dealt with, a false one, harmless, or seen already.",
)
@click.option("--comment", "text", default="", metavar="TEXT", help="Why; for the history.")
@_dry_run
@click.option("--yes", is_flag=True, help="Do not ask; needed for several where nobody can be asked.")
@click.pass_obj
def close(options: Options, ids: tuple[str, ...], reason: str, text: str, *, dry_run: bool, yes: bool) -> int:
    """Close alerts, with the reason; several at once after asking. IDs as with `ack`.

    Events that belong to a closed alert still join it: it stays closed, and is shown as recurring.
    """
    change = {"verb": "close", "reason": reason, "text": checked(options, text, "--comment")}
    return change_alerts(options, ids, change, dry_run=dry_run, ask=not yes)


@click.command("reopen")
@_ids
@_dry_run
@click.pass_obj
def reopen(options: Options, ids: tuple[str, ...], *, dry_run: bool) -> int:
    """Open alerts again that were closed or acknowledged. IDs as with `ack`."""
    return change_alerts(options, ids, {"verb": "reopen"}, dry_run=dry_run)


@click.command("comment")
@_ids
@click.option("--text", required=True, metavar="TEXT", help="What to write down; - reads it from standard input.")
@_dry_run
@click.pass_obj
def comment(options: Options, ids: tuple[str, ...], text: str, *, dry_run: bool) -> int:
    """Write a comment into the history of alerts; it is sent to no destination. IDs as with `ack`."""
    if text == "-" and "-" in ids:
        raise click.UsageError(options.tr("standard input is either ids or the text, not both"))
    if text == "-":
        text = _read_text(options)
    text = checked(options, text, "--text")
    if not text.strip():
        raise click.BadParameter(options.tr("a comment needs a text"), param_hint="--text")
    return change_alerts(options, ids, {"verb": "comment", "text": text}, dry_run=dry_run)


def _read_text(options: Options) -> str:
    from socmon.store.triage import MAX_TEXT_CHARS

    most = 4 * MAX_TEXT_CHARS + 3  # UTF-8, and the end of a last line
    data = sys.stdin.buffer.read(most)
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        # A text that was cut, and so is too long, may have been cut within a character.
        return decoder.decode(data, final=len(data) < most).removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError as error:
        raise click.BadParameter(options.tr("it is not UTF-8"), param_hint="--text") from error


def checked(options: Options, text: str, name: str) -> str:
    """`text`, if it can be sent.

    Raises:
        BadParameter: it is too long, or no Unicode.
    """
    from socmon.store.triage import MAX_TEXT_CHARS

    if len(text) > MAX_TEXT_CHARS:
        said = options.tr("it has more than {count} characters", count=MAX_TEXT_CHARS)
        raise click.BadParameter(said, param_hint=name)
    if any("\ud800" <= char <= "\udfff" for char in text):  # how Python shows bytes that are none
        raise click.BadParameter(options.tr("it is not UTF-8"), param_hint=name)
    return text


# ── which ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def change_alerts(
    options: Options, ids: Sequence[str], change: Mapping[str, str], *, dry_run: bool, ask: bool = False
) -> int:
    """Find the alerts, ask the daemon to change them, and show what became of each; the exit code."""
    from socmon.cli.control_client import asking

    found = place.find(options.config)
    chosen = choose(options, found.store, ids)
    if isinstance(chosen, int):
        return chosen
    alerts, missing = chosen.alerts, chosen.missing
    done: list[_Triaged] = []
    answer = _Answer("", 0, [])
    if alerts:
        if ask and len(alerts) > 1 and not dry_run:
            _confirm(options, len(alerts), change["reason"])
        with asking(found.state_dir) as told:
            answer = told("alerts.change", _Answer, ids=list(alerts), change=change, dry_run=dry_run)
        done = answer.alerts
    done += [_Triaged(text, "not_found") for text in missing]
    _write(options, change["verb"], answer, done, alerts, dry_run=dry_run)
    return _code(done)


def _confirm(options: Options, count: int, reason: str) -> None:
    from socmon.cli.confirming import confirm

    tr = options.tr
    confirm(options, tr("Close {count} alerts ({reason})?", count=count, reason=reason_word(reason, tr)), yes=False)


def _code(done: Sequence[_Triaged]) -> int:
    outcomes = {each.outcome for each in done}
    bad = outcomes & {"not_found", "refused"}
    if not bad:
        return 0
    if bad < outcomes:
        return PARTLY
    return NOT_FOUND if bad == {"not_found"} else PROBLEMS


# ── what became of them ──────────────────────────────────────────────────────────────────────────────────────────────


def _write(
    options: Options,
    verb: str,
    answer: _Answer,
    done: Sequence[_Triaged],
    alerts: Mapping[str, Alert],
    *,
    dry_run: bool,
) -> None:
    rows = [_row(each) for each in done]
    match options.output:
        case "json":
            whole: dict[str, Any] = {
                "schema": "socmon.alerts.change/v1",
                "verb": verb,
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
                click.echo(printable(f"{each.id[:SHORT_ID]}{title}  {_told(each, verb, options.tr)}"))
            if dry_run and not options.quiet:
                click.echo(options.tr("nothing was changed (--dry-run)"), err=True)


def _row(each: _Triaged) -> Row:
    there = each.outcome != "not_found"
    return {
        "id": each.id,
        "outcome": each.outcome,
        "status_before": each.status_before if there else None,
        "status": each.status if there else None,
        "reason": each.reason,
        "revision": each.revision if there else None,
    }


def _told(each: _Triaged, verb: str, tr: Translator) -> str:
    status = tr(each.status)
    if each.reason:
        status = f"{status} ({reason_word(each.reason, tr)})"
    match each.outcome:
        case "changed" if verb == "comment":
            return tr("commented")
        case "changed":
            return f"{tr(each.status_before)} → {status}"
        case "unchanged":
            return tr("unchanged: {status}", status=status)
        case "refused":
            return tr("refused: {status}; `socmon alerts reopen` opens it again", status=status)
        case _:
            return tr("not found")
