"""What is seen of sources: a pure function of the batches, bounded, and the same after a restart."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socmon.event import SECOND_US, Event, LogSource, Record, Source
from socmon.seen import (
    MAX_HOST_CHARS,
    PERIOD_US,
    SERVICE,
    Clock,
    Expected,
    Seen,
    Sight,
    Silence,
    Sources,
    silence_fields,
    silence_of,
)

START_US = 1_795_000_000 * SECOND_US // PERIOD_US * PERIOD_US
WEB: Clock = ("syslog", "192.0.2.1", "web-01")


def sight(delay_us: int | None = None, *, records: int = 1, at_us: int = START_US, collector: str = "syslog") -> Sight:
    high_us = None if delay_us is None else at_us - delay_us
    return Sight(Source(collector, "p", "rfc3164"), records, at_us, high_us, delay_us)


def skew(*seen: tuple[int, int | None]) -> int | None:
    """Of the delays, each with the period in which it was measured."""
    sources = Sources()
    for number, (period, delay_us) in enumerate(seen, start=1):
        at_us = START_US + period * PERIOD_US
        sources.take(number, at_us, {WEB: sight(delay_us, at_us=at_us)})
    (row,) = sources.rows
    return row.skew_us


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        ([(0, None)], None),
        ([(0, 5), (0, 3), (0, 9)], 3),
        ([(0, -7), (1, 4)], -7),
        ([(0, -7), (1, 4), (2, 5)], 4),
        ([(0, -7), (2, 5)], 5),
        ([(0, -7), (9, None)], -7),
        ([(0, -7), (1, None), (2, 5)], 5),
    ],
    ids=["none stated", "the least", "the period before counts", "older ones do not", "nor after a gap",
         "the last known stays", "periods without a time are a gap"],
)  # fmt: skip
def test_the_skew_is_the_least_delay_of_the_last_two_periods(
    seen: list[tuple[int, int | None]], expected: int | None
) -> None:
    assert skew(*seen) == expected


def test_of_a_source_everything_is_kept_that_people_ask_for() -> None:
    sources = Sources()
    later_us = START_US + 3 * SECOND_US

    sources.take(4, START_US, {WEB: sight(SECOND_US, records=2)})
    sources.take(6, later_us, {WEB: sight(None, records=3, at_us=later_us)})

    assert [*sources.rows] == [
        Seen(*WEB, "rfc3164", True, 5, START_US, later_us, START_US - SECOND_US, 6, START_US // PERIOD_US, SECOND_US)
    ]


def test_socmons_own_records_are_no_source() -> None:
    sources = Sources()

    sources.take(1, START_US, {("socmon", "test", ""): sight(0)})

    assert not sources.rows


def test_a_host_with_an_endless_name_is_kept_under_its_beginning() -> None:
    sources = Sources()

    sources.take(1, START_US, {("syslog", "p", "x" * 70_000): sight(), ("syslog", "p", "x" * 60_000): sight()})

    assert [(row.host, row.records) for row in sources.rows] == [("x" * MAX_HOST_CHARS, 2)]


def test_of_too_many_sources_the_least_recently_heard_go() -> None:
    sources = Sources(limit=32)

    for number in range(1, 34):
        sources.take(number, START_US, {("syslog", "p", f"h{number}"): sight(), WEB: sight()})
        assert len(sources.rows) <= 32

    hosts = {row.host for row in sources.rows}
    assert "web-01" in hosts
    assert hosts >= {"h33", "h32", "h20"}
    assert not hosts & {"h1", "h2"}
    changed, _ = sources.take_changes()
    assert changed["syslog", "p", "h1"] is None
    assert {clock for clock, row in changed.items() if row} == {row.clock for row in sources.rows}


@pytest.mark.parametrize(
    ("expected", "heard"),
    [
        (Expected("x", "syslog"), True),
        (Expected("x", "syslog", "192.0.2.1"), True),
        (Expected("x", "syslog", host="web-01"), True),
        (Expected("x", "syslog", "192.0.2.1", "web-01"), True),
        (Expected("x", "files"), False),
        (Expected("x", "syslog", "192.0.2.2"), False),
        (Expected("x", "syslog", "192.0.2.1", "web-02"), False),
    ],
    ids=lambda value: (
        "" if isinstance(value, bool) else "/".join(filter(None, (value.collector, value.peer, value.host)))
    ),
)
def test_an_expected_source_is_heard_by_what_its_configuration_names(expected: Expected, heard: bool) -> None:
    sources = Sources([expected])

    sources.take(3, START_US, {WEB: sight()})

    assert ("x" in sources.last) is heard
    assert expected.means(WEB) is heard


def told(silence: Silence) -> Event:
    fields = silence_fields(silence, Expected(silence.name, "syslog"))
    record = Record(b"", Source("socmon", SERVICE, "socmon"), START_US)
    return Event(record, START_US, "stated", "", LogSource("socmon", service=SERVICE), fields)


@given(
    st.builds(
        Silence,
        name=st.text(max_size=40),
        state=st.sampled_from(["silent", "heard", "removed"]),
        since_us=st.integers(0, 4_000_000_000 * SECOND_US),
        silent_s=st.integers(0, 10**10),
        frame=st.integers(0, 2**60),
    )
)
def test_a_silence_comes_back_from_its_record(silence: Silence) -> None:
    assert silence_of(silence_fields(silence, None)) == silence


@given(st.dictionaries(st.sampled_from(["source", "state", "since", "silent_s", "frame"]), st.text()))
def test_a_record_of_another_version_is_no_silence(fields: dict[str, str]) -> None:
    silence_of(fields | {"state": "asleep"})
    assert silence_of(fields | {"state": "asleep"}) is None


@dataclass(frozen=True)
class Step:
    sights: dict[Clock, tuple[int | None, int]]
    silence: Silence | None
    later_us: int


clocks = st.tuples(st.sampled_from(["syslog", "files"]), st.sampled_from(["p", "q"]), st.sampled_from(["", "a", "b"]))
steps = st.lists(
    st.builds(
        Step,
        sights=st.dictionaries(
            clocks, st.tuples(st.none() | st.integers(-PERIOD_US, PERIOD_US), st.integers(1, 3)), max_size=4
        ),
        silence=st.none()
        | st.builds(
            Silence,
            name=st.sampled_from(["x", "y"]),
            state=st.sampled_from(["silent", "heard"]),
            since_us=st.just(START_US),
            silent_s=st.just(4),
            frame=st.integers(1, 9),
        ),
        later_us=st.sampled_from([0, SECOND_US, PERIOD_US, 5 * PERIOD_US]),
    ),
    max_size=12,
)
EXPECTED = [Expected("x", "syslog"), Expected("y", "files", "p", "a")]


def played(run: list[Step], cuts: set[int], limit: int) -> Sources:
    """The state after `run`, saved and restored after each step in `cuts`."""
    sources = Sources(EXPECTED, limit=limit)
    rows: dict[Clock, Seen | None] = {}
    silences: dict[str, Silence | None] = {}
    now_us = START_US
    for number, step in enumerate(run, start=1):
        now_us += step.later_us
        sights = {clock: sight(delay, records=n, at_us=now_us) for clock, (delay, n) in step.sights.items()}
        sources.take(number, now_us, sights, [told(step.silence)] if step.silence else [])
        if number in cuts:
            changed, ended = sources.take_changes()
            rows |= changed
            silences |= ended
            sources = Sources(EXPECTED, limit=limit)
            sources.restore(filter(None, rows.values()), filter(None, silences.values()))
    return sources


@given(steps, st.sets(st.integers(1, 12)), st.sampled_from([4, 100]))
def test_a_run_that_was_cut_equals_one_that_was_not(run: list[Step], cuts: set[int], limit: int) -> None:
    whole, cut = played(run, set(), limit), played(run, cuts, limit)

    assert {row.clock: row for row in cut.rows} == {row.clock: row for row in whole.rows}
    assert cut.silences == whole.silences
    if limit == 100:
        assert {name: row.frame for name, row in cut.last.items()} == {n: row.frame for n, row in whole.last.items()}


@given(steps)
def test_every_record_of_every_step_is_counted_once(run: list[Step]) -> None:
    sources = played(run, set(), 100)

    assert sum(row.records for row in sources.rows) == sum(n for step in run for _, n in step.sights.values())
