"""Every metric of socmon, declared once: name, what it says, labels (Prometheus text format 0.0.4).

Labels are bounded: values come from the configuration, from fixed lists, or are capped.
"""

import platform
import time
from collections.abc import Iterable, Mapping

from prometheus_client import Counter, generate_latest

from socmon import __version__, damages, withheld
from socmon.buckets import COMMIT_BUCKETS, DELAY_BUCKETS, LAG_BUCKETS, TRIAGE_BUCKETS
from socmon.instruments import DECLARED, REGISTRY, Declared, Kept, Rising, counter, gauge, histogram

RULES_COUNTED = 1_000

_BUILD = gauge("socmon_build_info", "Always 1; the labels say which socmon and which Python run.", "version", "python")
_BUILD.labels(__version__, platform.python_version()).set(1)
READY = gauge("socmon_daemon_ready", "1 while records are taken in, matched and stored, as /readyz says at the scrape.")
CONFIG_RELOAD_SUCCESS = gauge(
    "socmon_config_reload_success", "1 when the configuration that was read last is in force, 0 when it is wrong."
)
CONFIG_RELOADED = gauge(
    "socmon_config_reload_success_timestamp_seconds", "When the configuration in force was read, in Unix time."
)

LOOP_LAG_SECONDS = histogram("socmon_loop_lag_seconds", "How late the event loop came to a timer.", buckets=LAG_BUCKETS)
PIPELINE_LAG = gauge("socmon_pipeline_lag_frames", "Journal frames that are written and not yet matched.")
BATCH_SECONDS = histogram(
    "socmon_matching_batch_seconds",
    "Time to parse, match and correlate one frame of the journal.",
    buckets=LAG_BUCKETS,
)
MATCHED_FRAME = gauge("socmon_matching_last_frame", "Number of the last journal frame that was matched.")

COMPONENT_UP = Kept(
    gauge("socmon_component_up", "1 while a component runs, 0 while it waits or is given up.", "component")
)
COMPONENT_RESTARTS = Kept(counter("socmon_component_restarts", "Restarts of a component after a failure.", "component"))
_COMPONENT_ERRORS = counter(
    "socmon_component_errors", "Failures that did not end a component, by reason.", "component", "reason"
)

COLLECTOR_RECORDS = Kept(counter("socmon_collector_records", "Records taken from a source.", "component"))
COLLECTOR_BYTES = Kept(counter("socmon_collector_bytes", "Bytes of records taken from a source.", "component"))
COLLECTOR_LAG_SECONDS = Kept(
    histogram(
        "socmon_collector_lag_seconds",
        "From the receipt of a record until it was matched: of each frame, the longest of each collector.",
        "component",
        buckets=DELAY_BUCKETS,
    )
)
_COLLECTOR_DROPPED = counter(
    "socmon_collector_dropped_records", "Records lost before the journal, by reason.", "component", "reason"
)

INTAKE_HELD = gauge("socmon_intake_held_records", "Records within quota that wait for the journal.")
INTAKE_CAPACITY = gauge("socmon_intake_capacity_records", "Records within quota that may wait for the journal.")
INTAKE_OVER_QUOTA = gauge(
    "socmon_intake_over_quota_records", "Records over the quota of their source, held back until detection catches up."
)

RECEIVE_BUFFER = Kept(
    gauge(
        "socmon_collector_receive_buffer_bytes",
        "Receive buffer of a UDP listener, in the unit of net.core.rmem_max.",
        "component",
    )
)

_CAPTURED: Mapping[str, Kept[Counter]] = {
    "kernel_packets": Kept(
        counter(
            "socmon_capture_kernel_packets",
            "Packets that the kernel had for the sensors of a collector: read, dropped, or still on their way.",
            "component",
        )
    ),
    "packets": Kept(
        counter("socmon_capture_read_packets", "Packets that the sensors of a collector read.", "component")
    ),
    "kernel_dropped": Kept(
        counter(
            "socmon_capture_dropped_packets", "Packets that the kernel dropped before a sensor read them.", "component"
        )
    ),
    "bad": Kept(counter("socmon_capture_bad_packets", "Packets that a sensor could not decode.", "component")),
    "evicted": Kept(
        counter(
            "socmon_capture_evicted_flows", "Flows that a sensor closed early, to have room for others.", "component"
        )
    ),
}

JOURNAL_RECORDS = counter("socmon_journal_records", "Records appended to the journal.")
JOURNAL_BYTES = counter("socmon_journal_bytes", "Bytes of the records appended to the journal.")
JOURNAL_SYNC_SECONDS = histogram(
    "socmon_journal_sync_seconds", "Time to force the journal to disk.", buckets=COMMIT_BUCKETS
)
JOURNAL_LAST = gauge("socmon_journal_last_frame", "Number of the last frame written to the journal.")
JOURNAL_SYNCED = gauge("socmon_journal_synced_frame", "Number of the last frame that is safe on disk.")
JOURNAL_DAMAGED = counter("socmon_journal_damaged_records", "Records lost to damage in the middle of the journal.")
JOURNAL_SIZE = gauge("socmon_journal_size_bytes", "Disk space that the journal takes.")
JOURNAL_SEGMENTS = gauge("socmon_journal_segments", "Files of the journal.")

EVENTS_EVALUATED = Kept(
    counter("socmon_matching_evaluated_records", "Records that every rule has seen, by collector.", "component")
)
EVENTS_UNPARSED = Kept(
    counter("socmon_matching_unparsed_records", "Records no parser could read, by collector.", "component")
)
RECORDS_SET_ASIDE = counter(
    "socmon_matching_set_aside_records", "Records that matching hung or ended on; they are counted as unparsed, too."
)
WORKERS_WANTED = gauge("socmon_matching_wanted_workers", "Processes that match, as detection.workers asks for.")
WORKERS_RUNNING = gauge("socmon_matching_running_workers", "Processes that match, those that still start included.")
WORKERS_REPLACED = Kept(
    counter("socmon_workers_replaced", "Processes that matched and were replaced: they died, or hung.", "reason")
)
CHUNKS_REDONE = counter(
    "socmon_workers_redone_frames", "Journal frames given to another process, as the first one died or hung."
)
for _reason in ("died", "hung"):
    WORKERS_REPLACED[_reason].inc(0)
MATCHES = Kept(
    counter(
        "socmon_matching_matches", "Events a rule matched; the first 1,000 rules to match, the rest as _other.", "rule"
    ),
    limit=RULES_COUNTED,
)

SOURCE_LAST_EVENT = Kept(
    gauge(
        "socmon_source_last_event_timestamp_seconds",
        "When the last record of an expected source was received, in seconds since 1970-01-01 UTC.",
        "source",
    )
)
SOURCE_INTERVAL_SECONDS = Kept(
    gauge("socmon_source_expected_interval_seconds", "Silence after which an expected source is missed.", "source")
)
SOURCE_SKEW_SECONDS = Kept(
    gauge(
        "socmon_source_clock_skew_seconds",
        "How far the clock of an expected source is behind ours (or its records late), negative where it is ahead; of "
        "the host heard last.",
        "source",
    )
)
REPORT_DEADLINES = Kept(
    gauge("socmon_due_reports", "Reports that are not made whose deadline is near, or has fallen.", "status")
)
SOURCE_SILENT = Kept(gauge("socmon_source_silent", "1 while an expected source is silent.", "source"))

RULES_LOADED = gauge("socmon_rules_loaded", "Rules that run, correlations included.")
RULES_REFUSED = gauge("socmon_rules_refused", "Problems for which rules were refused; the log names each.")

UNKNOWN_HOSTS = gauge(
    "socmon_assets_unknown_hosts", "Different hosts since the start that the inventory does not know, up to 1,000."
)

LATE_MATCHES = Rising(
    counter("socmon_correlation_late_matches", "Matches too far behind their own source to be correlated.")
)
MISSING_GROUP_FIELD = Rising(
    counter(
        "socmon_correlation_missing_field_matches",
        "Matches not correlated because a field to group by or to count is missing.",
    )
)
NOT_NUMERIC = Rising(
    counter(
        "socmon_correlation_not_numeric_matches",
        "Matches not correlated because a value that is added up or ranked is no number, or one out of range.",
    )
)
EVICTED_GROUPS = Rising(
    counter("socmon_correlation_evicted_groups", "Groups given up because max_groups or max_members was reached.")
)
GROUPS = gauge("socmon_correlation_groups", "Groups that correlations hold.")
MEMBERS = gauge("socmon_correlation_members", "Events that the groups hold.")

ALERTS_OPENED = Kept(counter("socmon_alerts_opened", "Alerts opened, by level.", "level"))
ALERTS_REVISED = counter("socmon_alerts_revised", "Revisions of open alerts: further matches joined.")

ALERT_STORE_DELAY = histogram(
    "socmon_alert_store_delay_seconds",
    "From the receipt of the event that opened an alert until the alert was stored; each alert once.",
    buckets=DELAY_BUCKETS,
)
ALERT_DELIVERY_DELAY = Kept(
    histogram(
        "socmon_alert_delivery_delay_seconds",
        "From the receipt of the event that opened an alert until the destination first accepted it; each alert once.",
        "forwarder",
        buckets=DELAY_BUCKETS,
    )
)
_ALERTS = gauge("socmon_alerts_stored", "Alerts in the store now, by level and status.", "level", "status")
ALERT_ACKNOWLEDGE_SECONDS = Kept(
    histogram(
        "socmon_alert_acknowledge_seconds",
        "From an alert's opening to its first acknowledgement, by level.",
        "level",
        buckets=TRIAGE_BUCKETS,
    )
)
ALERT_CLOSE_SECONDS = Kept(
    histogram(
        "socmon_alert_close_seconds",
        "From an alert's opening to its first closing, by level.",
        "level",
        buckets=TRIAGE_BUCKETS,
    )
)

STORE_COMMIT_SECONDS = histogram(
    "socmon_store_commit_seconds", "Time of one transaction of the store.", buckets=COMMIT_BUCKETS
)
CHECKPOINT = gauge(
    "socmon_store_checkpoint_frame", "Journal frame of the last checkpoint: a restart reads on from there."
)
STORE_FAILING = gauge("socmon_store_failing", "1 while the store cannot be written, as on a full disk.")
STORE_WAITING = gauge(
    "socmon_store_waiting_alerts", "Alerts that wait in memory to be stored; at 10,000 senders are made to wait."
)
STORE_SIZE = gauge("socmon_store_size_bytes", "Disk space that the store takes.")
STATE_FREE = gauge("socmon_state_free_bytes", "Free space on the disk of state_dir, for a user that is not root.")
STATE_DISK = gauge("socmon_state_disk_bytes", "Size of the disk of state_dir.")

OUTBOX_PENDING = Kept(gauge("socmon_outbox_pending_alerts", "Alerts waiting for release to a forwarder.", "forwarder"))
OUTBOX_HELD = Kept(gauge("socmon_outbox_held_alerts", "Alerts not for a forwarder, as TLP:RED.", "forwarder"))
OUTBOX_UNACKNOWLEDGED = Kept(
    gauge("socmon_outbox_unacknowledged_alerts", "Alerts released and not yet answered for.", "forwarder")
)
OUTBOX_OLDEST_SECONDS = Kept(
    gauge("socmon_outbox_oldest_age_seconds", "Age of the oldest alert that is not yet answered for.", "forwarder")
)

FORWARDER_ACKNOWLEDGED = Kept(
    counter("socmon_forwarder_acknowledged_alerts", "Alerts the destination has accepted.", "forwarder")
)
FORWARDER_DUPLICATES = Kept(
    counter(
        "socmon_forwarder_duplicate_alerts",
        "Alerts the destination had already, in this or a newer revision.",
        "forwarder",
    )
)
FORWARDER_RETRIES = Kept(counter("socmon_forwarder_retried_alerts", "Alerts to be sent once more.", "forwarder"))
FORWARDER_REJECTED = Kept(
    counter("socmon_forwarder_rejected_alerts", "Alerts the destination refused; kept as dead letters.", "forwarder")
)
FORWARDER_FAILING = Kept(
    gauge("socmon_forwarder_failing", "1 from a failed delivery on, until one succeeds or none waits.", "forwarder")
)
CERTIFICATE_EXPIRY = Kept(
    gauge(
        "socmon_certificate_expiry_timestamp_seconds",
        "When the first of a component's certificates expires, in seconds since 1970-01-01 UTC.",
        "component",
    )
)
outbox_damaged, held_back = damages.count, withheld.show


def dropped(component: str, records: int, reason: str) -> None:
    """Count a collector's records that were lost before the journal; `reason` must come from a fixed list."""
    _COLLECTOR_DROPPED.labels(component, reason).inc(records)


class ComponentCounters:
    """Counters of one component, a `socmon.component.Counters`; `reason` must come from a fixed list."""

    def __init__(self, component: str) -> None:
        self._component = component
        self._errors: dict[str, Counter] = {}

    def received(self, records: int, size_bytes: int) -> None:
        """Add records and bytes taken from the source."""
        COLLECTOR_RECORDS[self._component].inc(records)
        COLLECTOR_BYTES[self._component].inc(size_bytes)

    def dropped(self, records: int, reason: str) -> None:
        """Add records lost before the journal. The ledger is the caller's: this only shows the number."""
        dropped(self._component, records, reason)

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


def captured(component: str, counts: Mapping[str, int]) -> None:
    """Add what the sensors of a collector say they have done since they last said so."""
    for name, count in counts.items():
        _CAPTURED[name][component].inc(count)


def applied(frame: int, busy_s: float, lags_s: Mapping[str, float]) -> None:
    """Show that a journal frame was matched and correlated.

    Args:
        busy_s: time that it took.
        lags_s: by collector, since the receipt of the first of its records.
    """
    MATCHED_FRAME.set(frame)
    BATCH_SECONDS.observe(busy_s)
    for component, lag_s in lags_s.items():
        COLLECTOR_LAG_SECONDS[component].observe(max(0.0, lag_s))


_ANSWERED: Mapping[str, Kept[Counter]] = {
    "accepted": FORWARDER_ACKNOWLEDGED,
    "duplicate": FORWARDER_DUPLICATES,
    "stale": FORWARDER_DUPLICATES,
    **dict.fromkeys(("retry", "held", "replaced"), FORWARDER_RETRIES),
    "rejected": FORWARDER_REJECTED,
}


def answered(forwarder: str, status: str) -> None:
    """Count what a destination said about one alert, a `socmon.outgoing.OutcomeStatus`."""
    _ANSWERED[status][forwarder].inc()


def backlog(forwarder: str, pending: int, unacknowledged: int, oldest_us: int | None, *, held: int = 0) -> None:
    """Show what a forwarder has not delivered yet; `oldest_us` is when the oldest of it came in."""
    OUTBOX_PENDING[forwarder].set(pending)
    OUTBOX_HELD[forwarder].set(held)
    OUTBOX_UNACKNOWLEDGED[forwarder].set(unacknowledged)
    OUTBOX_OLDEST_SECONDS[forwarder].set(0 if oldest_us is None else max(0.0, time.time() - oldest_us / 1e6))


def accepted(forwarder: str, received_us: Iterable[int]) -> None:
    """Count alerts that a destination has now accepted for the first time, by when their opening event came in."""
    now_us = time.time_ns() // 1000
    for moment_us in received_us:
        ALERT_DELIVERY_DELAY[forwarder].observe(max(0, now_us - moment_us) / 1e6)


def stored(received_us: Iterable[int]) -> None:
    """Count alerts that are now stored for the first time, by when their opening event came in."""
    now_us = time.time_ns() // 1000
    for moment_us in received_us:
        ALERT_STORE_DELAY.observe(max(0, now_us - moment_us) / 1e6)


def alerts(counts: Mapping[tuple[str, str], int]) -> None:
    """Show how many alerts are stored, by (level, status); a pair that is left out keeps what it showed."""
    for labels, number in counts.items():
        _ALERTS.labels(*labels).set(number)


def expect_collector(name: str) -> None:
    """Show a collector's counters from the start, at 0: an increase from nothing to 1 is none to Prometheus."""
    for kept in (COLLECTOR_RECORDS, COLLECTOR_BYTES, EVENTS_EVALUATED, EVENTS_UNPARSED):
        kept[name].inc(0)
    COLLECTOR_LAG_SECONDS[name]


def expect_level(level: str) -> None:
    """Show what is counted by level from the start, as `expect_collector` does."""
    ALERTS_OPENED[level].inc(0)
    for kept in (ALERT_ACKNOWLEDGE_SECONDS, ALERT_CLOSE_SECONDS):
        kept[level]


def expect_forwarder(name: str) -> None:
    """Show a forwarder's counters from the start, as `expect_collector` does."""
    for kept in _ANSWERED.values():
        kept[name].inc(0)
    ALERT_DELIVERY_DELAY[name]


def rendered() -> bytes:
    """All metrics in the text format; 25 µs a series, so never on the event loop."""
    return generate_latest(REGISTRY)


def declared() -> list[Declared]:
    """Every metric of ours, in the order of the reference page."""
    return list(DECLARED)
