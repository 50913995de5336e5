"""Fuzz target: a signature, a receipt and a file of keys, as anyone could have written them."""

from contextlib import suppress

from socmon.feed.keyring import parse_keys
from socmon.feed.keys import signing_key
from socmon.feed.signing import SignatureError, normal, opened, sign, verify

KEY = signing_key()
CONTENT = b'{"socseq":"1"}'
GOOD = sign(CONTENT, KEY, 1_795_366_682, detached=True)
WHOLE = sign(CONTENT, KEY, 1_795_366_682, detached=False)


def one_input(data: bytes) -> None:
    """Nothing but the two signatures that were made is good; everything else is refused in words."""
    text = data.decode("latin-1")
    keys = {KEY.kid: KEY}
    with suppress(SignatureError):
        verify(text, CONTENT, keys)
        assert text == GOOD, "a signature that nobody made"
    with suppress(SignatureError):
        assert (text, opened(text, keys)) == (WHOLE, CONTENT), "a receipt that nobody made"
    with suppress(ValueError):
        parse_keys(data)
    assert normal(normal(data)) == normal(data)
