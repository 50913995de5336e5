"""What cuts a run, ends its memory or bounds it: a snapshot, forgetting, and limits; for correlations of every type."""

from collections import Counter
from collections.abc import Sequence
from functools import partial

import pytest
from chain_kit import Reference, Seen, Spec, Times
from chain_rules import SINGLE, feed, limits_of, rules_of, shown, told
from chain_strategies import MORE, START, batches_of, chain, logs, simple, sizes, times
from correlation_kit import INCARNATION, START_US
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from socmon.event import SECOND_US, Alert
from socmon.sigma import Rule
from socmon.sigma.correlator import Correlator
from socmon.sigma.joining import Limits

pytestmark = pytest.mark.timeout(120 * MORE)
SKEW = 100  # seconds that the slowest source holds back what is forgotten
APART = 1000  # seconds between two parts of a stream
BOUNDS = ((3, 100_000), (1000, 100), (5, 200), (1, 100_000), (1000, 5), (2, 1))  # max_groups, max_members

specs_of = st.one_of(simple(), chain(depth=2), chain(depth=3))


def loaded(specs: Sequence[Spec]) -> list[Rule]:
    rules = rules_of((*SINGLE, *specs))
    assume(not rules.errors)  # which refusals are right: test_chains_equal_reference.py
    return rules.rules


class Run:
    """A run over a journal, whose correlator may be replaced by one that begins with the stored rows."""

    def __init__(self, rules: list[Rule], limits: Limits) -> None:
        self._made = partial(Correlator, rules, INCARNATION, limits)
        self.correlator = self._made()
        self.rows: dict[bytes, bytes] = {}
        self.handed: list[list[tuple[Alert, list[int]]]] = []

    def batch(self, number: int, events: Sequence[Seen]) -> None:
        if number % 3 == 2:
            self.correlator.tick(START_US + (number * 7 + SKEW) * SECOND_US)
        feed(self.correlator, events)
        self.handed.append(sorted(self.correlator.take_alerts(), key=lambda one: one[0].id))

    def store(self) -> None:
        for key, row in self.correlator.take_snapshot().items():
            self.rows.pop(key, None)
            self.rows |= {} if row is None else {key: row}

    def restart(self) -> None:
        self.store()
        self.correlator = self._made()
        self.correlator.restore(self.rows.items())


@settings(max_examples=60 * MORE, deadline=None)
@given(logs(most=24), specs_of, times, sizes, st.data())
def test_a_run_cut_at_any_batch_and_restored_hands_out_the_same_from_there(
    events: list[Seen], specs: list[Spec], kept: Times, cuts: list[int], data: st.DataObject
) -> None:
    rules = loaded(specs)
    max_groups, max_members = data.draw(st.sampled_from([(5, 800), *BOUNDS]))
    limits = limits_of(
        max_groups=max_groups, max_members=max_members, keep_events=2,
        lateness=kept.lateness, suppress=kept.suppress, max_alert=kept.max_alert, max_skew=SKEW,
    )  # fmt: skip
    batches = batches_of(events, cuts)
    restarts = data.draw(st.sets(st.integers(0, len(batches))))
    whole, cut = Run(rules, limits), Run(rules, limits)

    for number, batch in enumerate(batches):
        if number in restarts:
            cut.restart()
        whole.batch(number, batch)
        cut.batch(number, batch)
    whole.store()
    cut.store()

    assert cut.handed == whole.handed  # alerts as they then are, and their evidence
    assert cut.correlator.tally == whole.correlator.tally
    assert cut.correlator.size == whole.correlator.size
    assert cut.rows == whole.rows


@settings(max_examples=40 * MORE, deadline=None)
@given(logs(most=10), logs(most=10, start=APART, first_seq=11), specs_of, times, sizes)
def test_what_is_forgotten_would_have_met_nothing(
    before: list[Seen], after: list[Seen], specs: list[Spec], kept: Times, cuts: list[int]
) -> None:
    rules = loaded(specs)
    limits = limits_of(
        keep_events=None,
        lateness=kept.lateness, suppress=kept.suppress, max_alert=kept.max_alert, max_skew=SKEW,
    )  # fmt: skip
    correlator, reference = Correlator(rules, INCARNATION, limits), Reference((*SINGLE, *specs), kept)

    for batch in batches_of(before, cuts):
        feed(correlator, batch)
    correlator.tick(START_US + (APART + SKEW) * SECOND_US)  # nothing from before APART comes any more
    for batch in batches_of(after, cuts)[1:]:
        feed(correlator, batch)
    alerts = told(correlator.take_alerts())
    correlator.tick(START_US + 10 * APART * SECOND_US)

    for event in START + before + after:
        reference.see(event)
    assert alerts == shown(reference.alerts())
    assert correlator.size == (0, 0)


def test_alerts_are_exact_within_bounds_or_say_that_they_are_approximate() -> None:
    came: Counter[str] = Counter()

    @settings(max_examples=80 * MORE, deadline=None)
    @given(logs(most=24), specs_of, times, st.sampled_from(BOUNDS))
    def check(events: list[Seen], specs: list[Spec], kept: Times, bounds: tuple[int, int]) -> None:
        rules = loaded(specs)
        limits = limits_of(
            max_groups=bounds[0], max_members=bounds[1], keep_events=None,
            lateness=kept.lateness, suppress=kept.suppress, max_alert=kept.max_alert,
        )  # fmt: skip
        correlator, reference = Correlator(rules, INCARNATION, limits), Reference((*SINGLE, *specs), kept)

        for event in START + events:
            feed(correlator, [event])
            reference.see(event)
            assert correlator.size[0] <= bounds[0]
            assert correlator.size[1] <= bounds[1]
            taken = correlator.take_alerts()
            exact = told([one for one in taken if not one[0].approximate])
            wanted = shown(reference.alerts())
            assert [row for key, rows in exact.items() for row in rows if row not in wanted.get(key, [])] == []
            came.update(exact=len(exact), approximate=sum(alert.approximate for alert, _ in taken))
        came.update(evicted=correlator.tally.evicted)

    check()

    assert came["evicted"] > 50
    assert came["approximate"] > 5
    assert came["exact"] > 5
