"""What people hold back from destinations, as metrics."""

from socmon.instruments import Kept, gauge

OUTBOX_UNAPPROVED = Kept(
    gauge("socmon_outbox_unapproved_alerts", "Alerts that wait until a person approves them.", "forwarder")
)
FORWARDER_PAUSED = Kept(gauge("socmon_forwarder_paused", "1 while a person has paused a forwarder.", "forwarder"))


def show(forwarder: str, *, unapproved: int, paused: bool) -> None:
    """Show what waits for a person, and whether all waits."""
    OUTBOX_UNAPPROVED[forwarder].set(unapproved)
    FORWARDER_PAUSED[forwarder].set(paused)
