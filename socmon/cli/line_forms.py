"""What a log line came to, for programs: the objects of `socmon.logtest/v1`."""

from decimal import Decimal
from typing import Any

import msgspec

from socmon.cli.line_trial import Frame, Trial
from socmon.cli.output import Row
from socmon.event import SECOND_US, Alert, Event, LogSource, rfc3339
from socmon.sigma import Rule
from socmon.sigma.explaining import Counted, Explanation, ItemVerdict, Obstacle, Verdict

# RFC 5424, section 6.2.1, tables 1 and 2, as syslog(3) and rsyslog call them.
FACILITIES = (
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp", "ntp",
    "audit", "alert", "clock", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7",
)  # fmt: skip
SEVERITIES = ("emerg", "alert", "crit", "err", "warning", "notice", "info", "debug")

COLUMNS = (
    "n", "format", "error", "time", "time_known", "host", "logsource", "fields", "agency", "system", "matches",
    "correlations", "alerts", "near_misses",
)  # fmt: skip


def told(trial: Trial) -> Row:
    """All of it, a member for each stage; what a stage has not reached is null or empty."""
    event = trial.event
    return {
        "n": trial.n,
        "frame": _frame(trial.frame, event),
        "error": trial.error or None,
        "event": None if event is None else _event(event),
        "owner": _owner(event),
        "matches": [_rule(rule) for rule in trial.matches],
        "late": trial.late,
        "correlations": [_counted(each) for each in trial.counts],
        "alerts": [_alert(alert) for alert in trial.alerts],
        "explained": [_explanation(each) for each in trial.asked],
        "near_misses": [_explanation(each) for each in trial.near],
    }


def flat(row: Row) -> Row:
    """One row of a table: `told` without the trees."""
    event, owner = row["event"] or {}, row["owner"] or {}
    return {
        "n": row["n"],
        "format": row["frame"]["format"],
        "error": row["error"],
        **{name: event.get(name) for name in ("time", "time_known", "host", "logsource", "fields")},
        "agency": owner.get("agency"),
        "system": owner.get("system"),
        "matches": [rule["title"] for rule in row["matches"]],
        "correlations": [{name: each[name] for name in ("title", "group", "number")} for each in row["correlations"]],
        "alerts": [{name: alert[name] for name in ("title", "group", "count")} for alert in row["alerts"]],
        "near_misses": [each["title"] for each in row["near_misses"]],
    }


def priority(event: Event) -> tuple[int, int] | None:
    """(facility, severity) as the syslog header states them."""
    facility, severity = event.fields.get("facility"), event.fields.get("severity")
    if type(facility) is int and type(severity) is int and facility in range(24) and severity in range(8):
        return facility, severity
    return None  # another format may have fields of these names


def _frame(frame: Frame, event: Event | None) -> Row:
    stated = None if event is None else priority(event)
    return {
        "bytes": len(frame.data),
        "octet_count": frame.octets,
        "format": frame.format or None,
        "chosen": "detected" if frame.is_detected else "setting",
        "priority": None if stated is None else stated[0] * 8 + stated[1],
        "facility": None if stated is None else FACILITIES[stated[0]],
        "severity": None if stated is None else SEVERITIES[stated[1]],
    }


def _event(event: Event) -> Row:
    return {
        "time": None if event.time_us is None else rfc3339(event.time_us),
        "time_known": event.time_known,
        "host": event.host,
        "logsource": stated(event.logsource),
        "fields": event.fields,
        "entities": event.entities,
        "repeat": event.repeat,
    }


def _owner(event: Event | None) -> Row | None:
    if event is None or not event.owner.agency:
        return None
    return msgspec.structs.asdict(event.owner)


def stated(logsource: LogSource) -> dict[str, str]:
    """The parts that say something."""
    return {name: value for name, value in msgspec.structs.asdict(logsource).items() if value}


def _rule(rule: Rule) -> Row:
    return {
        "id": rule.id,
        "title": rule.title,
        "level": rule.level,
        "alerts": rule.alerts,
        "path": rule.path,
        "line": rule.line,
    }


def _counted(each: Counted) -> Row:
    correlation = each.rule.correlation
    conditions = ((correlation.op, correlation.value), *correlation.also) if correlation else ()
    return {
        **_rule(each.rule),
        "type": correlation.type if correlation else None,
        "group": each.group,
        "missing": list(each.lacking),
        "not_numeric": list(each.not_numeric),
        "number": each.number,
        "condition": [{"op": op, "value": _plain(value)} for op, value in conditions],
        "timespan_s": correlation.timespan_us / SECOND_US if correlation else None,
        "holds": each.holds,
    }


def _plain(value: int | Decimal) -> int | float:
    return value if isinstance(value, int) else float(value)


def _alert(alert: Alert) -> Row:
    return {
        "rule_id": alert.rule_id,
        "title": alert.title,
        "level": alert.level,
        "group": alert.group,
        "count": alert.count,
        "revision": alert.revision,
        "first_seen": rfc3339(alert.first_us),
        "last_seen": rfc3339(alert.last_us),
    }


def _explanation(each: Explanation) -> Row:
    return {
        **_rule(each.rule),
        "matched": each.matched,
        "logsource": {
            "rule": stated(each.wanted),
            "event": stated(each.stated),
            "differing": list(each.differing),
        },
        "obstacles": [_obstacle(obstacle) for obstacle in each.obstacles],
        "condition": _verdict(each.condition),
    }


def _obstacle(obstacle: Obstacle) -> Row:
    return {"should_match": obstacle.should, "filter": obstacle.filter or None, **_item(obstacle.item)}


def _item(item: ItemVerdict) -> Row:
    return {
        "item": item.key or None,
        "values": list(item.values),
        "matched": item.matched,
        "missing": item.is_missing,
        "field": item.field,
        "found": item.found,
    }


def _verdict(verdict: Verdict) -> dict[str, Any]:
    if isinstance(verdict, ItemVerdict):
        return _item(verdict)
    return {
        "link": verdict.link,
        "name": verdict.name or None,
        "filter": verdict.filter or None,
        "matched": verdict.matched,
        "parts": [_verdict(part) for part in verdict.parts],
    }
