"""The fuzz target of what is masked and removed over random bytes, and the words that it looks for."""

import pytest
from fuzz.fuzz_masking import one_input
from hypothesis import given, settings
from hypothesis import strategies as st

WORDS = [
    *(
        b" ",
        b'"',
        b"'",
        b"\\",
        b"=",
        b":",
        b",",
        b";",
        b"&",
        b"|",
        b"/",
        b"%",
        b"\xff",
        b"\n",
        b"@",
        b"-p",
        b"0",
        b"84",
    ),
    *(
        b"password=",
        b"--token ",
        b"Authorization: Bearer ",
        b"mysql ",
        b"curl -u ",
        b"net user a ",
        b"https://a:",
        b"eyJ",
    ),
    *(
        b"%2540",
        b"\\u0040",
        b"\\ud835\\udfce",
        b"&#64;",
        b"&commat;",
        b"\\x40",
        b"0912345678",
        b"001099012345",
        b"x.vn",
    ),
    *(
        "\u0301\u200b\uff10\u0660".encode(),
        b"-----BEGIN PRIVATE KEY-----",
        b"CMND ",
        b"4111 1111 1111 1111",
        b"\\u{110000}",
    ),
]


@pytest.mark.parametrize(
    "seed", [b"", b"%", b"\\u", b"&#x110000;", b"\\U00110000", b"\\ud800@", b"@" * 99, b"\xff" * 9]
)
def test_seed_raises_no_bug(seed: bytes) -> None:
    one_input(seed)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300) | st.lists(st.sampled_from(WORDS), max_size=30).map(b"".join))
def test_random_bytes_and_words_that_are_looked_for_raise_no_bug(data: bytes) -> None:
    one_input(data)
