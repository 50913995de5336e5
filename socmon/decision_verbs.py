"""What the control socket can be asked for on a destination's alerts: let them go, withdraw, drop, pause (ADR 99)."""

import time
from collections.abc import Mapping, Sequence
from typing import Annotated

from msgspec import Meta, Struct

from socmon.control.protocol import RefusedError
from socmon.control.server import Actor, Verb
from socmon.delivering import Delivering
from socmon.event import SECOND_US
from socmon.store import Store
from socmon.store.decisions import MAX_REASON_CHARS, Saying, Standing, decide
from socmon.store.dropping import Dropped, drop_alerts, drop_dead
from socmon.store.pausing import Pause, pause, resume
from socmon.store.triage import MAX_ALERTS

_SHOWN_ROWS = 200  # in one answer
_MAX_PAUSE_S = 366 * 86_400
_Ids = Annotated[list[Annotated[str, Meta(max_length=64)]], Meta(min_length=1, max_length=MAX_ALERTS)]
_Reason = Annotated[str, Meta(max_length=MAX_REASON_CHARS)]


class DecideArguments(Struct, frozen=True, forbid_unknown_fields=True):
    """`feed.decide`: the alerts `ids` may go to `destination`, or not any more."""

    destination: str
    ids: _Ids
    decision: Standing
    reason: _Reason = ""
    dry_run: bool = False


class DropArguments(Struct, frozen=True, forbid_unknown_fields=True):
    """`feed.drop`: what waits or is dead of the alerts `ids`; of all what is dead, where `ids` is None."""

    destination: str
    ids: _Ids | None = None
    reason: _Reason = ""
    dry_run: bool = False


class PauseArguments(Struct, frozen=True, forbid_unknown_fields=True):
    """`feed.pause`: nothing goes to `destination` for `for_s` seconds, or until it is resumed.

    Attributes:
        urgent: nothing urgent either.
    """

    destination: str
    for_s: Annotated[int, Meta(ge=1, le=_MAX_PAUSE_S)] | None = None
    urgent: bool = False


class ResumeArguments(Struct, frozen=True, forbid_unknown_fields=True):
    """`feed.resume`: alerts go to `destination` again."""

    destination: str


class DecisionVerbs:
    """The verbs by which people decide what goes to a destination."""

    def __init__(self, store: Store, deliverings: Mapping[str, Delivering]) -> None:
        self._store = store
        self._deliverings = deliverings

    @property
    def table(self) -> Mapping[str, Verb]:
        """By name."""
        return {
            "feed.decide": Verb(DecideArguments, self._decide, changes=lambda asked: not asked.dry_run),
            "feed.drop": Verb(DropArguments, self._drop, changes=lambda asked: not asked.dry_run),
            "feed.pause": Verb(PauseArguments, self._pause, changes=lambda _: True),
            "feed.resume": Verb(ResumeArguments, self._resume, changes=lambda _: True),
        }

    async def _decide(self, actor: Actor, asked: DecideArguments) -> object:
        """Done, and on the disk, when this answers."""
        known(self._deliverings, [asked.destination])
        saying = self._saying(actor, asked.destination, asked.reason)
        decided = await self._store.change(
            lambda db: decide(db, asked.ids, asked.decision, saying, dry_run=asked.dry_run)
        )
        self._wake(asked.destination)
        return {"actor": actor.name, "time_us": saying.now_us, "alerts": decided}

    async def _drop(self, actor: Actor, asked: DropArguments) -> object:
        known(self._deliverings, [asked.destination])
        saying, ids = self._saying(actor, asked.destination, asked.reason), asked.ids

        rows: list[Dropped] = await self._store.change(
            lambda db: (
                drop_dead(db, saying, dry_run=asked.dry_run)
                if ids is None
                else drop_alerts(db, ids, saying, dry_run=asked.dry_run)
            )
        )
        self._wake(asked.destination)
        return {"count": len(rows), "rows": rows[:_SHOWN_ROWS]}

    async def _pause(self, actor: Actor, asked: PauseArguments) -> object:
        known(self._deliverings, [asked.destination])
        now_us = time.time_ns() // 1000
        until_us = None if asked.for_s is None else now_us + asked.for_s * SECOND_US
        wanted = Pause(asked.destination, now_us, until_us, asked.urgent, actor.name)
        await self._store.change(lambda db: pause(db, wanted))
        return wanted

    async def _resume(self, _actor: Actor, asked: ResumeArguments) -> object:
        known(self._deliverings, [asked.destination])
        resumed = await self._store.change(lambda db: resume(db, asked.destination))
        self._wake(asked.destination)
        return {"resumed": resumed}

    @staticmethod
    def _saying(actor: Actor, destination: str, reason: str) -> Saying:
        return Saying(destination, actor.name, time.time_ns() // 1000, reason)

    def _wake(self, destination: str) -> None:
        self._deliverings[destination].wake()


def known(deliverings: Mapping[str, Delivering], names: Sequence[str]) -> None:
    """Refuse names that are no destination of this daemon."""
    for name in names:
        if name not in deliverings:
            there = ", ".join(deliverings) or "none is configured"
            raise RefusedError("not_found", f"no destination is called {name[:40]!r}; known: {there}")
