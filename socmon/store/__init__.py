"""The store: alerts, evidence, outbox, checkpoint and correlation state in one SQLite file, one writer thread.

What only reads it, `socmon.store.reading`, needs a tenth of what the writer imports: so the rest comes when it is asked
for.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from socmon.store.outbox import Undelivered
    from socmon.store.routing import Routing
    from socmon.store.store import Checkpoint, Reading, Store, read

__all__ = ["Checkpoint", "Reading", "Routing", "Store", "Undelivered", "read"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = {"Routing": "routing", "Undelivered": "outbox"}.get(name, "store")
    return getattr(import_module(f"{__name__}.{home}"), name)
