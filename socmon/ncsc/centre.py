"""The simulated national centre as one object: two listeners over one inbox."""

import asyncio
import fcntl
import os
import time
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

from aiohttp import web
from msgspec import Struct

from socmon.errors import BlockedError, ConfigError, SocmonError
from socmon.feed.checking import Limits
from socmon.feed.connections import Connections, FeedSite, Patience
from socmon.feed.heartbeat import EVERY_S
from socmon.feed.keyring import Rings, Signer
from socmon.feed.server import FeedServer, Trust, refusals
from socmon.log import get
from socmon.ncsc.admin import Admin
from socmon.ncsc.faults import Fault, Faults, FaultyInbox
from socmon.ncsc.gate import QUOTA_PER_MINUTE, Charging, Gate, Quota
from socmon.ncsc.hearing import Hearing, watch
from socmon.ncsc.keys import ServerKeys
from socmon.ncsc.liveness import Heard, Liveness
from socmon.ncsc.register import FILE_NAME, Register
from socmon.ncsc.standing import Standings
from socmon.tls import stamp

LOOPBACK = "127.0.0.1"
_ANSWER_S = 10.0  # for requests that are being answered when keys are renewed

log = get("ncsc")


class CentreSettings(Struct, frozen=True):
    """How a centre is set up.

    Attributes:
        state: directory of its own; made if there is none.
        organisations: {org_id: name} of those who are enrolled at the start, where the register does not know them.
        listen: (address, port) of the feed; port 0 takes a free one.
        admin_port: on 127.0.0.1 always, for it is open to everyone who reaches it.
        signers: directory of the senders' public keys (see `socmon.feed.keyring.Rings`); None for `signers` beside
            `cert`.
        signing_key: the private keys that receipts are signed with; None for `centre-signing.jwks` beside `cert`.
        unsigned: events without a signature are taken too, and receipts are signed only if there is a key.
        quota_per_minute: events of each organisation; 0 is no quota.
        heartbeat_s: how often each is heard; after three that are missed it is silent.
        patience: how long a request may take to arrive, and how many connections there may be.
        limits: how much is taken at a time.
    """

    state: Path
    ca: Path
    cert: Path
    key: Path
    organisations: Mapping[str, str]
    listen: tuple[str, int] = (LOOPBACK, 0)
    admin_port: int = 0
    signers: Path | None = None
    signing_key: Path | None = None
    unsigned: bool = False
    quota_per_minute: int = QUOTA_PER_MINUTE
    heartbeat_s: float = EVERY_S
    patience: Patience = Patience()
    limits: Limits = Limits()

    def trust(self) -> Trust:
        """What signatures stand on; reads every file of it, so that one that cannot be used shows at the start.

        Raises:
            ConfigError: a file cannot be used.
        """
        signers = self.signers or self.cert.with_name("signers")
        signing_key = self.signing_key or self.cert.with_name("centre-signing.jwks")
        rings = Rings(signers)
        for org_id in self.organisations:
            if not rings.of(org_id) and not self.unsigned:
                log.warning(
                    "organisation has no signing key, nothing of it is stored", organisation=org_id, signers=signers
                )
        signer = None
        if not (self.unsigned and stamp(signing_key) is None):
            signer = Signer(lambda: signing_key)
            try:
                signer.at(int(time.time()))
            except BlockedError as error:
                raise ConfigError([str(error)]) from error
        return Trust(rings.of, demanded=not self.unsigned, signer=signer)


class Centre:
    """`async with Centre(settings) as centre` runs it.

    Attributes:
        feed_url: where senders go, without a path.
        admin_url: where the page is, and `/stats`, `/findings`, `/metrics`, `/faults` and `/healthz`.
        liveness: who is heard.

    Raises:
        ConfigError: a file of the settings cannot be used, or a port is taken.
        StoreError: the state cannot be used.
    """

    feed_url: str
    admin_url: str
    liveness: Liveness

    def __init__(self, settings: CentreSettings) -> None:
        self._settings = settings
        self._keys = ServerKeys(settings.ca, settings.cert, settings.key)
        self._trust = Trust()
        self._faults = Faults()
        self._inbox = FaultyInbox(settings.state / "centre.sqlite")
        self._inbox.faults = self._faults
        self._address = settings.listen
        self._stopping = asyncio.Event()
        self._pause: asyncio.Task[None] | None = None
        self._feed: web.AppRunner | None = None
        self._quota = Quota(settings.quota_per_minute)
        self._opened = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as opened:
            self._trust = await asyncio.to_thread(self._settings.trust)
            opened.callback(os.close, await asyncio.to_thread(_claim, self._settings.state))
            await self._inbox.open()
            opened.push_async_callback(self._inbox.close)
            opened.push_async_callback(asyncio.to_thread, (await self._open_register()).close)
            opened.push_async_callback(self._close_feed)
            await self._open_feed()
            admin = Admin(self._inbox, Standings(self._inbox, self._gate, self.liveness), self.inject).runner()
            opened.push_async_callback(admin.cleanup)
            address = (LOOPBACK, self._settings.admin_port)
            _, port = await _listen(admin, address, lambda: web.TCPSite(admin, *address, reuse_address=True))
            opened.push_async_callback(self._end_pause)
            following = asyncio.create_task(self._keys.follow(self._part), name="centre keys")
            opened.push_async_callback(_ended, following)
            watching = asyncio.create_task(watch(self.liveness, self._gate), name="centre liveness")
            opened.push_async_callback(_ended, watching)
            self._opened = opened.pop_all()
        self.feed_url = f"https://{self._address[0]}:{self._address[1]}"
        self.admin_url = f"http://{LOOPBACK}:{port}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._opened.aclose()

    async def inject(self, fault: Fault) -> None:
        """Make `fault` happen from now on; a stop returns when the listener is closed."""
        if fault.fault != "stop":
            self._faults.left[fault.fault] += fault.times
            return
        log.warning("fault injected", fault="stop", seconds=fault.seconds)
        if self._pause and not self._pause.done():
            return
        await self._close_feed()
        self._pause = asyncio.create_task(self._reopen_after(fault.seconds), name="centre reopens")

    async def _end_pause(self) -> None:
        self._stopping.set()
        if self._pause:
            await self._pause

    async def _reopen_after(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._stopping.wait(), seconds)
        except TimeoutError:
            await self._open_feed()

    async def _open_register(self) -> Register:
        """Who may send, and who was heard before."""

        def opened() -> tuple[Register, dict[str, Heard]]:
            register = Register(self._settings.state / FILE_NAME)
            register.begin_with(self._settings.organisations)
            return register, register.heartbeats()

        register, before = await asyncio.to_thread(opened)
        self._gate = Gate(register, self._quota)
        self.liveness = Liveness(before, every_s=self._settings.heartbeat_s)
        return register

    async def _open_feed(self) -> None:
        patience = self._settings.patience
        store = Charging(self._inbox, self._quota)
        server = FeedServer(store, self._gate, self._trust, self._settings.limits, patience=patience)
        connections = Connections(patience)
        middlewares = (connections.middleware, self._faults.middleware, refusals, self._gate.middleware)
        self._feed = server.runner(*middlewares)
        Hearing(self.liveness, self._gate).add_to(self._feed.app)
        site = partial(FeedSite, self._feed, connections, self._address, self._keys.context)
        self._address = await _listen(self._feed, self._address, site)

    async def _part(self) -> None:
        """Let go of each connection after the answer it waits for: who comes again is looked at with the new keys."""
        if self._feed and self._feed.server:
            connections = list(self._feed.server.connections)
            for connection in connections:
                connection.close()  # ends the wait of an idle one; without it shutdown takes that for work
            await asyncio.gather(*(connection.shutdown(_ANSWER_S) for connection in connections))

    async def _close_feed(self) -> None:
        """Close the listener and, with it, the connections that are open."""
        if self._feed:
            await self._feed.cleanup()
            self._feed = None


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])


async def _listen(runner: web.AppRunner, address: tuple[str, int], site: Callable[[], web.BaseSite]) -> tuple[str, int]:
    """Serve `runner` on `address` by what `site` makes; return the address with the port that was taken."""
    await runner.setup()
    host, port = address
    try:
        await site().start()
    except OSError as error:
        reason = (error.strerror or "error").lower()
        raise ConfigError([f"cannot listen on {host}:{port}: {reason}; choose another address or port"]) from error
    return host, runner.addresses[0][1]


def _claim(state: Path) -> int:
    """Make the directory `state` this process's own, until the returned descriptor is closed.

    Raises:
        SocmonError: another process has it.
        ConfigError: it cannot be made or written.
    """
    try:
        state.mkdir(mode=0o750, parents=True, exist_ok=True)
        lock = os.open(state / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    except OSError as error:
        reason = (error.strerror or "error").lower()
        raise ConfigError([f"cannot use {state} for the state: {reason}; choose another --state"]) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(lock)
        raise SocmonError(f"{state} is in use by another centre; stop it, or choose another --state") from error
    return lock
