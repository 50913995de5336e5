"""What the control socket can be asked for: triage, a test alert, dead letters to release, a reload, old alerts."""

import time
import uuid
from asyncio import Future
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

from msgspec import Meta, Struct

from socmon import metrics
from socmon.control.protocol import RefusedError
from socmon.control.server import Actor, Verb
from socmon.decision_verbs import DecisionVerbs, known
from socmon.delivering import Delivering
from socmon.event import SECOND_US
from socmon.own import Own
from socmon.reloading import Reloaded, Reloading
from socmon.sigma import RuleSet
from socmon.sigma.joining import alert_id
from socmon.store import Store
from socmon.store.queue import Letter
from socmon.store.retiring import Retiring
from socmon.store.triage import MAX_ALERTS, Change, Triaged

TEST_RULE = "c2a7a3a5-3c1b-4f0e-8f5d-6a1f0d9b2e64"  # rules/socmon/test_alert.yml
_SHOWN_LETTERS = 200  # in one answer
_REMEMBERED_RELOADS = 64


class ChangeArguments(Struct, frozen=True, forbid_unknown_fields=True):
    """`alerts.change`: what is to be done to the alerts `ids`; all of it, or none if the store fails."""

    ids: Annotated[list[Annotated[str, Meta(max_length=64)]], Meta(min_length=1, max_length=MAX_ALERTS)]
    change: Change
    dry_run: bool = False


class TestArguments(Struct, frozen=True, forbid_unknown_fields=True):
    """`alerts.test`: destinations that will be waited for; all where none is named."""

    to: list[str] = []


class ProgressArguments(Struct, frozen=True, forbid_unknown_fields=True):
    """`alerts.progress`: how far an alert has come."""

    alert_id: str
    to: list[str]


class StatusArguments(Struct, frozen=True, forbid_unknown_fields=True):
    """`status`: what is wrong now; as /readyz says it, and what keeps each destination from taking what is due."""


class RetryArguments(Struct, frozen=True, forbid_unknown_fields=True):
    """`feed.retry`: the dead letters `ids`, or all (`ids` is None), of `destination` where it is not ""."""

    ids: list[int] | None = None
    destination: str = ""
    dry_run: bool = False


class PruneArguments(Struct, frozen=True, forbid_unknown_fields=True):
    """`store.prune`: alerts older than `age_us` go, and the oldest as long as the store holds more than `max_bytes`."""

    age_us: Annotated[int, Meta(ge=0)] | None
    max_bytes: Annotated[int, Meta(ge=0)] | None


class ReloadArguments(Struct, frozen=True, forbid_unknown_fields=True):
    """`config.reload`: none."""


class ReloadedArguments(Struct, frozen=True, forbid_unknown_fields=True):
    """`config.reloaded`: the reload that `config.reload` gave this number."""

    reload: int


class Verbs:
    """The verbs of one daemon.

    Args:
        rules: those in force.
        status: the answer to `status`.
    """

    def __init__(  # noqa: PLR0913  all that can be asked for anything
        self,
        *,
        own: Own,
        store: Store,
        retiring: Retiring,
        deliverings: Sequence[Delivering],
        rules: Callable[[], RuleSet],
        incarnation: uuid.UUID,
        status: Callable[[], object],
        reloading: Reloading,
    ) -> None:
        self._own = own
        self._store = store
        self._retiring = retiring
        self._deliverings = {each.name: each for each in deliverings}
        self._rules = rules
        self._incarnation = incarnation
        self._say = status
        self._reloading = reloading
        self._reloads: dict[int, Future[Reloaded]] = {}
        self._last_reload = 0

    @property
    def table(self) -> Mapping[str, Verb]:
        """By name."""
        return {
            "alerts.change": Verb(ChangeArguments, self._change, changes=lambda asked: not asked.dry_run),
            "alerts.test": Verb(TestArguments, self._test, changes=lambda _: True),
            "alerts.progress": Verb(ProgressArguments, self._progress, changes=lambda _: False),
            "status": Verb(StatusArguments, self._status, changes=lambda _: False),
            "config.reload": Verb(ReloadArguments, self._reload, changes=lambda _: True),
            "config.reloaded": Verb(ReloadedArguments, self._reloaded, changes=lambda _: False),
            "feed.retry": Verb(RetryArguments, self._retry, changes=lambda asked: not asked.dry_run),
            "store.prune": Verb(PruneArguments, self._prune, changes=lambda _: True),
            **DecisionVerbs(self._store, self._deliverings).table,
        }

    async def _status(self, _actor: Actor, _asked: StatusArguments) -> object:
        return self._say()

    async def _change(self, actor: Actor, asked: ChangeArguments) -> object:
        """Done, and on the disk, when this answers."""
        now_us = time.time_ns() // 1000
        triaged = await self._store.triage(
            asked.ids, asked.change, actor=actor.name, now_us=now_us, dry_run=asked.dry_run
        )
        if not asked.dry_run:
            _measure(asked.change, triaged)
            for delivering in self._deliverings.values():
                delivering.wake()
        return {"actor": actor.name, "time_us": now_us, "alerts": triaged}

    async def _test(self, actor: Actor, asked: TestArguments) -> object:
        """Write a test record; its alert's id follows from the record's place in the journal."""
        self._known(asked.to)
        if TEST_RULE not in self._rules().by_id:
            text = f"rule {TEST_RULE}, which makes the test alert, is not loaded; set rules.shipped to true"
            raise RefusedError("failed", text)
        if not self._deliverings:
            raise RefusedError("failed", "no forwarder is configured, so there is no way to test")
        test_id = str(uuid.uuid4())
        message = f"{actor.name} tests the way of an alert"
        written = await self._own.write("test", message, {"test_id": test_id, "actor": actor.name})
        return {
            "test_id": test_id,
            "seq": written.seq,
            "time_us": written.time_us,
            "alert_id": alert_id(self._incarnation, TEST_RULE, [test_id], written.seq),
            "to": asked.to or list(self._deliverings),
        }

    async def _progress(self, _actor: Actor, asked: ProgressArguments) -> object:
        self._known(asked.to)
        destinations = {name: await self._reached(name, asked.alert_id) for name in dict.fromkeys(asked.to)}
        # After them: what is released by then is stored by now, so no release is told of before its alert.
        return {"stored_us": await self._store.stored_us(asked.alert_id), "destinations": destinations}

    async def _reached(self, name: str, alert: str) -> dict[str, Any]:
        """The alert's last delivery to a destination, and what is wrong with that."""
        rows = [row for row in await self._store.deliveries(name, alert) if row.id is not None]
        last = rows[-1] if rows else None
        trouble = self._deliverings[name].trouble
        return {"delivery": last, "trouble": trouble}

    async def _reload(self, actor: Actor, _asked: ReloadArguments) -> object:
        """Begin a reload; what became of it is asked for by its number, as many rules take longer than a verb may."""
        self._last_reload += 1
        self._reloads[self._last_reload] = self._reloading.ask(actor.name)
        self._reloads.pop(self._last_reload - _REMEMBERED_RELOADS, None)
        return {"reload": self._last_reload}

    async def _reloaded(self, _actor: Actor, asked: ReloadedArguments) -> object:
        """What became of a reload; None while it goes on."""
        answer = self._reloads.get(asked.reload)
        if answer is None:
            raise RefusedError("not_found", f"no reload has the number {asked.reload}; ask for one by `config.reload`")
        return answer.result() if answer.done() else None

    async def _retry(self, actor: Actor, asked: RetryArguments) -> object:
        self._known([asked.destination] if asked.destination else [])
        letters = await self._store.dead(asked.destination or None)
        if asked.ids is not None:
            letters = _chosen(letters, asked.ids)
        else:
            # Those of a destination that was taken out of the configuration would wait for ever.
            letters = [letter for letter in letters if letter.destination in self._deliverings]
        self._known([letter.destination for letter in letters])
        if letters and not asked.dry_run:
            await self._store.release_again(letters, by=actor.name, now_us=time.time_ns() // 1000)
        if not asked.dry_run:
            for name in {*(letter.destination for letter in letters), asked.destination} - {""}:
                self._deliverings[name].hurry()
        return {"count": len(letters), "letters": letters[:_SHOWN_LETTERS]}

    async def _prune(self, actor: Actor, asked: PruneArguments) -> object:
        """One step; whoever asks goes on asking while there is more."""
        return await self._retiring.step(asked.age_us, asked.max_bytes, by=actor.name)

    def _known(self, names: Sequence[str]) -> None:
        known(self._deliverings, names)


def _measure(change: Change, triaged: Sequence[Triaged]) -> None:
    seconds = {"ack": metrics.ALERT_ACKNOWLEDGE_SECONDS, "close": metrics.ALERT_CLOSE_SECONDS}.get(change.verb)
    for each in triaged:
        if seconds is not None and each.waited_us is not None:
            seconds[each.level].observe(each.waited_us / SECOND_US)


def _chosen(letters: Sequence[Letter], ids: Sequence[int]) -> list[Letter]:
    """The letters of these ids; all are there, or nothing is done."""
    found = {letter.id: letter for letter in letters}
    if missing := [number for number in dict.fromkeys(ids) if number not in found]:
        text = f"no dead letter has the id {missing[0]}; `socmon feed queue --state dead` lists them"
        raise RefusedError("not_found", text)
    return [found[number] for number in dict.fromkeys(ids)]
