"""The centre's metrics, made anew at each scrape from what it holds (Prometheus text format 0.0.4).

The one label is an organisation that is enrolled now, so series are bounded by the register.
"""

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from socmon.ncsc.reading import Row
from socmon.ncsc.standing import missing

MAX_ORGANISATIONS = 1_000

_Told = tuple[type[CounterMetricFamily] | type[GaugeMetricFamily], str, Callable[[Row], float | None]]

# Name without `_total` → kind, what it says, its value; None leaves the series out.
TABLE: Mapping[str, _Told] = {
    "ncsc_events": (CounterMetricFamily, "Events that were answered for.", lambda row: row["events_received"]),
    "ncsc_duplicate_events": (
        CounterMetricFamily,
        "Events that the centre had already.",
        lambda row: row["duplicates_answered"],
    ),
    "ncsc_findings": (GaugeMetricFamily, "Findings that are held.", lambda row: row["findings"]),
    "ncsc_quarantined_events": (GaugeMetricFamily, "Events in quarantine.", lambda row: row["quarantined"]),
    "ncsc_lost_events": (
        GaugeMetricFamily,
        "Sequences that their sender has said are lost: expired or damaged there.",
        lambda row: row["lost"],
    ),
    "ncsc_void_events": (
        GaugeMetricFamily,
        "Sequences that their sender has said no finding will have, without the lost ones.",
        lambda row: sum(row["voided"].values()) - row["lost"],
    ),
    "ncsc_unknown_member_events": (
        GaugeMetricFamily,
        "Findings that came with members which no schema here names; they are kept.",
        lambda row: row["unknown"],
    ),
    "ncsc_missing_events": (
        GaugeMetricFamily,
        "Sequences that are missing behind the cursors of streams, of their newest epochs.",
        lambda row: missing(row["gaps"]),
    ),
    "ncsc_last_heartbeat_timestamp_seconds": (
        GaugeMetricFamily,
        "When the last heartbeat came, in Unix time.",
        lambda row: _seconds(row["last_heartbeat"]),
    ),
    "ncsc_silent": (GaugeMetricFamily, "1 after three missed heartbeats.", lambda row: float(row["silent"])),
    "ncsc_clock_skew_seconds": (
        GaugeMetricFamily,
        "The sender's clock less the centre's, at the last heartbeat.",
        lambda row: row["skew_s"],
    ),
    "ncsc_backlog_messages": (
        GaugeMetricFamily,
        "What the sender has released and not yet been answered for, as its last heartbeat says.",
        lambda row: sum(row["heartbeat"]["backlog"].values()) if row["heartbeat"] else None,
    ),
    "ncsc_certificate_expiry_timestamp_seconds": (
        GaugeMetricFamily,
        "When the certificate ends that the sender showed, in Unix time.",
        lambda row: _seconds(row["certificate_expires"]),
    ),
}


class _Snapshot(Collector):
    """The standings of one moment."""

    def __init__(self, standings: Mapping[str, Row]) -> None:
        enrolled = {org_id: row for org_id, row in standings.items() if row["enrolled"]}
        self._rows = dict(sorted(enrolled.items())[:MAX_ORGANISATIONS])

    def collect(self) -> Iterator[Metric]:
        """Each metric with a series for each organisation."""
        for name, (kind, text, value_of) in TABLE.items():
            family = kind(name, text, labels=["organisation"])
            for org_id, row in self._rows.items():
                if (value := value_of(row)) is not None:
                    family.add_metric([org_id], value)
            yield family


def rendered(standings: Mapping[str, Row]) -> bytes:
    """All of them in the text format; not for the event loop."""
    registry = CollectorRegistry()
    registry.register(_Snapshot(standings))
    return generate_latest(registry)


def _seconds(moment: str | None) -> float | None:
    return None if moment is None else datetime.fromisoformat(moment).timestamp()
