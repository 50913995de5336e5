"""Delivers alerts to the national centre: batches over mutual TLS 1.3, each event answered for by the centre."""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from hashlib import sha256
from io import BytesIO
from itertools import chain
from ssl import SSLContext
from uuid import uuid4

import aiohttp
from msgspec import structs

from forwarders._advice import Advisor, shown
from forwarders._heartbeat import NcscHeart
from forwarders._http import Resolver, answer
from forwarders._ncsc_answers import Divided, divided, is_damaged, leaves_gap, message_id, outcomes
from forwarders._ncsc_settings import NcscSettings
from forwarders._ncsc_trial import trial as ncsc_trial
from forwarders._own_thread import in_own_thread
from forwarders._rendering import rendering
from forwarders._signing_keys import KEYS_REMEDY, SigningKeys
from socmon.component import Context, Forwarder, Heart
from socmon.errors import BlockedError, ComponentError, ConfigError, ParseError
from socmon.event import SECOND_US, Alert
from socmon.feed import receipt
from socmon.feed.aggregate import most_members, render_aggregate
from socmon.feed.approving import approval_of
from socmon.feed.batch import (
    BATCHES_PATH,
    CURSORS_PATH,
    ORGANISATION,
    Reply,
    pack,
    packed_size,
    read_cursors,
    read_reply,
)
from socmon.feed.closing import render_closing
from socmon.feed.keyring import KeyFile, KeyFileError
from socmon.feed.message import Sender, render
from socmon.feed.privacy import Policy
from socmon.feed.sharing import must_be_shared, tlp_of
from socmon.feed.signing import Key, normal
from socmon.feed.vocabulary import URGENT_STREAM, stream_of
from socmon.feed.void import render_void
from socmon.outgoing import Aggregate, Approval, Outcome, Place, Quota, Release, Released, Step, Void
from socmon.tls import Renewed

_MAX_REPLY_BYTES = 4 * 1024 * 1024
_UNKNOWN_PATH = frozenset({404, 405, 501})
_BUSY = frozenset({429, 503})
# A batch whose requests take more than so many times `timeout_s` in all is cut: what is answered must be written down.
_SEND_TIMEOUTS = 3
# The centre says so of damage on its side, or on the way.
_DAMAGED_ON_THE_WAY = "bad_sig"


class NcscForwarder(Forwarder[NcscSettings]):
    """Sends to the national centre. One connection, kept open between batches."""

    settings_type = NcscSettings

    def __init__(self, context: Context[NcscSettings]) -> None:
        super().__init__(context)
        settings = self.settings
        self._sender = Sender(
            org_id=settings.org_id,
            org_path=settings.org_path,
            system_id=settings.system_id,
            system_level=settings.system_level,
            tlp=settings.tlp,
            share=settings.share.share(),
        )
        self._approvals = settings.approvals()
        self._policy_text = settings.policy()
        self._advisor = Advisor(url=settings.url, ca=settings.ca, cert=settings.cert)
        self._keys = Renewed(settings.tls, settings.own_files(), [settings.ca])
        self._signing = SigningKeys(context.name, settings.signer(), settings.timeout_s, context.log)
        self._centre = KeyFile(settings.centre_key) if settings.centre_key else None
        self._tls: SSLContext | None = None
        self._session: aiohttp.ClientSession | None = None
        self._gap = False
        self._met = False  # the centre has accepted something by these keys

    @classmethod
    def heart(cls, context: Context[NcscSettings]) -> Heart | None:
        """Tells the centre how we are, on a connection of its own."""
        settings = context.settings
        if not settings.heartbeat_s:
            return None
        advisor = Advisor(url=settings.url, ca=settings.ca, cert=settings.cert)
        every_s, timeout_s = settings.heartbeat_s, settings.timeout_s
        reads = (settings.tls, settings.expiries, settings.careful_policy)
        return NcscHeart(context.name, advisor, *reads, every_s=every_s, timeout_s=timeout_s)

    @classmethod
    async def trial(cls, name: str, settings: NcscSettings, timeout_s: float) -> Sequence[Step]:
        """The handshake, the centre's clock, and whether it answers to who we are; no finding is sent."""
        return await ncsc_trial(name, settings, timeout_s)

    async def open(self) -> None:
        """Read the keys, so that one which is missing or expired shows before there is an alert; connects to nobody.

        Raises:
            ComponentError: they cannot be used, or were not read within `timeout_s`.
        """
        timeout_s = self.settings.timeout_s
        try:
            async with asyncio.timeout(timeout_s):
                await self._signing.open()
                if self._centre:
                    centre, name = self._centre, f"read of the centre's keys for {self.context.name}"
                    await in_own_thread(lambda: self._centre_keys(centre), name=name, remedy=KEYS_REMEDY)
                self._sender = structs.replace(self._sender, privacy=await self._policy())
                await self._connected()
        except TimeoutError as error:
            raise ComponentError(f"the keys were not read within {timeout_s:g} s; {KEYS_REMEDY}") from error

    @staticmethod
    def _centre_keys(file: KeyFile) -> Mapping[str, Key]:
        try:
            return file.current()
        except KeyFileError as error:
            raise error.blocked() from error

    async def _policy(self) -> Policy:
        """What leaves of detail; reads the key of pseudonyms."""
        settings = self.settings
        name = f"read of the pseudonym key of {self.context.name}"
        try:
            return await in_own_thread(lambda: settings.privacy.policy(settings.org_id), name=name, remedy=KEYS_REMEDY)
        except ConfigError as error:
            raise ComponentError(str(error), retry=False) from error

    def stream(self, alert: Alert) -> str:
        """`urgent` for high and critical alerts, which wait behind no backlog; `stats` for informational ones."""
        return stream_of(alert.level)

    def render(self, alert: Alert, release: Release) -> bytes:
        """The CloudEvents message, signed, with the detail that `privacy` lets leave. Reads no file; `open` did.

        Raises:
            HeldError: the alert is not to leave.
            ValueError: the alert cannot be written as a message of the feed.
            BlockedError: there is no key to sign with at the time of the release.
        """
        with rendering(alert):
            return render(alert, release, self._sender, self._key(release.released_us))

    def void(self, void: Void) -> bytes:
        """The message that takes the sequences of `void`, signed.

        Raises:
            BlockedError: there is no key to sign with at the time of the release.
        """
        return render_void(
            void.release,
            void.to_seq,
            void.reason,
            self.settings.org_id,
            self._key(void.release.released_us),
            void.alert_id,
        )

    def _key(self, time_us: int) -> Key | None:
        return self._signing.at(time_us // SECOND_US)

    @property
    def has_gap(self) -> bool:
        """Whether the centre's last answer names a sequence before which it misses some."""
        return self._gap

    async def places(self) -> Mapping[str, Place] | None:
        """What the centre has of each of our streams; None from one that cannot say.

        Raises:
            ComponentError: it gave no answer that can be trusted.
        """
        self._gap = False
        status, body, retry_after_s = await self._asked(self._get_cursors)
        if status in _UNKNOWN_PATH:
            return None
        if status in _BUSY:
            raise ComponentError(
                f"{self.settings.url} answers nothing at the moment (HTTP {status})", wait_s=retry_after_s
            )
        if status != 200:
            raise self._advisor.on_refusal(status, body, retry_after_s)
        try:
            cursors = read_cursors(body, self.settings.org_id)
        except ParseError as error:
            raise ComponentError(f"{self.settings.url} answered what cannot be trusted: {shown(error)}") from error
        return {each.stream: Place(each.epoch, each.seq, each.last, each.beyond) for each in cursors}

    async def _get_cursors(self) -> tuple[int, bytes, float]:
        session = await self._connected()
        whose = {ORGANISATION: self.settings.org_id}
        url = self.settings.url + CURSORS_PATH
        async with session.get(url, params=whose, allow_redirects=False) as response:
            return await answer(response, _MAX_REPLY_BYTES)

    @property
    def quota(self) -> Quota | None:
        """That of the settings; urgent alerts have none."""
        per_minute = self.settings.quota_per_minute
        most = most_members(self.settings.max_bytes)
        return Quota(per_minute, frozenset({URGENT_STREAM}), most) if per_minute else None

    def aggregate(self, aggregate: Aggregate, release: Release) -> bytes:
        """As `render`, of several alerts as one.

        Raises:
            ValueError: they have no message, or one that is larger than `max_bytes`.
        """
        with rendering(aggregate.members[0].alert):
            body = render_aggregate(aggregate, release, self._sender, self._key(release.released_us))
        if packed_size([body]) > self.settings.max_bytes:
            raise ValueError(f"the aggregate of {len(aggregate.members)} alerts has {len(body)} bytes")
        return body

    @property
    def policy(self) -> str:
        """Differs when tlp, share or approval does."""
        return self._policy_text

    def admit(self, alert: Alert) -> Approval:
        """By the rules of `approval`.

        Raises:
            HeldError: it is TLP:RED, or not shared.
        """
        tlp_of(alert.tags, self.settings.tlp)
        must_be_shared(alert, self._sender.share)
        return approval_of(alert, self._approvals)

    def closing(self, alert: Alert, release: Release) -> bytes:
        """The closing revision of an alert that was withdrawn.

        Raises:
            BlockedError: there is no key to sign with at the time of the release.
        """
        with rendering(alert):
            return render_closing(alert, release, self._sender, self._key(release.released_us))

    async def send(self, released: Sequence[Released]) -> Sequence[Outcome]:
        """Send one batch, as several requests where it is larger than `max_bytes` or than the centre takes.

        Each request has `timeout_s`. Once something is answered, none is begun after three times that, so this returns
        within four. What was answered before a request failed, or time was up, keeps its outcome; the rest is `retry`.

        Raises:
            ComponentError: the centre gave no answer that can be trusted; what it has stored it will call duplicate.
        """
        now_s = asyncio.get_running_loop().time
        until_s = now_s() + _SEND_TIMEOUTS * self.settings.timeout_s
        self._gap = False
        # A batch that holds one that is damaged may be refused as a whole, for ever.
        outcomes = [Outcome(item.id, "rejected", "damaged") for item in released if is_damaged(item)]
        parts = deque(self._parts([item for item in released if not is_damaged(item)]))
        resent: set[int] = set()
        while parts:
            if outcomes and now_s() >= until_s:
                return outcomes + self._left(parts, "the link is too slow for the whole batch")
            try:
                answered = await self._send_part(parts[0])
            except ComponentError as error:
                if not outcomes:
                    raise
                return outcomes + self._left(parts, str(error), error.wait_s)
            part = parts.popleft()
            parts.extendleft(reversed(answered.parts))
            doubted = self._doubted(part, answered.outcomes, resent)
            if doubted:
                parts.appendleft(doubted)
                resent.update(item.id for item in doubted)
            again = {item.id for item in doubted}
            outcomes += [outcome for outcome in answered.outcomes if outcome.id not in again]
        return outcomes

    def _doubted(
        self, part: Sequence[Released], answered: Sequence[Outcome], resent: Collection[int]
    ) -> Sequence[Released]:
        """What is sent once more, since the centre found its signature wrong, and what we hold is as it was signed."""
        wrong = {outcome.id for outcome in answered if outcome.code == _DAMAGED_ON_THE_WAY}
        return [item for item in part if item.id in wrong and item.id not in resent]

    def _left(self, parts: deque[Sequence[Released]], reason: str, wait_s: float = 0.0) -> list[Outcome]:
        left = [Outcome(item.id, "retry", wait_s=wait_s) for item in chain(*parts)]
        self.context.log.warning("batch answered for in part, the rest is sent again", alerts=len(left), error=reason)
        return left

    async def close(self) -> None:
        """Close the connection, and look at the signing keys no more."""
        await self._signing.close()
        await self._hang_up()

    async def _hang_up(self) -> None:
        """Close the connection; the next one reads certificate and key again."""
        if self._session:
            await self._session.close()
            self._session = None

    def _parts(self, released: Sequence[Released]) -> Iterator[Sequence[Released]]:
        """`released` cut, in order, into parts of at most `max_bytes`; one that is larger by itself is a part alone."""
        part: list[Released] = []
        size_bytes = packed_size([])
        for item in released:
            if part and size_bytes + len(item.body) + 1 > self.settings.max_bytes:
                yield part
                part, size_bytes = [], packed_size([])
            part.append(item)
            size_bytes += len(item.body) + 1
        if part:
            yield part

    async def _send_part(self, part: Sequence[Released]) -> Divided:
        """The answers for `part`, or the parts in which it is to be sent instead."""
        if len(part) == 1 and packed_size([part[0].body]) > self.settings.max_bytes:
            return Divided([Outcome(part[0].id, "rejected", "oversize")], [])
        batch_id = str(uuid4())

        async def post() -> tuple[int, bytes, float]:
            headers, body = await asyncio.to_thread(pack, [item.body for item in part], batch_id)
            session = await self._connected()
            request = session.post(
                self.settings.url + BATCHES_PATH, data=BytesIO(body), headers=headers, allow_redirects=False
            )
            async with request as response:
                return await answer(response, _MAX_REPLY_BYTES)

        status, body, retry_after_s = await self._asked(post)
        if status in _BUSY:
            text = f"{self.settings.url} takes nothing at the moment (HTTP {status})"
            raise ComponentError(text, wait_s=retry_after_s)
        if status != 200:
            smaller = divided(part, status, body)
            if smaller is None:
                raise self._advisor.on_refusal(status, body, retry_after_s)
            return smaller
        reply, kept = await asyncio.to_thread(self._reply, body, batch_id, part)
        self._gap = self._gap or leaves_gap(reply, part)
        return Divided(outcomes(part, reply, kept, lambda: self._key(time.time_ns() // 1000), self.settings.url), [])

    async def _asked(self, request: Callable[[], Awaitable[tuple[int, bytes, float]]]) -> tuple[int, bytes, float]:
        """HTTP status, body, and the wait that the centre asked for in seconds."""
        try:
            async with asyncio.timeout(self.settings.timeout_s):
                answer = await request()
                self._met = self._met or answer[0] == 200
                return answer
        except TimeoutError as error:
            text = f"{self.settings.url} did not answer within {self.settings.timeout_s:g} s"
            raise ComponentError(f"{text}; look at the link and at the centre") from error
        except (aiohttp.ClientError, OSError) as error:
            raise self._advisor.on_failure(error, met=self._met) from error

    def _reply(self, body: bytes, batch_id: str, part: Sequence[Released]) -> tuple[Reply, str]:
        """The answer, and what is kept of its receipt."""
        sent = {message_id(item): item.release.seq for item in part}
        try:
            reply = read_reply(body, batch_id, sent)
        except ParseError as error:
            raise ComponentError(f"{self.settings.url} answered what cannot be trusted: {shown(error)}") from error
        if not (reply.receipt or self._centre):
            return reply, ""
        digests = [sha256(normal(item.body)).hexdigest() for item in part]
        if self._centre:
            keys = self._centre_keys(self._centre)
            try:
                receipt.check(reply, digests, keys)
            except ParseError as error:
                what = f"{self.settings.url} gave no receipt that can be trusted: {shown(error)}"
                remedy = "ask the centre for its public signing keys, and name them in centre_key"
                raise BlockedError(what, reason="receipt_untrusted", remedy=remedy) from error
        return reply, receipt.kept(reply, digests)

    async def _connected(self) -> aiohttp.ClientSession:
        """The session; a new one, and so a new handshake, when keys were replaced or have run out since the last."""
        name = f"read of the keys of {self.context.name}"
        tls = await in_own_thread(self._keys.current, name=name, remedy=KEYS_REMEDY)
        if self._session is None or tls is not self._tls:
            await self._hang_up()
            self._tls, self._met = tls, self._met and tls is self._tls
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(ssl=tls, limit=1, resolver=Resolver(self.context.name)),
                timeout=aiohttp.ClientTimeout(total=None),  # _post has its own, over all that it waits for
                # A compressed reply could be a bomb, and it is small anyway.
                auto_decompress=False,
                headers={"Accept-Encoding": "identity"},
            )
        return self._session
