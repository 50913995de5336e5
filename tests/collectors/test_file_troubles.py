"""What one file, or who may make files, cannot do to the collection of the others."""

import asyncio
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from threading import Event

import pytest
from file_kit import FileContext, append, file_collector, file_context, numbered, restarted, rotate
from harness import LIMIT_S, FakeContext, running, until

from collectors import file as file_module
from collectors._tail import Block, Tail
from collectors.file import FileSettings
from socmon.errors import ComponentError
from socmon.event import Record
from socmon.worker import Worker

DEFAULT_THREADS = 32  # of asyncio.to_thread, at most


def told(context: FileContext, event: str) -> list[str]:
    """The paths that `event` was logged for."""
    return [entry["path"] for entry in context.logged if entry["event"].startswith(event)]


def passed_on(context: FileContext, line: bytes) -> bool:
    return line in context.lines


@contextmanager
def full_rights() -> Iterator[None]:
    """Within the fixture `unprivileged`: whatever the test itself may do."""
    is_root = os.getuid() == 0
    if is_root:
        os.seteuid(0)
    try:
        yield
    finally:
        if is_root:
            os.seteuid(65534)


def close(path: Path) -> None:
    """Nobody may read `path` now but root, without whose rights the test runs."""
    path.chmod(0o600 if os.geteuid() == 0 else 0)


# ── files that cannot be read ────────────────────────────────────────────────────────────────────────────────────────


async def test_a_file_that_may_not_be_read_stops_no_other_and_is_read_once_it_may(unprivileged: Path) -> None:
    a, b, c = (unprivileged / f"{name}.log" for name in "abc")
    with full_rights():
        for log in (a, b, c):
            append(log, log.name.encode())
        a.chmod(0o666)
        close(b)
    context = file_context(unprivileged / "*.log")
    async with running(file_collector(context)):
        for number in range(3):
            append(a, b"%d" % number)
            await until(partial(passed_on, context, b"%d" % number))
        assert {*context.lines} == {b"a.log", b"c.log", b"0", b"1", b"2"}
        with full_rights():
            b.chmod(0o644)
        await until(lambda: b"b.log" in context.lines)
        await until(lambda: told(context, "file can be read again"))
    assert len(context.lines) == 6
    assert told(context, "file cannot be read") == told(context, "file can be read again") == [str(b)]
    assert context.counts["error.unreadable"] == 1


async def test_when_no_file_may_be_read_the_collector_says_what_to_do(unprivileged: Path) -> None:
    with full_rights():
        for name in ("a.log", "b.log"):
            append(unprivileged / name, b"one")
            close(unprivileged / name)
    context = file_context(unprivileged / "*.log")
    with pytest.raises(ComponentError, match="permission denied; allow it with setfacl") as failure:
        async with asyncio.timeout(LIMIT_S):
            await file_collector(context).run()
    assert failure.value.retry


async def test_a_link_into_a_closed_directory_stops_no_other_file(unprivileged: Path) -> None:
    with full_rights():
        closed = unprivileged / "closed"
        closed.mkdir()
        append(unprivileged / "b.log", b"one")
        (unprivileged / "a.log").symlink_to(closed / "any.log")
        closed.chmod(0o700 if os.geteuid() == 0 else 0)
    context = file_context(unprivileged / "*.log")
    async with running(file_collector(context)):
        await until(lambda: context.lines and context.counts["error.unreadable"])
    with full_rights():
        closed.chmod(0o700)
    assert context.lines == [b"one"]
    assert context.counts["error.no_inotify"] == 0
    assert told(context, "file cannot be read") == [str(unprivileged / "a.log")]


async def test_what_is_written_while_a_file_may_not_be_read_is_not_skipped(unprivileged: Path) -> None:
    closed, other = unprivileged / "a.log", unprivileged / "b.log"
    with full_rights():
        for log in (closed, other):
            append(log, b"old")
            os.utime(log, ns=(0, 0))
        close(closed)
    context = file_context(closed, other, start="end")
    async with running(file_collector(context)):
        await until(lambda: context.counts["error.unreadable"])
        with full_rights():
            closed.chmod(0o644)
            append(other, b"new")
        await until(lambda: context.lines)
        with full_rights():
            append(closed, b"new too")
        await until(lambda: b"new too" in context.lines)
    assert {*context.lines} - {b"old"} == {b"new", b"new too"}


@pytest.mark.parametrize("mended", ["restored", "removed"])
async def test_a_damaged_generation_stops_its_own_log_only_until_it_is_mended(tmp_path: Path, mended: str) -> None:
    log, other = tmp_path / "a.log", tmp_path / "b.log"
    append(log, *numbered(1, 2))
    first = file_context(log, other)
    async with running(file_collector(first)):
        await until(lambda: len(first.lines) == 2)
    rotate(log)
    append(log, *numbered(3, 4))
    rotate(log, compress=True)
    append(log, *numbered(5, 6))
    packed, whole = tmp_path / "a.log.1.gz", tmp_path / "whole"
    whole.write_bytes(packed.read_bytes())
    packed.write_bytes(packed.read_bytes()[:-9])
    second = restarted(first)
    async with running(file_collector(second)):
        for number in range(7, 10):
            append(other, *numbered(number, number))
            await until(partial(passed_on, second, *numbered(number, number)))
        assert second.lines == numbered(7, 9)
        if mended == "restored":
            whole.replace(packed)
        else:
            packed.unlink()
        await until(lambda: numbered(6, 6)[0] in second.lines)
        await until(lambda: told(second, "file can be read again"))
    assert second.lines == numbered(7, 9) + (numbered(3, 6) if mended == "restored" else numbered(5, 6))
    assert second.counts["error.unreadable"] == 1
    assert told(second, "file can be read again") == [str(log)]


async def test_a_directory_that_does_not_exist_stops_no_other_path(tmp_path: Path) -> None:
    missing, log = tmp_path / "missing", tmp_path / "a.log"
    append(log, b"one")
    context = file_context(missing / "*.log", log)
    async with running(file_collector(context)):
        await until(lambda: context.lines and context.counts["error.unreadable"])
        missing.mkdir()
        append(missing / "b.log", b"two")
        await until(lambda: len(context.lines) == 2)
    assert context.lines == [b"one", b"two"]
    assert told(context, "file can be read again") == [str(missing / "*.log")]


# ── more files than can be followed ──────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def two_files_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_module, "MAX_FILES", 2)


def times_told(context: FileContext) -> int:
    times = len([entry for entry in context.logged if entry["event"].startswith("too many files match")])
    assert times == context.counts["error.too_many_files"]
    return times


@pytest.mark.usefixtures("two_files_at_most")
async def test_too_many_files_end_no_collection_and_follow_when_there_is_room(tmp_path: Path) -> None:
    x, y = tmp_path / "x.log", tmp_path / "y.log"
    append(x, b"x1")
    append(y, b"y1")
    context = file_context(tmp_path / "*.log")
    async with running(file_collector(context)):
        await until(lambda: len(context.lines) == 2)
        append(tmp_path / "a.log", b"of the flood")
        await until(lambda: times_told(context))
        append(x, b"x2")
        append(y, b"y2")
        await until(lambda: len(context.lines) == 4)
        assert times_told(context) == 1
        (tmp_path / "b.log").touch()
        await until(lambda: times_told(context) == 2)
        (tmp_path / "b.log").unlink()
        y.unlink()
        await until(lambda: b"of the flood" in context.lines)
    assert {*context.lines} == {b"x1", b"y1", b"x2", b"y2", b"of the flood"}


@pytest.mark.usefixtures("two_files_at_most")
async def test_named_files_and_those_followed_before_come_first(tmp_path: Path) -> None:
    followed, named = tmp_path / "y.log", tmp_path / "z.log"
    append(followed, b"y1")
    first = file_context(tmp_path / "*.log", named)
    async with running(file_collector(first)):
        await until(lambda: first.lines)
    for name in ("a.log", "b.log", "y.log", "z.log"):
        append(tmp_path / name, name.encode())
    second = restarted(first)
    async with running(file_collector(second)):
        await until(lambda: len(second.lines) == 2)
    assert {*second.lines} == {b"y.log", b"z.log"}


@pytest.mark.usefixtures("two_files_at_most")
async def test_quiet_file_that_there_was_no_room_for_at_the_start_stays_skipped(tmp_path: Path) -> None:
    quiet = tmp_path / "z.log"
    append(quiet, b"an old line")
    os.utime(quiet, ns=(0, 0))
    for name in ("a.log", "b.log"):
        append(tmp_path / name, b"an old line")
    context = file_context(tmp_path / "*.log", start="end")
    async with running(file_collector(context)):
        await until(lambda: times_told(context))
        (tmp_path / "a.log").unlink()
        await until(lambda: str(quiet) in told(context, "following file"))
        append(tmp_path / "b.log", b"new")
        await until(lambda: context.lines)
        append(quiet, b"new too")
        await until(lambda: len(context.lines) == 2)
    assert context.lines == [b"new", b"new too"]


# ── reading that hangs ───────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def answer(monkeypatch: pytest.MonkeyPatch) -> Iterator[Event]:
    """Until it is set, a file called `hung` is read as if its file server were gone; patience is short."""
    event, read = Event(), Tail.read

    def hang(tail: Tail) -> Block:
        if tail.path.endswith("hung"):
            event.wait()
        return read(tail)

    monkeypatch.setattr(Tail, "read", hang)
    monkeypatch.setattr(file_module, "HANG_S", 0.05)
    monkeypatch.setattr(file_module, "STOP_S", 0.05)
    yield event
    event.set()


async def test_a_read_that_hangs_ends_the_run_and_no_other_is_begun_until_it_ends(
    tmp_path: Path, answer: Event
) -> None:
    log = tmp_path / "hung"
    append(log, b"one")
    context = file_context(log)
    with pytest.raises(ComponentError, match=r"hung: no answer for 0\.05 s; check the disk and its mount"):
        await file_collector(context).run()
    left = file_module.FileCollector._left_hanging[context.name]
    for _ in range(3):
        with pytest.raises(ComponentError, match="the last read still hangs; check the disk and its mount"):
            await file_collector(restarted(context)).run()
    assert file_module.FileCollector._left_hanging == {context.name: left}
    answer.set()
    await until(lambda: not left.busy)
    again = restarted(context)
    async with running(file_collector(again)):
        await until(lambda: again.lines == [b"one"])


async def test_what_was_read_just_when_patience_ended_is_read_again(
    tmp_path: Path, answer: Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Worker, "busy", property(lambda _: False))  # it has ended already when it is given up
    append(tmp_path / "hung", b"one")
    append(tmp_path / "a.log", b"one")
    context = file_context(tmp_path / "a.log", tmp_path / "hung")
    collector = file_collector(context)
    with pytest.raises(ComponentError, match="no answer"):
        async with asyncio.timeout(LIMIT_S):
            await collector.run()
    assert told(context, "file cannot be read") == []  # only a new start knows what was passed on
    answer.set()
    await until(lambda: not collector._tails)


async def test_collectors_that_hang_take_no_thread_from_anybody(
    tmp_path: Path, answer: Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_module, "HANG_S", 60)
    append(tmp_path / "hung", b"one")
    append(tmp_path / "a.log", b"one")
    settings = file_context(tmp_path / "hung").settings
    hung = [
        asyncio.create_task(file_collector(FakeContext(settings, name=f"hung {n}")).run())
        for n in range(DEFAULT_THREADS + 1)
    ]
    context = file_context(tmp_path / "a.log")
    async with running(file_collector(context)):
        await until(lambda: context.lines)
    async with asyncio.timeout(LIMIT_S):
        await asyncio.to_thread(int)
    for task in hung:
        task.cancel()
    ended, _ = await asyncio.wait(hung, timeout=LIMIT_S)
    assert len(ended) == len(hung)
    answer.set()
    await until(lambda: not any(left.busy for left in file_module.FileCollector._left_hanging.values()))


# ── the stop ─────────────────────────────────────────────────────────────────────────────────────────────────────────


class Withdrawing(FakeContext[FileSettings]):
    """An intake that, at the stop, cancels what is offered to it."""

    async def emit(self, batch: Sequence[Record]) -> None:  # noqa: ARG002  the contract's signature
        offering = asyncio.get_running_loop().create_future()
        offering.cancel()
        await offering


async def test_a_batch_that_is_cancelled_by_the_intake_ends_the_collector_with_its_files_closed(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    append(log, b"one")
    collector = file_collector(Withdrawing(file_context(log).settings))
    task = asyncio.create_task(collector.run())
    await asyncio.wait([task], timeout=LIMIT_S)
    assert task.cancelled()
    assert not collector._tails
