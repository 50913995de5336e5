"""`socmon ncsc enrol`, `revoke`, `inspect`: who may send to a simulated centre, whether or not it runs."""

import os
import pwd
import time
from collections.abc import Callable
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from socmon.cli import Options
from socmon.cli.confirming import confirm
from socmon.cli.output import Column, as_json, write_csv, write_ndjson, write_table
from socmon.event import SECOND_US, rfc3339
from socmon.i18n import mark

if TYPE_CHECKING:
    from socmon.ncsc.register import Register

_COLUMNS = (
    "org_id", "name", "enrolled", "from", "to", "org_path", "last_heartbeat", "skew_s", "certificate_expires",
)  # fmt: skip
_T = TypeVar("_T")

_state = click.option(
    "--state", required=True, type=click.Path(path_type=Path), metavar="DIR", help="Where the centre keeps its state."
)


@click.command("enrol")
@click.argument("org_id", metavar="ORG_ID")
@_state
@click.option("--name", default="", help="What people call it; the ORG_ID by default.")
@click.option("--parent", default="", metavar="ORG_ID", help="The organisation above it.")
@click.option("--from", "begin", default="", metavar="TIME", help="When it begins, ISO 8601 with its zone; now.")
@click.pass_obj
def enrol(options: Options, org_id: str, state: Path, name: str, parent: str, begin: str) -> None:
    """Let ORG_ID send, from now on or from a time to come.

    One that is enrolled already gets the new name and parent; what it was called before stays in the register.
    """
    from socmon.feed.message import ORG_ID

    for value, hint in ((org_id, "ORG_ID"), (parent, "--parent")):
        if value and not ORG_ID.fullmatch(value):
            told = options.tr("an organisation is letters, digits, dots and dashes: 000.00.00.H07")
            raise click.BadParameter(told, param_hint=hint)
    from_us = _moment(options, begin) if begin else None
    period = _at(state, lambda register: register.enrol(org_id, name, parent=parent, from_us=from_us, actor=_actor()))
    text = options.tr("{org_id} is enrolled from {time} on", org_id=org_id, time=rfc3339(period.from_us))
    _tell(options, text, {"org_id": org_id, "action": "enrol", "from": rfc3339(period.from_us)})


@click.command("revoke")
@click.argument("org_id", metavar="[ORG_ID]", required=False)
@_state
@click.option("--serial", "number", default="", metavar="HEX", help="One certificate instead, by its serial number.")
@click.option("--yes", is_flag=True, help="Do not ask; needed where nobody can be asked.")
@click.pass_obj
def revoke(options: Options, org_id: str | None, state: Path, number: str, *, yes: bool) -> None:
    """Refuse ORG_ID, or one certificate, from the next request on; what it sent stays."""
    from socmon.ncsc.roll import serial

    if bool(org_id) == bool(number):
        raise click.UsageError(options.tr("name an organisation, or a certificate with --serial"))
    try:
        number = serial(number) if number else ""
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--serial") from error
    confirm(options, options.tr("Refuse {what} from now on?", what=org_id or number), yes=yes, trial=False)
    if org_id:
        _at(state, lambda register: register.revoke(org_id, actor=_actor()))
        text = options.tr("{org_id} is refused from now on", org_id=org_id)
        _tell(options, text, {"org_id": org_id, "action": "revoke"})
    else:
        _at(state, lambda register: register.revoke_certificate(number, actor=_actor()))
        text = options.tr("certificate {serial} is refused from now on", serial=number)
        _tell(options, text, {"serial": number, "action": "revoke_certificate"})


@click.command("inspect")
@click.argument("org_id", metavar="[ORG_ID]", required=False)
@_state
@click.pass_obj
def inspect(options: Options, org_id: str | None, state: Path) -> None:
    """Show who may send, from when to when, and the last heartbeats; of ORG_ID its whole history."""
    rows, audit = _at(state, partial(_read, org_id=org_id or ""))
    match options.output:
        case "json":
            click.echo(as_json({"schema": "socmon.ncsc.inspect/v1", "organisations": rows, "audit": audit}))
        case "ndjson":
            write_ndjson(rows)
        case "csv":
            write_csv(rows, _COLUMNS)
        case "human":
            _show(options, rows, audit if org_id else [])


def _read(register: "Register", *, org_id: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Entries, each organisation's oldest first, and what was done."""
    from socmon.errors import NotFoundError
    from socmon.i18n import Message
    from socmon.ncsc.standing import heard_row

    roll, heard, now_us = register.roll(), register.heartbeats(), time.time_ns() // 1000
    if org_id and org_id not in roll.known:
        text = mark("{org_id} is not enrolled; see `socmon ncsc inspect` for those who are")
        raise NotFoundError(Message(text, org_id=org_id[:64]))
    rows = [
        {
            "org_id": name,
            "name": period.name,
            "enrolled": period.holds(now_us),
            "from": rfc3339(period.from_us),
            "to": None if period.to_us is None else rfc3339(period.to_us),
            "org_path": roll.path(name, period.from_us),
        }
        | heard_row(heard.get(name))
        for name, periods in sorted(roll.known.items())
        if org_id in {"", name}
        for period in periods
    ]
    audit = [row | {"at": rfc3339(row.pop("at_us"))} for row in register.audit(50, org_id)]
    return rows, audit


def _show(options: Options, rows: list[dict[str, Any]], audit: list[dict[str, Any]]) -> None:
    tr = options.tr
    names = (tr("ORGANISATION"), tr("NAME"), tr("FROM"), tr("TO"), tr("BELOW"), tr("LAST HEARTBEAT"))
    columns = [Column(name, flexible=number == 1) for number, name in enumerate(names)]
    cells = [
        (row["org_id"], row["name"], row["from"], row["to"] or "–", " / ".join(row["org_path"][:-1]) or "–",
         row["last_heartbeat"] or "–")
        for row in rows
    ]  # fmt: skip
    write_table(columns, cells)
    if audit:
        click.echo()
        heads = (tr("AT"), tr("BY"), tr("ACTION"), tr("DETAIL"))
        done = [(row["at"], row["actor"], row["action"], row["detail"] or "–") for row in audit]
        write_table([Column(name, flexible=number == 3) for number, name in enumerate(heads)], done)


def _tell(options: Options, text: str, done: dict[str, Any]) -> None:
    if options.output == "human":
        if not options.quiet:
            from socmon.text import printable

            click.echo(printable(text))
    elif options.output == "csv":
        write_csv([done], tuple(done))
    else:
        click.echo(as_json({"schema": "socmon.ncsc.change/v1", **done}))


def _at(state: Path, work: "Callable[[Register], _T]") -> _T:
    from socmon.ncsc.register import at

    return at(state, work)


def _actor() -> str:
    """Who runs the command, as the kernel knows it: what the environment says, anyone can set."""
    uid = os.getuid()
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:  # a user without a name
        return f"uid {uid}"


def _moment(options: Options, text: str) -> int:
    """A time with its zone → microseconds since 1970 UTC."""
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is not None:
            return round(moment.timestamp() * SECOND_US)
    except (ValueError, OverflowError):
        pass
    told = mark("{value!r} is no time with its zone; write 2027-01-01T00:00:00+07:00")
    raise click.BadParameter(options.tr(told, value=text[:40]), param_hint="--from")
