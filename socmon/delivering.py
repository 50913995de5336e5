"""The fourth stage: the outbox → forwarders. Each destination has its own task, its own backlog and its own backoff."""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, cast

import msgspec
from msgspec import Struct
from structlog.typing import FilteringBoundLogger

from socmon import failpoints, metrics
from socmon.component import Context, Forwarder, ForwarderSettings
from socmon.config import Wiring
from socmon.errors import BlockedError, ComponentError, SocmonError
from socmon.event import SECOND_US, Alert, ReportDuty
from socmon.intake import until
from socmon.outgoing import Outcome, Release, Released
from socmon.sections import DeliverySettings
from socmon.store import Routing, Store
from socmon.supervisor import Backoff, supervise

_LOOK_S = 1.0  # a pending alert may become due without a wake-up
_COMPARE_S = 300.0  # how often we look whether the destination still has what it has acknowledged
_GAP_S = 10.0  # and at least so long after the last look, though sequences are missing there
_KEEP_SETTLED_US = 7 * 24 * 3600 * SECOND_US
_PRUNE_S = 3600.0
_SEND_TIMEOUTS = 10  # `timeout_s` that a whole batch may take: it may need several requests
_TELL_AGAIN_S = 3600.0


class Trouble(Struct, frozen=True):
    """Why a destination does not take what is due.

    Attributes:
        refused: the destination itself says so, and waiting will not help.
        time_us: when it was met.
    """

    error: str
    refused: bool
    time_us: int


class _Troubles:
    """Shows whether a destination fails, and tells what a person must mend: once, then each hour, and when it is over.

    A retry makes the forwarder anew, and fails of the same; so this is kept beside it.

    Attributes:
        now: why the last try did not work; None when it went well.
    """

    def __init__(self, name: str, log: FilteringBoundLogger) -> None:
        self._name = name
        self._log = log
        self._told: tuple[str, str] | None = None
        self._again_s = 0.0
        self.now: Trouble | None = None
        self._failing = metrics.FORWARDER_FAILING[name]
        self._failing.set(0)

    def met(self, error: SocmonError) -> None:
        """A delivery has failed."""
        refused = isinstance(error, ComponentError) and error.refused
        self.now = Trouble(str(error), refused, time.time_ns() // 1000)
        self._failing.set(1)
        if not isinstance(error, BlockedError):
            return
        now_s = time.monotonic()
        if self._told == (error.reason, error.remedy) and now_s < self._again_s:
            return
        self._told, self._again_s = (error.reason, error.remedy), now_s + _TELL_AGAIN_S
        about = {"destination": self._name, "reason": error.reason, "error": error.what, "remedy": error.remedy}
        self._log.error("destination cannot be used until a person acts, alerts wait", **about)

    def over(self) -> None:
        """The destination answers, or nothing waits for it."""
        self.now = None
        self._failing.set(0)
        if self._told is not None:
            self._log.info("destination can be used again", destination=self._name, reason=self._told[0])
            self._told = None


class Delivering:
    """Delivers to one destination: released rows first, in order, until it has answered for each.

    Args:
        duty: what must be reported of an alert, as the message says; pure.
    """

    def __init__(
        self,
        wiring: Wiring,
        context: Context[Any],
        store: Store,
        settings: DeliverySettings,
        duty: Callable[[Alert], ReportDuty] | None = None,
    ) -> None:
        self.name = wiring.name
        self._wiring = wiring
        self._context = context
        self._store = store
        self._duty = duty
        self._interval_us = round(settings.release_interval_s * SECOND_US)
        self._backoff = Backoff(settings.backoff_first_s, settings.backoff_limit_s)
        limits = wiring.settings if isinstance(wiring.settings, ForwarderSettings) else ForwarderSettings()
        self._max_events = limits.max_events
        self._timeout_s = limits.timeout_s
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()  # nothing is due
        self._helped = asyncio.Event()
        self._troubles = _Troubles(self.name, self._log)
        metrics.expect_forwarder(self.name)
        self.gave_up = False  # only a person can help: it is not tried any more until one says `hurry`
        self._next_prune_s = time.monotonic() + _PRUNE_S
        self._compared_s = 0.0
        self._next_measure_s = 0.0

    @property
    def _log(self) -> FilteringBoundLogger:
        return self._context.log

    def wake(self) -> None:
        """There is something new in the outbox."""
        self._wake.set()

    async def run(self) -> None:
        """Deliver until cancelled; a destination that fails is tried again, for ever, with backoff."""
        while True:
            await supervise(self.name, self._try, backoff=self._backoff, log=self._log)
            self.gave_up = True
            self._helped.clear()
            await self._helped.wait()
            self.gave_up = False

    def hurry(self) -> None:
        """A person says that it is worth a try now: end a wait between two tries, begin again after giving up."""
        self._backoff.hurry()
        self._helped.set()
        self.wake()

    @property
    def trouble(self) -> Trouble | None:
        """Why the last try did not work; None when it went well."""
        return self._troubles.now

    async def drain(self) -> None:
        """Return when all that is due has been answered for; the caller bounds the wait."""
        self._idle.clear()
        self.wake()
        await self._idle.wait()

    async def _try(self) -> None:
        try:
            await self._deliver()
        except SocmonError as error:
            self._troubles.met(error)
            raise

    async def _deliver(self) -> None:
        forwarder = cast("Forwarder[Any]", self._wiring.cls(self._context))
        routing = msgspec.structs.replace(Routing.of(self.name, forwarder), render=self._with_duty(forwarder.render))
        try:
            await self.measure()
            await forwarder.open()
            await self._store.reconsider(routing, time.time_ns() // 1000)
            await self._compare(forwarder)
            while True:
                self._wake.clear()
                if self._worth_comparing(forwarder):
                    await self._compare(forwarder)
                batches = await self._due(routing)
                if batches:
                    failpoints.die("outbox.released")
                    await self._send_all(forwarder, batches)
                    continue
                self._troubles.over()
                if not self._wake.is_set():
                    self._idle.set()
                await self._rest()
        finally:
            await forwarder.close()

    def _worth_comparing(self, forwarder: Forwarder[Any]) -> bool:
        since_s = time.monotonic() - self._compared_s
        return since_s >= _COMPARE_S or (forwarder.has_gap and since_s >= _GAP_S)

    async def _compare(self, forwarder: Forwarder[Any]) -> None:
        """Go on from what the destination has: it may have been restored from a backup, or we."""
        places = await forwarder.places()
        self._compared_s = time.monotonic()
        now_us = time.time_ns() // 1000
        await self._store.try_held(self.name, now_us)
        if places is None:
            return
        resumed = await self._store.resume(self.name, places, now_us)
        told = {"destination": self.name, **msgspec.structs.asdict(resumed)}
        if resumed.epochs or resumed.again:
            self._log.warning("destination and outbox differ, what it lacks is sent again", **told)
        if resumed.expired or resumed.lost:
            self._log.error("alerts are lost for the destination, neither side has them", **told)
            self._context.counters.error("lost")

    def _with_duty(self, render: Callable[[Alert, Release], bytes]) -> Callable[[Alert, Release], bytes]:
        """`render`, of alerts that say what must be reported of them."""

        def rendered(alert: Alert, release: Release) -> bytes:
            alert.duty = self._duty(alert) if self._duty else None
            return render(alert, release)

        return rendered

    async def _due(self, routing: Routing) -> list[list[Released]]:
        """What waits for an answer and what is released now: a batch a stream, the most urgent stream first."""
        problems = await self._store.release(
            routing, limit=self._max_events, now_us=time.time_ns() // 1000, interval_us=self._interval_us
        )
        for problem in problems:
            self._log.error("alert cannot be rendered, it waits for its next revision", problem=problem)
            self._context.counters.error("render")
        batches = await self._store.waiting(self.name, self._max_events)
        # To count a long backlog takes long, and each batch changes little of it.
        if not batches or time.monotonic() >= self._next_measure_s:
            await self.measure()
            self._next_measure_s = time.monotonic() + _LOOK_S
        return batches

    async def _send_all(self, forwarder: Forwarder[Any], batches: Sequence[Sequence[Released]]) -> None:
        """Send each stream's batch; one that fails does not keep the others from being tried."""
        failure: ComponentError | None = None
        for batch in batches:
            try:
                await self._send(forwarder, batch)
            except ComponentError as error:
                failure = failure or error
        if failure is not None:
            raise failure
        self._troubles.over()

    async def _send(self, forwarder: Forwarder[Any], batch: Sequence[Released]) -> None:
        try:
            # A forwarder bounds each of its requests by timeout_s; this is for one that hangs elsewhere.
            async with asyncio.timeout(self._timeout_s * _SEND_TIMEOUTS):
                outcomes = await forwarder.send(batch)
        except TimeoutError as error:
            raise ComponentError("no answer to a batch in time; it is sent again") from error
        failpoints.die("outbox.replied")
        answered = {outcome.id for outcome in outcomes}
        if answered != {item.id for item in batch}:
            raise ComponentError(f"{len(batch)} alerts sent, {len(answered)} answered for; the batch is sent again")
        first = await self._store.settle(outcomes, time.time_ns() // 1000)
        metrics.accepted(self.name, first)
        self._count(outcomes, {item.id: item.alert_id for item in batch})
        again = sum(outcome.status == "retry" for outcome in outcomes)
        if again < len(outcomes):
            self._backoff.reset()
        blocked = next((outcome.blocked for outcome in outcomes if outcome.blocked), None)
        if blocked:
            raise blocked
        if again:
            wait_s = max(outcome.wait_s for outcome in outcomes)
            raise ComponentError(f"{again} of {len(outcomes)} alerts are to be sent again", wait_s=wait_s)

    def _count(self, outcomes: Sequence[Outcome], alerts: Mapping[int, str]) -> None:
        for outcome in outcomes:
            alert = alerts[outcome.id]
            metrics.answered(self.name, outcome.status)
            if outcome.status == "rejected":
                self._log.error("alert refused, kept as a dead letter", alert=alert, code=outcome.code)
            elif outcome.status == "held":
                self._log.error(
                    "alert not understood there, it is sent again in an hour", alert=alert, code=outcome.code
                )

    async def measure(self) -> None:
        """Show the backlog in the metrics; for when nothing is tried any more too."""
        backlog = await self._store.backlog(self.name)
        metrics.backlog(self.name, backlog.pending, backlog.waiting, backlog.oldest_us, held=backlog.held)
        metrics.held_back(self.name, unapproved=backlog.unapproved, paused=backlog.paused)

    async def _rest(self) -> None:
        if time.monotonic() >= self._next_prune_s:
            self._next_prune_s = time.monotonic() + _PRUNE_S
            await self._store.prune(time.time_ns() // 1000 - _KEEP_SETTLED_US)
        await until(self._wake, _LOOK_S)


def failing(deliverings: Iterable[Delivering]) -> dict[str, str]:
    """Destinations whose last try failed, and why; not those that gave up, which nothing is tried with any more."""
    return {each.name: each.trouble.error for each in deliverings if each.trouble and not each.gave_up}
