"""Hostile bytes in a log file never break the `file` collector, nor forge or hide a line."""

from fuzz.fuzz_file_lines import one_input
from hypothesis import example, given, settings
from hypothesis import strategies as st

pieces = st.sampled_from([b"\n", b"\r", b"\r\n", b"\x00", b"\xff", b"line", b"x" * 299, b"y" * 302])


@settings(max_examples=200, deadline=None)
@given(data=st.one_of(st.binary(max_size=2000), st.lists(pieces, max_size=40).map(b"".join)))
@example(data=b"")
@example(data=b"\n\n\n")
@example(data=b"\r\n\r\r\n")
@example(data=b"\x00" * 600_000 + b"\nnext\n")
@example(data=b"a\n" * 200_000)
@example(data=b"x" * 262_143 + b"\n" + b"y" * 262_144 + b"\n" + b"z" * 262_145 + b"\nend\n")
def test_any_bytes_are_lines(data: bytes) -> None:
    one_input(data)
