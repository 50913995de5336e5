"""The `http` collector over real sockets: what is read, what is refused and how, what is held back."""

import asyncio
import shutil
import zlib

import pytest
from harness import until
from http_kit import NDJSON, client_of, http_context, ndjson, objects, raw

from collectors import _http_body
from collectors._http_refusals import RequestRefusedError
from collectors._http_requests import BATCH_RECORDS
from socmon.parsers import detect


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
@pytest.mark.parametrize(
    ("media", "body", "records"),
    [
        (NDJSON, b'{"a":1}\n{"b":2}\r\n\n{"c":3}', [b'{"a":1}', b'{"b":2}', b'{"c":3}']),
        (NDJSON, b'{"a":1}\nspoiled by an attacker \xff\n', [b'{"a":1}', b"spoiled by an attacker \xff"]),
        ("application/json", b' [{"a":1} ,\n{"b" : "],[\xff"}]', [b'{"a":1}', b'{"b" : "],[\xff"}']),
        ("application/json; charset=utf-8", b'{\n  "a": 1\n}\n', [b'{\n  "a": 1\n}']),
        ("application/json", b'{"a":1}\n{"b":2}\n', [b'{"a":1}', b'{"b":2}']),
        ("application/json", b"[]", []),
        (
            "text/plain",
            b"<34>Oct 11 22:14:15 web1 su: no\r\nsecond\n\n",
            [b"<34>Oct 11 22:14:15 web1 su: no", b"second"],
        ),
        ("text/plain", b"", []),
    ],
)
async def test_records_are_those_of_the_body(media: str, body: bytes, records: list[bytes], *, packed: bool) -> None:
    context = http_context()
    async with client_of(context) as client:
        answer = await client.post(body, media=media, packed=packed)

    assert (answer.status, answer.body) == (200, {"records": len(records)})
    assert context.lines == records
    assert context.counts["received"] == len(records)
    assert {record.source.peer for record in context.records} <= {"127.0.0.1"}
    assert not any(record.source.authenticated for record in context.records)


@pytest.mark.parametrize(
    ("media", "body", "status", "reason", "where"),
    [
        (NDJSON, b'[{"a":1}]', 400, "bad_body", {"line": 1}),
        ("application/json", b'[{"a":1},{"b":}]', 400, "bad_body", {"element": 2}),
        ("application/json", b'[{"a":[1,{"x":"],"}]},{"b":2},3]', 400, "bad_body", {"element": 3}),
        ("application/json", b'[{"a":1},{"b":2}', 400, "bad_body", {"element": 2}),
        ("application/json", b"[" * 5000, 400, "bad_body", {"element": 1}),
        ("application/json", b"not json", 400, "bad_body", {"line": 1}),
        ("text/plain", b"x\n" * 101, 413, "too_large", {}),
        ("application/json", b"[" + b",".join([b"{}"] * 101) + b"]", 413, "too_large", {}),
        ("text/plain", b"x" * 20_001, 413, "too_large", {}),
        ("application/xml", b"<a/>", 415, "media_type", {}),
    ],
)
async def test_a_body_that_is_not_what_it_says_is_refused_with_the_place(
    media: str, body: bytes, status: int, reason: str, where: dict[str, int]
) -> None:
    context = http_context(max_request_bytes=20_000, max_records=100)
    async with client_of(context) as client:
        answer = await client.post(body, media=media)
        again = await client.post(b"good\n", media="text/plain")

    assert (answer.status, answer.headers["Content-Type"]) == (status, "application/problem+json")
    assert answer.body["reason"] == reason
    assert {name: answer.body[name] for name in ("line", "element") if name in answer.body} == where
    assert (again.status, context.lines) == (200, [b"good"])
    assert context.counts[f"error.{reason}"] == 1


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (zlib.compress(b"\0" * 50_000_000, wbits=31), "too_large"),  # a bomb: 50 MB of 50 KB
        (zlib.compress(b"x" * 21_000_000, wbits=31), "too_large"),
        (zlib.compress(b"", wbits=31) * 1001, "too_large"),
        (zlib.compress(b"some\n", wbits=31)[:-5], "bad_gzip"),
        (b"no gzip at all", "bad_gzip"),
        (zlib.compress(b"good\n", wbits=31) + b"rest", "bad_gzip"),
    ],
)
async def test_gzip_that_is_torn_or_a_bomb_is_refused(body: bytes, reason: str) -> None:
    context = http_context(max_request_bytes=20_000_000)
    async with client_of(context) as client:
        answer = await client.post(body, media="text/plain", Content_Encoding="gzip")

    assert answer.status == {"too_large": 413, "bad_gzip": 400}[reason]
    assert answer.body["reason"] == reason
    assert context.lines == []


def test_a_bomb_is_never_unpacked() -> None:
    body = _http_body.Body("gzip", 100_000_000)
    with pytest.raises(RequestRefusedError, match="250 times"):
        body.feed(zlib.compress(b"\0" * 20_000_000, wbits=31)[:9000])

    assert len(body._data) <= 4_000_000


async def test_members_of_gzip_are_one_body_and_other_encodings_are_refused() -> None:
    context = http_context()
    async with client_of(context) as client:
        both = zlib.compress(b"one\nt", wbits=31) + zlib.compress(b"wo\n", wbits=31)
        taken = await client.post(both, media="text/plain", Content_Encoding="gzip")
        refused = await client.post(b"x", media="text/plain", Content_Encoding="br")

    assert (taken.status, context.lines) == (200, [b"one", b"two"])
    assert (refused.status, refused.headers["Accept-Encoding"]) == (415, "gzip, identity")


async def test_a_long_record_is_cut_and_the_cut_counted() -> None:
    context = http_context(max_bytes=256)
    async with client_of(context) as client:
        await client.post(b"a" * 300 + b"\nb\n", media="text/plain")

    assert context.lines == [b"a" * 256, b"b"]
    assert context.counts["error.too_long"] == 1


async def test_a_large_request_is_journalled_in_batches_each_of_which_fits_a_frame() -> None:
    context = http_context(max_bytes=1_048_576)
    records = objects(1, 2500)
    long = [b"x" * 1_000_000] * 5
    async with client_of(context) as client:
        assert (await client.post(ndjson(records), packed=True)).status == 200
        assert (await client.post(ndjson(long), media="text/plain")).status == 200

    assert context.lines == records + long
    assert [len(batch) for batch in context.batches] == [BATCH_RECORDS, BATCH_RECORDS, 500, 2, 2, 1]
    assert [sum(record.position is not None for record in batch) for batch in context.batches] == [1] * 6


async def test_health_and_other_methods() -> None:
    context = http_context()
    async with client_of(context) as client:
        assert (await client.post(b"", method="GET")).status == 204
        assert (await client.post(b"", method="HEAD")).status == 204
        refused = await client.post(b"x", method="DELETE")

    assert (refused.status, refused.headers["Allow"]) == (405, "POST, GET, HEAD")
    assert refused.headers["Server"] == "socmon"


async def test_no_answer_comes_before_the_journal_has_the_records() -> None:
    context = http_context()
    context.gate.clear()
    async with client_of(context) as client:
        sending = asyncio.create_task(client.post(b"x\n", media="text/plain"))
        await until(lambda: context.waiting)
        assert not sending.done()
        context.gate.set()
        assert (await sending).status == 200

    assert context.lines == [b"x"]


async def test_who_waits_too_long_for_the_journal_is_asked_to_send_again_and_nothing_comes_twice() -> None:
    context = http_context(wait_s=0.05)
    context.gate.clear()
    async with client_of(context) as client:
        late = await client.post(ndjson(objects(1, 3)))
        context.gate.set()
        again = await client.post(ndjson(objects(1, 3)))

    assert (late.status, late.headers["Retry-After"], late.body["reason"]) == (429, "5", "busy")
    assert (again.status, context.lines) == (200, objects(1, 3))
    assert context.counts["error.repeated"] == 0


async def test_without_room_nobody_waits() -> None:
    context = http_context(max_requests=3, max_requests_per_client=2)
    async with client_of(context) as client:
        context.room = 0
        full = await client.post(b"x\n", media="text/plain")
        context.room = None
        context.gate.clear()
        two = [asyncio.create_task(client.post(b"%d\n" % n, media="text/plain")) for n in (1, 2)]
        await until(lambda: context.waiting and client.at_work == 2)  # the other one waits for its turn
        crowd = await client.post(b"3\n", media="text/plain")
        context.gate.set()
        answers = await asyncio.gather(*two)

    assert [full.status, crowd.status] == [429, 429]
    assert full.headers["Retry-After"] == crowd.headers["Retry-After"] == "1"
    assert [answer.status for answer in answers] == [200, 200]
    assert sorted(context.lines) == [b"1", b"2"]


async def test_memory_for_bodies_is_bounded() -> None:
    context = http_context(max_request_bytes=10_000, max_requests_per_client=64)
    context.gate.clear()
    async with client_of(context) as client:
        many = [
            asyncio.create_task(client.post(b"%d" % n + b"x" * 9000, media="text/plain", key=f"k{n}")) for n in range(9)
        ]
        await until(lambda: sum(task.done() for task in many) >= 5)
        context.gate.set()
        answers = await asyncio.gather(*many)

    assert sorted({answer.status for answer in answers}) == [200, 429]
    assert len(context.records) == [answer.status for answer in answers].count(200)


async def test_a_torn_body_is_nothing() -> None:
    context = http_context(receive_s=0.2)
    head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\n"
    async with client_of(context):
        await raw(context, head + b"Content-Length: 100\r\n\r\nwhole\nhal")
        chunked = await raw(context, head + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nwhole\n", end=False)
        slow = await raw(context, head + b"Content-Length: 100\r\n\r\nwhole\n", end=False)
        await until(lambda: context.counts["error.incomplete"] >= 1)

    assert b" 400 " in chunked.split(b"\r\n", 1)[0]
    assert b" 408 " in slow.split(b"\r\n", 1)[0]
    assert context.lines == []


async def test_a_header_that_never_ends_and_what_is_no_http() -> None:
    hasty = http_context(idle_s=0.2)
    async with client_of(hasty):
        assert await raw(hasty, b"POST / HTTP/1.1\r\nHost: x\r\nX-Slow: ", end=False) == b""
    context = http_context()
    async with client_of(context):
        for sent in (
            b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\r\n\r\n",
            b"GET / HTTP/1.1\r\nX: " + b"y" * 9000 + b"\r\n\r\n",
        ):
            answer = await raw(context, sent, end=False)
            assert b" 400 " in answer.split(b"\r\n", 1)[0]

    assert context.counts["error.bad_request"] == 2


async def test_a_stop_journals_what_is_being_written_and_answers_it() -> None:
    context = http_context()
    context.gate.clear()
    async with client_of(context) as client:
        sending = asyncio.create_task(client.post(b"x\n", media="text/plain"))
        await until(lambda: context.waiting)
        asyncio.get_running_loop().call_later(0.1, context.gate.set)  # after the stop has begun
        stopped = asyncio.current_task()
        assert stopped is not None
        waiting = sending
    # The session is closed with the client; what counts is that what was at work came to its end.
    await asyncio.wait([waiting])
    assert context.lines == [b"x"]


async def test_a_failure_of_the_journal_ends_the_collector_and_is_no_success() -> None:
    context = http_context()
    answers = []

    async def until_it_ends() -> None:
        async with client_of(context) as client:
            context.failure = RuntimeError("no journal")
            answers.append(await client.post(b"x\n", media="text/plain"))
            await asyncio.Event().wait()

    with pytest.raises(RuntimeError, match="no journal"):
        await until_it_ends()

    assert [(answer.status, answer.body["reason"]) for answer in answers] == [(500, "bug")]


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
async def test_curl_sends_a_file_of_lines_that_are_read_as_json() -> None:
    context = http_context()
    body = ndjson(objects(1, 20_000))  # large enough for Expect: 100-continue
    async with client_of(context) as client:
        command = ["curl", "-sS", "--fail-with-body", "-H", f"Content-Type: {NDJSON}", "-H", "Expect: 100-continue"]
        curl = await asyncio.create_subprocess_exec(
            *command, "--data-binary", "@-", client.url, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )
        answered, _ = await asyncio.wait_for(curl.communicate(body), 60)

    assert (curl.returncode, answered) == (0, b'{"records":20000}')
    assert context.lines == objects(1, 20_000)
    assert detect(context.lines[:20]) == "json"
