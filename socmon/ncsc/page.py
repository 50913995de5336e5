"""The centre's own page: provinces, findings, gaps, quarantine, audit; HTML made here, without script.

What senders wrote is escaped, controls and directions are made visible (UAX #9), and it stands in `bdi` of its own.
"""

import base64
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from hashlib import sha256
from importlib.resources import files

import jinja2
from markupsafe import Markup
from msgspec import Struct

from socmon.event import LEVELS
from socmon.feed.void import LOSSES
from socmon.i18n import LANGS, Lang, Translator, mark, translator
from socmon.ncsc.reading import Row
from socmon.ncsc.standing import missing
from socmon.text import printable

SHOWN = 50  # rows of a table of what happened
_MAX_CELL = 300
# Why a sequence holds nothing, by the words of FEED protocol; a sender may have others.
_REASONS = {
    "withdrawn": mark("withdrawn"), "dropped": mark("dropped"), "refused": mark("refused"),
    "oversize": mark("oversize"), "replaced": mark("replaced"),
    "superseded": mark("superseded"), "expired": mark("expired"),
    "lost_local": mark("lost_local"),
}  # fmt: skip
_TITLES = (mark("Withdrawn"),)  # of closing revisions: it is ours
_MARKS = {"critical": "bad", "high": "bad", "medium": "warn"}
_TEMPLATES = files("socmon.ncsc") / "templates"


class Cell(Struct, frozen=True):
    """What a place of a table says; `mark` is bad, warn, good or ""."""

    text: str
    mark: str = ""


class Table(Struct, frozen=True):
    """A table of the page; `none` is said where it has no row."""

    id: str
    title: str
    none: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]


class Shown(Struct, frozen=True):
    """All that the page tells of."""

    standings: Mapping[str, Row]
    newest: Sequence[Row]
    levels: Sequence[Row]
    quarantine: Sequence[Row]
    voids: Sequence[Row]
    audit: Sequence[Row]


def asked_language(chosen: str, accept: str) -> Lang:
    """The language of `?lang=`, else the first that `Accept-Language` would rather have (RFC 9110, section 12.5.4)."""
    if chosen in LANGS:
        return "vi" if chosen == "vi" else "en"
    weights: dict[str, float] = {}
    for part in accept[:200].split(","):
        tag, _, more = part.strip().partition(";")
        try:
            weight = float(more.strip().removeprefix("q=")) if more else 1.0
        except ValueError:
            weight = 0.0
        name = tag.partition("-")[0].lower()
        weights[name] = max(weight, weights.get(name, 0.0))
    return "vi" if weights.get("vi", 0.0) > weights.get("en", 0.0) else "en"


def policy() -> str:
    """The page's Content-Security-Policy: its own style and nothing else, from nowhere, into no frame."""
    digest = base64.b64encode(sha256(_style().encode()).digest()).decode()
    nothing = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    return f"{nothing}; style-src 'sha256-{digest}'"


def page(shown: Shown, lang: Lang, now_us: int) -> str:
    """The whole page."""
    tr = translator(lang)
    makers = (_provinces, _findings, _gaps, _voids, _quarantine, _unknown, _audit)
    tables = [maker(tr, shown) for maker in makers]
    title = tr("National centre (simulated)")
    return _template().render(
        lang=lang,
        title=title,
        style=Markup(_style()),  # noqa: S704  a file of ours
        now=_time(now_us),
        tables=tables,
    )


@cache
def _style() -> str:
    return (_TEMPLATES / "page.css").read_text("utf-8")


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, finalize=_finalized, auto_reload=False
    )
    return environment.from_string((_TEMPLATES / "page.html").read_text("utf-8"))


def _finalized(value: object) -> object:
    """Whatever the template puts out, whoever wrote it: no control and no change of direction gets through."""
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _provinces(tr: Translator, shown: Shown) -> Table:
    columns = (
        tr("Name"), tr("Organisation"), tr("Below"), tr("State"), tr("Last heartbeat"), tr("Backlog"),
        tr("Silent sources"), tr("Clock skew"), tr("Certificate until"), tr("Rules"), tr("Findings"), tr("Missing"),
        tr("Lost"), tr("In quarantine"),
    )  # fmt: skip
    order = sorted(shown.standings.items(), key=lambda item: (not item[1]["enrolled"], item[0]))
    rows = [_province(tr, org_id, row) for org_id, row in order]
    return Table("provinces", tr("Provinces"), tr("Nobody is enrolled."), columns, rows)


def _province(tr: Translator, org_id: str, row: Row) -> list[Cell]:
    beat: Row = row["heartbeat"] or {}
    backlog = sum(beat.get("backlog", {}).values()) + beat.get("pending", 0)
    absent = missing(row["gaps"])
    above = row["org_path"][:-1]
    skew = "–" if row["skew_s"] is None else tr("{seconds} s", seconds=f"{row['skew_s']:+z.1f}")
    silent = beat.get("silent", [])
    return [
        _cell(row["name"]),
        _cell(org_id),
        _cell(" / ".join(above) or "–"),
        _state(tr, row),
        _cell(_moment(row["last_heartbeat"])),
        _cell(_number(tr, backlog, beat.get("oldest_s")) if beat else "–"),
        _cell(", ".join(silent) or ("0" if beat else "–"), "warn" if silent else ""),
        _cell(skew, "bad" if row["clock_off"] else ""),
        _cell(_moment(row["certificate_expires"])),
        _cell(beat.get("rules") or "–"),
        _cell(_counted(tr, row)),
        _cell(str(absent), "bad" if absent else ""),
        _cell(str(row["lost"]), "bad" if row["lost"] else ""),
        _cell(str(row["quarantined"]), "warn" if row["quarantined"] else ""),
    ]


def _counted(tr: Translator, row: Row) -> str:
    """Findings, those of aggregates too, and how many aggregates there are."""
    findings, aggregates = row["findings"], row["aggregates"]
    if not aggregates:
        return str(findings)
    return tr.many(
        "{findings}, with {count} aggregate", "{findings}, with {count} aggregates", aggregates, findings=findings
    )


def _state(tr: Translator, row: Row) -> Cell:
    if not row["enrolled"]:
        return Cell(tr("not enrolled any more, or not yet"), "warn")
    if row["silent"]:
        return Cell(tr("silent"), "bad")
    return Cell(tr("heard"), "good") if row["heartbeat"] else Cell(tr("not heard yet"), "warn")


def _findings(tr: Translator, shown: Shown) -> Table:
    counts: Counter[str] = Counter()
    for row in shown.levels:
        counts[row["level"]] += row["count"]
    # A level that no rule of ours has may still come from a sender; it stands behind those that are known.
    known = [level for level in reversed(LEVELS) if counts[level]]
    told = [f"{tr(level)}: {counts[level]}" for level in known]
    if others := sum(counts.values()) - sum(counts[level] for level in known):
        told.append(tr("others: {count}", count=others))
    title = tr("Findings") + (f" ({', '.join(told)})" if told else "")
    columns = (tr("Received"), tr("Organisation"), tr("Level"), tr("Title"), tr("Events"), tr("Last event"), tr("Rev."))
    rows = [
        [
            _cell(_time(row["received_us"])),
            _cell(row["org"]),
            _cell(tr(row["level"]) if row["level"] in LEVELS else row["level"], _MARKS.get(row["level"], "")),
            _cell(tr(row["title"])),
            _cell(str(row["count"])),
            _cell(_time(row["end_ms"] * 1000)),
            _cell(str(row["revision"])),
        ]
        for row in shown.newest
    ]
    return Table("findings", title, tr("Nothing was found yet."), columns, rows)


def _gaps(tr: Translator, shown: Shown) -> Table:
    columns = (tr("Organisation"), tr("Stream"), tr("Epoch"), tr("From"), tr("To"), tr("Missing"), tr("State"))
    rows = [
        [
            _cell(org_id),
            *map(_cell, (gap["stream"], gap["epoch"], str(gap["first"]), str(gap["last"]))),
            _cell(str(gap["last"] - gap["first"] + 1), "bad" if gap["newest"] else ""),
            _cell(tr("waited for") if gap["newest"] else tr("of an epoch that is over")),
        ]
        for org_id, row in sorted(shown.standings.items())
        for gap in row["gaps"][:SHOWN]
    ]
    return Table("gaps", tr("Gaps in sequences"), tr("No sequence is missing."), columns, rows)


def _voids(tr: Translator, shown: Shown) -> Table:
    columns = (
        tr("Received"), tr("Organisation"), tr("Stream"), tr("From"), tr("To"), tr("Void"), tr("Reason"), tr("Finding"),
    )  # fmt: skip
    rows = [
        [
            _cell(_time(row["received_us"])),
            *map(_cell, (row["org"], row["stream"], str(row["first"]), str(row["last"]))),
            _cell(str(row["taken"]), "bad" if row["reason"] in LOSSES else ""),
            _cell(tr(_REASONS.get(row["reason"]) or row["reason"] or ""), "bad" if row["reason"] in LOSSES else ""),
            _cell(row["subject"] or "–"),
        ]
        for row in shown.voids
    ]
    return Table("voids", tr("Void sequences"), tr("No sequence is void."), columns, rows)


def _quarantine(tr: Translator, shown: Shown) -> Table:
    columns = (tr("Received"), tr("Organisation"), tr("Stream"), tr("Sequence"), tr("Reason"), tr("What it says"))
    rows = [
        [
            _cell(_time(row["received_us"])),
            *map(_cell, (row["org"], row["stream"] or "–", str(row["seq"] or "–"))),
            _cell(row["code"], "warn"),
            _cell(tr(row["reason"] or "")),
        ]
        for row in shown.quarantine
    ]
    return Table("quarantine", tr("Quarantine"), tr("Nothing is in quarantine."), columns, rows)


def _unknown(tr: Translator, shown: Shown) -> Table:
    columns = (tr("Organisation"), tr("Member"), tr("Findings"))
    rows = [
        [_cell(org_id), _cell(member), _cell(str(count), "warn")]
        for org_id, row in sorted(shown.standings.items())
        for member, count in row["unknown_members"].items()
    ]
    return Table("unknown", tr("Members that no schema names"), tr("Every member is known."), columns, rows)


def _audit(tr: Translator, shown: Shown) -> Table:
    columns = (tr("At"), tr("By"), tr("Action"), tr("Organisation"), tr("Detail"))
    rows = [
        [
            _cell(_time(row["at_us"])),
            *map(_cell, (row["actor"], row["action"], row["org"] or "–", row["detail"] or "–")),
        ]
        for row in shown.audit
    ]
    return Table("audit", tr("Audit"), tr("Nothing happened yet."), columns, rows)


def _number(tr: Translator, count: int, oldest_s: int | None) -> str:
    return str(count) if oldest_s is None else tr("{count}, the oldest {seconds} s", count=count, seconds=oldest_s)


def _cell(text: str, mark: str = "") -> Cell:
    return Cell(text if len(text) <= _MAX_CELL else f"{text[:_MAX_CELL]}…", mark)


def _moment(text: str | None) -> str:
    return "–" if text is None else f"{datetime.fromisoformat(text).astimezone(UTC):%Y-%m-%d %H:%M:%SZ}"


def _time(time_us: int) -> str:
    try:
        return f"{datetime.fromtimestamp(time_us / 1_000_000, UTC):%Y-%m-%d %H:%M:%SZ}"
    except (ValueError, OverflowError, OSError):
        return "–"
