"""The fuzz target of the programs' readers over random bytes and the words of their messages."""

import pytest
from fuzz.fuzz_programs import one_input
from hypothesis import given, settings
from hypothesis import strategies as st

SEEDS = [
    b"",
    b"\xff\xfe\x00",
    b"IN= OUT= SRC=\xff DST=1.1.1.1 SPT=99999999999999999999 DPT=\xd9\xa3 PROTO= ",
    b"[99999999999999.1] IN=\x00 OUT= SRC=::1",
    b'[a b="\\"][a b="c"]',
    b'[a@1 b="' + b"\\]" * 5000 + b'"]',
    b"pam_unix(a:b): 999999 more authentication failures; ruser= rhost=",
    b"a.service: Main process exited, code=exited, status=99999/X",
    "new user: name=٣, UID=٣, GID=٣, home=, shell=".encode(),
    b"NOQUEUE: reject: RCPT from [1.1.1.1]: ",
    b"a,1.1.1.1)<b>: Info: sql: ",
]
WORDS = [
    b"pam_unix(a:auth): ",
    b"authentication failure;",
    b" ruser=",
    b" rhost=",
    b" user=",
    b"1.1.1.1",
    b"::1",
    b"IN=",
    b" OUT= ",
    b"SRC=",
    b" PROTO=TCP",
    b"NOQUEUE: ",
    b"reject: ",
    b"RCPT from ",
    b"a[1.1.1.1]",
    b": ",
    b"warning: ",
    b"SASL LOGIN ",
    b"authentication failed",
    b"to=<",
    b">, ",
    b"relay=a",
    b"dsn=1",
    b"status=sent (",
    b"imap-login: ",
    b"Login",
    b"user=<",
    b"rip=",
    b"(auth failed, 1 attempts)",
    b"auth: ",
    b"pam(",
    b",1.1.1.1",
    b"): ",
    b"unknown user",
    b"(root) ",
    b"CMD (",
    b")",
    b"Started ",
    b"a.service",
    b" - ",
    b"new user: name=",
    b", UID=1",
    b'[a b="',
    b'"]',
    b"\\",
    b"-",
    b" ",
]


@pytest.mark.parametrize("seed", SEEDS)
def test_seed_raises_no_bug(seed: bytes) -> None:
    one_input(seed)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200))
def test_random_bytes_raise_no_bug(data: bytes) -> None:
    one_input(data)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(WORDS), max_size=14).map(b"".join))
def test_words_of_the_messages_in_any_order_raise_no_bug(data: bytes) -> None:
    one_input(data)
