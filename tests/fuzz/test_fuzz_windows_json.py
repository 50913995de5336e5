"""The fuzz target of Windows events over random bytes and pieces of JSON."""

import pytest
from fuzz.fuzz_windows_json import one_input
from hypothesis import given
from hypothesis import strategies as st

SEEDS = [
    b"",
    b"\xff",
    b"[" * 2000,
    b'{"a":' * 2000,
    b'"a":' + b"9" * 5000 + b"}",
    b'"EventID":"4688","Channel":["Security"]}',
    b'"Hashes":"MD5=' + b"a" * 32 + b',,,=,","IpAddress":"::ffff:1.2.3.4%eth0"}',
    b'{"winlog":{"event_id":1,"channel":"System","event_data":{"winlog":{"event_data":{}}},"user_data":[]}}',
    b'{"Event":{"System":{"EventID":{"#text":{"#text":1},"#attributes":{}},"Channel":"x"},"UserData":{"a":{"#text":1}}}}',
    b'"TimeCreated":1e308,"UtcTime":"9999-12-31 23:59:59","@timestamp":-1}',
]
PIECES = st.lists(
    st.sampled_from(
        [
            *(
                b'"EventID":',
                b'"Channel":',
                b'"Event":{',
                b'"System":{',
                b'"EventData":{',
                b'"winlog":{',
                b'"UserData":{',
            ),
            *(b'"#text":', b'"#attributes":{', b'"Provider":{', b'"TimeCreated":', b'"Hashes":', b'"IpAddress":'),
            *(b"{", b"}", b"[", b"]", b",", b"4688", b'"4688"', b'"Security"', b"null", b"true", b'"-"', b'"\\ud800"'),
        ]
    )
    | st.binary(max_size=4),
    max_size=24,
).map(b"".join)


@pytest.mark.parametrize("data", SEEDS)
def test_seeds(data: bytes) -> None:
    one_input(data)


@given(st.binary(max_size=200) | PIECES)
def test_anything(data: bytes) -> None:
    one_input(data)
