"""The fuzz target of journal entries over random bytes and pieces of JSON."""

import pytest
from fuzz.fuzz_journald import one_input
from hypothesis import given
from hypothesis import strategies as st

SEEDS = [
    b"",
    b"\xff",
    b"[" * 2000,
    b'{"a":' * 2000,
    b"9" * 5000,
    b"[255,256,-1,1e400]",
    b'"\\ud800"',
    b'[["a",["b"]],null,{}]',
    b'"MESSAGE":[[],[1,2],"x"],"_PID":["7","8"],"PRIORITY":null}',
]
PIECES = st.lists(
    st.sampled_from(
        [b'"MESSAGE":', b'"_PID":', b'"__CURSOR":', b"[", b"]", b"{", b"}", b",", b'"x"', b"255", b"null", b'"\\u0000"']
    )
    | st.binary(max_size=4),
    max_size=20,
).map(b"".join)


@pytest.mark.parametrize("data", SEEDS)
def test_seeds(data: bytes) -> None:
    one_input(data)


@given(st.binary(max_size=200) | PIECES)
def test_anything(data: bytes) -> None:
    one_input(data)
