"""The file collector while it runs: new lines, rotations, truncations."""

import os
from pathlib import Path

import pytest
from file_kit import append, append_bytes, copy_truncate, file_collector, file_context, numbered, rotate
from harness import running, until


async def test_lines_are_emitted_as_they_are_written(tmp_path: Path) -> None:
    log = tmp_path / "auth.log"
    append(log, *numbered(1, 3))
    context = file_context(log, poll_s=60)
    async with running(file_collector(context)):
        await until(lambda: len(context.lines) == 3)
        append(log, *numbered(4, 4))
        await until(lambda: len(context.lines) == 4)
        append(log, *numbered(5, 6))
        await until(lambda: len(context.lines) == 6)
    assert context.lines == numbered(1, 6)
    assert context.counts["received"] == 6
    assert context.counts["received_bytes"] == log.stat().st_size


async def test_a_byte_order_mark_at_the_start_of_a_file_is_no_part_of_its_first_line(tmp_path: Path) -> None:
    log = tmp_path / "auth.log"
    append_bytes(log, b"\xef\xbb\xbfone\n\xef\xbb\xbftwo\n")
    context = file_context(log)
    async with running(file_collector(context)):
        await until(lambda: len(context.lines) == 2)
    assert context.lines == [b"one", b"\xef\xbb\xbftwo"]


async def test_records_say_where_they_come_from(tmp_path: Path) -> None:
    log = tmp_path / "auth.log"
    append(log, b"one")
    context = file_context(log, format="syslog", timezone="Asia/Ho_Chi_Minh")
    async with running(file_collector(context)):
        await until(lambda: context.records)
    source = context.records[0].source
    assert (source.collector, source.peer, source.format, source.zone) == (
        "auth",
        str(log),
        "syslog",
        "Asia/Ho_Chi_Minh",
    )
    assert source.authenticated


async def test_start_at_the_end_skips_what_is_there_but_not_the_line_being_written(tmp_path: Path) -> None:
    log, appears_later = tmp_path / "auth.log", tmp_path / "later.log"
    append(log, *numbered(1, 3))
    append_bytes(log, b"half ")
    context = file_context(log, appears_later, start="end")
    async with running(file_collector(context)):
        await until(lambda: context.logged)
        append(appears_later, b"from its beginning")
        await until(lambda: context.lines)
        append_bytes(log, b"a line\n")
        await until(lambda: len(context.lines) == 2)
    assert context.lines == [b"from its beginning", b"half a line"]


async def test_a_line_without_its_end_waits_for_it(tmp_path: Path) -> None:
    log, other = tmp_path / "auth.log", tmp_path / "other.log"
    append_bytes(log, b"one\ntw")
    context = file_context(log, other)
    async with running(file_collector(context)):
        await until(lambda: context.lines == [b"one"])
        append(other, b"a round later")
        await until(lambda: len(context.lines) == 2)
        append_bytes(log, b"o\n")
        await until(lambda: len(context.lines) == 3)
    assert context.lines == [b"one", b"a round later", b"two"]


async def test_a_last_line_without_its_end_is_emitted_when_the_file_is_rotated(tmp_path: Path) -> None:
    log = tmp_path / "auth.log"
    append_bytes(log, b"one\nunfinished")
    context = file_context(log)
    async with running(file_collector(context)):
        await until(lambda: context.lines == [b"one"])
        rotate(log)
        append(log, b"three")
        await until(lambda: len(context.lines) == 3)
    assert context.lines == [b"one", b"unfinished", b"three"]


async def test_bytes_are_left_as_they_are_except_for_the_end_of_line(tmp_path: Path) -> None:
    log = tmp_path / "auth.log"
    append_bytes(log, b"crlf\r\n\xff\xfe\x00nul\nlone\rreturn\n  blanks \t\nBOM \xef\xbb\xbf\x85\x0b\x0c\n")
    context = file_context(log)
    async with running(file_collector(context)):
        await until(lambda: context.lines)
    assert context.lines == [
        b"crlf",
        b"\xff\xfe\x00nul",
        b"lone\rreturn",
        b"  blanks \t",
        b"BOM \xef\xbb\xbf\x85\x0b\x0c",
    ]


async def test_empty_lines_are_passed_over_and_counted_in_bytes(tmp_path: Path) -> None:
    log = tmp_path / "auth.log"
    append_bytes(log, b"\n\r\none\n\n\ntwo\n\n")
    context = file_context(log)
    async with running(file_collector(context)):
        await until(lambda: context.counts["received"])
    assert context.lines == [b"one", b"two"]
    assert context.counts["received_bytes"] == log.stat().st_size


async def test_a_line_that_is_too_long_is_cut_and_counted_and_makes_no_second_record(tmp_path: Path) -> None:
    log = tmp_path / "auth.log"
    long = b"x" * 256
    append(log, long, long + b"Nov 22 10:00:00 web1 sshd[1]: forged", b"y" * 3_000_000, b"short")
    context = file_context(log, max_bytes=256)
    async with running(file_collector(context)):
        await until(lambda: len(context.lines) == 4)
    assert context.lines == [long, long, b"y" * 256, b"short"]
    assert context.counts["error.too_long"] == 2
    assert context.counts["received_bytes"] == log.stat().st_size


async def test_a_batch_holds_at_most_a_thousand_records(tmp_path: Path) -> None:
    log = tmp_path / "auth.log"
    append(log, *numbered(1, 2500))
    context = file_context(log)
    async with running(file_collector(context)):
        await until(lambda: len(context.lines) == 2500)
    assert max(map(len, context.batches)) <= 1000
    assert context.lines == numbered(1, 2500)


async def test_a_full_socmon_holds_the_reading(tmp_path: Path) -> None:
    log = tmp_path / "auth.log"
    append(log, *numbered(1, 3))
    context = file_context(log)
    context.gate.clear()
    async with running(file_collector(context)):
        await until(lambda: context.waiting)
        assert context.lines == []
        context.gate.set()
        await until(lambda: context.lines)
    assert context.lines == numbered(1, 3)


async def test_renamed_file_is_read_to_its_end_before_the_new_one(tmp_path: Path) -> None:
    log = tmp_path / "auth.log"
    append(log, *numbered(1, 2))
    context = file_context(log)
    async with running(file_collector(context)):
        await until(lambda: len(context.lines) == 2)
        append(log, *numbered(3, 4))
        rotate(log)
        append(log, *numbered(5, 6))
        await until(lambda: len(context.lines) == 6)
    assert context.lines == numbered(1, 6)


async def test_a_writer_that_keeps_the_renamed_file_open_is_followed_there_until_it_is_quiet(tmp_path: Path) -> None:
    log = tmp_path / "auth.log"
    append(log, *numbered(1, 1))
    context = file_context(log, rotate_wait_s=60)
    async with running(file_collector(context)):
        with log.open("ab", buffering=0) as writer:
            await until(lambda: len(context.lines) == 1)
            rotate(log)
            append(log, *numbered(4, 4))
            writer.write(numbered(2, 2)[0] + b"\n")
            await until(lambda: len(context.lines) == 2)
            writer.write(numbered(3, 3)[0] + b"\n")
            await until(lambda: len(context.lines) == 3)
        long_ago = log.stat().st_mtime - 61
        os.utime(tmp_path / "auth.log.1", (long_ago, long_ago))
        await until(lambda: len(context.lines) == 4)
    assert context.lines == numbered(1, 4)


async def test_lines_written_to_the_renamed_file_after_the_wait_are_still_read(tmp_path: Path) -> None:
    log = tmp_path / "auth.log"
    append(log, b"one")
    context = file_context(log)
    async with running(file_collector(context)):
        with log.open("ab", buffering=0) as slow_writer:
            await until(lambda: len(context.lines) == 1)
            rotate(log)
            append(log, b"new")
            await until(lambda: len(context.lines) == 2)
            before = context.positions[str(log)]
            slow_writer.write(b"late\n")
            await until(lambda: len(context.lines) == 3)
    assert context.lines == [b"one", b"new", b"late"]
    assert context.positions[str(log)] == before


async def test_an_empty_new_file_does_not_end_the_old_one(tmp_path: Path) -> None:
    log = tmp_path / "auth.log"
    append(log, b"one")
    context = file_context(log)
    async with running(file_collector(context)):
        with log.open("ab", buffering=0) as writer:
            await until(lambda: len(context.lines) == 1)
            rotate(log)
            log.touch()
            writer.write(b"two\nhalf ")
            await until(lambda: len(context.lines) == 2)
            writer.write(b"three\n")
            await until(lambda: len(context.lines) == 3)
    assert context.lines == [b"one", b"two", b"half three"]


@pytest.mark.parametrize("compress", [False, True])
async def test_rotated_files_numbered_upward_are_read_once(tmp_path: Path, *, compress: bool) -> None:
    log = tmp_path / "auth.log"
    context = file_context(log)
    async with running(file_collector(context)):
        for number in range(1, 13):
            append(log, *numbered(number, number))
            await until(lambda: context.lines[-1:] == numbered(number, number))  # noqa: B023  awaited in its round
            rotate(log, compress=compress, upward=True)
        append(log, *numbered(13, 13))
        await until(lambda: context.lines[-1:] == numbered(13, 13))
    assert context.lines == numbered(1, 13)


async def test_copies_numbered_upward_are_read_once(tmp_path: Path) -> None:
    log = tmp_path / "auth.log"
    append(log.with_name("auth.log.1"), b"from before socmon")
    context = file_context(log)
    async with running(file_collector(context)):
        for number in range(1, 5):
            append(log, *numbered(number, number))
            await until(lambda: context.lines[-1:] == numbered(number, number))  # noqa: B023  awaited in its round
            copy_truncate(log, upward=True)
        append(log, *numbered(5, 5))
        await until(lambda: context.lines[-1:] == numbered(5, 5))
    assert context.lines == numbered(1, 5)
    assert context.counts["error.truncated"] == 0


@pytest.mark.parametrize("name", ["auth.log.bak", "auth.log.old", "auth.log-20261122", "auth.log.1.gz"])
async def test_older_file_under_a_rotated_name_is_not_taken_for_a_newer_one(tmp_path: Path, name: str) -> None:
    log, old = tmp_path / "auth.log", tmp_path / name
    old.write_bytes(b"from before socmon\n")
    os.utime(old, ns=(0, 0))
    append(log, *numbered(1, 1))
    context = file_context(log)
    async with running(file_collector(context)):
        await until(lambda: len(context.lines) == 1)
        rotate(log, upward=True)
        append(log, *numbered(2, 2))
        await until(lambda: context.lines[-1:] == numbered(2, 2))
    assert context.lines == numbered(1, 2)


async def test_successor_is_read_although_the_renamed_file_was_written_after_it(tmp_path: Path) -> None:
    log = tmp_path / "auth.log"
    append(log, *numbered(1, 1))
    context = file_context(log, rotate_wait_s=60)
    async with running(file_collector(context)):
        with log.open("ab", buffering=0) as slow_writer:
            await until(lambda: len(context.lines) == 1)
            rotate(log)
            slow_writer.write(numbered(2, 2)[0] + b"\n")
            await until(lambda: len(context.lines) == 2)
            context.gate.clear()
            slow_writer.write(numbered(3, 3)[0] + b"\n")
            await until(lambda: context.waiting)
            append(log, *numbered(4, 4))
            rotate(log)
            late = tmp_path / "auth.log.2"
            os.utime(late, ns=(0, log.with_name("auth.log.1").stat().st_mtime_ns + 1_000_000))
            append(log, *numbered(5, 5))
            context.gate.set()
            await until(lambda: context.lines[-1:] == numbered(4, 4))
    assert context.lines == numbered(1, 4)


async def test_several_rotations_at_once_skip_no_generation(tmp_path: Path) -> None:
    log = tmp_path / "auth.log"
    append(log, *numbered(1, 2))
    context = file_context(log, rotate_wait_s=60)
    async with running(file_collector(context)):
        await until(lambda: len(context.lines) == 2)
        context.gate.clear()
        for number in range(3, 9):
            rotate(log, compress=number % 2 == 0)
            append(log, *numbered(number, number))
        context.gate.set()
        await until(lambda: len(context.lines) == 8)
    assert context.lines == numbered(1, 8)


async def test_log_compressed_before_a_new_one_appears_keeps_its_place_among_the_generations(tmp_path: Path) -> None:
    log, other = tmp_path / "auth.log", tmp_path / "other.log"
    append(log, *numbered(1, 2))
    context = file_context(log, other)
    collector = file_collector(context)
    async with running(collector):
        await until(lambda: len(context.lines) == 2)
        rotate(log, compress=True)
        packed = (tmp_path / "auth.log.1.gz").stat().st_ino
        await until(lambda: packed in [inode for _, inode in collector._tails[str(log)].ids])
        context.gate.clear()
        append(other, b"holds the collector")
        await until(lambda: context.waiting)
        append(log, *numbered(3, 4))
        rotate(log, compress=True)
        append(log, *numbered(5, 6))
        context.gate.set()
        await until(lambda: len(context.lines) == 7)
    assert context.lines == [*numbered(1, 2), b"holds the collector", *numbered(3, 6)]


async def test_truncated_file_is_read_from_its_start(tmp_path: Path) -> None:
    log = tmp_path / "auth.log"
    append(log, *numbered(1, 5))
    context = file_context(log)
    async with running(file_collector(context)):
        await until(lambda: len(context.lines) == 5)
        os.truncate(log, 0)
        append(log, *numbered(6, 7))
        await until(lambda: len(context.lines) == 7)
    assert context.lines == numbered(1, 7)
    assert context.counts["error.truncated"] == 1


async def test_file_that_was_truncated_and_grew_beyond_its_old_size_is_read_from_its_start(tmp_path: Path) -> None:
    log = tmp_path / "auth.log"
    append(log, *numbered(1, 5))
    context = file_context(log)
    async with running(file_collector(context)):
        await until(lambda: len(context.lines) == 5)
        with log.open("r+b") as file:  # one write and no size in between that would give it away
            file.write(b"".join(line + b"\n" for line in numbered(6, 20)))
        await until(lambda: len(context.lines) == 20)
    assert context.lines == numbered(1, 20)


async def test_truncation_is_noticed_although_the_file_begins_with_the_same_header(tmp_path: Path) -> None:
    log = tmp_path / "iis.log"
    header = b"#Fields: " + b"date time s-ip cs-method cs-uri-stem " * 12
    append(log, header, *numbered(1, 9))
    context = file_context(log)
    async with running(file_collector(context)):
        await until(lambda: len(context.lines) == 10)
        with log.open("r+b") as file:
            file.write(b"".join(line + b"\n" for line in [header, *numbered(10, 30)]))
        await until(lambda: len(context.lines) == 32)
    assert context.lines == [header, *numbered(1, 9), header, *numbered(10, 30)]


async def test_lines_not_read_before_a_copy_and_truncation_are_read_from_the_copy(tmp_path: Path) -> None:
    log = tmp_path / "auth.log"
    append(log, *numbered(1, 2))
    context = file_context(log)
    async with running(file_collector(context)):
        await until(lambda: len(context.lines) == 2)
        context.gate.clear()
        append(log, *numbered(3, 6))
        copy_truncate(log)
        append(log, *numbered(7, 8))
        context.gate.set()
        await until(lambda: len(context.lines) == 8)
    assert context.lines == numbered(1, 8)
    assert context.counts["error.truncated"] == 0


async def test_file_deleted_and_created_again_is_read_from_its_start(tmp_path: Path) -> None:
    log = tmp_path / "auth.log"
    append(log, *numbered(1, 2))
    context = file_context(log)
    async with running(file_collector(context)):
        await until(lambda: len(context.lines) == 2)
        append_bytes(log, b"unfinished")
        log.unlink()
        await until(lambda: len(context.lines) == 3)
        append(log, *numbered(4, 5))
        await until(lambda: len(context.lines) == 5)
    assert context.lines == [*numbered(1, 2), b"unfinished", *numbered(4, 5)]


async def test_file_of_a_link_that_is_turned_to_another_one_is_read_to_its_end_first(tmp_path: Path) -> None:
    log, first, second = tmp_path / "current", tmp_path / "app-a.log", tmp_path / "app-b.log"
    append(first, *numbered(1, 2))
    log.symlink_to(first)
    context = file_context(log)
    async with running(file_collector(context)):
        await until(lambda: len(context.lines) == 2)
        append(first, *numbered(3, 3))
        append(second, *numbered(4, 5))
        log.unlink()
        log.symlink_to(second)
        await until(lambda: len(context.lines) == 5)
    assert context.lines == numbered(1, 5)
    assert set(context.positions) == {str(log)}
