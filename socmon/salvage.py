"""What was wrong with the store at the start: told in the log, in metrics, to `socmon status`, and made an alert of."""

import msgspec

from socmon import log, metrics
from socmon.own import Own
from socmon.store import Store

_REMEDY = "restore a backup with `socmon db restore FILE`, or leave it so"

_log = log.get("store")


class Salvage:
    """Tells of the store of one daemon."""

    def __init__(self, store: Store, own: Own) -> None:
        self._store = store
        self._own = own

    def opened(self, *, journalled: bool) -> None:
        """Tell what the opening of the store has found.

        Args:
            journalled: whether there is a journal of an earlier run.
        """
        if salvaged := self._store.salvaged:
            _log.error("the outbox was damaged, what could be read of it was kept", **msgspec.structs.asdict(salvaged))
            metrics.outbox_damaged(messages=salvaged.lost, alerts=salvaged.queued, receipts=salvaged.unproved)
        if not self._store.checked:
            _log.info("the store is too large to be looked through at a start", remedy="run `socmon db verify`")
        if self._store.emptied and journalled:
            text = "the file of the store was empty, it is made again from the journal"
            _log.error(text, path=str(self._store.path), remedy=_REMEDY)

    def loaded(self) -> None:
        """Tell what the reading of the checkpoint has found."""
        if why := self._store.forgotten:
            text = "the ledger cannot be read, it begins anew at the checkpoint"
            _log.error(text, path=str(self._store.path), error=why, remedy=_REMEDY)

    @property
    def figures(self) -> dict[str, int] | None:
        """What damage did to the outbox since the start: messages lost, alerts queued anew, receipts lost."""
        found, at_sending = self._store.salvaged, self._store.damaged
        if found is None:
            return {"lost": at_sending, "queued": at_sending, "unproved": 0} if at_sending else None
        return {"lost": found.lost + at_sending, "queued": found.queued + at_sending, "unproved": found.unproved}

    async def insist(self) -> None:
        """Let rules/socmon/outbox_salvaged.yml make an alert of it."""
        if found := self._store.salvaged:
            counts = {name: str(getattr(found, name)) for name in ("kept", "lost", "queued", "unproved", "streams")}
            message = (
                f"the outbox was damaged: {found.lost} releases lost, {found.unproved} receipts lost, "
                f"{found.queued} alerts queued anew"
            )
            await self._own.insist("store", message, {"state": "salvaged", "aside": str(found.aside), **counts})
