"""What `socmon replay` gives out: rows of alerts and matches, and the summary as an object."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from socmon.cli.output import Form
from socmon.event import SECOND_US, rfc3339

if TYPE_CHECKING:
    from socmon.cli.replay_summary import Summary
    from socmon.replaying import Found, Run

Row = dict[str, Any]

_COLUMNS = (
    "rule_id", "title", "level", "group", "agency", "system", "system_level", "first_seen", "last_seen", "count",
)  # fmt: skip


def match_rows(run: "Run") -> Iterator[Row]:
    """A row for each event that a rule matches."""
    for place, rules in run.matches():
        yield {"file": place.file, "n": place.n, "rules": [*rules]}


def alert_row(item: "Found", *, archive: bool, events: bool) -> Row:
    """An alert; of the journal's archive with what makes it comparable to the store's.

    Args:
        events: with the place of each event.
    """
    alert = item.alert
    row: Row = {
        "rule_id": alert.rule_id,
        "title": alert.title,
        "level": alert.level,
        "group": alert.group,
        "agency": alert.agency,
        "system": alert.system,
        "system_level": alert.system_level,
        "first_seen": rfc3339(alert.first_us),
        "last_seen": rfc3339(alert.last_us),
        "count": alert.count,
    }
    if archive:
        row |= {"id": alert.id, "revision": alert.revision, "approximate": alert.approximate}
    if events:
        row["events"] = [{"file": place.file, "n": place.n} for place in item.events]
    return row


def summary_row(summary: "Summary") -> Row:
    """The summary; times in UTC, sizes in bytes."""
    span = summary.span
    row: Row = {
        "lines": summary.lines,
        "evaluated": summary.evaluated,
        "unparsed": summary.unparsed,
        "dropped": summary.dropped,
        "matches": summary.matches,
        "rules": [{"rule_id": rule, "title": title, "matches": count} for rule, title, count in summary.rules],
        "alerts": summary.levels,
        "timeline": None,
        "seconds": round(summary.seconds, 3),
        "lines_per_s": round(summary.rate, 1),
        "peak_memory_bytes": summary.memory_bytes,
        "worker_memory_bytes": summary.worker_bytes,
        "interrupted": summary.interrupted,
    }
    if span is not None:
        row["timeline"] = {
            "of": summary.span_of,
            "first": rfc3339(span.first_us),
            "last": rfc3339(span.last_us),
            "column_s": span.column_us // SECOND_US,
            "counts": list(span.counts),
        }
    return row


def _alert_line(row: Row) -> str:
    group = " ".join(f"{name}={value}" for name, value in row["group"].items())
    span = f"{row['first_seen']} … {row['last_seen']}"
    owner = f"  {row['agency']} {row['system']}".rstrip()
    return f"{span}  {row['level']:<13} {row['count']:>6}×  {row['title']}  {group}{owner}"


def _match_line(row: Row) -> str:
    return f"{row['file']}:{row['n']}  {' '.join(row['rules'])}"


ALERTS = Form("socmon.replay/v1", "alerts", _COLUMNS, _alert_line)
ARCHIVE_ALERTS = Form("socmon.replay/v1", "alerts", (*_COLUMNS, "id", "revision", "approximate"), _alert_line)
MATCHES = Form("socmon.replay.matches/v1", "matches", ("file", "n", "rules"), _match_line)
