"""The closing revision of an alert that was withdrawn: nothing of the alert but its id (FEED protocol, fault 33)."""

from typing import Any

from socmon.event import Alert
from socmon.feed.message import METADATA, Sender, enveloped
from socmon.feed.signing import Key
from socmon.feed.vocabulary import rsit
from socmon.outgoing import Release

DISPOSITION = "withdrawn"
_CLOSE, _CLOSED, _RULE, _INFORMATIONAL = 3, 4, 1, 1  # OCSF 1.8: activity_id, status_id, analytic.type_id, severity_id


def render_closing(alert: Alert, release: Release, sender: Sender, key: Key | None = None) -> bytes:
    """The message, in canonical form and signed, that takes the place of what the destination has of `alert`.

    It names no rule, no agency and no traffic light of the alert's, for that may be why it was withdrawn: so it may
    leave whatever the alert has become.
    """
    first_ms = alert.first_us // 1000
    finding: dict[str, Any] = {
        "activity_id": _CLOSE,
        "category_uid": 2,
        "class_uid": 2004,
        "type_uid": 200400 + _CLOSE,
        "severity_id": _INFORMATIONAL,
        "status_id": _CLOSED,
        "time": first_ms,
        "start_time": first_ms,
        "end_time": first_ms,
        "count": 0,
        "is_alert": True,
        "message": "withdrawn",
        "metadata": METADATA,
        "finding_info": {
            "uid": alert.id,
            "title": "Withdrawn",
            "analytic": {"type_id": _RULE, "type": "Rule", "uid": DISPOSITION},
        },
        "unmapped": {
            "vn_soc": {
                "profile": "vn-soc-feed/1",
                "tlp": sender.tlp,
                "org_id": sender.org_id,
                "org_path": [*(sender.org_path or (sender.org_id,))],
                "rsit": rsit([]),
                "disposition": DISPOSITION,
                "lang": "en",
            }
        },
    }
    return enveloped(alert.id, finding, release, sender.org_id, key)
