"""Hostile messages and damaged positions never break the `kafka` collector."""

from fuzz.fuzz_kafka import one_input, one_start
from hypothesis import example, given, settings
from hypothesis import strategies as st

pieces = st.sampled_from([b"\n", b"\r", b"\0", b"{", b'"a":', b"\xff\xfe", b"x" * 299])
values = st.one_of(st.none(), st.binary(max_size=320), st.lists(pieces, max_size=6).map(b"".join))
positions = st.one_of(st.binary(max_size=24), st.integers(0, 2**64).map(lambda number: b"%d" % number))
streams = st.one_of(st.text(max_size=20), st.from_regex(r"[a-z./_-]{1,5}/[0-9]{1,12}", fullmatch=True))
offsets = st.one_of(st.none(), st.integers(0, 50))


@settings(max_examples=200)
@given(
    sent=st.lists(st.tuples(st.integers(0, 5), values), max_size=12),
    position=positions,
    stream=streams,
)
@example(sent=[(0, None), (2**62, b"\n\0")], position=b"9223372036854775808", stream="a/b/1")
@example(sent=[], position="٣".encode(), stream="logs/٣")
@example(sent=[], position=b" 1", stream="logs/1\n")
def test_any_message_is_a_record_or_counted_and_any_position_read_or_refused(
    sent: list[tuple[int, bytes | None]], position: bytes, stream: str
) -> None:
    one_input(sent, position, stream)


@given(journalled=offsets, committed=offsets, first=st.integers(0, 50), more=st.integers(0, 50))
def test_reading_goes_on_where_nothing_is_lost_or_doubled_unsaid(
    journalled: int | None, committed: int | None, first: int, more: int
) -> None:
    one_start(journalled, committed, first, more)
