"""Correlations of every type and chains: what the correlator finds is what every window made from scratch says."""

from collections import Counter

import pytest
from chain_kit import Reference, Seen, Spec, Times
from chain_rules import SINGLE, feed, limits_of, rules_of, shown, told
from chain_strategies import MORE, START, TYPES, batches_of, chain, logs, simple, sizes, times
from correlation_kit import INCARNATION
from hypothesis import given, settings
from hypothesis import strategies as st

from socmon.sigma.correlator import Correlator

pytestmark = pytest.mark.timeout(120 * MORE)
# What is rightly refused, of what is made at random.
REFUSED = ("true or false for every group", "fulfils all of the condition", "must match in order", "temporal")


def compare(events: list[Seen], specs: list[Spec], kept: Times, cuts: list[int]) -> Counter[str]:
    """The engine's alerts and counts are the reference's; what came of it, to be counted."""
    everything = (*SINGLE, *specs)
    rules = rules_of(everything)
    if rules.errors:
        assert any(reason in str(rules.errors[0]) for reason in REFUSED), rules.errors[0]
        return Counter(["refused"])
    limits = limits_of(lateness=kept.lateness, suppress=kept.suppress, max_alert=kept.max_alert, keep_events=None)
    correlator = Correlator(rules.rules, INCARNATION, limits)
    reference = Reference(everything, kept)

    for batch in batches_of(events, cuts):
        feed(correlator, batch)
    for event in START + events:
        reference.see(event)

    taken = correlator.take_alerts()
    assert told(taken) == shown(reference.alerts())
    assert not any(alert.approximate for alert, _ in taken)
    assert correlator.tally.late == reference.late
    assert correlator.tally.missing_field == reference.missing
    top = specs[-1]
    if len(specs) == 1:  # results are counted with the matches, and once each
        assert correlator.tally.not_numeric == reference.not_numbers
    alerts = sum(len(rows) for (name, _), rows in reference.alerts().items() if name == top.id)
    return Counter(
        {f"tried {top.type}": 1, f"alerts {top.type}": alerts > 0, "several": alerts > 1, "late": reference.late > 0}
    )


@pytest.mark.parametrize("made", [simple(), chain(depth=2), chain(depth=4)], ids=["alone", "chain", "deep"])
def test_alerts_of_each_type_are_those_of_every_window_made_from_scratch(made: st.SearchStrategy[list[Spec]]) -> None:
    came: Counter[str] = Counter()

    @settings(max_examples=150 * MORE, deadline=None)
    @given(logs(), made, times, sizes)
    def check(events: list[Seen], specs: list[Spec], kept: Times, cuts: list[int]) -> None:
        came.update(compare(events, specs, kept, cuts))

    check()
    assert came["refused"] < 60 * MORE
    assert came["late"] > 0
    tried, alerted = (sum(came[f"{word} {kind}"] for kind in TYPES) for word in ("tried", "alerts"))
    assert 0.05 * tried < alerted < 0.95 * tried, came
    assert all(came[f"tried {kind}"] for kind in TYPES), came
