"""The file collector after a restart: it goes on after the last journalled line, wherever that line is now."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from file_kit import (
    FileContext,
    append,
    append_bytes,
    compress_generation,
    copy_truncate,
    file_collector,
    file_context,
    numbered,
    restarted,
    rotate,
)
from harness import running, until

from collectors._logfile import Position
from socmon import failpoints
from socmon.errors import ComponentError

SECOND_NS = 1_000_000_000


async def collect(context: FileContext, count: int) -> None:
    """Run a collector until `count` records are in the journal."""
    async with running(file_collector(context)):
        await until(lambda: len(context.lines) >= count)


def keep_inode(log: Path) -> None:
    """Make sure that no new file gets the inode of `log`, and that the collector cannot find it."""
    elsewhere = log.with_name("elsewhere")
    elsewhere.mkdir()
    (elsewhere / "kept").hardlink_to(log)


async def test_each_record_has_the_position_after_its_own_line(tmp_path: Path) -> None:
    log = tmp_path / "auth.log"
    append_bytes(log, b"one\n\n\r\ntwo\r\nthree\n")
    context = file_context(log)
    await collect(context, 3)
    positions = [record.position for record in context.records]
    assert [(stream, Position.decode(data, stream).offset) for stream, data in filter(None, positions)] == [
        (str(log), 4),
        (str(log), 12),
        (str(log), 18),
    ]


@pytest.mark.parametrize("journalled", [1, 2, 3, 4, 5])
async def test_restart_in_the_middle_of_a_block_repeats_and_skips_no_line(tmp_path: Path, journalled: int) -> None:
    log = tmp_path / "auth.log"
    append(log, *numbered(1, 5))
    first = file_context(log)
    await collect(first, 5)
    position = first.records[journalled - 1].position
    assert position is not None
    second = file_context(log, positions=dict([position]))
    append(log, *numbered(6, 7))
    await collect(second, 7 - journalled)
    assert second.lines == numbered(journalled + 1, 7)


async def test_batch_that_was_refused_is_read_again(tmp_path: Path) -> None:
    log = tmp_path / "auth.log"
    append(log, *numbered(1, 3))
    context = file_context(log)
    context.failure = OSError("journal is full")
    with pytest.raises(OSError, match="journal is full"):
        await collect(context, 3)
    await collect(context, 3)
    assert context.lines == numbered(1, 3)


def rename(log: Path) -> None:
    rotate(log)


def rename_and_compress(log: Path) -> None:
    rotate(log, compress=True)


def rename_twice_and_compress_the_older(log: Path) -> None:
    rotate(log)
    append(log, *numbered(5, 5))
    rotate(log)
    compress_generation(log, 2)


def rename_twice_upward(log: Path) -> None:
    rotate(log, upward=True)
    append(log, *numbered(5, 5))
    rotate(log, upward=True)


def rename_twice_upward_and_compress_the_older(log: Path) -> None:
    rename_twice_upward(log)
    compress_generation(log, 1)


def rename_upward_beside_an_older_one(log: Path) -> None:
    append(log.with_name("auth.log.1"), b"from before socmon")
    os.utime(log.with_name("auth.log.1"), ns=(0, 0))
    rotate(log, upward=True)


def copy_upward_beside_an_older_one(log: Path) -> None:
    append(log.with_name("auth.log.1"), b"from before socmon")
    os.utime(log.with_name("auth.log.1"), ns=(0, 0))
    copy_truncate(log, upward=True)


def rename_to_dates_and_compress(log: Path) -> None:
    log.rename(log.with_name("auth.log-20261121"))
    append(log, *numbered(5, 5))
    log.rename(log.with_name("auth.log-20261122"))
    older = log.with_name("auth.log-20261121")
    older.rename(log.with_name("auth.log.1"))
    compress_generation(log, 1)
    log.with_name("auth.log.1.gz").rename(log.with_name("auth.log-20261121.gz"))


def rename_to_a_name_of_its_own(log: Path) -> None:
    log.rename(log.with_name("saved"))


def copy_and_truncate(log: Path) -> None:
    copy_truncate(log)


def copy_truncate_and_compress(log: Path) -> None:
    copy_truncate(log)
    compress_generation(log, 1)


def restore_from_a_backup(log: Path) -> None:
    shutil.copyfile(log, log.with_name("backup"))
    keep_inode(log)
    log.unlink()
    shutil.move(log.with_name("backup"), log)


@pytest.mark.parametrize(
    "rotation",
    [
        rename,
        rename_and_compress,
        rename_twice_and_compress_the_older,
        rename_twice_upward,
        rename_twice_upward_and_compress_the_older,
        rename_upward_beside_an_older_one,
        copy_upward_beside_an_older_one,
        rename_to_dates_and_compress,
        rename_to_a_name_of_its_own,
        copy_and_truncate,
        copy_truncate_and_compress,
        restore_from_a_backup,
    ],
)
async def test_rotation_while_down_loses_and_repeats_no_line(tmp_path: Path, rotation: Callable[[Path], None]) -> None:
    log = tmp_path / "auth.log"
    append(log, *numbered(1, 2))
    first = file_context(log)
    await collect(first, 2)
    append(log, *numbered(3, 4))
    rotation(log)
    five = "twice" in rotation.__name__ or "dates" in rotation.__name__
    append(log, *numbered(6 if five else 5, 7))
    second = restarted(first)
    await collect(second, 5)
    assert second.lines == numbered(3, 7)
    assert not second.counts["error.rest_gone"]


async def test_restart_after_the_old_file_was_finished_goes_on_in_the_new_one(tmp_path: Path) -> None:
    log = tmp_path / "auth.log"
    append(log, *numbered(1, 2))
    first = file_context(log)
    await collect(first, 2)
    rotate(log)
    second = restarted(first)
    append(log, *numbered(3, 3))
    await collect(second, 1)
    third = restarted(second)
    append(log, *numbered(4, 4))
    await collect(third, 1)
    assert first.lines + second.lines + third.lines == numbered(1, 4)


async def test_damaged_compressed_file_is_not_taken_for_the_one_that_was_read(tmp_path: Path) -> None:
    log = tmp_path / "auth.log"
    append(log, *numbered(1, 2))
    first = file_context(log)
    await collect(first, 2)
    keep_inode(log)
    rotate(log, compress=True)
    packed = tmp_path / "auth.log.1.gz"
    packed.write_bytes(packed.read_bytes()[:30])
    append(log, *numbered(3, 4))
    second = restarted(first)
    await collect(second, 2)
    assert second.lines == numbered(3, 4)
    assert second.counts["error.rest_gone"] == 1


async def test_file_that_is_gone_is_counted_and_the_new_one_read_from_its_start(tmp_path: Path) -> None:
    log = tmp_path / "auth.log"
    append(log, *numbered(1, 2))
    first = file_context(log)
    await collect(first, 2)
    keep_inode(log)
    log.unlink()
    append(log, *numbered(3, 9))
    second = restarted(first)
    await collect(second, 7)
    assert second.lines == numbered(3, 9)
    assert second.counts["error.rest_gone"] == 1


async def test_other_file_with_the_same_inode_is_read_from_its_start(tmp_path: Path) -> None:
    log = tmp_path / "auth.log"
    append(log, *numbered(1, 2))
    first = file_context(log)
    await collect(first, 2)
    inode = log.stat().st_ino
    with log.open("wb") as same_inode:
        same_inode.write(b"".join(line + b"\n" for line in numbered(3, 9)))
    assert log.stat().st_ino == inode
    second = restarted(first)
    await collect(second, 7)
    assert second.lines == numbered(3, 9)


async def test_lines_of_a_file_that_was_emptied_and_then_rotated_while_down_are_read(tmp_path: Path) -> None:
    log = tmp_path / "auth.log"
    append(log, *numbered(1, 2))
    first = file_context(log)
    await collect(first, 2)
    os.truncate(log, 0)
    append(log, *numbered(3, 4))
    rotate(log)
    append(log, *numbered(5, 6))
    second = restarted(first)
    await collect(second, 4)
    assert second.lines == numbered(3, 6)
    assert second.counts["error.truncated"] == 1


async def test_file_that_appears_is_read_from_its_beginning_even_after_a_start_at_the_end(tmp_path: Path) -> None:
    log = tmp_path / "auth.log"
    context = file_context(log, start="end")
    async with running(file_collector(context)):
        await until(lambda: context.logged)
        append(log, *numbered(1, 2))
        await until(lambda: len(context.lines) == 2)
    assert context.lines == numbered(1, 2)


async def test_quiet_file_that_was_skipped_at_the_first_start_stays_skipped(tmp_path: Path) -> None:
    quiet, busy = tmp_path / "quiet.log", tmp_path / "busy.log"
    append(quiet, b"an old line")
    os.utime(quiet, ns=(0, quiet.stat().st_mtime_ns - 60 * SECOND_NS))
    first = file_context(tmp_path / "*.log", start="end")
    async with running(file_collector(first)):
        await until(lambda: first.logged)
        append(busy, b"one")
        await until(lambda: first.lines)
    appeared_while_down = tmp_path / "z.log"
    append(appeared_while_down, b"two")
    second = restarted(first)
    async with running(file_collector(second)):
        await until(lambda: second.lines)
        append(quiet, b"three")
        await until(lambda: len(second.lines) == 2)
    assert first.lines + second.lines == [b"one", b"two", b"three"]


async def test_bytes_a_file_held_when_opened_are_dated_by_its_modification_time(tmp_path: Path) -> None:
    log = tmp_path / "auth.log"
    append(log, *numbered(1, 2))
    last_year_us = log.stat().st_mtime_ns // 1000 - 365 * 86_400 * 1_000_000
    os.utime(log, ns=(0, last_year_us * 1000))
    context = file_context(log)
    async with running(file_collector(context)):
        await until(lambda: len(context.lines) == 2)
        append(log, *numbered(3, 3))
        await until(lambda: len(context.lines) == 3)
    assert [record.anchor_us for record in context.records] == [last_year_us, last_year_us, None]
    assert context.records[2].dated_by_us == context.records[2].received_us > last_year_us


async def test_old_lines_are_dated_alike_whether_or_not_the_reading_was_interrupted(tmp_path: Path) -> None:
    log = tmp_path / "auth.log"
    append(log, *numbered(1, 4))
    last_year_us = log.stat().st_mtime_ns // 1000 - 365 * 86_400 * 1_000_000
    os.utime(log, ns=(0, last_year_us * 1000))
    first = file_context(log)
    await collect(first, 4)
    second = file_context(log, positions=dict([first.records[1].position or ("", b"")]))
    await collect(second, 2)
    assert [record.anchor_us for record in second.records] == [record.anchor_us for record in first.records[2:]]


async def test_a_modification_time_in_the_future_dates_no_line(tmp_path: Path) -> None:
    log = tmp_path / "auth.log"
    append(log, *numbered(1, 1))
    os.utime(log, ns=(0, log.stat().st_mtime_ns + 365 * 86_400 * SECOND_NS))
    context = file_context(log)
    await collect(context, 1)
    assert context.records[0].dated_by_us <= context.records[0].received_us


async def test_position_of_another_version_is_refused_with_a_remedy(tmp_path: Path) -> None:
    log = tmp_path / "auth.log"
    append(log, *numbered(1, 1))
    context = file_context(log, positions={str(log): b"\x09unknown"})
    with pytest.raises(ComponentError, match="another version of socmon; run that version") as refused:
        await collect(context, 1)
    assert not refused.value.retry


async def test_failpoint_makes_it_forget_its_position(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = tmp_path / "auth.log"
    first = file_context(log, start="end")
    async with running(file_collector(first)):
        await until(lambda: first.logged)
        append(log, *numbered(1, 3))
        await until(lambda: len(first.lines) == 3)
    monkeypatch.setattr(failpoints, "_name", "file.position")
    monkeypatch.setattr(failpoints, "_left", 1)
    second = restarted(first)
    await collect(second, 3)
    assert second.lines == numbered(1, 3)
