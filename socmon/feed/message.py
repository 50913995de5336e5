"""An alert as one message of the feed: a CloudEvents 1.0 event that carries an OCSF 1.8 Detection Finding (2004)."""

import re
from collections.abc import Mapping
from hashlib import sha256
from typing import Any
from uuid import UUID

from msgspec import Struct

from socmon import __version__
from socmon.event import SECOND_US, Alert, rfc3339
from socmon.feed.privacy import Account, Policy, user_of
from socmon.feed.sharing import Share, Tlp, must_be_shared, tlp_of
from socmon.feed.signing import Key, canonical, sign_event
from socmon.feed.vocabulary import TEST_TAG, rsit, severity, tactics, techniques
from socmon.outgoing import AUTOMATIC, Approval, Release

FINDING_TYPE = "vn.soc.finding.v1"
FINDING_SCHEMA = "urn:vn:soc:schema:finding:1"
VOID_TYPE = "vn.soc.void.v1"
VOID_SCHEMA = "urn:vn:soc:schema:void:1"
ORG_ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z.-]{0,63}")

METADATA = {
    "version": "1.8.0",
    "product": {"name": "socmon", "vendor_name": "socmon", "version": __version__},
    "profiles": [],
}
_DETECTION_FINDING = 2004
_CREATE, _CLOSE = 1, 3
_STATUS_ID: Mapping[str, int] = {"open": 1, "closed": 4}
_IN_PROGRESS = 2
_RULE = 1
_HOSTNAME, _IP_ADDRESS, _USER_NAME, _ENDPOINT_UID = 1, 2, 4, 48  # OCSF 1.8, observable.type_id
_UNKNOWN = 0
# What the schema allows; the store keeps more.
_MAX_ITEMS = 60
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,250}[A-Za-z0-9])?")  # as OCSF's hostname_t, or nearly so
_MAX_TITLE = 1000


class Sender(Struct, frozen=True):
    """Who sends, and what is said of its alerts until more is known.

    Attributes:
        org_id: the organisation of the sender's certificate.
        org_path: organisations from the top down to the sender.
        system_level: security level of the monitored system, 1 to 5; None where nobody stated it.
        tlp: traffic light protocol 2.0, without its prefix, of alerts whose rule has no tag `tlp.…`.
        privacy: what leaves of detail.
        share: which alerts leave.
    """

    org_id: str
    org_path: tuple[str, ...] = ()
    system_id: str = ""
    system_level: int | None = None
    tlp: Tlp = "AMBER"
    privacy: Policy = Policy()
    share: Share = Share()


def source_of(org_id: str, stream: str) -> str:
    """The CloudEvents `source` of an organisation's stream."""
    return f"urn:vn:soc:{org_id}/{stream}"


def event_id(release: Release, *more: str) -> str:
    """A UUIDv7 (RFC 9562, section 5.7) made from the release alone, so that a resent alert keeps its id for ever.

    What takes the place of the alert has another id for what `more` says of it.
    """
    place = "\0".join((release.destination, release.stream, release.epoch, str(release.seq), *more))
    noise = int.from_bytes(sha256(place.encode()).digest()[:10])
    millisecond = (release.released_us // 1000) & ((1 << 48) - 1)
    version, variant = 7 << 76, 2 << 62
    rand_a, rand_b = (noise >> 62) & 0xFFF, noise & ((1 << 62) - 1)
    return str(UUID(int=millisecond << 80 | version | rand_a << 64 | variant | rand_b))


def render(alert: Alert, release: Release, sender: Sender, key: Key | None = None) -> bytes:
    """The message, as it is stored with the release and sent as often as needed, with the detail that may leave.

    It is in canonical form, and signed once and for all by `key`, if there is one, at the time of the release.

    Raises:
        HeldError: the alert is not to leave.
    """
    return enveloped(alert.id, finding_of(alert, sender, release.approval), release, sender.org_id, key)


def enveloped(alert_id: str, finding: Mapping[str, Any], release: Release, org_id: str, key: Key | None) -> bytes:
    """A finding in its CloudEvents envelope, in canonical form, signed by `key` if there is one."""
    event = {
        "specversion": "1.0",
        "id": event_id(release),
        "source": source_of(org_id, release.stream),
        "type": FINDING_TYPE,
        "subject": alert_id,
        "time": rfc3339(release.released_us),
        "datacontenttype": "application/json",
        "dataschema": FINDING_SCHEMA,
        "socepoch": release.epoch,
        "socseq": f"{release.seq:020}",
        "socrev": release.revision,
        "data": finding,
    }
    return canonical(event) if key is None else sign_event(event, key, release.released_us // SECOND_US)


def finding_of(alert: Alert, sender: Sender, approval: Approval = AUTOMATIC) -> dict[str, Any]:
    """The OCSF part: a function of the alert and of who let it go, and else not of its release.

    Raises:
        HeldError: the alert is not to leave.
    """
    tlp = tlp_of(alert.tags, sender.tlp)
    must_be_shared(alert, sender.share)
    account = Account(sender.privacy)
    # Whether the centre knows the alert already cannot be said here: it orders by socrev, so "create" does no harm.
    activity = _CLOSE if alert.status == "closed" else _CREATE
    first_ms, last_ms = alert.first_us // 1000, alert.last_us // 1000
    span_s = (alert.last_us - alert.first_us) // SECOND_US
    message = f"{account.text(alert.title[:_MAX_TITLE])}: {alert.count} events in {span_s} s"
    finding = {
        "activity_id": activity,
        "category_uid": _DETECTION_FINDING // 1000,
        "class_uid": _DETECTION_FINDING,
        "type_uid": _DETECTION_FINDING * 100 + activity,
        "severity_id": severity(alert.level, system_of(alert, sender)[1]),
        "status_id": _STATUS_ID.get(alert.status, _IN_PROGRESS),
        "time": last_ms,
        "start_time": first_ms,
        "end_time": last_ms,
        "count": alert.count,
        "is_alert": True,
        "message": message,
        "metadata": METADATA,
        "finding_info": _finding_info(alert, first_ms, last_ms),
        "evidences": _evidences(alert, account),
        "observables": _observables(alert, account),
        "unmapped": {"vn_soc": _vn_soc(alert, sender, tlp) | {"approval": _approval(approval, account)}},
    }
    held = {name: value for name, value in finding.items() if value != []}
    cleaned: dict[str, Any] = _cleaned(held, account, _ours(alert, sender) | {message})
    # The last word: what was done to all that stands above it.
    cleaned["unmapped"]["vn_soc"] |= _report(alert) | {"pii": account.told()}
    return cleaned


def _report(alert: Alert) -> dict[str, Any]:
    """When the clocks of its reports started, and what is due next, where that is known; there is no person in it."""
    told: dict[str, Any] = {} if alert.t0_us is None else {"t0": rfc3339(alert.t0_us)}
    if alert.duty is not None:
        told["report_duty"] = duty = {"kind": alert.duty.kind, "reason": alert.duty.reason}
        if alert.duty.due_us is not None:
            duty["due"] = rfc3339(alert.duty.due_us)
    return told


def _ours(alert: Alert, sender: Sender) -> frozenset[str]:
    """Texts that name things of ours, and no persons, though they may look like a number of one."""
    named = (alert.id, f"sigma:{alert.rule_id}", alert.agency, alert.system, sender.org_id, sender.system_id)
    return frozenset((*named, *sender.org_path))


def _cleaned(value: Any, account: Account, ours: frozenset[str]) -> Any:
    """`value` with each text in it as `Account.text` lets it leave, but for names of ours and addresses."""
    if isinstance(value, str):
        return value if value in ours else account.value(value)
    if isinstance(value, dict):
        return {name: _cleaned(held, account, ours) for name, held in value.items()}
    if isinstance(value, list):
        return [_cleaned(held, account, ours) for held in value]
    return value


def _finding_info(alert: Alert, first_ms: int, last_ms: int) -> dict[str, Any]:
    title = alert.title[:_MAX_TITLE]
    info = {
        "uid": alert.id,
        "title": title,
        "types": rsit(alert.tags).split("/"),
        "first_seen_time": first_ms,
        "last_seen_time": last_ms,
        "analytic": {
            "type_id": _RULE,
            "type": "Rule",
            "uid": f"sigma:{alert.rule_id}",
            "name": alert.title[:_MAX_TITLE],
        },
        "attacks": _attacks(alert),
    }
    return {name: value for name, value in info.items() if value != []}


def _attacks(alert: Alert) -> list[dict[str, Any]]:
    """One ATT&CK object a technique; the tactics alone where no technique is tagged."""
    found = tactics(alert.tags)
    shared = {"tactics": found} if found else {}
    attacks: list[dict[str, Any]] = []
    for name in techniques(alert.tags):
        attack: dict[str, Any] = {**shared, "technique": {"uid": name.partition(".")[0]}}
        if "." in name:
            attack["sub_technique"] = {"uid": name}
        attacks.append(attack)
    return attacks[:_MAX_ITEMS] or ([shared] if shared else [])


def _evidences(alert: Alert, account: Account) -> list[dict[str, Any]]:
    """Each distinct set of endpoints, user, host and line, as far as they leave."""
    found: list[dict[str, Any]] = []
    for evidence in alert.evidence:
        one: dict[str, Any] = {}
        for side in ("src", "dst"):
            if address := account.address(evidence.fields.get(f"{side}_ip")):
                one[f"{side}_endpoint"] = {address[0]: address[1]} | _port(evidence.fields.get(f"{side}_port"))
        if (user := user_of(evidence)) and (shown := account.user(user)):
            one["user"] = {"name": shown}
        if evidence.host and (shown := account.host(evidence.host)):
            one["device"] = {"type_id": _UNKNOWN, "hostname" if _HOST.fullmatch(shown) else "name": shown}
        if line := account.raw(evidence, alert):
            one["data"] = {"raw": line}
        if one and one not in found:
            found.append(one)
    return found[:_MAX_ITEMS]


def _port(value: object) -> dict[str, int]:
    text = str(value)
    is_port = text.isascii() and text.isdigit() and len(text) <= 5 and int(text) <= 65535
    return {"port": int(text)} if is_port else {}


def _observables(alert: Alert, account: Account) -> list[dict[str, Any]]:
    addresses = [account.address(value) for value in alert.entities.get("ip", [])]
    users = [account.user(value) for value in alert.entities.get("user", [])]
    hosts = [account.host(value) for value in (*alert.entities.get("host", []), *([alert.host] if alert.host else []))]
    kinds = (
        (_IP_ADDRESS, "IP Address", "src_endpoint.ip", [found[1] for found in addresses if found and found[0] == "ip"]),
        (_ENDPOINT_UID, "Network Endpoint Object: uid", "src_endpoint.uid",
         [found[1] for found in addresses if found and found[0] == "uid"]),
        (_USER_NAME, "User Name", "user.name", users),
        (_HOSTNAME, "Hostname", "device.hostname", hosts),
    )  # fmt: skip
    return [
        {"type_id": type_id, "type": caption, "name": f"evidences[].{name}", "value": value}
        for type_id, caption, name, values in kinds
        for value in [value for value in dict.fromkeys(values) if value][:_MAX_ITEMS]
    ]


def _vn_soc(alert: Alert, sender: Sender, tlp: Tlp) -> dict[str, Any]:
    agency = alert.agency or sender.org_id
    path = sender.org_path or (sender.org_id,)
    block: dict[str, Any] = {
        "profile": "vn-soc-feed/1",
        "tlp": tlp,
        "org_id": agency,
        "org_path": [*path, *((agency,) if agency != path[-1] else ())],
        "level": alert.level,
        "rsit": rsit(alert.tags),
        "aggregation": {"raw_events": alert.count, "approximate": alert.approximate},
        "lang": "en",
    }
    if TEST_TAG in alert.tags:
        block["test"] = True
    if alert.reason:
        block["disposition"] = alert.reason
    system_id, system_level = system_of(alert, sender)
    if system_id:
        block["system_id"] = system_id
    if system_level is not None:
        block["system_level"] = system_level
    return block


def _approval(approval: Approval, account: Account) -> dict[str, str]:
    """By what the alert leaves; who said so is a user as any other."""
    told: dict[str, str] = {"mode": approval.mode}
    if approval.by:
        told["at"] = rfc3339(approval.at_us)
        if shown := account.user(approval.by):
            told["by"] = shown
    if approval.rule:
        told["rule"] = approval.rule
    return told


def system_of(alert: Alert, sender: Sender) -> tuple[str, int | None]:
    """Id and level of the alert's system; the sender's, both of them, where it names none."""
    return (alert.system, alert.system_level) if alert.system else (sender.system_id, sender.system_level)
