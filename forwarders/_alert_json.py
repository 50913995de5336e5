"""An alert as one JSON object, for destinations that have no format of their own."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from forwarders._rendering import rendering
from socmon.event import Alert, Evidence, rfc3339
from socmon.outgoing import Release

SCHEMA = "socmon.alert/1"
# It is stored for each revision of its alert, so it must not grow with the attack.
_EVIDENCE_AT_EACH_END = 5
_MAX_RAW_BYTES = 4096


def alert_json(alert: Alert, release: Release) -> bytes:
    """The whole alert on one line, without a newline, with its first and last 5 events as evidence.

    `raw` is cut at 4 KiB, `cut` says so, and `sha256` is of all of it. `count` tells how many events there are.

    Raises:
        ValueError: the alert cannot be written as JSON.
    """
    with rendering(alert):
        return msgspec.json.encode(_line(alert, release))


def _line(alert: Alert, release: Release) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "stream": release.stream,
        "epoch": release.epoch,
        "seq": release.seq,
        "revision": release.revision,
        "released": rfc3339(release.released_us),
        "id": alert.id,
        "rule_id": alert.rule_id,
        "title": alert.title,
        "level": alert.level,
        "tags": alert.tags,
        "status": alert.status,
        "reason": alert.reason,
        "recurring": alert.recurring,
        "group": alert.group,
        "host": alert.host,
        "agency": alert.agency,
        "system": alert.system,
        "system_level": alert.system_level,
        "entities": alert.entities,
        "first_seen": rfc3339(alert.first_us),
        "last_seen": rfc3339(alert.last_us),
        "count": alert.count,
        "approximate": alert.approximate,
        "evidence": [_shown(evidence) for evidence in _ends(alert.evidence)],
    }


def _ends(evidence: Sequence[Evidence]) -> Sequence[Evidence]:
    """The first and the last, where there are more than can be shown."""
    if len(evidence) <= 2 * _EVIDENCE_AT_EACH_END:
        return evidence
    return [*evidence[:_EVIDENCE_AT_EACH_END], *evidence[-_EVIDENCE_AT_EACH_END:]]


def _shown(evidence: Evidence) -> Mapping[str, Any]:
    raw = evidence.raw.encode()
    return {
        "seq": evidence.seq,
        "time": rfc3339(evidence.time_us),
        "host": evidence.host,
        "collector": evidence.collector,
        "peer": evidence.peer,
        "raw": raw[:_MAX_RAW_BYTES].decode(errors="ignore"),  # the cut may fall into a character
        "cut": evidence.cut or len(raw) > _MAX_RAW_BYTES,
        "sha256": evidence.sha256,
        "fields": evidence.fields,
    }
