"""value_count, temporal_ordered and chains: what the correlator finds is what every window made from scratch says."""

from chain_kit import Seen, Spec, expected
from chain_rules import A, B, C, feed, rules_of
from correlation_kit import INCARNATION, START_US
from hypothesis import given, settings
from hypothesis import strategies as st

from socmon.event import SECOND_US, Alert
from socmon.sigma.correlator import Correlator
from socmon.sigma.joining import Limits
from socmon.sigma.rule import COMPARE

OPS = sorted(COMPARE)


@st.composite
def logs(draw: st.DrawFn) -> list[Seen]:
    """Up to 18 events, in order or not, at few moments, so that many are at the same; never late."""
    seen = []
    for seq in range(1, draw(st.integers(1, 18)) + 1):
        fields = {
            "ip": draw(st.sampled_from(["x", "x", "y"])),
            "user": draw(st.sampled_from(["u", "v", "w", None])),
        }
        seen.append(
            Seen(
                at=draw(st.integers(0, 40)),
                seq=seq,
                rules=frozenset(draw(st.sets(st.sampled_from([A, B, C]), min_size=1, max_size=2))),
                fields=tuple((name, value) for name, value in fields.items() if value is not None),
                repeat=draw(st.sampled_from([1, 1, 1, 2])),
            )
        )
    return sorted(seen, key=lambda one: one.at) if draw(st.booleans()) else seen


spans = st.integers(1, 25)


@st.composite
def comparisons(draw: st.DrawFn) -> tuple[tuple[str, int], ...]:
    one = st.tuples(st.sampled_from(["gte", *OPS]), st.integers(1, 4))
    return tuple(draw(st.lists(one, min_size=1, max_size=2)))


@st.composite
def simple(draw: st.DrawFn, name: str, *, grouped: tuple[tuple[str, ...], ...]) -> Spec:
    kind = draw(st.sampled_from(["event_count", "value_count", "temporal_ordered"]))
    group_by = draw(st.sampled_from(grouped))
    if kind == "temporal_ordered":
        over = tuple(draw(st.lists(st.sampled_from([A, B, C]), min_size=2, max_size=3)))
        return Spec(name, kind, over, group_by, draw(spans))
    over = tuple(draw(st.lists(st.sampled_from([A, B, C]), min_size=1, max_size=2, unique=True)))
    fields = ("user",) if kind == "value_count" else ()
    return Spec(name, kind, over, group_by, draw(spans), draw(comparisons()), fields)


@st.composite
def chain(draw: st.DrawFn) -> list[Spec]:
    """One or two bases, and a correlation over them and perhaps over rules."""
    bases = [draw(simple(f"base-{n}", grouped=(("ip", "user"),))) for n in range(draw(st.integers(1, 2)))]
    names = [*(base.id for base in bases), A, B]
    over = draw(st.lists(st.sampled_from(names), min_size=1, max_size=2, unique=True))
    over = list(dict.fromkeys([bases[0].id, *over]))
    group_by = draw(st.sampled_from([("ip",), ("user", "ip"), ()]))
    kind = draw(st.sampled_from(["event_count", "value_count", "temporal_ordered"]))
    if kind == "temporal_ordered":
        order = tuple(draw(st.permutations(over if len(over) > 1 else [*over, *over])))
        return [*bases, Spec("top", kind, order, group_by, draw(spans))]
    fields = ("user",) if kind == "value_count" else ()
    return [*bases, Spec("top", kind, tuple(over), group_by, draw(spans), draw(comparisons()), fields)]


def compare(events: list[Seen], specs: list[Spec]) -> None:
    correlator = Correlator(rules_of(specs), INCARNATION, Limits(keep_events=None))

    for seen in events:
        feed(correlator, [seen])

    found: dict[tuple[str, tuple[str, ...]], set[int]] = {}
    weights = {seen.seq: seen.repeat for seen in events}
    times = {seen.seq: START_US + seen.at * SECOND_US for seen in events}
    for alert, seqs in correlator.take_alerts():
        found.setdefault((alert.rule_id, tuple(alert.group.values())), set()).update(seqs)
        assert alert.count == sum(weights[seq] for seq in seqs)  # each event once
        assert alert.first_us == min(times[seq] for seq in seqs)
        assert alert.last_us == max(times[seq] for seq in seqs)
        assert not alert.approximate
    wanted = {(name, key): seqs for name, one in expected(events, specs).items() for key, seqs in one.alerted.items()}
    assert correlator.tally.late == 0
    assert found == wanted


@settings(max_examples=300, deadline=None)
@given(logs(), simple("top", grouped=(("ip",), ("ip", "user"), ())))
def test_alerts_of_each_type_hold_exactly_the_events_of_every_window_that_fulfils_the_condition(
    events: list[Seen], spec: Spec
) -> None:
    compare(events, [spec])


@settings(max_examples=400, deadline=None)
@given(logs(), chain())
def test_chains_hold_exactly_what_every_window_made_from_scratch_holds(events: list[Seen], specs: list[Spec]) -> None:
    compare(events, specs)


@settings(max_examples=150, deadline=None)
@given(logs(), chain(), st.data())
def test_a_chain_cut_at_any_batch_and_restored_continues_identically(
    events: list[Seen], specs: list[Spec], data: st.DataObject
) -> None:
    limits = Limits(max_groups=5, max_members=800, suppress_us=5 * SECOND_US, keep_events=2)
    rules = rules_of(specs, quiet=data.draw(st.sampled_from([frozenset(), frozenset({"base-0"})])))
    cuts = data.draw(st.sets(st.integers(0, len(events))))

    def run(at: set[int]) -> tuple[dict[str, Alert], dict[bytes, bytes]]:
        correlator = Correlator(rules, INCARNATION, limits)
        alerts: dict[str, Alert] = {}
        rows: dict[bytes, bytes] = {}
        for number in range(len(events) + 1):
            if number in at or number == len(events):
                alerts |= {alert.id: alert for alert, _ in correlator.take_alerts()}
                for row, value in correlator.take_snapshot().items():
                    rows.pop(row, None)
                    rows |= {} if value is None else {row: value}
                if number < len(events):
                    correlator = Correlator(rules, INCARNATION, limits)
                    correlator.restore(rows.items())
            feed(correlator, events[number : number + 1])
        return alerts, rows

    assert run(cuts) == run(set())
