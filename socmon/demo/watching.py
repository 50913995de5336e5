"""Tells of alerts as they come, and of the centre's acknowledgements, by looking into the daemon's store."""

from pathlib import Path

from socmon.demo.scene import DESTINATION
from socmon.errors import StoreError
from socmon.event import Alert, rfc3339
from socmon.store import read


class Watcher:
    """Remembers what it has told."""

    def __init__(self, store: Path) -> None:
        self._store = store
        self._seen: set[str] = set()
        self._acknowledged: set[str] = set()

    def news(self) -> list[str]:
        """A line for each alert that is new and for each first acknowledgement; none while the store is not there."""
        try:
            reading = read(self._store)
        except StoreError:
            return []  # not made yet, or being recovered by a daemon that starts
        acknowledged = reading.acknowledged.get(DESTINATION, {})
        told = []
        for alert in reading.alerts:
            if alert.id not in self._seen:
                self._seen.add(alert.id)
                told.append(f"ALERT  {rfc3339(alert.last_us)}  {alert.level}  {_shown(alert)}  {alert.count}×")
            if alert.id in acknowledged and alert.id not in self._acknowledged:
                self._acknowledged.add(alert.id)
                told.append(f"acknowledged by the centre: {_shown(alert)}")
        return told

    def waiting(self) -> int:
        """How many messages wait to be sent to the centre, or for its answer."""
        try:
            backlog = read(self._store).backlogs.get(DESTINATION)
        except StoreError:
            return 0
        return backlog.pending + backlog.waiting if backlog else 0


def _shown(alert: Alert) -> str:
    group = " ".join(f"{name}={value}" for name, value in alert.group.items())
    return f"{alert.title}  {group}"
