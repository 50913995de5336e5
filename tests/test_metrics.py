"""Metrics: names, labels, counting, and the reference page."""

import re

from prometheus_client import CollectorRegistry, Counter
from prometheus_client.parser import text_string_to_metric_families

from socmon import metrics
from socmon.component import Counters
from socmon.instruments import REGISTRY, Kept, Rising

LABELS = {"source", "component", "reason", "rule", "level", "status", "forwarder", "version", "python"}
UNITS = (
    "_total",
    "_workers",
    "_bytes",
    "_seconds",
    "_bytes",
    "_ready",
    "_segments",
    "_stored",
    "_loaded",
    "_refused",
    "_frame",
    "_frames",
    "_info",
    "_up",
    "_groups",
    "_hosts",
    "_members",
    "_alerts",
    "_by_status",  # of alerts
    "_failing",
    "_silent",
    "_paused",
    "_success",
    "_records",
    "_reports",
)


def value(name: str, **labels: str) -> float | None:
    return REGISTRY.get_sample_value(name, labels)


def test_every_exported_metric_is_declared_and_the_reverse() -> None:
    families = text_string_to_metric_families(metrics.rendered().decode())
    exported = {(family.name, family.type) for family in families if not family.name.startswith("process_")}

    declared = {(each.name.removesuffix("_total"), each.kind) for each in metrics.declared()}

    assert exported == declared


def test_names_and_labels_are_of_the_house() -> None:
    for each in metrics.declared():
        assert re.fullmatch(r"socmon_[a-z]+(_[a-z]+)+", each.name)
        assert each.name.endswith(UNITS)
        assert (each.kind == "counter") == each.name.endswith("_total")
        assert set(each.labels) <= LABELS
        assert each.help.endswith(".")


def test_no_series_say_when_a_counter_was_made() -> None:
    metrics.MATCHES["some-rule"].inc()

    text = metrics.rendered().decode()

    assert 'socmon_matching_matches_total{rule="some-rule"} 1.0' in text
    assert "_created" not in text
    assert "process_open_fds" in text


def test_counters_of_a_component_count_under_its_name() -> None:
    counters: Counters = metrics.ComponentCounters("loft")

    counters.received(3, 120)
    counters.received(2, 80)
    counters.dropped(4, "too_long")
    counters.dropped(1, "too_long")
    counters.error("truncated")

    assert value("socmon_collector_records_total", component="loft") == 5
    assert value("socmon_collector_bytes_total", component="loft") == 200
    assert value("socmon_collector_dropped_records_total", component="loft", reason="too_long") == 5
    assert value("socmon_component_errors_total", component="loft", reason="truncated") == 1


def test_what_is_configured_is_counted_from_nought() -> None:
    metrics.expect_collector("attic")
    metrics.expect_forwarder("beyond")

    for name in ("collector_records", "collector_bytes", "matching_evaluated_records", "matching_unparsed_records"):
        assert value(f"socmon_{name}_total", component="attic") == 0
    for name in ("acknowledged", "duplicate", "retried", "rejected"):
        assert value(f"socmon_forwarder_{name}_alerts_total", forwarder="beyond") == 0
    assert value("socmon_collector_lag_seconds_count", component="attic") == 0
    assert value("socmon_alert_delivery_delay_seconds_count", forwarder="beyond") == 0


def test_a_component_that_collects_nothing_is_no_collector() -> None:
    metrics.ComponentCounters("sender").error("render")

    assert value("socmon_component_errors_total", component="sender", reason="render") == 1
    assert value("socmon_collector_records_total", component="sender") is None


def test_a_clock_that_was_set_back_counts_as_no_delay() -> None:
    before = value("socmon_alert_store_delay_seconds_sum") or 0

    metrics.stored([(1 << 60)])
    metrics.accepted("tomorrow", [(1 << 60)])
    metrics.applied(3, 0.1, {"early": -5.0})

    assert value("socmon_alert_store_delay_seconds_sum") == before
    assert value("socmon_alert_delivery_delay_seconds_sum", forwarder="tomorrow") == 0
    assert value("socmon_collector_lag_seconds_sum", component="early") == 0


def test_values_beyond_the_limit_share_one_series() -> None:
    registry = CollectorRegistry()
    kept = Kept(Counter("hits", "x", ["rule"], registry=registry), limit=2)

    for rule in ("a", "b", "c", "d", "a"):
        kept[rule].inc()

    counts = {rule: registry.get_sample_value("hits_total", {"rule": rule}) for rule in ("a", "b", "c", "d", "_other")}
    assert counts == {"a": 2, "b": 1, "c": None, "d": None, "_other": 2}


def test_total_kept_elsewhere_is_counted_up_to() -> None:
    registry = CollectorRegistry()
    rising = Rising(Counter("late", "x", registry=registry))

    seen = []
    for total in (5, 5, 7, 0, 2):
        rising.reach(total)
        seen.append(registry.get_sample_value("late_total"))

    assert seen == [5, 5, 7, 7, 9]


def test_batch_is_counted_by_collector_and_rule() -> None:
    metrics.matched({"coop": 8}, {"coop": 2, "shed": 1}, ["r1", "r2", "r1"])

    assert value("socmon_matching_evaluated_records_total", component="coop") == 8
    assert value("socmon_matching_unparsed_records_total", component="coop") == 2
    assert value("socmon_matching_unparsed_records_total", component="shed") == 1
    assert value("socmon_matching_matches_total", rule="r1") == 2


def test_answers_of_a_destination_are_counted_by_what_they_mean() -> None:
    for status in ("accepted", "accepted", "duplicate", "stale", "retry", "rejected"):
        metrics.answered("far", status)

    assert value("socmon_forwarder_acknowledged_alerts_total", forwarder="far") == 2
    assert value("socmon_forwarder_duplicate_alerts_total", forwarder="far") == 2
    assert value("socmon_forwarder_retried_alerts_total", forwarder="far") == 1
    assert value("socmon_forwarder_rejected_alerts_total", forwarder="far") == 1


def test_backlog_without_rows_has_no_age() -> None:
    metrics.backlog("near", 3, 2, oldest_us=0)
    assert (value("socmon_outbox_oldest_age_seconds", forwarder="near") or 0) > 1e9

    metrics.backlog("near", 0, 0, oldest_us=None)
    assert value("socmon_outbox_oldest_age_seconds", forwarder="near") == 0
    assert value("socmon_outbox_pending_alerts", forwarder="near") == 0
