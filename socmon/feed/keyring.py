"""Files of signing keys: JWK Sets (RFC 7517) whose keys state [from, to) and compromised, or one key in PEM.

Files may be replaced at any time; they are read anew when they were. All this reads files: its place is a thread.
"""

import time
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey
from msgspec import Meta, Struct, field

from socmon.errors import BlockedError, ConfigError
from socmon.feed.signing import Jwk, Key, algorithm_of
from socmon.log import get
from socmon.secrets import unreadable
from socmon.tls import stamp

_MAX_BYTES = 1024 * 1024
_CLASSES: Mapping[str, type[Jwk]] = {"OKP": OKPKey, "EC": ECKey, "RSA": RSAKey}
_NATIVE: tuple[tuple[tuple[type, ...], type[Jwk]], ...] = (
    ((ed25519.Ed25519PublicKey, ed25519.Ed25519PrivateKey), OKPKey),
    ((ec.EllipticCurvePublicKey, ec.EllipticCurvePrivateKey), ECKey),
    ((rsa.RSAPublicKey, rsa.RSAPrivateKey), RSAKey),
)
_ROTATE = "make one with `socmon keys rotate`"

log = get("feed")

Moment = Annotated[datetime, Meta(tz=True)]


class KeyFileError(ConfigError):
    """A file of keys cannot be used; attributes as BlockedError's."""

    def __init__(self, what: str, *, reason: str, remedy: str) -> None:
        self.what, self.reason, self.remedy = what, reason, remedy
        super().__init__([f"{what}; {remedy}"])

    def blocked(self) -> BlockedError:
        """For a component that is tried again, since the file may be mended."""
        return BlockedError(self.what, reason=self.reason, remedy=self.remedy)


class _Stated(Struct, frozen=True):
    """What a JWK states beside the key itself; times in RFC 3339 with their zone."""

    kid: Annotated[str, Meta(max_length=128)] = ""
    alg: str = ""
    begin: Moment | None = field(name="from", default=None)
    end: Moment | None = field(name="to", default=None)
    compromised: bool = False


def parse_keys(content: bytes, *, private: bool = False) -> list[Key]:
    """The keys of a JWK Set, a JWK or a PEM file; a key without `kid` is named by its thumbprint (RFC 7638).

    Args:
        private: each must be able to sign.

    Raises:
        ValueError: it holds something else, or a key that the feed does not use; the message repeats nothing of it.
    """
    try:
        keys = _from_set(content) if content.lstrip().startswith(b"{") else [_from_pem(content)]
    except (TypeError, LookupError, AttributeError, UnsupportedAlgorithm) as error:
        raise ValueError(f"a key in it is not understood: {type(error).__name__}") from None  # it might repeat the key
    if private and not all(key.jwk.is_private for key in keys):
        raise ValueError("a key in it is not private")
    return keys


def _from_set(content: bytes) -> list[Key]:
    try:
        stated = msgspec.json.decode(content)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise ValueError("not JSON") from None  # the cause might repeat a private key
    entries = stated["keys"] if isinstance(stated.get("keys"), list) else [stated]
    keys = [_from_jwk(entry) for entry in entries]
    if len({key.kid for key in keys}) < len(keys):
        raise ValueError("two keys have the same kid")
    return keys


def to_jwk(key: Key, *, private: bool) -> dict[str, Any]:
    """The JWK that `parse_keys` reads `key` from."""
    stated = {"kid": key.kid, "alg": key.algorithm, "use": "sig"}
    bounds = {"from": key.begin, "to": key.end}
    stated |= {name: f"{moment:%Y-%m-%dT%H:%M:%SZ}" for name, moment in bounds.items() if moment is not None}
    members: dict[str, Any] = {**key.jwk.as_dict(private=private), **stated}
    return members | ({"compromised": True} if key.compromised else {})


def key_set(keys: list[Key], *, private: bool) -> bytes:
    """`keys` as a JWK Set for a file."""
    text: bytes = msgspec.json.format(msgspec.json.encode({"keys": [to_jwk(key, private=private) for key in keys]}))
    return text + b"\n"


def read_keys(path: Path, *, private: bool = False) -> dict[str, Key]:
    """The keys of a file by `kid`.

    Args:
        private: each must be able to sign.

    Raises:
        KeyFileError: it cannot be read, or holds something else.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES)
    except OSError as error:
        what = f"cannot read {path}: {(error.strerror or 'error').lower()}"
        remedy = "name an existing file that the user of socmon may read, or " + _ROTATE
        raise KeyFileError(what, reason="own_unreadable", remedy=remedy) from error
    try:
        keys = parse_keys(content, private=private)
    except ValueError as error:
        remedy = "it must hold a JWK Set, or one key in PEM without a password; " + _ROTATE
        raise KeyFileError(f"cannot use {path}: {error}", reason="own_unusable", remedy=remedy) from error
    return {key.kid: key for key in keys}


class KeyFile:
    """The keys of one file, read anew when it was replaced; what cannot be used then leaves the last ones in place."""

    def __init__(self, path: Path, *, private: bool = False) -> None:
        self.path = path
        self._private = private
        self._read: tuple[tuple[int, ...] | None, dict[str, Key]] | None = None
        self._problem = ""

    def current(self) -> Mapping[str, Key]:
        """The keys by `kid`.

        Raises:
            KeyFileError: the file could never be used.
        """
        found = stamp(self.path)
        if self._read is not None and self._read[0] == found:
            return self._read[1]
        try:
            # Stamped before it is read: what is written meanwhile is read the next time.
            self._read = (found, read_keys(self.path, private=self._private))
        except KeyFileError as error:
            if self._read is None:
                raise
            self._tell(str(error))
        else:
            self._tell("")
        return self._read[1]

    def _tell(self, problem: str) -> None:
        if problem and problem != self._problem:
            log.error("signing keys cannot be read, the last ones stay", error=problem)
        self._problem = problem


class Signer:
    """The private keys that one signs with: at each moment the one that is valid then."""

    def __init__(self, path: Callable[[], Path], kid: str = "") -> None:
        """Read nothing yet.

        Args:
            path: of the file; asked when it is needed first.
            kid: of the key to use, or how the key of a PEM file is called; keys that were rotated in follow it. "" for
                the one that is valid.
        """
        self._path = path
        self._kid = kid
        self._file: KeyFile | None = None
        self._held: list[Key] | None = None

    def at(self, time_s: int) -> Key:
        """The key to sign with at `time_s`, seconds since 1970 UTC: of those that are valid, the one that began last.

        Raises:
            BlockedError: there is none, or the file cannot be used.
        """
        self.read()
        return self.held(time_s)

    def read(self) -> None:
        """Look at the file, for what `held` gives from now on.

        Raises:
            BlockedError: the file could never be used.
        """
        try:
            if self._file is None:
                self._file = KeyFile(self._path(), private=True)
            self._held = named(list(self._file.current().values()), self._kid)
        except KeyFileError as error:
            raise error.blocked() from error
        except ConfigError as error:
            raise unreadable(error) from error

    def held(self, time_s: int | None = None) -> Key:
        """As `at`, of the keys that were read last: no file is looked at, so any thread may ask.

        Args:
            time_s: None for now.

        Raises:
            BlockedError: none of them is good at `time_s`, or none was read yet.
        """
        if self._file is None or self._held is None:
            what = "the signing keys were not read yet"
            raise BlockedError(what, reason="own_unreadable", remedy="see what keeps the destination from its start")
        time_s = int(time.time()) if time_s is None else time_s
        good = [key for key in self._held if key.good_at(time_s) and not key.compromised]
        if not good:
            what = f"no key in {self._file.path} may sign now" + (f" as {self._kid!r}" if self._kid else "")
            remedy = "see this machine's clock, or " + _ROTATE + " and give the centre its public key"
            raise BlockedError(what, reason="signing_key_expired", remedy=remedy)
        return max(good, key=lambda key: key.begin.timestamp() if key.begin else 0.0)


def named(keys: list[Key], kid: str) -> list[Key]:
    """Of `keys` those that may sign: where `kid` is set, the one that it names, and what was rotated in after it.

    A file in PEM has no room for its key's id, and a rotation knows it only if told: else the key stands there
    by its thumbprint, without a beginning.
    """
    if not kid:
        return keys
    told = [key for key in keys if key.kid == kid]
    rotated = [key for key in keys if key.kid == key.jwk.thumbprint()]
    if told:
        end = told[0].end
        return told + [key for key in rotated if end and key.begin and key.begin >= end]
    first = [msgspec.structs.replace(key, kid=kid) for key in rotated if key.begin is None]
    return first + [key for key in rotated if key.begin] if len(first) < 2 else []


class Rings:
    """The public keys of each organisation: `ORG_ID.jwks`, or `ORG_ID.pem` for one key, in a directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._files: dict[Path, KeyFile] = {}

    def of(self, org_id: str) -> Mapping[str, Key]:
        """The keys of an enrolled organisation, as its files are now; none where it has no file.

        Raises:
            KeyFileError: a file of its could never be used.
        """
        found: dict[str, Key] = {}
        for kind in ("pem", "jwks"):  # in which a key may be bounded or compromised: it counts where both name one
            path = self._directory / f"{org_id}.{kind}"
            if stamp(path) is None:
                # Whoever takes a file away takes the trust away.
                self._files.pop(path, None)
                continue
            found |= self._files.setdefault(path, KeyFile(path)).current()
        return found


def _from_jwk(entry: object) -> Key:
    if not isinstance(entry, dict) or entry.get("kty") not in _CLASSES:
        raise ValueError(f"a key in it is not of kty {', '.join(_CLASSES)}")
    try:
        stated = msgspec.convert(entry, _Stated)
    except msgspec.ValidationError as error:
        raise ValueError(f"a key in it states what is not understood: {error}") from None
    material = {name: value for name, value in entry.items() if name not in {"from", "to", "compromised", "alg"}}
    try:
        key = _key(_CLASSES[entry["kty"]].import_key(material), stated)
    except (JoseError, TypeError, LookupError):
        raise ValueError("a key in it is no whole JWK") from None
    if stated.alg not in {"", key.algorithm} and (stated.alg, key.algorithm) != ("EdDSA", "Ed25519"):
        raise ValueError(f"key {key.kid!r} states alg {stated.alg[:20]!r}, and is for {key.algorithm}")
    if stated.begin and stated.end and stated.end <= stated.begin:
        raise ValueError(f"key {key.kid!r} ends before it begins")
    return key


def _from_pem(content: bytes) -> Key:
    try:
        if b"PRIVATE KEY-----" in content:
            native: object = serialization.load_pem_private_key(content, None)
        else:
            native = serialization.load_pem_public_key(content)
    except (ValueError, TypeError) as error:
        reason = "it has a password" if isinstance(error, TypeError) else "no PEM of a key"
        raise ValueError(reason) from None
    for natives, jwk in _NATIVE:
        if isinstance(native, natives):
            return _key(jwk.import_key(content), _Stated())
    raise ValueError("a key of a kind that the feed does not use")


def _key(jwk: Jwk, stated: _Stated) -> Key:
    kid = stated.kid or jwk.thumbprint()
    return Key(kid, algorithm_of(jwk), jwk, stated.begin, stated.end, stated.compromised)
