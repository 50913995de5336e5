"""Which files the collector follows, and what it says when it cannot."""

import asyncio
import grp
import os
import pwd
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pytest
from asyncinotify import Inotify
from file_kit import FileContext, append, file_collector, file_context, numbered, rotate
from harness import LIMIT_S, running, until
from pydantic import ValidationError

from collectors._generations import base_of
from collectors.file import FileSettings
from socmon.errors import ComponentError
from socmon.event import Record


def emitted(context: FileContext, count: int) -> bool:
    return len(context.lines) == count


async def fail(context: FileContext) -> ComponentError:
    """Run a collector that is expected to fail at once, and return its error."""
    with pytest.raises(ComponentError) as failure:
        async with asyncio.timeout(LIMIT_S):
            await file_collector(context).run()
    return failure.value


async def test_pattern_follows_each_file_as_a_stream_of_its_own(tmp_path: Path) -> None:
    append(tmp_path / "a.log", b"a1")
    append(tmp_path / "b.log", b"b1")
    append(tmp_path / "c.txt", b"not matched")
    append(tmp_path / ".hidden.log", b"not matched")
    (tmp_path / "directory.log").mkdir()
    context = file_context(tmp_path / "*.log")
    async with running(file_collector(context)):
        await until(lambda: len(context.lines) == 2)
        append(tmp_path / "new.log", b"n1")
        append(tmp_path / "a.log", b"a2")
        await until(lambda: len(context.lines) == 4)
    assert {record.source.peer for record in context.records} == {str(tmp_path / f"{n}.log") for n in ("a", "b", "new")}
    assert sorted(context.lines) == [b"a1", b"a2", b"b1", b"n1"]


async def test_rotated_files_that_a_pattern_matches_too_are_not_read_twice(tmp_path: Path) -> None:
    log = tmp_path / "auth.log"
    for number in range(1, 5):
        append(log, *numbered(number, number))
        rotate(log, compress=number % 2 == 0)
    append(log, *numbered(5, 5))
    context = file_context(tmp_path / "auth.log*")
    async with running(file_collector(context)):
        await until(lambda: context.lines)
        rotate(log)
        append(log, *numbered(6, 6))
        await until(lambda: len(context.lines) == 2)
        append(tmp_path / "auth.log_other", b"a round later")
        await until(lambda: len(context.lines) == 3)
    assert context.lines == [*numbered(5, 6), b"a round later"]


async def test_followed_file_under_a_new_name_that_the_pattern_matches_is_not_read_twice(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    append(log, b"one")
    context = file_context(tmp_path / "*.log")
    async with running(file_collector(context)):
        await until(lambda: context.lines)
        for number in range(3):
            log.rename(tmp_path / f"{number} saved.log")
            append(log, *numbered(number, number))
            await until(partial(emitted, context, number + 2))
        append(tmp_path / "z.log", b"a round later")
        await until(lambda: b"a round later" in context.lines)
    assert context.lines == [b"one", *numbered(0, 2), b"a round later"]


async def test_a_file_that_was_renamed_read_and_let_go_between_two_looks_is_not_read_twice(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    append(log, b"0")

    class Rotating(FileContext):
        async def emit(self, batch: Sequence[Record]) -> None:
            """Rotate at each of the first lines, while the collector has more to read and no time to look."""
            await super().emit(batch)
            if (number := len(self.lines)) < 4:
                log.rename(tmp_path / f"{number} saved.log")
                append(log, b"%d" % number)

    context = Rotating(file_context(tmp_path / "*.log", poll_s=60).settings, name="auth")
    async with running(file_collector(context)):
        await until(lambda: len(context.lines) == 4)
        append(tmp_path / "z.log", b"a round later")
        await until(lambda: b"a round later" in context.lines)
    assert context.lines == [b"0", b"1", b"2", b"3", b"a round later"]


async def test_file_that_several_paths_lead_to_is_read_once(tmp_path: Path) -> None:
    log = tmp_path / "auth.log"
    append(log, b"one")
    (tmp_path / "link.log").symlink_to(log)
    (tmp_path / "z.log").write_bytes(b"last of the round\n")
    context = file_context(log, tmp_path / "*.log", log)
    async with running(file_collector(context)):
        await until(lambda: b"last of the round" in context.lines)
    assert context.lines == [b"one", b"last of the round"]


async def test_deleted_file_of_a_pattern_is_let_go(tmp_path: Path) -> None:
    daily = tmp_path / "app-2026-11-22.log"
    append(daily, b"one")
    context = file_context(tmp_path / "app-*.log")
    collector = file_collector(context)
    async with running(collector):
        await until(lambda: context.lines)
        daily.unlink()
        await until(lambda: not collector._tails)


@pytest.mark.parametrize(
    ("name", "base"),
    [
        ("auth.log", "auth.log"),
        ("auth.log.1", "auth.log"),
        ("auth.log.12.gz", "auth.log"),
        ("auth.log.old", "auth.log"),
        ("auth.log-20261122", "auth.log"),
        ("auth.log-20261122-1763800000.xz", "auth.log"),
        ("app-2026-11-22.log.bz2", "app.log"),
        ("app.log.2026-11-22_10-15", "app.log"),
        ("web-01.log", "web-01.log"),
        ("server1", "server1"),
        ("access.log.10.0.0.1", "access.log.10.0.0"),
    ],
)
def test_rotated_names_lead_to_the_name_they_were_written_under(name: str, base: str) -> None:
    assert base_of(name) == base


async def test_missing_directory_is_an_error_with_a_remedy(tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    failure = await fail(file_context(missing / "auth.log"))
    assert str(failure) == (
        f"cannot follow {missing}/auth.log: directory {missing} does not exist; create it, or correct paths"
    )
    assert failure.retry


async def test_directory_that_vanishes_is_an_error(tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    logs.mkdir()
    context = file_context(logs / "auth.log")
    running_collector = asyncio.create_task(file_collector(context).run())
    await until(lambda: context.logged)
    logs.rmdir()
    with pytest.raises(ComponentError, match="does not exist"):
        async with asyncio.timeout(LIMIT_S):
            await running_collector


async def test_file_that_may_not_be_read_names_the_group_that_may(unprivileged: Path) -> None:
    if os.getuid() != 0:
        pytest.skip("only root can make a file that belongs to another user")
    log = unprivileged / "auth.log"
    os.seteuid(0)
    append(log, b"one")
    os.chown(log, 0, 4)
    log.chmod(0o640)
    os.seteuid(65534)
    failure = await fail(file_context(log))
    user, group = pwd.getpwuid(65534).pw_name, grp.getgrgid(4).gr_name
    assert str(failure) == f"cannot read {log}: permission denied; add user {user} to group {group}"
    assert failure.retry


async def test_directory_that_may_not_be_listed_is_named(unprivileged: Path) -> None:
    if os.getuid() != 0:
        pytest.skip("only root can make a directory that belongs to another user")
    unprivileged_dir = unprivileged / "private"
    os.seteuid(0)
    unprivileged_dir.mkdir(mode=0o700)
    os.seteuid(65534)
    failure = await fail(file_context(unprivileged_dir / "auth.log"))
    assert str(failure).startswith(f"cannot read {unprivileged_dir}: permission denied; allow it with setfacl")


async def test_named_pipe_in_the_place_of_a_log_does_not_hang_the_collector(tmp_path: Path) -> None:
    pipe = tmp_path / "auth.log"
    os.mkfifo(pipe)
    failure = await fail(file_context(pipe))
    assert str(failure) == f"cannot follow {pipe}: it is not a regular file; correct paths"
    assert not failure.retry


async def test_without_inotify_the_files_are_polled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def exhausted(self: Inotify, path: object, mask: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Inotify, "add_watch", exhausted)
    log = tmp_path / "auth.log"
    context = file_context(log)
    async with running(file_collector(context)):
        append(log, b"one")
        await until(lambda: len(context.lines) == 1)
        append(log, b"two")
        await until(lambda: len(context.lines) == 2)
    assert context.counts["error.no_inotify"] == 1


@pytest.mark.parametrize("path", ["auth.log", "/var/log/auth.log.2.gz", ""])
def test_paths_that_cannot_be_followed_are_refused(path: str) -> None:
    with pytest.raises(ValidationError, match=r"is not absolute|is compressed"):
        FileSettings(paths=[path])


def test_every_option_is_described() -> None:
    assert all(option.description for option in FileSettings.model_fields.values())


async def test_a_file_whose_name_is_not_utf8_is_told_and_does_not_stop_the_others(tmp_path: Path) -> None:
    append(tmp_path / "a.log", b"a1")
    (tmp_path / os.fsdecode(b"b\xff.log")).write_bytes(b"b1\n")
    context = file_context(tmp_path / "*.log")

    async with running(file_collector(context)):
        await until(lambda: context.lines == [b"a1"])

    assert context.counts["error.bad_name"] == 1
