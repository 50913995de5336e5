"""A correlator's snapshot: a cut run continues identically, and what is written grows with touched groups only."""

from correlation_kit import START_US, burst_rules, event, feed, made
from hypothesis import given, settings
from hypothesis import strategies as st

from socmon.event import SECOND_US, Alert, Event
from socmon.sigma.correlator import Correlator
from socmon.sigma.joining import Limits


class Stored:
    """What the store keeps: the rows of all snapshots so far."""

    def __init__(self) -> None:
        self.rows: dict[bytes, bytes] = {}
        self.alerts: dict[str, Alert] = {}

    def checkpoint(self, correlator: Correlator) -> None:
        self.alerts |= {alert.id: alert for alert, _ in correlator.take_alerts()}
        for key, value in correlator.take_snapshot().items():
            if value is None:
                self.rows.pop(key, None)
            else:
                self.rows[key] = value


batches = st.lists(
    st.lists(
        st.tuples(
            st.integers(-200, 400), st.sampled_from(["10.0.0.1", "10.0.0.2", "10.0.0.3"]), st.sampled_from(["a", "b"])
        ),
        max_size=5,
    ),
    max_size=12,
)


@settings(max_examples=200, deadline=None)
@given(batches, st.data())
def test_a_run_cut_at_any_batch_and_restored_continues_identically(
    journal: list[list[tuple[int, str, str]]], data: st.DataObject
) -> None:
    limits = Limits(max_groups=2, max_members=500, suppress_us=30 * SECOND_US, keep_events=2)
    rules = burst_rules(value=2, timespan_s=90)
    seq = 0
    frames: list[list[Event]] = []
    for number, rows in enumerate(journal):
        frames.append([])
        for at_s, ip, peer in rows:
            seq += 1
            skew_s = 4000 if peer == "b" else 0
            frames[-1].append(event(seq, number * 100 + at_s - skew_s, ip=ip, peer=peer))
    cuts = data.draw(st.sets(st.integers(0, len(frames))))

    uncut, cut = made(rules, limits), made(rules, limits)
    stored_uncut, stored_cut = Stored(), Stored()
    for number, frame in enumerate(frames):
        if number in cuts:
            stored_cut.checkpoint(cut)
            cut = made(rules, limits)
            cut.restore(stored_cut.rows.items())
        if number % 3 == 2:
            uncut.tick(START_US + number * 10**9)
            cut.tick(START_US + number * 10**9)
        feed(uncut, frame)
        feed(cut, frame)
    stored_uncut.checkpoint(uncut)
    stored_cut.checkpoint(cut)

    assert stored_cut.alerts == stored_uncut.alerts
    assert stored_cut.rows == stored_uncut.rows


def test_a_snapshot_grows_with_touched_groups_not_with_all() -> None:
    correlator = made(burst_rules())
    feed(correlator, [event(n, 0, ip=f"10.0.{n // 250}.{n % 250}") for n in range(1, 1001)])
    assert len(correlator.take_snapshot()) > 1000

    feed(correlator, [event(1001, 1, ip="10.0.0.1")])

    assert len(correlator.take_snapshot()) == 3  # the group, its source's clock, the counters


def test_a_changed_rule_starts_empty_and_its_old_rows_go() -> None:
    before, after = made(burst_rules()), made(burst_rules(rule_hash="changed"))
    feed(before, [event(n, n) for n in range(1, 5)])
    stored = Stored()
    stored.checkpoint(before)

    after.restore(stored.rows.items())
    feed(after, [event(5, 5)])
    stored.checkpoint(after)

    assert stored.alerts == {}
    assert after.size == (1, 1)
    assert sum(b"group" in key for key in stored.rows) == 1
