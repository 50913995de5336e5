"""Signatures of the feed: a JWS (RFC 7515) over the canonical form (RFC 8785) of a message, and what a key is good for.

A message carries its signature as `socsig`: detached (RFC 7515, appendix F), over all the other members. Nothing is
normalised on the way, so a text in NFD is signed, sent and verified as NFD.
"""

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
import re2
import rfc8785
from joserfc.jwk import ECKey, OKPKey, RSAKey
from joserfc.jws import JWSRegistry
from msgspec import Meta, Raw, Struct

from socmon.errors import ParseError

SIGNATURE = "socsig"

Algorithm = Literal["Ed25519", "ES256", "PS256"]
Jwk = OKPKey | ECKey | RSAKey
# RFC 9864 renamed EdDSA; libraries that do not know it yet say EdDSA for Ed25519.
_NAMES: Mapping[str, Algorithm] = {"Ed25519": "Ed25519", "EdDSA": "Ed25519", "ES256": "ES256", "PS256": "PS256"}
_MIN_RSA_BITS = 2048
_MAX_HEADER = 1024  # characters; ours take about 120


def _otherwise() -> Any:
    """Where msgspec's sorted JSON may differ from RFC 8785; it may find that in a string too.

    Keys beyond U+E000, whose order by UTF-16 is another; escapes of control characters; numbers that are no integers,
    or of 16 digits and more.
    """
    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    options.never_capture = True
    number = rb'(?:":|[\[,]|\A)-?[0-9]+'
    return re2.compile(rb"[\xee-\xff]|\\u|" + number + rb"[.eE]|" + number + rb"[0-9]{15}", options)


_OTHERWISE = _otherwise()

SignatureCode = Literal["unsigned", "bad_sig", "bad_alg", "key_unknown", "key_expired", "key_compromised"]
SIGNATURE_CODES: frozenset[str] = frozenset(
    {"unsigned", "bad_sig", "bad_alg", "key_unknown", "key_expired", "key_compromised"}
)


class SignatureError(ParseError):
    """A signature does not vouch for what it stands on; `code` says why, in one word."""

    def __init__(self, code: SignatureCode, message: str) -> None:
        self.code: SignatureCode = code
        super().__init__(message)


class Key(Struct, frozen=True):
    """A key that signs, or that signatures are verified with.

    Attributes:
        begin, end: signatures whose `iat` lies in [begin, end) are good; None for no bound.
        compromised: someone else may have it: none of its signatures is good, whatever its `iat`.
    """

    kid: str
    algorithm: Algorithm
    jwk: Jwk
    begin: datetime | None = None
    end: datetime | None = None
    compromised: bool = False

    def good_at(self, time_s: int) -> bool:
        """Whether a signature of `time_s` (seconds since 1970 UTC) falls into the key's validity."""
        begun = self.begin is None or self.begin.timestamp() <= time_s
        return begun and (self.end is None or time_s < self.end.timestamp())


class _Header(Struct, frozen=True, forbid_unknown_fields=True):
    """The protected header. No other member is taken: `crit` or `b64` would change what is signed."""

    alg: str
    kid: Annotated[str, Meta(min_length=1, max_length=128)]
    iat: Annotated[int, Meta(ge=0, lt=1 << 53)]


class _Signed(Struct, frozen=True):
    socsig: str


def algorithm_of(jwk: Jwk) -> Algorithm:
    """The one algorithm that `jwk` is used with: a key that took several could be asked for the weakest.

    Raises:
        ValueError: none of the feed's.
    """
    if isinstance(jwk, OKPKey) and jwk.curve_name == "Ed25519":
        return "Ed25519"
    if isinstance(jwk, ECKey) and jwk.curve_name == "P-256":
        return "ES256"
    if isinstance(jwk, RSAKey) and jwk.raw_value.key_size >= _MIN_RSA_BITS:
        return "PS256"
    raise ValueError(f"a key is Ed25519, P-256, or RSA of {_MIN_RSA_BITS} bits or more")


def canonical(value: object) -> bytes:
    """The form of RFC 8785 of `value`, made of what JSON decodes to.

    Raises:
        ValueError: it has none, as a number beyond 2^53.
    """
    try:
        text = msgspec.json.encode(value, order="sorted")
        # The same but for what is looked for here, in a twentieth of the time.
        return rfc8785.dumps(value) if _OTHERWISE.search(text) else text  # type: ignore[arg-type]  # decoded JSON
    except (msgspec.MsgspecError, RecursionError, TypeError) as error:
        raise ValueError(f"no canonical JSON: {str(error)[:100]}") from error


def costly(text: bytes) -> bool:
    """Whether the canonical form of JSON without blanks may have to be made the long way, a hundred times as slow."""
    return _OTHERWISE.search(text) is not None


def forms(event: Mapping[str, Any]) -> tuple[bytes, bytes]:
    """The canonical form of `event`, whole and without its signature.

    Raises:
        ValueError: it has none.
    """
    return canonical(event), canonical({name: value for name, value in event.items() if name != SIGNATURE})


def normal(raw: bytes | Raw) -> bytes:
    """The bytes by which sender and centre name an event: its canonical form, or itself where it has none."""
    try:
        event = msgspec.json.decode(raw)
        return forms(event)[0] if isinstance(event, dict) else bytes(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError):
        return bytes(raw)


def kid_of(event: bytes) -> str:
    """The key that an event says it is signed with; "" where it says none. Proves nothing."""
    try:
        return _header(msgspec.json.decode(event, type=_Signed).socsig.partition(".")[0]).kid
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, SignatureError):
        return ""


def sign_event(event: Mapping[str, Any], key: Key, time_s: int) -> bytes:
    """The canonical form of `event` with its `socsig`, which states `time_s` as `iat`.

    Raises:
        ValueError: it has no canonical form.
    """
    token = sign(forms(event)[1], key, time_s, detached=True)
    return forms({**event, SIGNATURE: token})[0]


def sign(content: bytes, key: Key, time_s: int, *, detached: bool) -> str:
    """A compact JWS over `content`; `detached` leaves its payload out."""
    header = canonical({"alg": key.algorithm, "kid": key.kid, "iat": time_s})
    payload = _encoded(content)
    protected = _encoded(header)
    signature = JWSRegistry.algorithms[key.algorithm].sign(f"{protected}.{payload}".encode(), key.jwk)
    return f"{protected}.{'' if detached else payload}.{_encoded(signature)}"


def verify(token: object, content: bytes, keys: Mapping[str, Key]) -> Key:
    """Check the detached signature `token` of `content`; return the key that made it.

    Args:
        token: what stands in `socsig`; None where there is none.
        keys: those of who is said to have signed, by `kid`.

    Raises:
        SignatureError: it does not vouch for `content`.
    """
    if token is None:
        raise SignatureError("unsigned", f"there is no {SIGNATURE}; sign with a key that the centre knows")
    parts = token.split(".") if isinstance(token, str) else []
    if len(parts) != 3 or parts[1]:
        raise SignatureError("bad_sig", f"{SIGNATURE} is no detached JWS in compact form: HEADER..SIGNATURE")
    return _verify(parts[0], content, parts[2], keys)


def opened(token: str, keys: Mapping[str, Key]) -> bytes:
    """The content of a JWS that carries it, after its signature was checked as by `verify`.

    Raises:
        SignatureError: it is no such JWS, or does not vouch for its content.
    """
    parts = token.split(".")
    if len(parts) != 3:
        raise SignatureError("bad_sig", "no JWS in compact form: HEADER.PAYLOAD.SIGNATURE")
    content = _decoded(parts[1])
    _verify(parts[0], content, parts[2], keys)
    return content


def payload(token: str) -> bytes:
    """The content of a JWS that carries it, which nobody may have signed.

    Raises:
        SignatureError: it is no such JWS.
    """
    parts = token.split(".")
    if len(parts) != 3:
        raise SignatureError("bad_sig", "no JWS in compact form: HEADER.PAYLOAD.SIGNATURE")
    return _decoded(parts[1])


def _verify(protected: str, content: bytes, signature: str, keys: Mapping[str, Key]) -> Key:
    header = _header(protected)
    key = keys.get(header.kid)
    if key is None:
        raise SignatureError("key_unknown", f"key {header.kid[:64]!r} is not known; give the centre its public key")
    if _NAMES[header.alg] != key.algorithm:
        raise SignatureError("bad_alg", f"alg is {header.alg}, and key {key.kid!r} signs by {key.algorithm} only")
    message = f"{protected}.{_encoded(content)}".encode()
    if not JWSRegistry.algorithms[key.algorithm].verify(message, _decoded(signature), key.jwk):
        raise SignatureError("bad_sig", f"the signature of key {key.kid!r} is not over this content")
    # Of a key that is not good now, only what it has really signed is worth another word than "bad".
    if key.compromised:
        raise SignatureError("key_compromised", f"key {key.kid!r} is marked as compromised; sign with a new one")
    if not key.good_at(header.iat):
        raise SignatureError("key_expired", f"signed at {header.iat}, when key {key.kid!r} was not valid; rotate it")
    return key


def _header(protected: str) -> _Header:
    if len(protected) > _MAX_HEADER:
        raise SignatureError("bad_sig", f"the JWS header is longer than {_MAX_HEADER} characters")
    try:
        stated = msgspec.json.decode(_decoded(protected))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise SignatureError("bad_sig", f"the JWS header is not JSON: {str(error)[:100]}") from error
    algorithm = stated.get("alg") if isinstance(stated, dict) else None
    if isinstance(algorithm, str) and algorithm not in _NAMES:
        raise SignatureError("bad_alg", f"alg {algorithm[:20]!r} is not taken; use one of {', '.join(_NAMES)}")
    try:
        return msgspec.convert(stated, _Header)
    except msgspec.ValidationError as error:
        raise SignatureError("bad_sig", f"the JWS header is not of alg, kid and iat alone: {error}") from error


def _encoded(content: bytes) -> str:
    return urlsafe_b64encode(content).decode().rstrip("=")


def _decoded(text: str) -> bytes:
    """Base64url as RFC 7515, section 2 has it; the one text of its bytes only, or a changed bit could mean the same."""
    try:
        content = urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
    except (UnicodeEncodeError, binascii.Error) as error:
        raise SignatureError("bad_sig", "a part of the JWS is not base64url") from error
    if _encoded(content) != text:
        raise SignatureError("bad_sig", "a part of the JWS is not base64url")
    return content
