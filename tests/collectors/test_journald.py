"""Journals of systemd are followed entry by entry: none is skipped, none comes twice, whatever the files do."""

import os
import signal
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from harness import FakeContext, running, until
from journald_kit import entry, needs_journald, remote, rotate, write

from collectors._journals import journals_in
from collectors.journald import JournaldCollector, JournaldSettings
from socmon.errors import ComponentError
from socmon.event import Record
from socmon.parsers import parse

pytestmark = needs_journald
Context = FakeContext[JournaldSettings]


def context(folder: Path, *, positions: dict[str, bytes] | None = None, **options: Any) -> Context:
    settings = JournaldSettings(**{"directory": folder, "start": "beginning", "poll_s": 0.02, **options})
    return FakeContext(settings, name="journal", positions=positions)


def told(records: list[Record]) -> list[str]:
    """Their messages."""
    return [parse(record).fields["message"] for record in records]


def numbered(first: int, last: int) -> list[str]:
    return [f"message {number}" for number in range(first, last + 1)]


def entries(first: int, last: int, **fields: Any) -> list[bytes]:
    return [entry(number, **fields) for number in range(first, last + 1)]


def children() -> list[int]:
    """The processes that the collector has started; those of other tests, such as a broker, may be there too."""
    found = []
    for each in Path("/proc/self/task").iterdir():
        with suppress(FileNotFoundError):  # a thread that has ended
            found += (each / "children").read_text().split()
    return [int(pid) for pid in found if command_of(pid).endswith("journalctl")]


def command_of(pid: str) -> str:
    with suppress(OSError):
        return Path("/proc", pid, "cmdline").read_text().partition("\0")[0]
    return ""


async def collected(folder: Path, count: int, **options: Any) -> Context:
    """What a collector has that runs until it has `count` records."""
    seen = context(folder, **options)
    async with running(JournaldCollector(seen)):
        await until(lambda: len(seen.records) >= count)
    return seen


async def test_entries_come_in_order_through_kills_of_their_writer_and_a_rotation(tmp_path: Path) -> None:
    path = tmp_path / "remote-web1.journal"
    write(path, entries(0, 4))
    seen = context(tmp_path)

    async with running(JournaldCollector(seen)):
        await until(lambda: len(seen.records) == 5)
        with remote(path) as writer:
            writer.write(entries(5, 6))
            await until(lambda: len(seen.records) == 7)
            writer.end(signal.SIGKILL)
        write(path, entries(7, 8))
        await until(lambda: len(seen.records) == 9)
        rotate(path)
        write(path, entries(9, 10))
        await until(lambda: len(seen.records) == 11)
    assert not children()

    assert told(seen.records) == numbered(0, 10)
    assert {record.source.peer for record in seen.records} == {"web1"}
    assert len(list(tmp_path.iterdir())) == 3
    write(path, entries(11, 11))
    again = await collected(tmp_path, 1, positions=seen.positions)
    assert told(again.records) == numbered(11, 11)


async def test_a_restart_goes_on_behind_the_last_entry_though_files_have_changed(tmp_path: Path) -> None:
    path = tmp_path / "remote-web1.journal"
    write(path, entries(0, 9))
    first = await collected(tmp_path, 10)
    write(path, entries(10, 11))
    rotate(path)
    write(path, entries(12, 13))

    second = await collected(tmp_path, 4, positions=first.positions)

    assert told(second.records) == numbered(10, 13)


async def test_journals_whose_times_are_behind_those_of_others_lose_nothing(tmp_path: Path) -> None:
    write(tmp_path / "remote-web1.journal", entries(1000, 1004))
    seen = context(tmp_path)

    async with running(JournaldCollector(seen)):
        await until(lambda: len(seen.records) == 5)
        write(tmp_path / "remote-web2.journal", entries(0, 2, host="web2"))
        write(tmp_path / "remote-web1.journal", entries(3, 4))
        await until(lambda: len(seen.records) == 10)

    of = {peer: told([each for each in seen.records if each.source.peer == peer]) for peer in ("web1", "web2")}
    assert of == {"web1": numbered(1000, 1004) + numbered(3, 4), "web2": numbered(0, 2)}
    assert seen.positions.keys() == {"remote-web1", "remote-web2"}


async def test_entries_removed_before_they_were_read_are_told_of_and_the_next_one_is_not_skipped(
    tmp_path: Path,
) -> None:
    path = tmp_path / "remote-web1.journal"
    write(path, entries(0, 4))
    first = await collected(tmp_path, 5)
    write(path, entries(5, 7))
    rotate(path).unlink()
    write(path, entries(8, 9))

    second = await collected(tmp_path, 2, positions=first.positions)

    assert told(second.records) == numbered(8, 9)
    assert second.counts["error.vacuumed"] == 1
    assert "journal entries may be gone that were not read, the next ones follow" in [
        line["event"] for line in second.logged
    ]


async def test_at_the_first_start_what_is_there_is_skipped_and_at_later_ones_only_what_was_there_then(
    tmp_path: Path,
) -> None:
    now = {"__REALTIME_TIMESTAMP": "4000000000000000"}  # later than any start
    write(tmp_path / "remote-web1.journal", entries(0, 4))
    write(tmp_path / "remote-web2.journal", entries(0, 4))
    first = context(tmp_path, start="now")
    async with running(JournaldCollector(first)):
        await until(lambda: len(first.logged) == 2)
        write(tmp_path / "remote-web1.journal", entries(5, 6))
        write(tmp_path / "remote-late.journal", entries(0, 0))
        await until(lambda: len(first.records) == 3)
    write(tmp_path / "remote-web2.journal", entries(7, 8, **now))

    second = await collected(tmp_path, 2, start="now", positions=first.positions)

    assert sorted(told(first.records)) == ["message 0", *numbered(5, 6)]
    assert told(second.records) == numbered(7, 8)


async def test_whatever_an_entry_holds_is_kept_and_what_is_too_long_is_cut_and_counted(tmp_path: Path) -> None:
    write(
        tmp_path / "remote-web1.journal",
        [
            entry(0, MESSAGE=b"\xff\xfe x\nsecond line"),
            entry(1, UNIT=["a.service", "b.service"], OTHER="x"),
            entry(2, MESSAGE="ầ" * 3000),
            entry(3, MESSAGE="y" * 300_000),
            entry(4),
        ],
    )

    seen = await collected(tmp_path, 4, max_bytes=2048, fields=["OTHER"])

    events = [parse(record) for record in seen.records]
    assert [event.fields["message"] for event in events] == [
        "\\xff\\xfe x\nsecond line",
        "message 1",
        "ầ" * 2048,
        "message 4",
    ]
    assert events[1].fields["UNIT"] == ["a.service", "b.service"]
    assert events[1].fields["OTHER"] == "x"
    assert seen.counts["error.too_long"] == 1
    assert (seen.counts["received"], seen.counts["dropped.too_long"]) == (5, 1)


async def test_only_units_and_matches_that_are_asked_for_are_read(tmp_path: Path) -> None:
    path = tmp_path / "system.journal"
    write(path, [entry(0, _SYSTEMD_UNIT="ssh.service"), entry(1), entry(2, _SYSTEMD_UNIT="ssh.service", PRIORITY="3")])
    write(path, [entry(3, PRIORITY="3")])

    units = await collected(tmp_path, 2, units=["ssh.service"])
    matches = await collected(tmp_path, 2, matches=["PRIORITY=3"])

    assert told(units.records) == ["message 0", "message 2"]
    assert told(matches.records) == ["message 2", "message 3"]


async def test_while_the_journal_of_records_is_full_nothing_is_lost(tmp_path: Path) -> None:
    write(tmp_path / "remote-web1.journal", entries(0, 1999))
    seen = context(tmp_path)
    seen.gate.clear()

    async with running(JournaldCollector(seen)):
        await until(lambda: seen.waiting == 1)
        beats = seen.beats
        await until(lambda: seen.beats > beats)
        assert seen.counts["received"] < 2000
        seen.gate.set()
        await until(lambda: len(seen.records) == 2000)

    assert told(seen.records) == numbered(0, 1999)


async def test_a_killed_journalctl_is_told_of_and_leaves_no_process(tmp_path: Path) -> None:
    write(tmp_path / "remote-web1.journal", entries(0, 0))
    seen = context(tmp_path)

    async def run_and_kill() -> None:
        async with running(JournaldCollector(seen)):
            await until(lambda: seen.records)
            (child,) = children()
            os.kill(child, signal.SIGKILL)
            await until(lambda: False)

    with pytest.raises(ComponentError, match="journalctl ended by SIGKILL: it said nothing; try it by hand"):
        await run_and_kill()

    assert not children()


async def test_what_journalctl_says_stands_in_the_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "remote-web1.journal", entries(0, 0))
    script = tmp_path / "bin" / "journalctl"
    script.parent.mkdir()
    script.write_text("#!/bin/sh\nhead -c 100000 /dev/zero | tr '\\0' x >&2\necho 'No \033[1mway' >&2\nexit 3\n")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{script.parent}:{os.environ['PATH']}")

    with pytest.raises(ComponentError, match=r"journalctl ended with 3: x{100,2000}.*No \\x1b\[1mway; try it"):
        await collected(tmp_path, 1)

    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ComponentError, match="cannot run journalctl: no such file or directory; install"):
        await collected(tmp_path, 1)


async def test_a_journal_that_cannot_be_read_holds_up_no_other(tmp_path: Path) -> None:
    write(tmp_path / "remote-web1.journal", entries(0, 1))
    whole = (tmp_path / "remote-web1.journal").read_bytes()
    (tmp_path / "remote-bad.journal").write_bytes(whole[:208] + b"\xff" * 5000)
    (tmp_path / "remote-none.journal").write_bytes(b"no journal at all")

    seen = context(tmp_path)
    async with running(JournaldCollector(seen)):
        await until(lambda: len(seen.records) == 2 and seen.counts["error.unreadable"] == 2)

    events = {line["event"] for line in seen.logged if line["log_level"] == "warning"}
    assert events == {"no journal file, it is passed over", "journal cannot be read, the others go on"}


async def test_a_folder_that_is_not_there_is_told_with_what_helps(tmp_path: Path) -> None:
    with pytest.raises(ComponentError, match=r"none does not exist; correct directory; .* in /run/log/journal$"):
        await collected(tmp_path / "none", 1)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may do all")
async def test_a_file_that_is_closed_to_us_is_told_with_what_helps(tmp_path: Path) -> None:
    path = tmp_path / "remote-web1.journal"
    write(path, entries(0, 0))
    path.chmod(0)

    with pytest.raises(ComponentError, match="permission denied; add user socmon to group systemd-journal"):
        await collected(tmp_path, 1)


def test_a_machines_folder_holds_one_journal_for_the_system_and_one_for_each_user(tmp_path: Path) -> None:
    machine = tmp_path / ("0" * 31 + "a")
    machine.mkdir()
    for name in ("system", "user-1000"):
        write(machine / f"{name}.journal", entries(0, 2))
    (tmp_path / "remote").mkdir()  # no machine's
    write(tmp_path / "remote" / "remote-x.journal", entries(0, 0))

    found, damaged = journals_in(tmp_path)

    assert found.keys() == {f"{machine.name}/system", f"{machine.name}/user-1000"}
    assert [(each.first, each.last, each.live) for each in found[f"{machine.name}/system"]] == [(1, 3, True)]
    assert not damaged
