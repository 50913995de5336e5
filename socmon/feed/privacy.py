"""What of an alert's detail leaves, and in which form; and the account of it that stands in the message.

A pseudonym is HMAC-SHA-256 (RFC 2104) with the province's key over organisation, kind and name: the same for one
person wherever they appear, and no other province's.
"""

import hmac
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Literal

from msgspec import Struct

from socmon.event import ENTITY_FIELDS, Alert, Evidence
from socmon.feed.folding import Folded, fold
from socmon.feed.internal import address, internal_in, other_spellings
from socmon.feed.masking import MASK, masked, secret_places
from socmon.feed.naming import Names, short_host, short_user
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
_INSIDE = "[internal_ip]"
_REMEMBERED_LENGTH = 256
_LETTERS = bytes.maketrans(b"0123456789abcdef", b"abcdefghijklmnop")
_PSEUDONYM_BYTES = 10
_KEY_ID_BYTES = 2


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
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name.strip()).casefold())


def external_ip(value: object) -> str | None:
    """The address in its shortest form, or None if it is no address, or one that must not leave."""
    shown = address(str(value))
    return shown[0] if shown and not shown[1] else None


class Account:
    """Treats the detail of one message, and keeps account of what was done.

    Each of `user`, `host` and `address` gives what may stand in the message in place of a name, or None for nothing.
    """

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._removed: dict[str, None] = {}
        self._pseudonymised: dict[str, None] = {}
        self._kept: dict[str, None] = {}
        self._names: tuple[Alert, Names] | None = None
        self._clean: set[str] = set()  # long texts that were looked through

    def user(self, name: str) -> str | None:
        """A user's name."""
        return self._treated(USER, "u", self._policy.users, same_name(name), name)

    def host(self, name: str) -> str | None:
        """A host's name, or the address that it is known by."""
        if address(name):
            shown = self.address(name)
            return None if shown is None else shown[1]
        return self._treated(HOST, "h", self._policy.hosts, same_name(name).rstrip("."), name)

    def address(self, text: object) -> tuple[Literal["ip", "uid"], str] | None:
        """(`ip`, address), or (`uid`, pseudonym) for an internal one; None for what is no address, or is dropped."""
        found = address(str(text))
        if found is None:
            return None
        shortest, is_internal = found
        if not is_internal:
            return ("ip", shortest)
        shown = self._treated(INTERNAL_IP, "i", self._policy.internal_ips, shortest, shortest)
        return None if shown is None else ("ip" if shown == shortest else "uid", shown)

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
        if text in self._clean:
            return text
        text, removed = _remembered(text) if len(text) <= _REMEMBERED_LENGTH else without(text)
        self._removed |= dict.fromkeys(removed)
        return text

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
        line = line[:-_CUT_OFF] if evidence.cut or len(line) < len(evidence.raw) else line
        folded = fold(line)
        secrets = [(*place, MASK) for place in secret_places(line, folded)]
        if secrets:
            self._removed[SECRET] = None
        places = [*secrets, *self._names_of(alert).places(line, folded), *self._internal(folded)]
        places.sort(key=lambda place: (place[0], -place[1]))
        self._kept[RAW] = None
        line = self.text(replaced(line, places))
        if len(line) > MOST_RAW:
            return line[:MOST_RAW]  # what begins at the cut may look like a number of a person now
        self._clean.add(line)
        return line

    def _names_of(self, alert: Alert) -> Names:
        """The names that may stand in the lines of `alert`, with what leaves in their place."""
        if self._names is None or self._names[0] is not alert:
            self._names = (alert, Names(dict(self._instead(alert))))
        return self._names[1]

    def _instead(self, alert: Alert) -> Iterator[tuple[str, str]]:
        """Each name and what leaves in its place, whole names before short ones; none of those that are kept."""
        short: list[tuple[str, str]] = []
        kinds = (
            ("user", self._policy.users, self.user, "[user]", short_user),
            ("host", self._policy.hosts, self.host, "[host]", short_host),
        )
        for kind, treatment, treat, otherwise, shortened in kinds:
            for name in _names(alert, kind):
                instead = treat(name) or otherwise
                if treatment != "keep" and not address(name):
                    short += [(each, instead) for each in shortened(name)]
                    yield name, instead
        if self._policy.internal_ips != "keep":
            for known in _internal_ips(alert):
                shown = self.address(known)
                short += [(each, shown[1] if shown else _INSIDE) for each in other_spellings(known)]
        yield from short

    def _internal(self, folded: Folded) -> Iterator[tuple[int, int, str]]:
        """Each internal address in the text that was folded, with what leaves in its place."""
        for start, end, spelt in internal_in(folded.text.lower()):
            shown = self.address(spelt)
            if self._policy.internal_ips != "keep":
                yield (*folded.span(start, end), shown[1] if shown else _INSIDE)

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


# The words of titles, rules and standards come again in each message.
_remembered = lru_cache(maxsize=4096)(without)


def user_of(evidence: Evidence) -> str | None:
    """The user that an event names first; None if it names none."""
    return next(_of_kind(evidence, "user"), None)


def _of_kind(evidence: Evidence, kind: str) -> Iterator[str]:
    for field, its_kind in ENTITY_FIELDS.items():
        if its_kind == kind and (value := evidence.fields.get(field)):
            yield str(value)


def _names(alert: Alert, kind: str) -> list[str]:
    """Distinct names of a kind that may stand in a line of the alert, the longest first."""
    names = [*alert.entities.get(kind, []), *(name for each in alert.evidence for name in _of_kind(each, kind))]
    if kind == "host":
        names += (alert.host, *(each.host for each in alert.evidence))
    return sorted({name for name in names if name.strip()}, key=lambda name: (-len(name), name))


def _internal_ips(alert: Alert) -> list[str]:
    """Distinct internal addresses that the alert knows, each in its shortest form."""
    found = map(address, dict.fromkeys(_names(alert, "ip") + _names(alert, "host")))
    return [*dict.fromkeys(each[0] for each in found if each and each[1])]
