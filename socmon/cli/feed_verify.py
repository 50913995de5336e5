"""`socmon feed verify`: the chain of proof of an alert, link by link, from the store alone."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from socmon.cli import PROBLEMS, Options
from socmon.cli.output import as_json, write_csv
from socmon.i18n import Translator, mark
from socmon.text import printable

if TYPE_CHECKING:
    from socmon.event import Alert
    from socmon.feed.chain import Keys, Link
    from socmon.store.sent import Sent

_COLUMNS = ("destination", "id", "stream", "seq", "revision", "link", "state", "why")
_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)
_CENTRE = "ncsc"
_NAMES = {
    "line": mark("line"), "message": mark("message"), "finding": mark("finding"), "signature": mark("signature"),
    "receipt": mark("receipt"),
}  # fmt: skip
_WORDS = {"ok": mark("ok"), "failed": mark("FAILED"), "absent": mark("absent")}


class _Chain(NamedTuple):
    """What was found of one alert: its lines, and each released row's links."""

    alert: "Alert"
    lines: list["Link"]
    rows: list[tuple["Sent", list["Link"]]]

    @property
    def broken(self) -> int:
        every = [*self.lines, *(link for _, links in self.rows for link in links)]
        return sum(link.state == "failed" for link in every)


@click.command("verify")
@click.argument("alert_id", metavar="ID")
@click.option("--key", "own", type=_FILE, metavar="FILE", help="Our public keys (default: those of signing_key).")
@click.option("--centre-key", "centre", type=_FILE, metavar="FILE", help="The centre's (default: those of centre_key).")
@click.option("--json", "as_data", is_flag=True, help="As JSON, for programs.")
@click.pass_obj
def verify(options: Options, alert_id: str, *, own: Path | None, centre: Path | None, as_data: bool) -> int:
    """Follow the alert ID from its log lines to the centre's receipts; needs no daemon.

    Each kept line is what was received, each message what was released and signed by us, and tells of this alert; each
    receipt is signed by the centre, and names that message's bytes. What cannot be looked at is absent, with why. ID is
    an alert's id, or as much of its beginning as tells it from others. Exit code 1: a link is broken.
    """
    from socmon.cli import place
    from socmon.cli.alert_ids import candidates, not_found, tell_candidates
    from socmon.store.reading import Reader, consult
    from socmon.store.sent import sent

    def look(reader: Reader) -> tuple[list["Alert"], list["Sent"]]:
        alerts = candidates(reader, alert_id)
        if len(alerts) != 1:
            return alerts, []
        return [reader.with_evidence(alerts[0])], sent(reader.db, alerts[0].id)

    alerts, rows = consult(place.find(options.config).store, look)
    if not alerts:
        raise not_found(alert_id)
    if len(alerts) > 1:
        return tell_candidates(options, alert_id, alerts)
    chain = _followed(options, alerts[0], rows, own, centre)
    _write(options, chain, as_data=as_data)
    return PROBLEMS if chain.broken else 0


def _followed(
    options: Options, alert: "Alert", rows: Sequence["Sent"], own: Path | None, centre: Path | None
) -> _Chain:
    from socmon.feed.chain import Proof, Whole, line_link, links

    keys = {name: _keys(options, name, own, centre) for name in {row.release.destination for row in rows}}
    found = []
    for row in rows:
        whole = None if row.whole is None else Whole(row.whole.id, row.whole.revision, row.whole.state)
        proof = Proof(
            row.release, row.body, row.sha256, row.receipt, row.state, row.superseded, row.closing, row.lifted, whole
        )
        found.append((row, list(links(proof, alert, keys[row.release.destination]))))
    return _Chain(alert, [line_link(each) for each in alert.evidence], found)


def _keys(options: Options, destination: str, own: Path | None, centre: Path | None) -> "Keys":
    """Those of the files that are named, or that the configuration names for the destination, if it can be read.

    Raises:
        KeyFileError: a file that is named cannot be used.
    """
    from socmon.config import load
    from socmon.errors import ConfigError
    from socmon.feed.chain import Keys
    from socmon.feed.keyring import read_keys

    settings: Any = None
    with suppress(ConfigError):  # mistakes elsewhere must not keep anybody from a proof
        centres = (each for each in load(options.config).forwarders if each.kind == _CENTRE)
        settings = next((each.settings for each in centres if each.name == destination), None)
    ours = read_keys(own) if own else settings and _ours(settings)
    theirs = read_keys(centre) if centre else settings and settings.centre_key and read_keys(settings.centre_key)
    return Keys(ours or None, theirs or None)


def _ours(settings: Any) -> dict[str, Any]:
    """Our keys to verify with: the public ones beside the private, and those themselves where they can be read."""
    from socmon.errors import ConfigError
    from socmon.feed.keyring import named, read_keys
    from socmon.feed.keys import public_file

    found: dict[str, Any] = {}
    try:
        private = settings.signing_path()
    except ConfigError:  # none is set, or systemd has passed no credential to this process
        return found
    for path in (public_file(private), private):
        try:
            keys = list(read_keys(path).values())
            found |= {key.kid: key for key in (*keys, *named(keys, settings.kid))}
        except ConfigError:
            continue
    return found


def _write(options: Options, chain: _Chain, *, as_data: bool) -> None:
    if as_data or options.output in {"json", "ndjson"}:
        click.echo(as_json(_object(chain)))
    elif options.output == "csv":
        write_csv(_flat(chain), _COLUMNS)
    else:
        for line in _page(chain, options.tr):
            click.echo(printable(line))


def _object(chain: _Chain) -> dict[str, Any]:
    alert = chain.alert
    return {
        "schema": "socmon.feed.verify/v1",
        "alert": {"id": alert.id, "title": alert.title, "revision": alert.revision + alert.analyst_revision},
        "broken": chain.broken,
        "lines": [_link(each) for each in chain.lines],
        "releases": [
            {
                "id": row.id,
                "destination": row.release.destination,
                "stream": row.release.stream,
                "epoch": row.release.epoch,
                "seq": row.release.seq,
                "revision": row.release.revision,
                "aggregate": row.whole.id if row.whole else "",
                "outbox": row.state,
                "links": [_link(each) for each in links],
            }
            for row, links in chain.rows
        ],
    }


def _link(link: "Link") -> dict[str, str]:
    return {"link": link.name, "state": link.state, "why": str(link.why)}


def _flat(chain: _Chain) -> Iterator[dict[str, Any]]:
    for line in chain.lines:
        yield dict.fromkeys(_COLUMNS, "") | _link(line)
    for row, links in chain.rows:
        place = row.release
        where = {"destination": place.destination, "id": row.id, "stream": place.stream, "seq": place.seq}
        for link in links:
            yield where | {"revision": place.revision} | _link(link)


def _page(chain: _Chain, tr: Translator) -> Iterator[str]:
    alert = chain.alert
    yield f"{alert.id}  r{alert.revision + alert.analyst_revision}  {tr(alert.title)}"
    yield from (_shown(link, tr) for link in chain.lines)
    for row, links in chain.rows:
        place = row.release
        told = f"{place.destination}  {place.stream} {place.seq}  r{place.revision}  {tr(row.state)}"
        yield told + ("  " + tr("within {id}", id=row.whole.id) if row.whole else "")
        yield from (_shown(link, tr) for link in links)
    if not chain.lines:
        yield tr("no log line of it is kept")
    if not chain.rows:
        yield tr("it was released to nobody yet")
    yield (
        tr.many("{count} link is broken", "{count} links are broken", chain.broken)
        if chain.broken
        else tr("no link is broken")
    )


def _shown(link: "Link", tr: Translator) -> str:
    name, _, number = link.name.partition(" ")
    return f"  {tr(_WORDS[link.state]):<8}  {tr(_NAMES[name])} {number}".rstrip().ljust(30) + "  " + tr(link.why)
