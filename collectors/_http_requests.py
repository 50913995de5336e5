"""From a request's body to the journal: bounds on what is at work, each request whole or, by its key, its rest."""

import asyncio
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from hashlib import sha256

from aiohttp import HttpVersion11, web
from msgspec import Raw

from collectors._http_body import ENCODINGS, JSON, LINES, TEXT, Body, split
from collectors._http_keys import Asked, Held, key_of
from collectors._http_refusals import RequestRefusedError, busy
from collectors._http_settings import HttpSettings
from socmon import failpoints
from socmon.component import Context
from socmon.event import Record, Source
from socmon.log import Rarely

# A batch fits one frame of the journal, so that its position tells the truth of all of it.
BATCH_RECORDS = 1000
BATCH_BYTES = 2 * 1024 * 1024
_HELD_BODIES = 4  # of the largest size, that are in memory together; each is there once more as records
_IN_LOOP_BYTES = 64 * 1024  # what is larger is split in a thread
_SLOW_DOWN_S = 5


class _Client:
    """Who has requests at work.

    Attributes:
        turn: one request of a client is journalled at a time, since each position is made of the one before.
        keys: of its requests at work.
    """

    def __init__(self) -> None:
        self.at_work = 0
        self.turn = asyncio.Lock()
        self.keys: set[str] = set()


class Requests:
    """Takes requests of clients that are known. One for a collector.

    Attributes:
        at_work: how many.
    """

    def __init__(self, context: Context[HttpSettings]) -> None:
        self.at_work = 0
        self._context = context
        self._settings = context.settings
        self._clients: dict[str, _Client] = {}
        self._held_bytes = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._rarely = Rarely()
        self._forgets = failpoints.hit("http.forget")

    async def take(self, request: web.BaseRequest, source: Source) -> int:
        """Return how many records it has, when the journal has all of them.

        Raises:
            RequestRefusedError: it is not taken, or not all of it, and is to be sent again.
        """
        media, encoding = _form(request)
        key = key_of(request.headers.get("Idempotency-Key"))
        with self._place(source.peer, key) as client, self._room() as room:
            body = await self._read(request, encoding, room)
            room.add(len(body))  # once more, as records
            work = (media, body, self._settings.max_records)
            small = len(body) <= _IN_LOOP_BYTES
            digest, records = _opened(*work) if small else await asyncio.to_thread(_opened, *work)
            del body, work
            await self._journal(client, source, Asked.of(key, digest), records)
        return len(records)

    async def ended(self, timeout_s: float) -> None:
        """Return when none is at work: one that was cancelled while it was being written ends when it is."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._idle.wait()

    # ── bounds ───────────────────────────────────────────────────────────────────────────────────────────────────

    @contextmanager
    def _place(self, name: str, key: str) -> Iterator[_Client]:
        """A place among those at work."""
        client = self._clients.setdefault(name, _Client())
        try:
            if key and key in client.keys:
                text = "a request with this Idempotency-Key is at work; wait for its answer, or send it again later"
                raise RequestRefusedError(409, "key_at_work", text, headers={"Retry-After": "1"})
            if not self._context.free_room():
                raise busy("no room for more records; send it again later")
            if self.at_work >= self._settings.max_requests:
                raise busy("too many requests are at work; send it again later")
            if client.at_work >= self._settings.max_requests_per_client:
                raise busy("too many requests of this client are at work; send it again when they are answered")
            client.at_work += 1
            self.at_work += 1
            self._idle.clear()
            client.keys.add(key)
            try:
                yield client
            finally:
                client.keys.discard(key)
                client.at_work -= 1
                self.at_work -= 1
                if not self.at_work:
                    self._idle.set()
        finally:
            if not client.at_work:
                self._clients.pop(name, None)

    @contextmanager
    def _room(self) -> Iterator["_Room"]:
        room = _Room(self)
        try:
            yield room
        finally:
            self._held_bytes -= room.taken_bytes

    def hold(self, size_bytes: int) -> None:
        """Count what a request takes up in memory.

        Raises:
            RequestRefusedError: 429, all together have too much.
        """
        self._held_bytes += size_bytes
        if self._held_bytes > 2 * _HELD_BODIES * self._settings.max_request_bytes:
            raise busy("too much is at work; send it again later")

    # ── the body ─────────────────────────────────────────────────────────────────────────────────────────────────

    async def _read(self, request: web.BaseRequest, encoding: str, room: "_Room") -> bytes:
        settings = self._settings
        body = Body(encoding, settings.max_request_bytes)
        if (request.content_length or 0) > settings.max_request_bytes:
            text = f"the body is larger than {settings.max_request_bytes} bytes; send fewer records at a time"
            raise RequestRefusedError(413, "too_large", text)
        try:
            async with asyncio.timeout(settings.receive_s):
                await _ask_for(request)
                while chunk := await request.content.readany():
                    room.add(body.feed(chunk))
        except TimeoutError as error:
            text = f"the body did not come in within {settings.receive_s:g} s; send it faster, or less at a time"
            raise RequestRefusedError(408, "too_slow", text) from error
        except (web.RequestPayloadError, ConnectionError) as error:
            raise RequestRefusedError(400, "incomplete", "the body broke off; send all of it again") from error
        return body.whole()

    # ── the journal ──────────────────────────────────────────────────────────────────────────────────────────────

    async def _journal(self, client: _Client, source: Source, asked: Asked, records: Sequence[bytes | Raw]) -> None:
        """Journal what the journal does not have yet, batch by batch; what it has is all in its positions."""
        position = self._context.position
        expected: bytes | None = None
        left = len(records)
        try:
            async with asyncio.timeout(self._settings.wait_s), client.turn:
                held = Held(position(source.peer))
                if held.repeats(asked):
                    self._tell_repeat(source.peer, left)
                else:
                    left = held.left_of(asked, left)
                for batch in self._batches(records[len(records) - left :]):
                    left -= len(batch)
                    expected = Held(position(source.peer)).after(asked, left)
                    await self._emit(batch, source, expected)
                    failpoints.die("http.journalled")
        except TimeoutError:
            # The time may have been up while the last of it was being written.
            if left or expected is None or position(source.peer) != expected:
                text = "the journal takes no more now; send the same request again, what it has is not taken twice"
                raise busy(text, _SLOW_DOWN_S) from None

    async def _emit(self, batch: Sequence[bytes], source: Source, position: bytes) -> None:
        now_us, max_bytes = time.time_ns() // 1000, self._settings.max_bytes
        size_bytes = sum(map(len, batch))
        emitted = [Record(data[:max_bytes], source, now_us) for data in batch[:-1]]
        kept = None if self._forgets else (source.peer, position)
        emitted.append(Record(batch[-1][:max_bytes], source, now_us, position=kept))
        await self._context.emit(emitted)
        self._context.counters.received(len(batch), size_bytes)
        for _ in range(sum(len(data) > max_bytes for data in batch)):
            self._context.counters.error("too_long")
            if times := self._rarely.times("too_long"):
                self._context.log.warning("message cut at max_bytes", peer=source.peer, times=times)

    def _batches(self, records: Sequence[bytes | Raw]) -> Iterator[list[bytes]]:
        batch: list[bytes] = []
        size_bytes = 0
        for each in records:
            data = bytes(each)
            length = min(len(data), self._settings.max_bytes)
            if batch and (len(batch) >= BATCH_RECORDS or size_bytes + length > BATCH_BYTES):
                yield batch
                batch, size_bytes = [], 0
            batch.append(data)
            size_bytes += length
        if batch:
            yield batch

    def _tell_repeat(self, client: str, records: int) -> None:
        self._context.counters.error("repeated")
        if times := self._rarely.times("repeated"):
            self._context.log.warning(
                "the same request came again without a key, it is taken as new",
                client=client,
                records=records,
                times=times,
            )


class _Room:
    """What one request takes up in memory."""

    def __init__(self, requests: Requests) -> None:
        self._requests = requests
        self.taken_bytes = 0

    def add(self, size_bytes: int) -> None:
        self.taken_bytes += size_bytes
        self._requests.hold(size_bytes)


def _form(request: web.BaseRequest) -> tuple[str, str]:
    """Type and encoding of the body."""
    media = request.content_type
    if media not in {*LINES, JSON, TEXT}:
        text = f"content type {media[:60]!r} is not read; use {TEXT}, {JSON} or one of {', '.join(sorted(LINES))}"
        raise RequestRefusedError(415, "media_type", text, headers={"Accept": f"{TEXT}, {JSON}, application/x-ndjson"})
    encoding = request.headers.get("Content-Encoding", "identity").strip().lower().removeprefix("x-")
    if encoding not in ENCODINGS:
        text = f"content encoding {encoding[:40]!r} is not read; use {' or '.join(ENCODINGS)}"
        raise RequestRefusedError(415, "encoding", text, headers={"Accept-Encoding": ", ".join(ENCODINGS)})
    return (TEXT if media == TEXT else JSON if media == JSON else "ndjson"), encoding


async def _ask_for(request: web.BaseRequest) -> None:
    """Let a client that waits for it send the body (RFC 9110, section 10.1.1); what is refused was never sent."""
    if request.version == HttpVersion11 and request.headers.get("Expect", "").lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0


def _opened(media: str, body: bytes, max_records: int) -> tuple[bytes, Sequence[bytes | Raw]]:
    """The digest of a body, and its records."""
    return sha256(media.encode() + b"\n" + body).digest(), split(media, body, max_records)
