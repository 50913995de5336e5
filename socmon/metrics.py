"""Every metric of socmon, declared once: name, what it says, labels (Prometheus text format 0.0.4).

Labels are bounded: values come from the configuration, from fixed lists, or are capped. `python -m socmon.metrics`
prints the reference page docs/metrics.md.
"""

import platform
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Generic, TypeVar

from msgspec import Struct
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from socmon import __version__

# One series more for each counter, and nobody asks when a counter was made.
disable_created_metrics()  # type: ignore[no-untyped-call]  # the library types all but this one

REGISTRY = CollectorRegistry()
ProcessCollector(registry=REGISTRY)

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
RULES_COUNTED = 1_000
_COMMIT_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
_LAG_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)

MetricT = TypeVar("MetricT", Counter, Gauge)


class Declared(Struct, frozen=True):
    """A metric as the reference page shows it; `name` is the exported one."""

    name: str
    kind: str
    help: str
    labels: tuple[str, ...] = ()


DECLARED: list[Declared] = []


class Kept(Generic[MetricT]):
    """`kept[value]` is the child of a metric with one label, looked up in 0.1 µs where `.labels()` takes 2.

    Args:
        limit: values that get a series of their own; all later ones share `_other`. None where they are bounded anyway.
    """

    def __init__(self, metric: MetricT, *, limit: int | None = None) -> None:
        self._metric: MetricT = metric
        self._limit = limit
        self._children: dict[str, MetricT] = {}

    def __getitem__(self, value: str) -> MetricT:
        child = self._children.get(value)
        if child is None:
            full = self._limit is not None and len(self._children) >= self._limit
            child = self._metric.labels("_other" if full else value)
            if not full:
                self._children[value] = child
        return child


class Rising:
    """A counter whose total is kept, and saved, elsewhere."""

    def __init__(self, counter: Counter) -> None:
        self._counter = counter
        self._total = 0

    def reach(self, total: int) -> None:
        """Count up to `total`; a smaller total than before is another run's, and counts from there."""
        self._counter.inc(max(0, total - self._total))
        self._total = total


def _counter(name: str, text: str, *labels: str) -> Counter:
    DECLARED.append(Declared(f"{name}_total", "counter", text, labels))
    return Counter(name, text, labels, registry=REGISTRY)


def _gauge(name: str, text: str, *labels: str) -> Gauge:
    DECLARED.append(Declared(name, "gauge", text, labels))
    return Gauge(name, text, labels, registry=REGISTRY)


def _histogram(name: str, text: str, *, buckets: Sequence[float]) -> Histogram:
    DECLARED.append(Declared(name, "histogram", text))
    return Histogram(name, text, registry=REGISTRY, buckets=buckets)


_BUILD = _gauge("socmon_build_info", "Always 1; the labels say which socmon and which Python run.", "version", "python")
_BUILD.labels(__version__, platform.python_version()).set(1)

LOOP_LAG_SECONDS = _histogram(
    "socmon_loop_lag_seconds", "How late the event loop came to a timer.", buckets=_LAG_BUCKETS
)
PIPELINE_LAG = _gauge("socmon_pipeline_lag_frames", "Journal frames that are written and not yet matched.")

COMPONENT_UP = Kept(
    _gauge("socmon_component_up", "1 while a component runs, 0 while it waits or is given up.", "component")
)
COMPONENT_RESTARTS = Kept(
    _counter("socmon_component_restarts", "Restarts of a component after a failure.", "component")
)
_COMPONENT_ERRORS = _counter(
    "socmon_component_errors", "Failures that did not end a component, by reason.", "component", "reason"
)

COLLECTOR_RECORDS = Kept(_counter("socmon_collector_records", "Records taken from a source.", "component"))
COLLECTOR_BYTES = Kept(_counter("socmon_collector_bytes", "Bytes of records taken from a source.", "component"))
_COLLECTOR_DROPPED = _counter(
    "socmon_collector_dropped_records", "Records lost before the journal, by reason.", "component", "reason"
)

RECEIVE_BUFFER = Kept(
    _gauge(
        "socmon_collector_receive_buffer_bytes",
        "Receive buffer of a UDP listener, in the unit of net.core.rmem_max.",
        "component",
    )
)

JOURNAL_RECORDS = _counter("socmon_journal_records", "Records appended to the journal.")
JOURNAL_BYTES = _counter("socmon_journal_bytes", "Bytes of the records appended to the journal.")
JOURNAL_SYNC_SECONDS = _histogram(
    "socmon_journal_sync_seconds", "Time to force the journal to disk.", buckets=_COMMIT_BUCKETS
)
JOURNAL_LAST = _gauge("socmon_journal_last_frame", "Number of the last frame written to the journal.")
JOURNAL_SYNCED = _gauge("socmon_journal_synced_frame", "Number of the last frame that is safe on disk.")

EVENTS_EVALUATED = Kept(
    _counter("socmon_matching_evaluated_records", "Records that every rule has seen, by collector.", "component")
)
EVENTS_UNPARSED = Kept(
    _counter("socmon_matching_unparsed_records", "Records no parser could read, by collector.", "component")
)
MATCHES = Kept(
    _counter(
        "socmon_matching_matches", "Events a rule matched; the first 1,000 rules to match, the rest as _other.", "rule"
    ),
    limit=RULES_COUNTED,
)

UNKNOWN_HOSTS = _gauge(
    "socmon_assets_unknown_hosts", "Different hosts since the start that the inventory does not know, up to 1,000."
)

LATE_MATCHES = Rising(
    _counter("socmon_correlation_late_matches", "Matches too far behind their own source to be correlated.")
)
MISSING_GROUP_FIELD = Rising(
    _counter(
        "socmon_correlation_missing_field_matches",
        "Matches not correlated because a field to group by or to count is missing.",
    )
)
EVICTED_GROUPS = Rising(
    _counter("socmon_correlation_evicted_groups", "Groups given up because max_groups or max_members was reached.")
)
GROUPS = _gauge("socmon_correlation_groups", "Groups that correlations hold.")
MEMBERS = _gauge("socmon_correlation_members", "Events that the groups hold.")

ALERTS_OPENED = Kept(_counter("socmon_alerts_opened", "Alerts opened, by level.", "level"))
ALERTS_REVISED = _counter("socmon_alerts_revised", "Revisions of open alerts: further matches joined.")

STORE_COMMIT_SECONDS = _histogram(
    "socmon_store_commit_seconds", "Time of one transaction of the store.", buckets=_COMMIT_BUCKETS
)
CHECKPOINT = _gauge(
    "socmon_store_checkpoint_frame", "Journal frame of the last checkpoint: a restart reads on from there."
)
STORE_FAILING = _gauge("socmon_store_failing", "1 while the store cannot be written, as on a full disk.")

OUTBOX_PENDING = Kept(
    _gauge("socmon_outbox_pending_alerts", "Alerts that wait for release to a forwarder.", "forwarder")
)
OUTBOX_UNACKNOWLEDGED = Kept(
    _gauge("socmon_outbox_unacknowledged_alerts", "Alerts released and not yet answered for.", "forwarder")
)
OUTBOX_OLDEST_SECONDS = Kept(
    _gauge("socmon_outbox_oldest_age_seconds", "Age of the oldest alert that is not yet answered for.", "forwarder")
)

FORWARDER_ACKNOWLEDGED = Kept(
    _counter("socmon_forwarder_acknowledged_alerts", "Alerts the destination has accepted.", "forwarder")
)
FORWARDER_DUPLICATES = Kept(
    _counter(
        "socmon_forwarder_duplicate_alerts",
        "Alerts the destination had already, in this or a newer revision.",
        "forwarder",
    )
)
FORWARDER_RETRIES = Kept(_counter("socmon_forwarder_retried_alerts", "Alerts to be sent once more.", "forwarder"))
FORWARDER_REJECTED = Kept(
    _counter("socmon_forwarder_rejected_alerts", "Alerts the destination refused; kept as dead letters.", "forwarder")
)
FORWARDER_FAILING = Kept(
    _gauge("socmon_forwarder_failing", "1 from a failed delivery on, until one succeeds or none waits.", "forwarder")
)
CERTIFICATE_EXPIRY = Kept(
    _gauge(
        "socmon_certificate_expiry_seconds",
        "When the first of a component's certificates expires, in seconds since 1970-01-01 UTC.",
        "component",
    )
)


class ComponentCounters:
    """Counters of one component, a `socmon.component.Counters`; `reason` must come from a fixed list."""

    def __init__(self, component: str) -> None:
        self._component = component
        self._records = COLLECTOR_RECORDS[component]
        self._bytes = COLLECTOR_BYTES[component]
        self._drops: dict[str, Counter] = {}
        self._errors: dict[str, Counter] = {}

    def received(self, records: int, size_bytes: int) -> None:
        """Add records and bytes taken from the source."""
        self._records.inc(records)
        self._bytes.inc(size_bytes)

    def dropped(self, records: int, reason: str) -> None:
        """Add records lost before the journal. The ledger is the caller's: this only shows the number."""
        if reason not in self._drops:
            self._drops[reason] = _COLLECTOR_DROPPED.labels(self._component, reason)
        self._drops[reason].inc(records)

    def error(self, reason: str) -> None:
        """Add one failure that did not end the component."""
        if reason not in self._errors:
            self._errors[reason] = _COMPONENT_ERRORS.labels(self._component, reason)
        self._errors[reason].inc()


def matched(evaluated: Mapping[str, int], unparsed: Mapping[str, int], rules: Iterable[str]) -> None:
    """Count one journal batch: records by collector, and the id of a rule for each time it matched."""
    for component, records in evaluated.items():
        EVENTS_EVALUATED[component].inc(records)
    for component, records in unparsed.items():
        EVENTS_UNPARSED[component].inc(records)
    for rule in rules:
        MATCHES[rule].inc()


_ANSWERED: Mapping[str, Kept[Counter]] = {
    "accepted": FORWARDER_ACKNOWLEDGED,
    "duplicate": FORWARDER_DUPLICATES,
    "stale": FORWARDER_DUPLICATES,
    "retry": FORWARDER_RETRIES,
    "rejected": FORWARDER_REJECTED,
}


def answered(forwarder: str, status: str) -> None:
    """Count what a destination said about one alert, a `socmon.component.OutcomeStatus`."""
    _ANSWERED[status][forwarder].inc()


def backlog(forwarder: str, pending: int, unacknowledged: int, oldest_us: int | None) -> None:
    """Show what a forwarder has not delivered yet; `oldest_us` is when the oldest of it came in."""
    OUTBOX_PENDING[forwarder].set(pending)
    OUTBOX_UNACKNOWLEDGED[forwarder].set(unacknowledged)
    OUTBOX_OLDEST_SECONDS[forwarder].set(0 if oldest_us is None else max(0.0, time.time() - oldest_us / 1e6))


def rendered() -> bytes:
    """All metrics in the text format; 25 µs a series, so never on the event loop."""
    return generate_latest(REGISTRY)


_PAGE_HEAD = """\
# Metrics

Served at `/metrics` (section `http` of the configuration). Written by `python -m socmon.metrics`; do not edit.

A `component` is the name of a collector or forwarder in the configuration, a `forwarder` that of a forwarder, a `rule`
the id of a rule, a `reason` one of a fixed list. The usual `process_…` metrics (CPU, memory, open
files) are served too.

| Metric | Type | Labels | Meaning |
|---|---|---|---|
"""


def reference() -> str:
    """The page docs/metrics.md."""
    rows = [
        f"| `{each.name}` | {each.kind} | {' '.join(f'`{label}`' for label in each.labels) or '-'} | {each.help} |"
        for each in DECLARED
    ]
    return _PAGE_HEAD + "".join(f"{row}\n" for row in rows)


if __name__ == "__main__":
    sys.stdout.write(reference())
