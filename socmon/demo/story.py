"""The demonstration itself: who is started, what goes wrong and when, and how it ends."""

import asyncio
import signal
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Literal

from msgspec import Struct

from socmon.demo import sample
from socmon.demo.broker import Broker, MqttWay, mosquitto
from socmon.demo.centre import Pages
from socmon.demo.processes import Child
from socmon.demo.recount import LOSSLESS, Recount, Sent, recount
from socmon.demo.scene import HTTP, TOPIC, Scene, doors
from socmon.demo.watching import Watcher
from socmon.demo.writer import FileWay, Sensor, TcpWay, UdpWay, Way, Writer
from socmon.errors import JournalError, StoreError
from socmon.intake import until
from socmon.journal import Journal
from socmon.resources import shipped
from socmon.store import read

_TURN_S = 60.0
_LEAST_TURN_S = 4.0
_FINISH_S = 3.0  # from the last line to the end, usually
_SETTLE_S = 30.0
_LOOK_S = 0.2

Mutation = Literal["drop-row", "forget-position"]


class Plan(Struct, frozen=True):
    """How to play it.

    Attributes:
        folder: an empty one.
        duration_s: about how long all of it takes; None: until SIGINT or SIGTERM.
        mutate: damage something on purpose, so that the recount must find it.
    """

    folder: Path
    duration_s: float | None = None
    mutate: Mutation | None = None


class Story:
    """Plays once. `say` is told, line by line, what happens."""

    def __init__(self, plan: Plan, say: Callable[[str], None]) -> None:
        self._plan = plan
        self._say = say
        program = mosquitto()
        streams = tuple(each for each in sample.STREAMS if program or each.transport != "mqtt")
        self._scene = Scene(plan.folder, streams)
        self._broker = Broker(program, self._scene.broker) if program else None
        self._stop = asyncio.Event()
        self._ports: dict[str, int] = {}
        self._killed: list[dict[str, int]] = []  # for each kill, how many messages of each stream were sent before it
        self._writers: list[Writer | Sensor] = [self._writer(stream) for stream in streams]
        self._seen = 0  # the journal's next sequence, when it was last looked at
        self._watcher = Watcher(self._scene.store)
        self._centre = Child("centre", self._scene.ncsc, plan.folder / "centre.log")
        self._daemon = Child("daemon", self._scene.run, plan.folder / "daemon.log")
        self._pages: Pages

    async def play(self) -> Recount:
        """Play to the end, and recount. A second SIGINT or SIGTERM cancels.

        Raises:
            SocmonError: a process could not be started, ended by itself, or did not stop.
        """
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        self._listen_to_signals(loop)
        async with AsyncExitStack() as held:
            await held.enter_async_context(self._centre)
            await held.enter_async_context(self._daemon)
            await self._set_up(held)
            for writer in self._writers:
                held.push_async_callback(writer.close)
            spent_s = loop.time() - began_s
            await self._run(spent_s)
            await self._daemon.stop()
            at_centre = await self._pages.held()
            await self._centre.stop()
        self._say(f"stopped; of what was sent again the centre recognised {at_centre.sent_again}; counting anew")
        story = sample.story(self._scene.streams)
        wanted = [(title, sample.fresh(who, turn)) for turn in range(max(1, self._turns)) for title, who in story]
        return await asyncio.to_thread(recount, self._scene, self._sent(), at_centre, wanted)

    @property
    def _turns(self) -> int:
        """How often all samples were written to their end."""
        return min(writer.turns for writer in self._writers)

    def _writer(self, stream: sample.Stream) -> Writer | Sensor:
        if stream.transport == "capture":
            return Sensor(self._scene.captures, self._stop)
        return Writer(stream, partial(self._way, stream), self._stop)

    def _way(self, stream: sample.Stream) -> Way:
        if stream.transport == "mqtt":
            return MqttWay(self._ports[stream.name], f"{TOPIC}/{stream.name}")
        if stream.transport == "file":
            return FileWay(self._scene.log(stream))
        if stream.transport == "datagram":
            return UdpWay(self._ports[stream.name])
        return TcpWay(self._ports[stream.name], counted=stream.transport == "octets")

    def _sent(self) -> dict[str, Sent]:
        return {
            writer.stream.name: Sent(
                writer.sent,
                resumed=_resumed(writer),
                killed=[sent[writer.stream.name] for sent in self._killed],
            )
            for writer in self._writers
        }

    def _listen_to_signals(self, loop: asyncio.AbstractEventLoop) -> None:
        playing = asyncio.current_task()

        def asked() -> None:
            if self._stop.is_set() and playing is not None:
                playing.cancel()
            self._stop.set()

        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, asked)

    async def _set_up(self, held: AsyncExitStack) -> None:
        self._say(f"folder: {self._plan.folder}")
        await asyncio.to_thread(self._scene.furnish)
        ready = await self._centre.start("admin")
        self._pages = Pages(ready["admin"])
        self._say(f"the national centre runs: feed {ready['feed']}, what it holds {ready['admin']}/stats")
        self._ports, sockets = doors(self._scene.streams)
        for each in sockets.values():
            held.callback(each.close)
        self._daemon.sockets = {name: each.fileno() for name, each in sockets.items()}
        await asyncio.to_thread(self._scene.configure, ready["feed"], self._ports)
        await self._start_broker(held)
        await self._start_daemon()
        if self._broker is not None:
            await self._daemon.heard("topics")  # the broker keeps nothing for a session that it does not know yet
        self._point_at(f"127.0.0.1:{self._ports[HTTP]}")

    async def _start_broker(self, held: AsyncExitStack) -> None:
        over_mqtt = [each for each in self._scene.streams if each.transport == "mqtt"]
        if self._broker is None:
            self._say("no agency comes in over MQTT: mosquitto is not here; apt install mosquitto")
            return
        await held.enter_async_context(self._broker)
        for each in over_mqtt:
            await self._broker.start(self._ports[each.name])
            self._say(f"the broker runs: {each.name} is published at 127.0.0.1:{self._ports[each.name]}, at QoS 1")

    def _point_at(self, target: str) -> None:
        """Say how Prometheus and Grafana find what there is to see."""
        self._say(f"Prometheus: scrape {target}, and load {shipped('dashboards/prometheus/rules.yml')}")
        self._say(f"Grafana: import {shipped('dashboards/overview.json')}, with that Prometheus as its data source")

    async def _start_daemon(self, failpoint: str = "") -> None:
        started = await self._daemon.start("http", failpoint=failpoint)
        self._say(f"the daemon runs: {started['rules']} rules, metrics {started['http']}/metrics")

    async def _run(self, spent_s: float) -> None:
        """Write, with all that goes wrong meanwhile, and wait until everything has arrived."""
        try:
            async with asyncio.TaskGroup() as group:
                watching = group.create_task(self._watch(), name="watch")
                await self._play_turns(group, spent_s)
                written = sum(writer.sent for writer in self._writers)
                self._say(f"{written} messages are written; waiting until all has arrived")
                if not await self._settled():
                    self._say(f"not everything has arrived within {_SETTLE_S:g} s")
                watching.cancel()
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from None  # the first is the reason, the others came of it
        self._tell_news(await asyncio.to_thread(self._watcher.news))

    async def _play_turns(self, group: asyncio.TaskGroup, spent_s: float) -> None:
        if self._plan.duration_s is None:
            self._say(f"{len(self._writers)} sources are at work; Ctrl-C ends it")
            turns, length_s = sys.maxsize, _TURN_S
        else:
            left_s = max(_LEAST_TURN_S, self._plan.duration_s - spent_s - _FINISH_S)
            turns = max(1, round(left_s / _TURN_S))
            length_s = left_s / turns
            self._say(f"{len(self._writers)} sources are at work, for {left_s:.0f} s")
        while self._turns < turns and not self._stop.is_set():
            await self._play_turn(group, length_s)

    async def _play_turn(self, group: asyncio.TaskGroup, length_s: float) -> None:
        """Write the sample once, and let three things go wrong."""
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        if self._plan.mutate == "drop-row":
            await self._pages.fault("drop_row", times=1)
        writing = [
            group.create_task(writer.write_turn(length_s), name=f"write {writer.stream.name}")
            for writer in self._writers
        ]
        for share, event in ((0.2, self._cut_link), (0.45, self._lose_reply), (0.6, self._kill_daemon)):
            if await until(self._stop, max(0.0, began_s + share * length_s - loop.time())):
                break
            await event(length_s)
        await asyncio.wait(writing)

    async def _cut_link(self, length_s: float) -> None:
        seconds = min(4.0, length_s / 5)
        self._say(f"FAULT  the link to the centre is cut, for {seconds:.1f} s")
        await self._pages.fault("stop", seconds=seconds)
        await until(self._stop, seconds)
        self._say(f"the link is back; {await asyncio.to_thread(self._watcher.waiting)} messages wait for it")

    async def _lose_reply(self, _length_s: float) -> None:
        self._say("FAULT  the centre's next reply is lost after it has stored the batch")
        await self._pages.fault("cut_after_commit", times=1)

    async def _kill_daemon(self, length_s: float) -> None:
        await self._daemon.kill()
        self._killed.append({writer.stream.name: writer.sent for writer in self._writers})
        self._say("FAULT  the daemon is killed (kill -9); the logs go on")
        await until(self._stop, min(2.0, length_s / 10))
        await self._start_daemon("file.position" if self._plan.mutate == "forget-position" else "")

    async def _watch(self) -> None:
        """Tell what comes, until cancelled; raises SocmonError when a process has ended by itself."""
        while True:
            self._tell_news(await asyncio.to_thread(self._watcher.news))
            self._centre.check()
            self._daemon.check()
            if self._broker is not None:
                self._broker.check()
            await asyncio.sleep(_LOOK_S)

    def _tell_news(self, news: list[str]) -> None:
        for line in news:
            self._say(line)

    async def _settled(self) -> bool:
        """Wait until every line is journalled and evaluated, and every alert answered for; False after 30 s."""
        try:
            async with asyncio.timeout(_SETTLE_S):
                settled = False
                while not settled:
                    await asyncio.sleep(_LOOK_S)
                    settled = await self._sent_on() and await asyncio.to_thread(self._is_settled)
        except TimeoutError:
            return False
        return True

    async def _sent_on(self) -> bool:
        """Send what the senders still hold; whether they hold nothing any more."""
        ways = [writer.way for writer in self._writers if isinstance(writer, Writer)]
        return all([await way.flushed() for way in ways if isinstance(way, TcpWay)])

    def _is_settled(self) -> bool:
        """Whether the journal no longer grows, and all that is in it has been evaluated and answered for."""
        try:
            journal = Journal.open(self._scene.journal, read_only=True)
            reading = read(self._scene.store)
        except (JournalError, StoreError):
            return False  # a daemon that starts is just recovering them
        grown, self._seen = journal.next_seq != self._seen, journal.next_seq
        never_lost = [writer for writer in self._writers if writer.stream.transport in LOSSLESS]
        return (
            not grown
            and all(reading.ledger.account(each.stream.name).journalled >= each.sent for each in never_lost)
            and reading.number >= journal.last_number
            and not any(backlog.pending or backlog.waiting for backlog in reading.backlogs.values())
        )


def _resumed(writer: Writer | Sensor) -> list[int]:
    return writer.way.resumed if isinstance(writer, Writer) and isinstance(writer.way, TcpWay) else []
