"""Hostile words never break the `packets` collector or a sensor; each event is accounted for."""

from fuzz.fuzz_sensors import one_input
from hypothesis import example, given, settings
from hypothesis import strategies as st

from socmon.capture.told import Told

counts = st.integers(min_value=0, max_value=2**53)
told = st.builds(
    lambda run, following, dropped: Told(sensor="net1", run=run, next=following, events_dropped=dropped).line()[:-1],
    st.sampled_from(["r", "", "another"]),
    st.one_of(st.integers(min_value=0, max_value=5), counts),
    counts,
)
lines = st.one_of(st.binary(max_size=60), st.just(b'{"_path":"conn"}'), told)
positions = st.one_of(
    st.none(), st.binary(max_size=40), st.sampled_from([b'["r",3,1]', b'["r",3]', b'["r",-1,0]', b"[1,1,1]"])
)


@settings(max_examples=300)
@given(position=positions, said=st.lists(lines, max_size=12))
@example(position=b'["r",3,1]', said=[b'{"_path":"socmon_capture","sensor":"net1","run":"r","next":9}', b"{}"])
@example(position=b'["r",9007199254740993,1]', said=[b"9" * 17])
@example(position=None, said=[b'{"_path":"socmon_capture",' + b"[" * 5000])
@example(position=b'["r",' + b"9" * 5000 + b",1]", said=[])
@example(position=None, said=[Told(sensor="net1", run="r", next=2**53).line()[:-1], b'{"_path":"conn"}'])
def test_any_word_is_an_event_or_counted(position: bytes | None, said: list[bytes]) -> None:
    one_input(position, said)
