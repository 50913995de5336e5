"""What a report of an incident says, as `socmon report incident --json` has it; the page is made of the same."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from socmon.cli.alert_ids import candidates
from socmon.cli.alert_page import alert_object
from socmon.cli.output import Row
from socmon.errors import HeldError
from socmon.event import Alert, rfc3339
from socmon.feed.masking import masked_alert
from socmon.feed.sharing import tlp_of
from socmon.feed.vocabulary import rsit, tactics, techniques
from socmon.reports.duty import CENTRE, KINDS, Duty, Facts, Told, duty, facts
from socmon.reports.told import Kind, Part, Telling, kept, parts_of
from socmon.sections import ReportSettings
from socmon.store.reading import Delivery, Reader
from socmon.store.triage import Entry, history

if TYPE_CHECKING:
    from socmon.cli.report import Settings
    from socmon.config import Config

_PARTS: tuple[Part, ...] = ("cause", "scope", "remedy")
# Of a forwarder's settings, by what they are called in a report.
_SENDER = {"org_id": "org_id", "system": "system_id", "system_level": "system_level", "tlp": "tlp"}


class Found(Struct, frozen=True):
    """All that the store holds of an alert, as of one moment."""

    alert: Alert
    deliveries: list[Delivery]
    entries: list[Entry]
    facts: Facts


class Wanted(Struct, frozen=True):
    """What is to stand in the report."""

    kind: Kind
    now_us: int
    with_evidence: bool
    with_comments: bool


def look(reader: Reader, typed: str) -> tuple[list[Alert], Found | None]:
    """The alerts whose ids begin as `typed`, and of one that is the only one all there is."""
    alerts = candidates(reader, typed)
    if len(alerts) != 1:
        return alerts, None
    alert = reader.with_evidence(alerts[0])
    entries = history(reader.db, alert.id)
    return alerts, Found(alert, reader.deliveries(alert.id), entries, facts(reader.db, alert.id))


def centres(config: "Config") -> list[str]:
    """Names of the destinations that are a national centre, in the order of the configuration."""
    return [each.name for each in config.forwarders if each.kind == CENTRE]


def document(found: Found, wanted: Wanted, settings: "Settings", rules: Sequence[Path]) -> Row:
    """The report. Times are RFC 3339 in UTC; texts are as the store holds them, but for secrets in what events say."""
    alert = masked_alert(found.alert)
    whole = alert_object(alert, rules, found.deliveries, found.entries)
    evidence, entries, deliveries = (whole.pop(name) for name in ("evidence", "history", "deliveries"))
    told, rule = parts_of(found.entries), whole["rule"]
    # Where its file lies is of this house.
    whole["rule"] = rule and {"description": rule["description"]}
    return {
        "kind": wanted.kind,
        "made": rfc3339(wanted.now_us),
        "with_comments": wanted.with_comments,
        "reporter": _reporter(alert, settings),
        "alert": whole | {"rsit": rsit(alert.tags), "attack": _attack(alert)},
        "duty": _duty_row(_duty(found, wanted, settings)),
        "parts": {name: [_telling_row(each) for each in told.get(name, [])] for name in _PARTS},
        "history": [_entry_row(each, with_comments=wanted.with_comments) for each in entries],
        "deliveries": deliveries,
        "evidence": {
            "with_raw": wanted.with_evidence,
            "events": [_evidence_row(each, with_raw=wanted.with_evidence) for each in evidence],
        },
    }


def _duty(found: Found, wanted: Wanted, settings: "Settings") -> Duty:
    config = settings.config
    return duty(
        found.alert,
        found.facts,
        found.entries,
        config.reports if config else ReportSettings(),
        centres=centres(config) if config else None,
        now_us=wanted.now_us,
    )


def _reporter(alert: Alert, settings: "Settings") -> Row:
    """Who reports; "" is unknown. The alert's own system goes before that of the settings, as in the feed."""
    row: Row = {"destination": settings.centre or "", "org_name": "", "contact": "", "org_path": []}
    row |= dict.fromkeys(_SENDER, "") | {"system_level": None}
    if settings.config:
        row |= {"org_name": settings.config.reports.org_name, "contact": settings.config.reports.contact}
        for each in settings.config.forwarders:
            if each.name == settings.centre:
                row |= {name: getattr(each.settings, option) for name, option in _SENDER.items()}
                row["org_path"] = [*getattr(each.settings, "org_path", ())]
    if alert.system:
        row |= {"system": alert.system, "system_level": alert.system_level}
    try:
        row["tlp"] = tlp_of(alert.tags, row["tlp"])
    except HeldError:  # on paper it may go to whom a person hands it, marked as what it is
        row["tlp"] = "RED"
    return row


def _attack(alert: Alert) -> Row:
    return {"tactics": tactics(alert.tags), "techniques": techniques(alert.tags)}


def _duty_row(found: Duty) -> Row:
    return {
        "applies": found.applies,
        "because": found.because,
        "levels": list(found.levels),
        "t0": rfc3339(found.t0_us),
        "t0_known": found.t0_known,
        "deadlines": [
            {
                "kind": each.kind,
                "hours": each.hours,
                "due": rfc3339(each.due_us),
                "state": each.state,
                "told": None if each.told is None else _told_row(each.told),
            }
            for each in found.deadlines
        ],
    }


def _told_row(told: Told) -> Row:
    return {"time": rfc3339(told.time_us), "way": told.way, "who": told.who, "text": told.text}


def _telling_row(telling: Telling) -> Row:
    return {"time": rfc3339(telling.time_us), "actor": telling.actor, "text": telling.text}


def _entry_row(row: Row, *, with_comments: bool) -> Row:
    """A change; without what was written for this house only, and what stands in `parts`."""
    return row if with_comments else row | {"text": kept(row["text"], KINDS)}


def _evidence_row(row: Row, *, with_raw: bool) -> Row:
    return row if with_raw else row | {"raw": None, "fields": None}
