"""Builds everything, runs it, and stops it in order: collectors → drain → forwarders → final checkpoint → store."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

from socmon import activation, log, metrics
from socmon.component import Collector
from socmon.config import Config, Wiring
from socmon.console.server import Console
from socmon.control.server import Control
from socmon.correlating import Correlating
from socmon.deadlines import Deadlines
from socmon.delivering import Delivering, failing
from socmon.detection import load_detection, tell_refused
from socmon.door import Door
from socmon.enrich.unknown import tell_unknown
from socmon.errors import JournalError, SocmonError, StoreError
from socmon.event import SECOND_US
from socmon.expiring import Expiries, Expiring, watch
from socmon.full_disk import FullDisk
from socmon.garbage import settle
from socmon.heartbeats import Heartbeats
from socmon.intake import Intake
from socmon.journal import Journal
from socmon.journal.recovery import TORN
from socmon.measuring import Measuring
from socmon.notify import Manager
from socmon.own import Own
from socmon.reloading import Reloading
from socmon.reports.duty import CENTRE, next_report
from socmon.salvage import Salvage
from socmon.seen import Expected, Sources
from socmon.silence import Watch
from socmon.store import Store
from socmon.store.holding import hold
from socmon.store.pruning import young_us
from socmon.store.retiring import Retiring
from socmon.supervisor import Backoff, supervise
from socmon.tidying import tidy
from socmon.verbs import Verbs
from socmon.watchdog import Watchdog
from socmon.workers.asides import FILE_NAME, Asides

_COLLECTORS_STOP_S = 5.0
_FORWARDERS_STOP_S = 5.0
_DRAIN_S = 10.0  # for the intake buffer, and again for what is journalled and not yet matched
_STALLED_S = 30.0
_DOORS_S = 10.0  # for the collectors to begin, before the service manager is told that we are ready
_DAY_US = 86_400 * SECOND_US

_log = log.get("daemon")


@dataclass(frozen=True)
class _Running:
    """The tasks of a running daemon, in the order in which they end."""

    reloading: asyncio.Task[None]
    collectors: list[asyncio.Task[None]]
    intake: asyncio.Task[None]
    correlating: asyncio.Task[None]
    committing: asyncio.Task[None]
    forwarders: list[asyncio.Task[None]]
    housekeeping: list[asyncio.Task[None]]


class Daemon:
    """Everything that runs, wired together.

    Args:
        stop: set to begin the orderly stop.
    """

    def __init__(self, config: Config, stop: asyncio.Event) -> None:
        self._config = config
        self._stop = stop
        self._given_up: list[str] = []
        self._not_collecting: dict[str, str] = {}  # collector whose last run failed → why
        detection = load_detection(config)
        tell_refused(detection)
        journal = config.journal
        self._journal = Journal.open(config.state_dir / "journal", segment_bytes=journal.segment_bytes)
        if self._journal.torn_bytes:
            # The last run was cut in the middle of a write; nobody was told that these records are safe.
            segment = self._journal.torn_segment
            copy = segment.with_name(segment.name + TORN)
            _log.warning(
                "the journal's torn end was set aside",
                segment=segment,
                copy=copy if copy.exists() else "none, the disk is full",
                size_bytes=self._journal.torn_bytes,
            )
        if not self._journal.preallocated:
            _log.warning("no room could be set aside for the next journal segment", size_bytes=journal.segment_bytes)
        self._intake = Intake(self._journal, config.intake, journal)
        self._store = Store(
            config.state_dir / "socmon.db",
            destinations=[wiring.name for wiring in config.forwarders],
            durable=self._intake.durable,
        )
        own = Own(self._intake, self._journal)
        self._salvage = Salvage(self._store, own)
        self._salvage.opened(journalled=self._journal.last_number > 0)
        expected = [Expected(name, **dict(each)) for name, each in config.sources.items()]
        self._correlating = Correlating(
            journal=self._journal,
            intake=self._intake,
            store=self._store,
            detection=detection,
            sources=Sources(expected),
            checkpoint_s=config.store.checkpoint_s,
            stored=self._stored,
            asides=Asides(config.state_dir / FILE_NAME, str(self._journal.incarnation)),
        )
        writers = {"journal": lambda: self._intake.failing, "store": lambda: self._correlating.failing}
        self._full_disk = FullDisk(own, writers)
        duty = partial(next_report, settings=config.reports)
        self._deliverings = [
            Delivering(wiring, cast("Any", self._door(wiring)), self._store, config.delivery, duty)
            for wiring in config.forwarders
        ]
        self._doors = {wiring.name: self._door(wiring) for wiring in config.collectors}
        self._manager = Manager()
        pulses = (self._intake.pulse, self._correlating.pulse, self._correlating.commit_pulse)
        self._watchdog = Watchdog(self._manager, [*pulses, *self._doors.values()], self._sentence)
        self._console = Console(
            address=config.http.address, port=config.http.port, ready=self._ready, healthy=self._watchdog.health
        )
        self._watch = Watch(
            expected, intake=self._intake, journal=self._journal, correlating=self._correlating, store=self._store
        )
        self._deadlines = Deadlines(
            config.reports,
            [wiring.name for wiring in config.forwarders if wiring.kind == CENTRE],
            intake=self._intake,
            journal=self._journal,
            correlating=self._correlating,
            store=self._store,
        )
        self._retiring = Retiring(
            self._store,
            keep_us=config.store.keep_days * _DAY_US,
            keep_bytes=config.store.keep_bytes,
            young_us=young_us(config.detection.max_alert_h, config.detection.max_skew_h),
        )
        self._reloading = Reloading(config, detection, correlating=self._correlating, manager=self._manager, own=own)
        verbs = Verbs(
            own=own,
            store=self._store,
            retiring=self._retiring,
            deliverings=self._deliverings,
            rules=lambda: self._correlating.detection.rules,
            incarnation=self._journal.incarnation,
            status=self._status,
            reloading=self._reloading,
        )
        self._control = Control(config.state_dir, verbs.table)

    def reload(self) -> None:
        """Read the configuration anew, as SIGHUP asks for."""
        self._reloading.ask("SIGHUP")

    async def serve(self) -> None:
        """Run until `stop`, then stop in order.

        Raises:
            SocmonError: the core cannot go on; the process ends and systemd restarts it.
        """
        checkpoint = await self._store.load()
        self._salvage.loaded()
        with self._store.whole("state"):
            self._correlating.restore(checkpoint)
        settle()
        try:
            address, port = await self._console.start()
            await self._control.start()
            http = f"http://{address}:{port}"
            _log.info("started", http=http, rules=self._rule_count, frame=self._correlating.number)
            async with asyncio.TaskGroup() as group:
                running = self._start(group)
                self._watchdog.start()
                await self._stop.wait()
                _log.info("stopping")
                await _cancel([running.reloading], None)  # it may not say that we are ready any more
                self._watchdog.close()
                self._manager.stopping()
                await self._control.close()
                await self._stop_in_order(running)
        finally:
            self._watchdog.close()
            await self._control.close()
            await self._console.close()
            await self._store.close()
            self._correlating.shutdown()
            self._intake.shutdown()
            self._journal.close()
            self._manager.close()
        _log.info("stopped", frame=self._correlating.committed)

    def _start(self, group: asyncio.TaskGroup) -> _Running:
        def task(name: str, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
            return group.create_task(work, name=name)

        return _Running(
            reloading=task("reload", self._announce_and_reload()),
            housekeeping=[
                task("journal sync", self._intake.sync()),
                task("journal tidy", tidy(self._journal, self._correlating, self._config.journal)),
                task("old alerts", self._retiring.run()),
                task("salvage", self._salvage.insist()),
                task("full disk", self._full_disk.run()),
                task("measuring", Measuring(self._config.state_dir, self._deliverings).run()),
                task("heartbeats", Heartbeats(self._config, self._door, self._correlating).run()),
                task("loop turns", self._watchdog.turn()),
                task("unknown hosts", tell_unknown(lambda: self._correlating.detection.assets)),
                task("certificates", watch(self._certificates())),
                task("inherited sockets", activation.tell_untaken()),
            ],
            committing=task("commit", self._correlating.commit()),
            forwarders=[task(f"forwarder {each.name}", each.run()) for each in self._deliverings],
            intake=task("intake", self._intake.run()),
            correlating=task("correlating", self._correlating.run()),
            # The watch ends with the collectors: whom they no longer hear is not silent.
            collectors=[
                *(task(f"collector {each.name}", self._collect(each)) for each in self._config.collectors),
                task("sources", self._watch.run()),
                task("deadlines", self._deadlines.run()),
            ],
        )

    async def _stop_in_order(self, running: _Running) -> None:
        """Collectors, what they handed in, forwarders, final checkpoint; each step has its time, and no more.

        What is not done in time is done after the next start: it is in the journal or in the outbox.
        """
        self._intake.hurry()
        await _cancel(running.collectors, _COLLECTORS_STOP_S)
        self._intake.close()
        await _end(running.intake, _DRAIN_S)
        self._correlating.drain()
        await _end(running.correlating, _DRAIN_S)
        try:
            await self._correlating.settle(running.committing)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._config.delivery.drain_s):
                    await asyncio.gather(*(each.drain() for each in self._deliverings))
            await _cancel(running.forwarders, _FORWARDERS_STOP_S)
            await self._correlating.checkpoint()
        except (StoreError, JournalError) as error:
            _log.error("the stop could not store everything, the next start reads it again", error=str(error))
            await _cancel(running.forwarders, _FORWARDERS_STOP_S)
        await _cancel(running.housekeeping, None)
        # Whoever swallowed the first cancellation gets more of them; the stop must not hang on a component.
        left = [task for task in (*running.collectors, *running.forwarders) if not task.done()]
        for task in left:
            _log.error("component does not stop, it is cancelled again", component=task.get_name())
        while left:
            await _cancel(left, 1.0)
            left = [task for task in left if not task.done()]

    async def _announce_and_reload(self) -> None:
        """Say that we are ready when each collector has begun or has failed once; from then on, reload when asked."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_DOORS_S):
                for door in self._doors.values():
                    await door.settled.wait()
        self._manager.ready()
        await self._reloading.run()

    async def _collect(self, wiring: Wiring) -> None:
        metrics.expect_collector(wiring.name)
        door = self._doors[wiring.name]

        async def run() -> None:
            with door.running():
                await cast("Collector[Any]", wiring.cls(cast("Any", door))).run()

        def told(why: str) -> None:
            self._not_collecting.pop(wiring.name, None)
            if why:
                self._not_collecting[wiring.name] = why

        await supervise(wiring.name, run, backoff=Backoff(), log=door.log, told=told)
        self._given_up.append(wiring.name)

    def _certificates(self) -> dict[Expiring, Expiries]:
        """Of each component whose settings have a method `expiries`: file → when its certificate ends."""
        days = self._config.delivery.certificate_warn_days
        wirings = [*self._config.collectors, *self._config.forwarders]
        asked = ((each.name, getattr(each.settings, "expiries", None)) for each in wirings)
        return {Expiring(name, log.get(name), days): expiries for name, expiries in asked if expiries is not None}

    def _door(self, wiring: Wiring) -> Door:
        return Door(wiring, self._intake, self._journal)

    def _stored(self) -> None:
        for delivering in self._deliverings:
            delivering.wake()

    @property
    def _rule_count(self) -> int:
        return len(self._correlating.detection.rules.rules)

    def _sentence(self) -> str:
        """How things are, for `systemctl status`."""
        _, troubles = self._ready()
        return "; ".join(troubles) or f"{self._rule_count} rules, {self._correlating.sentence}"

    def _ready(self) -> tuple[bool, list[str]]:
        # One dead destination is told, and does not make us unready: records are taken in, and alerts are kept for it.
        failing_now = failing(self._deliverings).items()
        reasons = self._unready()
        return not reasons, reasons + [f"forwarder {name} does not deliver: {why}" for name, why in failing_now]

    def _status(self) -> object:
        failing_now = failing(self._deliverings)
        told = {"reasons": self._unready(), "failing": failing_now, "not_collecting": self._not_collecting}
        return told | {"damaged": self._salvage.figures}

    def _unready(self) -> list[str]:
        reasons = [reason for reason in (self._intake.failing, self._correlating.failing) if reason]
        if (stalled_s := self._correlating.stalled_s) > _STALLED_S:
            reasons.append(f"detection has not moved for {stalled_s:.0f} s, and the journal holds more")
        reasons += self._watchdog.troubles
        gone = [*self._given_up, *(each.name for each in self._deliverings if each.gave_up)]
        return [*reasons, *(f"component {name} gave up, a person is needed" for name in gone)]


async def _end(task: asyncio.Task[None], timeout_s: float) -> None:
    """Wait until `task` has ended by itself; cancel it when its time is over."""
    await asyncio.wait([task], timeout=timeout_s)
    await _cancel([task], None)


async def _cancel(tasks: Sequence[asyncio.Task[None]], timeout_s: float | None) -> None:
    """Cancel `tasks` and wait until they are over."""
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks, timeout=timeout_s)


async def _serve(config: Config) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)

    def reload() -> None:
        daemon.reload()

    # Now: it would end us while the daemon is being made, which may take long. The loop calls it when that is done.
    loop.add_signal_handler(signal.SIGHUP, reload)
    daemon = Daemon(config, stop)
    await daemon.serve()


def run(config: Config) -> None:
    """Run the daemon until SIGTERM or SIGINT; SIGHUP reloads the configuration.

    Raises:
        ConfigError: another instance uses the state directory.
        SocmonError: journal or store cannot be used.
    """
    log.configure(config.log.level, config.log.format)
    activation.begin()
    os.umask(0o027)  # state files hold log lines
    with hold(config.state_dir):
        try:
            asyncio.run(_serve(config))
        except ExceptionGroup as group:
            # The task group wraps what ended the core; the operator needs that one sentence.
            expected, bugs = group.split(SocmonError)
            if expected is None or bugs is not None:
                raise
            raise _first(expected) from group


def _first(group: ExceptionGroup[SocmonError]) -> SocmonError:
    error = group.exceptions[0]
    return _first(error) if isinstance(error, ExceptionGroup) else error
