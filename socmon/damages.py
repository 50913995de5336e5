"""Metrics of what damage did to the outbox, beside those of socmon/metrics.py."""

from socmon.instruments import Kept, counter

_OUTBOX_DAMAGE = Kept(
    counter(
        "socmon_outbox_damage",
        "What damage did to the outbox since the start: messages lost, alerts queued anew, receipts lost.",
        "reason",
    )
)


def count(*, messages: int = 0, alerts: int = 0, receipts: int = 0) -> None:
    """Count messages that are lost, alerts that were queued anew, and messages whose receipt is lost."""
    for kind, number in (("message_lost", messages), ("alert_queued", alerts), ("receipt_lost", receipts)):
        _OUTBOX_DAMAGE[kind].inc(number)


count()
