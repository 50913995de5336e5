"""`socmon report incident`: what must be told by other means when the feed is down; needs no daemon."""

import os
import secrets
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from socmon.cli import NOT_FOUND, PROBLEMS, CommandError, Options, place
from socmon.cli.completing import offer_destinations
from socmon.cli.report_made import command as made
from socmon.i18n import Message, mark

if TYPE_CHECKING:
    from socmon.config import Config
    from socmon.reports.told import Kind

_KINDS = ("first", "detailed", "final")
_ZEROS = "0" * 64


@click.group("report")
def command() -> None:
    """Make a report of an incident to print, to send or to upload when the feed is down, or say that it was made."""


@command.command("incident")
@click.argument("alert_id", metavar="ID")
@click.option(
    "--kind", type=click.Choice(_KINDS), default="first", show_default=True,
    help="first: the initial notice (24 h); detailed: cause, scope and remedy too (72 h); final: how it ended.",
)  # fmt: skip
@click.option("-o", "--output", "file", type=click.Path(path_type=Path), metavar="FILE", help="Write it to a new file.")
@click.option("--force", is_flag=True, help="Overwrite FILE.")
@click.option("--json", "as_data", is_flag=True, help="The same as JSON, for programs.")
@click.option("--with-evidence", is_flag=True, help="With the raw log records; only their digests by default.")
@click.option("--with-comments", is_flag=True, help="With what analysts wrote for this house only.")
@click.option(
    "--destination", metavar="NAME", shell_complete=offer_destinations,
    help="The centre whose settings say who reports (default: the first of kind ncsc).",
)  # fmt: skip
@click.pass_obj
def incident(
    options: Options, alert_id: str, kind: "Kind", file: Path | None, destination: str | None, *,
    force: bool, as_data: bool, with_evidence: bool, with_comments: bool,
) -> int | None:  # fmt: skip
    """Report the incident ID: one page of HTML that prints on A4, in the language of --lang.

    ID is an alert's id, or as much of its beginning as tells it from others. Cause, scope and remedy are filled in from
    comments whose lines begin with `cause:`, `scope:` or `remedy:`, or left blank to be written by hand. `socmon report
    made` says that it was handed over, and how.
    """
    from socmon.cli.alert_ids import not_found, tell_candidates
    from socmon.cli.report_document import Wanted, document, look
    from socmon.store.reading import consult

    if options.output == "csv":
        raise click.UsageError(options.tr("a report has no form as CSV; use --json"))
    where = place.find(options.config)
    settings = _settings(options, destination)
    alerts, found = consult(where.store, lambda reader: look(reader, alert_id))
    if not alerts:
        raise not_found(alert_id)
    if found is None:
        return tell_candidates(options, alert_id, alerts)
    wanted = Wanted(kind, time.time_ns() // 1000, with_evidence=with_evidence, with_comments=with_comments)
    report = document(found, wanted, settings, where.rules)
    as_data = as_data or options.output != "human"
    _put(options, file, _digested(options, report, as_data=as_data, configured=settings.config is not None), force)
    return None


command.add_command(made)


class Settings(NamedTuple):
    """What the configuration says of reports; `config` is None where it has mistakes, `centre` where it names none."""

    config: "Config | None"
    centre: str | None


def _settings(options: Options, destination: str | None) -> Settings:
    """Read them; a mistake elsewhere in the configuration must not keep anybody from reporting in time.

    Raises:
        CommandError: there is no `destination` of that name.
    """
    from socmon.cli.report_document import centres
    from socmon.config import load
    from socmon.errors import ConfigError

    try:
        config = load(options.config)
    except ConfigError:
        text = mark("the configuration has mistakes, see `socmon check`: who reports is left blank")
        click.echo(options.tr(text), err=True)
        return Settings(None, None)
    names = centres(config)
    if destination is not None and destination not in names:
        text = mark("no destination of kind ncsc is called {name!r}; known: {known}")
        raise CommandError(Message(text, name=destination[:40], known=", ".join(names) or "-"), NOT_FOUND)
    return Settings(config, destination or next(iter(names), None))


def _digested(options: Options, report: dict[str, Any], *, as_data: bool, configured: bool) -> bytes:
    """The file, with its own digest in it: that of the same file with zeros in the digest's place."""
    from hashlib import sha256

    zeros = _form(options, report, _ZEROS, as_data=as_data, configured=configured)
    return _form(options, report, sha256(zeros).hexdigest(), as_data=as_data, configured=configured)


def _form(options: Options, report: dict[str, Any], digest: str, *, as_data: bool, configured: bool) -> bytes:
    if as_data:
        from socmon.cli.output import as_json

        whole = {"schema": "socmon.report.incident/v1", "digest": digest, "report": report}
        return f"{as_json(whole)}\n".encode()
    from socmon.reports.page import render

    return render(report, digest, options.tr, options.zone, configured=configured).encode()


def _put(options: Options, file: Path | None, content: bytes, force: bool) -> None:
    """To standard output, or whole into `file`, which only its owner may read.

    Raises:
        CommandError: it is there already, or cannot be written there.
    """
    if file is None:
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
        return
    if not force and os.path.lexists(file):
        text = mark("{path} is there already; add --force to overwrite it, or name another file")
        raise CommandError(Message(text, path=file), PROBLEMS)
    part = file.with_name(f".{secrets.token_hex(8)}.part")
    try:
        with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:  # noqa: PTH123  a descriptor
            out.write(content)
            out.flush()
            os.fsync(out.fileno())
        part.replace(file)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
        text = mark("cannot write {path}: {error}; name a file in a folder that is there")
        raise CommandError(Message(text, path=file, error=error.strerror), PROBLEMS) from error
    finally:
        part.unlink(missing_ok=True)
    if not options.quiet:
        click.echo(options.tr("wrote {path}", path=file), err=True)
