"""Streams and correlations at random, small and near each other, so that they meet."""

import os
from collections.abc import Sequence
from math import prod
from typing import Any

from chain_kit import COMPARE, NUMERIC, Seen, Spec, Times
from chain_rules import A, B, C
from hypothesis import strategies as st

OPS = ["gte", *sorted(COMPARE)]
WHO = "who"  # an alias: the user of rule A, the target of rule B
RANGES = [("gt", "lte"), ("gte", "lt"), ("gte", "neq")]
MORE = int(os.environ.get("SOCMON_EXAMPLES", "1"))  # times as many examples
SOURCES = ("a", "b", "c")
# The clock of each is known from the start, so that what none of them can still meet is known too.
START = [Seen(0, 0, frozenset(), (), source=source) for source in SOURCES]
TYPES = ("event_count", "value_count", "temporal", "temporal_ordered", *NUMERIC)
NUMBERS = (1, 2, 3, -1, "2", "0.5", "2.50", "-0.1", ".5", " 2 ", "2e1", "x", "", "1e20", "1e-31")


# What an event is made of, by the digits of one number: hypothesis takes its time for each thing that it draws.
_CHOICES: tuple[tuple[Any, ...], ...] = (
    (frozenset({A}), frozenset({B}), frozenset({A, B}), frozenset({A}), frozenset({C}), frozenset({B, C}), frozenset()),
    ("x", "x", "x", "y", None),
    ("1", "2", "1", "u", None),
    ("1", "2", "x", None),
    (*NUMBERS, None),
    (1, 1, 1, 2),
    ("a", "a", "b", "c"),
)
_MOST = prod(map(len, _CHOICES))


def _event(seq: int, at: int, number: int) -> Seen:
    chosen: list[Any] = []
    for choices in _CHOICES:
        number, digit = divmod(number, len(choices))
        chosen.append(choices[digit])
    rules, ip, user, target, size, repeat, source = chosen
    fields = {"ip": ip, "user": user, "target": target, "size": size}
    return Seen(at, seq, rules, tuple((k, v) for k, v in fields.items() if v is not None), repeat, source)


@st.composite
def logs(draw: st.DrawFn, *, most: int = 18, start: int = 0, first_seq: int = 1) -> list[Seen]:
    """Events of three sources with clocks of their own, in order or not, many of them at one moment."""
    spread = draw(st.sampled_from([8, 40]))
    numbers = draw(st.lists(st.integers(0, _MOST * (spread + 1) - 1), min_size=most // 3, max_size=most))
    times = [start + number // _MOST for number in numbers]
    if draw(st.booleans()):
        times.sort()
    return [
        _event(seq, at, number % _MOST) for seq, (at, number) in enumerate(zip(times, numbers, strict=True), first_seq)
    ]


times = st.builds(
    Times, lateness=st.sampled_from([3, 3, 10, 300]), suppress=st.sampled_from([0, 4, 300]),
    max_alert=st.sampled_from([6, 86400]),
)  # fmt: skip
sizes = st.lists(st.integers(1, 6), max_size=4)


def batches_of(events: Sequence[Seen], cuts: Sequence[int]) -> list[list[Seen]]:
    """The start, then batches of these sizes, then the rest."""
    batches, rest = [START], list(events)
    for size in [*cuts, len(events)]:
        batches.append(rest[:size])
        rest = rest[size:]
    return batches


@st.composite
def comparisons(draw: st.DrawFn, kind: str) -> tuple[tuple[str, str], ...]:
    """One comparison, or a range that some number fulfils."""
    ops = draw(st.sampled_from([*RANGES, *((op,) for op in OPS)]))
    if kind == "value_percentile":
        low, step = draw(st.sampled_from([1, 2, 25, 50])), 30
    else:
        low, step = draw(st.integers(1, 3)), 2
    fraction = draw(st.sampled_from(["", "", ".5"])) if kind in NUMERIC else ""
    return tuple((op, f"{low + step * place}{fraction}") for place, op in enumerate(ops))


@st.composite
def correlation(
    draw: st.DrawFn, name: str, over: tuple[str, ...], grouped: st.SearchStrategy[Any], person: str
) -> Spec:
    """Over these rules and correlations.

    Args:
        grouped: group-by fields.
        person: a field, or the alias WHO, whose values are counted, as `size` where no correlation is among `over`.
    """
    kind = draw(st.sampled_from(TYPES))
    group_by = draw(grouped)
    fields: tuple[str, ...] = ()
    if kind == "value_count":
        fields = draw(st.sampled_from([(person,), (person, "ip")]))
    elif kind in NUMERIC:
        fields = ("size" if set(over) <= {A, B, C} else person,)
    percentile = draw(st.sampled_from([None, "1", "50", "90", "100"])) if kind == "value_percentile" else None
    stated = draw(comparisons(kind))
    if kind == "temporal_ordered" or (kind == "temporal" and draw(st.booleans())):
        stated = ()
    if kind in ("temporal", "temporal_ordered") and len(over) < 2:
        over = (over[0], B if over[0] == A else A)
    if kind == "temporal_ordered" and draw(st.booleans()):
        over = over[::-1]
    # An alias must be used, and name rules of the correlation only.
    known = tuple((rule, field) for rule, field in ((A, "user"), (B, "target")) if rule in over)
    aliases = ((WHO, known),) if known and WHO in (*group_by, *fields) else ()
    span, generate = draw(st.integers(1, 25)), draw(st.booleans())
    return Spec(name, kind, over, group_by, span, stated, fields, percentile, aliases, generate)


persons = st.sampled_from(["user", WHO])


@st.composite
def simple(draw: st.DrawFn, name: str = "top") -> list[Spec]:
    """One correlation over rules."""
    over = tuple(draw(st.lists(st.sampled_from([A, A, B, C]), min_size=1, max_size=3, unique=True)))
    person = draw(persons)
    grouped = st.sampled_from([("ip",), ("ip", person), ("host",), (), (person,)])
    return [draw(correlation(name, over, grouped, person))]


@st.composite
def chain(draw: st.DrawFn, *, depth: int = 2) -> list[Spec]:
    """Correlations over correlations: each level over some of the levels below it, and perhaps over rules."""
    person = draw(persons)
    whole = st.sampled_from([("ip", person), (person, "ip")])
    specs: list[Spec] = []
    for number in range(draw(st.integers(1, 2))):
        over = tuple(draw(st.lists(st.sampled_from([A, B]), min_size=1, max_size=2, unique=True)))
        specs.append(draw(correlation(f"base_{number}", over, whole, person)))
    for level in range(1, depth):
        names = [*(spec.id for spec in specs), A, B]
        over = tuple(dict.fromkeys([specs[-1].id, *draw(st.lists(st.sampled_from(names), max_size=2))]))
        is_top = level == depth - 1
        grouped = st.sampled_from([("ip",), (person, "ip"), ()]) if is_top else whole
        specs.append(draw(correlation(f"level_{level}", over, grouped, person)))
    return specs
