"""Signatures of the feed: the canonical form against another implementation, and what is taken for a signature."""

import json
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
import rfc8785
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey
from jwcrypto import jwk as other_jwk
from jwcrypto import jws as other_jws

from socmon.feed.signing import Key, SignatureError, algorithm_of, canonical, forms, sign, sign_event, verify

NOW_S = 1_795_366_682
EVENT = {"id": "1", "data": {"count": 5, "message": "Dò quét mật khẩu"}, "socseq": "1"}
INTEGER = st.integers(-(2**53) + 1, 2**53 - 1)
TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
JSON = st.recursive(
    st.none() | st.booleans() | INTEGER | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=15,
)


def key_of(jwk: OKPKey | ECKey | RSAKey, **changes: Any) -> Key:
    return Key(jwk.thumbprint(), algorithm_of(jwk), jwk, **changes)


ED25519 = key_of(OKPKey.generate_key("Ed25519"))
# 2^53 as a floating number is written as an integer that is too large to be read as one.
LARGE = re.compile(rb"[0-9]{16}")
KEYS = [ED25519, key_of(ECKey.generate_key("P-256")), key_of(RSAKey.generate_key(2048))]
each_algorithm = pytest.mark.parametrize("key", KEYS, ids=[key.algorithm for key in KEYS])


def check(body: bytes, *keys: Key) -> str:
    """The code that verification ends with; "" if the signature is good."""
    event = json.loads(body)
    try:
        verify(event.get("socsig"), forms(event)[1], {key.kid: key for key in keys})
    except SignatureError as error:
        return error.code
    return ""


def header(**members: Any) -> str:
    return urlsafe_b64encode(json.dumps(members).encode()).decode().rstrip("=")


def with_signature(token: object) -> bytes:
    return json.dumps(EVENT | {"socsig": token}).encode()


@each_algorithm
def test_what_is_signed_verifies(key: Key) -> None:
    assert check(sign_event(EVENT, key, NOW_S), key) == ""


@each_algorithm
def test_an_implementation_that_is_not_ours_verifies_what_we_sign(key: Key) -> None:
    event = json.loads(sign_event(EVENT, key, NOW_S))
    protected, _, signature = event.pop("socsig").split(".")
    payload = urlsafe_b64encode(rfc8785.dumps(event)).decode().rstrip("=")
    public = key.jwk.as_dict(private=False)

    # It has not heard of RFC 9864 everywhere: what it calls EdDSA is the same signature.
    reader = other_jws.JWS()
    reader.allowed_algs = ["Ed25519", "EdDSA", "ES256", "PS256"]
    reader.deserialize(f"{protected}.{payload}.{signature}")
    reader.verify(other_jwk.JWK(**public))

    assert json.loads(reader.objects["protected"]) == {"alg": key.algorithm, "kid": key.kid, "iat": NOW_S}


def test_eddsa_is_another_name_for_ed25519() -> None:
    writer = other_jws.JWS(forms(EVENT)[1])
    private = other_jwk.JWK(**ED25519.jwk.as_dict(private=True))
    writer.add_signature(private, protected=json.dumps({"alg": "EdDSA", "kid": ED25519.kid, "iat": NOW_S}))
    protected, _, signature = writer.serialize(compact=True).split(".")

    assert check(with_signature(f"{protected}..{signature}"), ED25519) == ""


@each_algorithm
def test_every_changed_bit_of_a_signature_is_noticed(key: Key) -> None:
    token = json.loads(sign_event(EVENT, key, NOW_S))["socsig"].encode()

    for at in range(0, len(token), 1 if len(token) < 300 else 7):
        for bit in range(7):
            changed = bytearray(token)
            changed[at] ^= 1 << bit
            assert check(with_signature(changed.decode("latin-1")), key), (at, bit)


def test_every_changed_member_is_noticed() -> None:
    event = json.loads(sign_event(EVENT, ED25519, NOW_S))

    assert check(json.dumps(event | {"socseq": "2"}).encode(), ED25519) == "bad_sig"
    assert check(json.dumps(event | {"more": None}).encode(), ED25519) == "bad_sig"
    assert check(json.dumps({**event, "data": {**event["data"], "count": 6}}).encode(), ED25519) == "bad_sig"


def test_order_and_blanks_are_not_signed() -> None:
    event = json.loads(sign_event(EVENT, ED25519, NOW_S))
    turned = dict(reversed(event.items()))

    assert check(json.dumps(turned, indent=3, ensure_ascii=True).encode(), ED25519) == ""


def test_nothing_is_normalised() -> None:
    composed, decomposed = "Dò quét", "Do\u0300 que\u0301t"
    signed = [sign_event({"message": text}, ED25519, NOW_S) for text in (composed, decomposed)]

    assert [json.loads(body)["message"] for body in signed] == [composed, decomposed]
    assert [check(body, ED25519) for body in signed] == ["", ""]
    assert check(signed[0].replace(composed.encode(), decomposed.encode()), ED25519) == "bad_sig"


@pytest.mark.parametrize(
    ("token", "code"),
    [
        (None, "unsigned"),
        (5, "bad_sig"),
        ("", "bad_sig"),
        ("a.b.c", "bad_sig"),
        ("..", "bad_sig"),
        (f"{header(alg='none')}..", "bad_alg"),
        (f"{header(alg='none', kid=ED25519.kid, iat=NOW_S)}..", "bad_alg"),
        (f"{header(alg='HS256', kid=ED25519.kid, iat=NOW_S)}..AAAA", "bad_alg"),
        (f"{header(alg='ES256', kid=ED25519.kid, iat=NOW_S)}..AAAA", "bad_alg"),
        (f"{header(alg='Ed25519', kid='other', iat=NOW_S)}..AAAA", "key_unknown"),
        (f"{header(alg='Ed25519', kid=ED25519.kid)}..AAAA", "bad_sig"),
        (f"{header(alg='Ed25519', kid=ED25519.kid, iat=True)}..AAAA", "bad_sig"),
        (f"{header(alg='Ed25519', kid=ED25519.kid, iat=1, crit=['b64'], b64=False)}..AAAA", "bad_sig"),
        (f"{header(alg='Ed25519', kid=ED25519.kid, iat=1, jwk={})}..AAAA", "bad_sig"),
        (f"{header(alg=['none'])}..", "bad_sig"),
        (f"{urlsafe_b64encode(b'[' * 600).decode()}..", "bad_sig"),
    ],
)
def test_what_is_no_signature_is_told_apart(token: object, code: str) -> None:
    assert check(with_signature(token) if token is not None else json.dumps(EVENT).encode(), ED25519) == code


def test_a_key_of_rsa_is_no_secret_of_hmac() -> None:
    """The confusion of algorithms that is known best: the public key as the secret of HS256."""
    rsa = KEYS[2]
    writer = other_jws.JWS(forms(EVENT)[1])
    secret = urlsafe_b64encode(rsa.jwk.as_pem(private=False)).decode().rstrip("=")
    writer.add_signature(
        other_jwk.JWK(kty="oct", k=secret), protected=json.dumps({"alg": "HS256", "kid": rsa.kid, "iat": NOW_S})
    )
    protected, _, signature = writer.serialize(compact=True).split(".")

    assert check(with_signature(f"{protected}..{signature}"), rsa) == "bad_alg"


def test_a_key_is_good_from_its_beginning_to_before_its_end() -> None:
    begin = datetime.fromtimestamp(NOW_S, UTC)
    key = msgspec.structs.replace(ED25519, begin=begin, end=begin + timedelta(seconds=10))
    moments = (NOW_S - 1, NOW_S, NOW_S + 9, NOW_S + 10)

    codes = [check(sign_event(EVENT, key, moment), key) for moment in moments]

    assert codes == ["key_expired", "", "", "key_expired"]


def test_no_signature_of_a_compromised_key_is_good() -> None:
    key = msgspec.structs.replace(ED25519, compromised=True)

    assert check(sign_event(EVENT, key, NOW_S), key) == "key_compromised"
    # What it did not sign is not told from any other forgery.
    assert check(with_signature(f"{header(alg='Ed25519', kid=key.kid, iat=1)}..AAAA"), key) == "bad_sig"


@pytest.mark.parametrize("jwk", [ECKey.generate_key("P-384"), OKPKey.generate_key("X25519"), OctKey.generate_key(256)])
def test_other_keys_are_refused(jwk: Any) -> None:
    with pytest.raises(ValueError, match="a key is Ed25519, P-256, or RSA of 2048 bits or more"):
        algorithm_of(jwk)


@settings(max_examples=500, deadline=None)
@given(JSON)
def test_the_canonical_form_is_that_of_another_implementation(value: object) -> None:
    assert canonical(value) == rfc8785.dumps(value)  # type: ignore[arg-type]  # its type is not recursive


@settings(max_examples=200, deadline=None)
@given(JSON)
def test_the_canonical_form_of_itself_is_itself(value: object) -> None:
    assume(not LARGE.search(canonical(value)))
    assert canonical(msgspec.json.decode(canonical(value))) == canonical(value)


@pytest.mark.parametrize("value", [2**53, -(2**53), 10**30, {"a": [2**60]}, "\ud800"])
def test_what_has_no_canonical_form_is_refused(value: object) -> None:
    with pytest.raises(ValueError):
        canonical(value)


def test_the_examples_of_rfc_8785() -> None:
    """Sections 3.2.2 and 3.2.3."""
    numbers = '{"numbers":[333333333.33333329,1E30,4.50,2e-3,0.000000000000000000000000001]}'
    names = {"\u20ac": 1, "\r": 2, "\ufb33": 3, "1": 4, "\U0001f600": 5, "\x80": 6, "\u00f6": 7}

    assert canonical(json.loads(numbers)) == b'{"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27]}'
    assert list(json.loads(canonical(names)).values()) == [2, 4, 6, 7, 1, 5, 3]


@settings(max_examples=200, deadline=None)
@given(event=st.dictionaries(TEXT, JSON, max_size=5), at=st.integers(min_value=0), bit=st.integers(0, 7))
def test_a_changed_bit_of_a_message_is_noticed_or_means_nothing(event: dict[str, Any], at: int, bit: int) -> None:
    assume(not LARGE.search(canonical(event)))
    body = bytearray(sign_event(event, ED25519, NOW_S))
    before = forms(msgspec.json.decode(body))[0]
    body[at % len(body)] ^= 1 << bit
    try:
        after = msgspec.json.decode(body)
        same = isinstance(after, dict) and forms(after)[0] == before
    except (msgspec.MsgspecError, UnicodeDecodeError, ValueError):
        return
    if isinstance(after, dict) and not same:
        assert check(bytes(body), ED25519)


def test_a_signature_that_carries_its_content_is_no_detached_one() -> None:
    token = sign(forms(EVENT)[1], ED25519, NOW_S, detached=False)

    assert check(with_signature(token), ED25519) == "bad_sig"
    assert urlsafe_b64decode(token.split(".")[1] + "==") == forms(EVENT)[1]
