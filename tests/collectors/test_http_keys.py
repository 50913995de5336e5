"""`Idempotency-Key` of the `http` collector: what the journal has is answered and not journalled again."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import pytest
from harness import until
from http_kit import SECRET, HttpContext, client_of, http_context, ndjson, objects

from collectors._http_keys import KEYS, Asked, Held, key_of
from collectors._http_refusals import RequestRefusedError
from socmon.event import Record

SOME = ndjson(objects(1, 3))


def restarted(context: HttpContext) -> HttpContext:
    return http_context(positions=context.positions)


async def test_a_key_that_the_journal_has_is_answered_and_not_journalled_again_also_after_a_restart() -> None:
    context = http_context()
    async with client_of(context) as client:
        first = await client.post(SOME, key='"8e03978e-40d5"')
        second = await client.post(SOME, key="8e03978e-40d5", packed=True)
    after = restarted(context)
    async with client_of(after) as client:
        third = await client.post(SOME, key="8e03978e-40d5")
        other = await client.post(SOME, key="another")

    assert [first.status, second.status, third.status, other.status] == [200] * 4
    assert first.body == second.body == third.body == {"records": 3}
    assert context.lines == after.lines == objects(1, 3)


def two_batches_of(context: HttpContext) -> Callable[[Sequence[Record]], Awaitable[None]]:
    """An `emit` with which the journal takes two batches and no more."""
    emit = context.emit

    async def taking(batch: Sequence[Record]) -> None:
        if len(context.batches) == 2:
            await asyncio.Event().wait()
        await emit(batch)

    return taking


@pytest.mark.parametrize("key", ["k", ""], ids=["with a key", "without"])
async def test_a_request_that_was_journalled_in_part_goes_on_after_that_part(
    monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    context = http_context(wait_s=0.5)
    body, all_of_it = ndjson(objects(1, 2500)), objects(1, 2500)
    monkeypatch.setattr(context, "emit", two_batches_of(context))
    async with client_of(context) as client:
        assert (await client.post(body, key=key)).status == 429
    part = list(context.lines)
    assert len(part) == 2000
    after = restarted(context)
    async with client_of(after) as client:
        assert (await client.post(body, key=key)).body == {"records": 2500}
        assert after.counts["error.repeated"] == 0

    assert part + after.lines == all_of_it


async def test_a_key_with_another_body_is_refused() -> None:
    context = http_context()
    async with client_of(context) as client:
        await client.post(SOME, key="k")
        other_body = await client.post(ndjson(objects(1, 4)), key="k")
        other_type = await client.post(SOME, media="text/plain", key="k")
        bad_key = await client.post(SOME, key='"')

    assert [other_body.status, other_type.status, bad_key.status] == [422, 422, 400]
    assert [other_body.body["reason"], bad_key.body["reason"]] == ["key_reused", "bad_key"]
    assert context.lines == objects(1, 3)


async def test_of_two_requests_with_one_key_at_once_the_second_is_told_to_wait() -> None:
    context = http_context()
    context.gate.clear()
    async with client_of(context) as client:
        first = asyncio.create_task(client.post(SOME, key="k"))
        await until(lambda: context.waiting)
        second = await client.post(SOME, key="k")
        context.gate.set()
        assert (await first).status == 200
        third = await client.post(SOME, key="k")

    assert (second.status, second.body["reason"], second.headers["Retry-After"]) == (409, "key_at_work", "1")
    assert (third.status, context.lines) == (200, objects(1, 3))


async def test_a_repeat_without_a_key_is_taken_and_counted() -> None:
    context = http_context()
    async with client_of(context) as client:
        await client.post(SOME)
    after = restarted(context)
    async with client_of(after) as client:
        assert (await client.post(SOME)).status == 200
        assert (await client.post(ndjson(objects(4, 5)))).status == 200

    assert after.lines == objects(1, 5)
    assert after.counts["error.repeated"] == 1
    assert [entry["records"] for entry in after.logged if "without a key" in entry["event"]] == [3]


async def test_keys_of_clients_do_not_meet(tmp_path: Path) -> None:
    tokens = {}
    for name in ("phongtc", "syt"):
        path = tmp_path / name
        path.write_text(f"{SECRET}{name}\n")
        tokens[name] = f"file:{path}"
    context = http_context(tokens=tokens)
    async with client_of(context) as client:
        for name in tokens:
            assert (await client.post(SOME, key="k", token=SECRET + name)).status == 200

    assert context.lines == objects(1, 3) * 2
    assert {*context.positions} == {"phongtc", "syt"}
    assert all(record.source.authenticated for record in context.records)


async def test_many_requests_at_once_are_each_journalled_once() -> None:
    context = http_context(max_requests_per_client=40)
    bodies = {f"k{n}": objects(10 * n, 10 * n + 9) for n in range(40)}
    async with client_of(context) as client:
        answers = await asyncio.gather(*[client.post(ndjson(body), key=key) for key, body in bodies.items()])
    after = restarted(context)
    async with client_of(after) as client:
        again = [await client.post(ndjson(body), key=key) for key, body in bodies.items()]

    assert {answer.status for answer in (*answers, *again)} == {200}
    assert sorted(context.lines) == sorted(itertools.chain(*bodies.values()))
    assert after.lines == []


def test_the_last_keys_are_remembered_and_no_more() -> None:
    position: bytes | None = None
    asked = [Asked.of(f"k{n}", b"b" * 32) for n in range(KEYS + 1)]
    for each in asked:
        position = Held(position).after(each, 0)

    held = Held(position)
    assert [held.left_of(each, 7) for each in asked] == [7] + [0] * KEYS
    assert position is not None
    assert len(position) < 2048


def test_each_position_differs_from_the_one_before() -> None:
    asked = Asked.of("", b"b" * 32)
    first = Held(None).after(asked, 0)

    assert Held(first).after(asked, 0) != first


@pytest.mark.parametrize("position", [b"", b"\x02" + b"x" * 50, b"\x01\0\0\0\0\0\0\0\1" + b"short"])
def test_a_position_of_another_version_holds_nothing(position: bytes) -> None:
    assert Held(position).left_of(Asked.of("k", b"b" * 32), 5) == 5


@pytest.mark.parametrize("header", ["", '""', "two words", '"open', "ümlaut", "x" * 256, 'a"b'])
def test_what_is_no_key(header: str) -> None:
    with pytest.raises(RequestRefusedError, match="Idempotency-Key"):
        key_of(header)
