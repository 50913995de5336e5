"""The store: alerts, evidence, outbox, checkpoint and correlation state in one SQLite file, one writer thread."""

from socmon.store.outbox import Routing, Undelivered
from socmon.store.store import Checkpoint, Reading, Store, read

__all__ = ["Checkpoint", "Reading", "Routing", "Store", "Undelivered", "read"]
