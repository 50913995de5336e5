"""The two framings of RFC 6587: whatever the pieces, the same messages."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tcp_kit import counted, lines

from collectors._framing import Framing

MAX_BYTES = 300

any_message = st.binary(min_size=1, max_size=40).filter(lambda data: data[-1:] not in (b"\n", b"\0", b"\r"))
line = any_message.filter(lambda data: not set(data) & {0, 10}).map(lambda data: b"<1>" + data)
# What is made of these looks like the edges of frames.
pieces = st.sampled_from(
    [b"\n", b"\r", b"\0", b"\r\n", b" ", b"<", b"<34>", b"0", b"1", b"9", b"12 ", b"7 <34>", b"99999999 ", b"x" * 298]
)


def read(*chunks: bytes, max_bytes: int = MAX_BYTES) -> tuple[list[bytes], Framing]:
    framing = Framing(max_bytes)
    messages = [message for chunk in chunks for message in framing.feed(chunk)]
    return messages, framing


def outcome(*chunks: bytes) -> tuple[list[bytes], object, int, bool]:
    """All that a connection comes to: its messages, the end, cuts, and whether it was lost."""
    messages, framing = read(*chunks)
    return messages, None if framing.lost else framing.finish(), framing.too_long, bool(framing.lost)


def chopped(data: bytes, cuts: list[int]) -> list[bytes]:
    ends = sorted(cut % (len(data) + 1) for cut in cuts)
    return [data[start:end] for start, end in zip([0, *ends], [*ends, len(data)], strict=True)]


cuts = st.lists(st.integers(0, 5000), max_size=8)


@given(messages=st.lists(line), cuts=cuts, end=st.sampled_from([b"\n", b"\r\n", b"\0"]))
def test_lines_in_any_pieces_are_the_messages(messages: list[bytes], cuts: list[int], end: bytes) -> None:
    data = b"".join(message + end for message in messages)

    assert outcome(*chopped(data, cuts)) == (messages, ([], False), 0, False)


@given(messages=st.lists(any_message), cuts=cuts, between=st.sampled_from([b"", b"\n", b"\r\n", b"\0"]))
@example(messages=[b"<"], cuts=[], between=b"")
def test_counted_frames_in_any_pieces_are_the_messages(messages: list[bytes], cuts: list[int], between: bytes) -> None:
    data = b"".join(counted(message) + between for message in messages)

    assert outcome(*chopped(data, cuts)) == (messages, ([], False), 0, False)


@given(messages=st.lists(line, min_size=1), kinds=st.lists(st.booleans(), min_size=1), cuts=cuts)
def test_frames_of_both_kinds_in_one_connection_are_the_messages(
    messages: list[bytes], kinds: list[bool], cuts: list[int]
) -> None:
    data = b"".join(
        (counted if kinds[number % len(kinds)] else lines)(message) for number, message in enumerate(messages)
    )

    assert outcome(*chopped(data, cuts)) == (messages, ([], False), 0, False)


@given(data=st.one_of(st.binary(max_size=700), st.lists(pieces, max_size=30).map(b"".join)), cuts=cuts)
def test_any_bytes_in_any_pieces_come_to_the_same(data: bytes, cuts: list[int]) -> None:
    assert outcome(*chopped(data, cuts)) == outcome(data)
    assert outcome(*[data[at : at + 1] for at in range(len(data))]) == outcome(data)


def test_a_counted_message_keeps_the_line_ends_inside_it() -> None:
    assert read(counted(b"<1>one\ntwo\0three"))[0] == [b"<1>one\ntwo\0three"]


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\0"])
def test_a_line_end_that_is_counted_in_is_no_part_of_the_message(end: bytes) -> None:
    assert read(counted(b"<1>one" + end, b"<1>two" + end))[0] == [b"<1>one", b"<1>two"]


def test_empty_lines_and_frames_are_passed_over() -> None:
    assert read(b"\n\r\n\0<1>one\n\n\r\n\0\0<1>two\r\n\r\n")[0] == [b"<1>one", b"<1>two"]
    assert read(b"\n1 \n4 <1>a2 \r\n4 <1>b")[0] == [b"<1>a", b"<1>b"]


@pytest.mark.parametrize(
    "first", [b"2026-11-22T10:00:00Z web1 app: x", b"0 <1>x", b"12345678 <1>x", b"7", b"- x", b"{}"]
)
def test_what_begins_with_no_count_is_a_line(first: bytes) -> None:
    assert read(lines(first, b"<1>two"))[0] == [first, b"<1>two"]


def test_among_lines_a_number_without_a_priority_behind_it_begins_a_line() -> None:
    text = lines(b"<1>one", b"12 monkeys", b"404 <html>", b"<1>four")

    assert read(text)[0] == text.splitlines()


def test_among_lines_a_count_before_a_priority_takes_its_octets_and_no_more() -> None:
    assert read(b"<1>one\n20 <1>all\n<1>of these.\nthree\n")[0] == [b"<1>one", b"<1>all\n<1>of these.", b"three"]


def test_a_frame_that_cannot_be_told_after_a_counted_one_ends_the_reading() -> None:
    messages, framing = read(b"5 <1>ab" + "đ6 <1>cde".encode(), b"6 <1>cde")

    assert messages == [b"<1>ab"]
    assert framing.lost == "đ6 <1>cde".encode()


def test_a_message_of_exactly_max_bytes_is_whole_and_one_byte_more_is_cut() -> None:
    whole, longer = b"x" * MAX_BYTES, b"x" * (MAX_BYTES + 1)
    for frame in (lines, counted):
        for end in (b"", b"\r"):
            for size in (1, 7, MAX_BYTES, 10_000):
                data = frame(whole + end, longer + end, b"<1>z")
                messages, framing = read(*[data[at : at + size] for at in range(0, len(data), size)])
                assert messages == [whole, whole, b"<1>z"]
                assert framing.too_long == 1


def test_the_rest_of_a_long_message_makes_no_message_of_its_own() -> None:
    forged = b"y" * 5000 + b"<34>Nov 22 10:00:00 web1 sshd[1]: forged"
    for frame in (lines, counted):
        data = frame(forged, b"<1>next")
        assert read(data)[0] == read(data[:900], data[900:])[0] == [b"y" * MAX_BYTES, b"<1>next"]


def test_what_is_held_of_an_endless_message_is_bounded() -> None:
    for beginning in (b"<1>", b"9999999 <1>"):
        framing = Framing(MAX_BYTES)
        framing.feed(beginning)
        for _ in range(100):
            assert framing.feed(b"x" * 50_000) == []
        assert len(framing._held) <= MAX_BYTES + 3


@pytest.mark.parametrize(
    ("data", "end"),
    [
        (b"<1>one\n<1>tw", ([b"<1>tw"], False)),
        (b"<1>one\n<1>tw\r", ([b"<1>tw"], False)),
        (b"12", ([b"12"], False)),
        (b"<1>one\n12 <3", ([b"12 <3"], False)),
        (b"<1>one\n", ([], False)),
        (b"4 <1>a5 <1>b", ([], True)),
        (b"4 <1>a5 ", ([], True)),
        (b"4 <1>a5", ([], True)),
        (b"4 <1>a\r\n", ([], False)),
        (b"4 <1>a<1>line", ([b"<1>line"], False)),
        (b"", ([], False)),
    ],
)
def test_the_end_completes_a_line_and_no_counted_frame(data: bytes, end: tuple[list[bytes], bool]) -> None:
    _, framing = read(data)

    assert framing.finish() == end
    assert framing.finish() == ([], False)
