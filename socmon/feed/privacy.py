"""What of an alert's detail leaves, and in which form; and the account of it that stands in the message.

A pseudonym is HMAC-SHA-256 (RFC 2104) with the province's key over organisation, kind and name: the same for one
person wherever they appear, and no other province's.
"""

import hmac
import re
import unicodedata
from collections.abc import Iterator, Sequence
from functools import lru_cache
from ipaddress import ip_address, ip_network
from typing import Any, Literal

from msgspec import Struct

from socmon.event import ENTITY_FIELDS, Alert, Evidence
from socmon.feed.folding import fold
from socmon.feed.masking import masked
from socmon.feed.personal import replaced, without

Treatment = Literal["drop", "pseudonymise", "keep"]
RawTreatment = Literal["drop", "masked"]

POLICY = "p2"
"""Names this set of rules in a message; p1 dropped all detail."""

# The words of a message's account (`pii`).
USER, HOST, INTERNAL_IP, RAW, SECRET = "user.name", "device.hostname", "internal_ip", "raw_data", "secret"

LEAST_KEY_BYTES = 16
MOST_RAW = 4096  # characters of a line that leaves
_CUT_OFF = 256  # of a line that was cut where it was received: what began there cannot be recognised
_MOST_NAME = 1024
_REMEMBERED_LENGTH = 256
_LETTERS = bytes.maketrans(b"0123456789abcdef", b"abcdefghijklmnop")
_PSEUDONYM_BYTES = 10
_KEY_ID_BYTES = 2

# Addresses that say how an agency's own network is built. Not `is_private`: it would hide documentation ranges too.
_INTERNAL = tuple(
    ip_network(text)
    for text in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "224.0.0.0/3",
        "::/127",
        "fc00::/7",
        "fe80::/10",
        "ff00::/8",
    )
)
_ADDRESS = re.compile(
    r"(?<![0-9.])[0-9]{1,4}(?:\.[0-9]{1,4}){3}(?![0-9])|(?<![0-9A-Za-z:.])[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,7}"
    r"(?:\.[0-9]{1,3}){0,3}"
)


class PseudonymKey:
    """The province's secret, bound to its organisation. Shown anywhere, it shows the key's id only.

    Attributes:
        id: four letters; two keys of one id are unlikely, and do no harm.
        pseudonym: (kind, name) → `u-KEYID-…` for kind `u`: letters and dashes, so that it is no number and may be a
            host's name.
    """

    __slots__ = ("_key", "_organisation", "id", "pseudonym")

    def __init__(self, key: bytes, organisation: str) -> None:
        """Take the bytes of a key file; blanks and a newline around them do not count.

        Raises:
            ValueError: fewer than LEAST_KEY_BYTES are left.
        """
        self._key = key.strip()
        self._organisation = organisation
        if len(self._key) < LEAST_KEY_BYTES:
            least = f"write at least {LEAST_KEY_BYTES} random bytes, such as `openssl rand -hex 32` makes"
            raise ValueError(f"the pseudonym key has only {len(self._key)} bytes; {least}")
        self.id = self._letters("key", "", _KEY_ID_BYTES)
        self.pseudonym = lru_cache(maxsize=8192)(self._pseudonym)

    def _pseudonym(self, kind: str, name: str) -> str:
        return f"{kind}-{self.id}-{self._letters(kind, name, _PSEUDONYM_BYTES)}"

    def _letters(self, kind: str, name: str, size_bytes: int) -> str:
        content = f"{self._organisation}\0{kind}\0{name}".encode(errors="surrogatepass")
        return hmac.digest(self._key, content, "sha256")[:size_bytes].hex().encode().translate(_LETTERS).decode()

    def __repr__(self) -> str:
        return f"PseudonymKey({self.id})"


class Policy(Struct, frozen=True):
    """What a destination gets of detail. Without a key what is to be pseudonymised is dropped."""

    internal_ips: Treatment = "drop"
    users: Treatment = "pseudonymise"
    hosts: Treatment = "pseudonymise"
    raw: RawTreatment = "drop"
    key: PseudonymKey | None = None


def same_name(name: str) -> str:
    """The one spelling of a name: NFC, case folded, without blanks around it."""
    return _spelling_known(name) if len(name) <= _REMEMBERED_LENGTH else _spelling(name)


def _spelling(name: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name.strip()).casefold())


def external_ip(value: object) -> str | None:
    """The address in its shortest form, or None if it is no address, or one that must not leave."""
    shown = _address(str(value))
    return shown[0] if shown and not shown[1] else None


@lru_cache(maxsize=8192)
def _address(text: str) -> tuple[str, bool] | None:
    """An address in its shortest form without a scope, and whether it is internal; None if it is none."""
    try:
        address = ip_address(text.partition("%")[0])  # a scope names an interface, and may be any text
    except ValueError:
        return None
    address = getattr(address, "ipv4_mapped", None) or address
    return str(address), any(address in network for network in _INTERNAL if network.version == address.version)


class Account:
    """Treats the detail of one message, and keeps account of what was done.

    Each of `user`, `host` and `address` gives what may stand in the message in place of a name, or None for nothing.
    """

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._removed: dict[str, None] = {}
        self._pseudonymised: dict[str, None] = {}
        self._kept: dict[str, None] = {}

    def user(self, name: str) -> str | None:
        """A user's name."""
        return self._treated(USER, "u", self._policy.users, same_name(name), name)

    def host(self, name: str) -> str | None:
        """A host's name, or the address that it is known by."""
        if _address(name):
            shown = self.address(name)
            return None if shown is None else shown[1]
        return self._treated(HOST, "h", self._policy.hosts, same_name(name).rstrip("."), name)

    def address(self, text: object) -> tuple[Literal["ip", "uid"], str] | None:
        """(`ip`, address), or (`uid`, pseudonym) for an internal one; None for what is no address, or is dropped."""
        found = _address(str(text))
        if found is None:
            return None
        address, is_internal = found
        if not is_internal:
            return ("ip", address)
        shown = self._treated(INTERNAL_IP, "i", self._policy.internal_ips, address, address)
        return None if shown is None else ("ip" if shown == address else "uid", shown)

    def _treated(self, word: str, kind: str, treatment: Treatment, same: str, name: str) -> str | None:
        if not same:
            return None
        if treatment == "keep":
            self._kept[word] = None
            return self.text(self._masked(name))[:_MOST_NAME]
        if treatment == "pseudonymise" and self._policy.key:
            self._pseudonymised[word] = None
            return self._policy.key.pseudonym(kind, same)
        self._removed[word] = None
        return None

    def text(self, text: str) -> str:
        """Any text, without personal data. Secrets are not looked for: titles of rules speak of passwords."""
        text, removed = _remembered(text) if len(text) <= _REMEMBERED_LENGTH else without(text)
        if removed:
            self._removed |= dict.fromkeys(removed)
        return text

    def value(self, text: str) -> str:
        """As `text`; but an external address, which looks like a number of a person perhaps, stays."""
        return text if len(text) <= _REMEMBERED_LENGTH and _harmless(text) else self.text(text)

    def _masked(self, text: str) -> str:
        """What others wrote, without secrets."""
        text, secrets = masked(text)
        if secrets:
            self._removed[SECRET] = None
        return text

    def raw(self, evidence: Evidence, alert: Alert) -> str | None:
        """A log line: masked, names and internal addresses as elsewhere in the message; None if no line leaves."""
        if self._policy.raw == "drop":
            self._removed[RAW] = None
            return None
        line = evidence.raw[: MOST_RAW + _CUT_OFF]  # no more of it leaves, and to look at it takes long
        line = self._masked(line[:-_CUT_OFF] if evidence.cut or len(line) < len(evidence.raw) else line)
        for names, treat, instead in (
            (_names(alert, evidence, "user"), self.user, "[user]"),
            (_names(alert, evidence, "host"), self.host, "[host]"),
        ):
            line = _with_names(line, [(name, treat(name) or instead) for name in names])
        self._kept[RAW] = None
        return self.text(self._without_internal(line))[:MOST_RAW]

    def _without_internal(self, line: str) -> str:
        places = []
        for match in _ADDRESS.finditer(line):
            found = _address(match[0])
            # Four numbers that are no address are most likely one all the same, oddly written.
            if found is None and "." not in match[0]:
                continue
            if found is None or found[1]:
                shown = self.address(match[0])
                places.append((*match.span(), shown[1] if shown else "[internal_ip]"))
        return replaced(line, places)

    def told(self) -> dict[str, Any]:
        """The message's `pii`: what was done to what the alert holds. `internal_ip` states the rule for addresses."""
        key = self._policy.key
        rule = self._policy.internal_ips if key or self._policy.internal_ips != "pseudonymise" else "drop"
        account: dict[str, Any] = {
            "policy": POLICY,
            "removed": sorted(self._removed),
            "pseudonymised": sorted(self._pseudonymised),
            "internal_ip": {"drop": "dropped", "pseudonymise": "pseudonymised", "keep": "kept"}[rule],
        }
        if self._kept:
            account["kept"] = sorted(self._kept)
        if key and self._pseudonymised:
            account["key"] = key.id
        return account


_spelling_known = lru_cache(maxsize=4096)(_spelling)
# What stands in each message again and again: words of titles, rules and standards.
_remembered = lru_cache(maxsize=4096)(without)


@lru_cache(maxsize=4096)
def _harmless(text: str) -> bool:
    return external_ip(text) == text or without(text) == (text, [])


def user_of(evidence: Evidence) -> str | None:
    """The user that an event names first; None if it names none."""
    return next(_of_kind(evidence, "user"), None)


def _of_kind(evidence: Evidence, kind: str) -> Iterator[str]:
    for field, its_kind in ENTITY_FIELDS.items():
        if its_kind == kind and (value := evidence.fields.get(field)):
            yield str(value)


def _names(alert: Alert, evidence: Evidence, kind: str) -> list[str]:
    """Distinct names of a kind that may stand in a line of the alert, the longest first."""
    names = [*alert.entities.get(kind, []), *_of_kind(evidence, kind)]
    if kind == "host":
        names += (alert.host, evidence.host)
    return sorted({name for name in names if name.strip()}, key=len, reverse=True)


def _with_names(line: str, instead: Sequence[tuple[str, str]]) -> str:
    """`line` with each name, where it stands as a word, in another form; however it is spelt and escaped there."""
    shown = {_one_backslash(fold(name).text.lower().strip()): form for name, form in instead}
    # JSON doubles the backslash of a domain's user, and doubles it again where it is wrapped once more.
    words = "|".join(re.escape(word).replace(r"\\", r"\\+") for word in shown if word)
    if not words:
        return line
    folded = fold(line)
    found = re.finditer(rf"(?<![A-Za-z0-9])(?:{words})(?![A-Za-z0-9])", folded.text.lower())
    return replaced(line, [(*folded.span(*match.span()), shown[_one_backslash(match[0])]) for match in found])


def _one_backslash(text: str) -> str:
    return re.sub(r"\\+", r"\\", text)
