"""Forwarder `file`: each alert once in the file, whatever happened between two batches."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from threading import Event
from threading import enumerate as enumerate_threads

import msgspec
import pytest
from feed_kit import alert, evidence, release
from harness import FakeContext, until
from hypothesis import given, settings
from hypothesis import strategies as st

from forwarders._own_thread import workers
from forwarders.file import FileForwarder, FileSettings
from socmon.errors import ComponentError
from socmon.outgoing import Released


def made(path: Path, timeout_s: float = 30.0) -> FileForwarder:
    return FileForwarder(FakeContext(FileSettings(path=path, timeout_s=timeout_s)))


def batch(forwarder: FileForwarder, *seqs: int, epoch: str = "e1") -> list[Released]:
    places = [release(seq, stream="alerts", epoch=epoch) for seq in seqs]
    return [
        Released(place.seq, alert(place.seq).id, place, forwarder.render(alert(place.seq), place)) for place in places
    ]


async def sent(forwarder: FileForwarder, *seqs: int, epoch: str = "e1") -> list[str]:
    return [outcome.status for outcome in await forwarder.send(batch(forwarder, *seqs, epoch=epoch))]


def seqs_in(path: Path) -> list[int]:
    return [msgspec.json.decode(line)["seq"] for line in path.read_bytes().splitlines()]


async def test_alerts_are_appended_a_line_each(tmp_path: Path) -> None:
    path = tmp_path / "alerts.ndjson"
    forwarder = made(path)

    assert await sent(forwarder, 1, 2) == ["accepted", "accepted"]
    assert await sent(forwarder, 3) == ["accepted"]

    assert seqs_in(path) == [1, 2, 3]
    assert path.stat().st_mode & 0o777 == 0o640 & ~_umask()


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


async def test_a_line_holds_all_of_the_alert(tmp_path: Path) -> None:
    path = tmp_path / "alerts.ndjson"

    await sent(made(path), 1)

    line = msgspec.json.decode(path.read_bytes())
    assert line["schema"] == "socmon.alert/1"
    assert line["first_seen"] == "2026-11-22T16:58:02Z"
    assert line["group"] == {"src_ip": "203.0.113.77"}
    assert line["evidence"][0]["raw"].startswith("Failed password")


def test_a_line_shows_the_first_and_last_five_events() -> None:
    held = alert(evidence=[evidence(seq) for seq in range(1, 41)], count=1000)

    line = msgspec.json.decode(made(Path("alerts")).render(held, release()))

    assert [shown["seq"] for shown in line["evidence"]] == [1, 2, 3, 4, 5, 36, 37, 38, 39, 40]
    assert line["count"] == 1000


def test_a_long_log_line_is_cut_and_says_so() -> None:
    long = msgspec.structs.replace(evidence(2), raw="é" * 5000)

    first, second = msgspec.json.decode(made(Path("a")).render(alert(evidence=[evidence(1), long]), release()))[
        "evidence"
    ]

    assert first["cut"] is False
    assert (second["raw"], second["cut"], second["sha256"]) == ("é" * 2048, True, long.sha256)


async def test_a_resent_batch_is_not_written_twice_even_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "alerts.ndjson"
    await sent(made(path), 1, 2)

    assert await sent(made(path), 1, 2, 3) == ["duplicate", "duplicate", "accepted"]
    assert seqs_in(path) == [1, 2, 3]


async def test_a_new_epoch_starts_at_one_again(tmp_path: Path) -> None:
    path = tmp_path / "alerts.ndjson"
    forwarder = made(path)
    await sent(forwarder, 1, 2)

    assert await sent(forwarder, 1, epoch="e2") == ["accepted"]


async def test_an_epoch_that_sorts_before_the_last_one_is_written_too(tmp_path: Path) -> None:
    path = tmp_path / "alerts.ndjson"
    await sent(made(path), 1, epoch="019a00000000")

    assert await sent(made(path), 1, 2, epoch="0199ffffffff") == ["accepted", "accepted"]
    assert await sent(made(path), 2, 3, epoch="0199ffffffff") == ["duplicate", "accepted"]


async def test_an_alert_of_an_older_epoch_is_not_written_again_behind_a_newer_one(tmp_path: Path) -> None:
    path = tmp_path / "alerts.ndjson"
    await sent(made(path), 1, 2, epoch="e1")
    await sent(made(path), 1, epoch="e2")

    assert await sent(made(path), 2, 3, epoch="e1") == ["duplicate", "accepted"]
    assert seqs_in(path) == [1, 2, 1, 3]


async def test_only_the_end_of_a_large_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "alerts.ndjson"
    filler = b"".join(b'{"epoch":"e2","seq":%d,"x":"%s"}\n' % (seq, b"x" * 1000) for seq in range(1, 1200))
    path.write_bytes(b'{"epoch":"e1","seq":1}\n' + filler)

    assert await sent(made(path), 1, epoch="e1") == ["accepted"]
    assert await sent(made(path), 1199, 1200, epoch="e2") == ["duplicate", "accepted"]


async def test_a_file_rotated_by_renaming_is_made_anew_and_gets_no_duplicate(tmp_path: Path) -> None:
    path = tmp_path / "alerts.ndjson"
    forwarder = made(path)
    await sent(forwarder, 1, 2)
    path.rename(tmp_path / "alerts.ndjson.1")

    assert await sent(forwarder, 2, 3) == ["duplicate", "accepted"]
    assert seqs_in(path) == [3]


@settings(max_examples=60, deadline=None)
@given(cut=st.integers(0, 10_000))
async def test_a_file_cut_anywhere_by_a_crash_is_completed(tmp_path_factory: pytest.TempPathFactory, cut: int) -> None:
    path = tmp_path_factory.mktemp("cut") / "alerts.ndjson"
    forwarder = made(path)
    whole = b"".join(item.body for item in batch(forwarder, 1, 2, 3))
    path.write_bytes(whole[: cut % len(whole)])

    await sent(forwarder, 1, 2, 3)

    assert path.read_bytes() == whole


async def test_lines_longer_than_a_block_are_read_back(tmp_path: Path) -> None:
    path = tmp_path / "alerts.ndjson"
    long = b'{"epoch":"e1","seq":1,"x":"' + b"x" * 200_000 + b'"}\n'
    path.write_bytes(long + long.replace(b'"seq":1', b'"seq":2') + b"torn" * 40_000)

    assert await sent(made(path), 1, 2, 3) == ["duplicate", "duplicate", "accepted"]
    assert seqs_in(path) == [1, 2, 3]


async def test_a_file_of_something_else_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_bytes(b"dear diary\nunfinished")

    with pytest.raises(ComponentError, match="not one that socmon wrote: b'dear diary'"):
        await sent(made(path), 1)
    assert path.read_bytes() == b"dear diary\nunfinished"


async def test_a_folder_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(ComponentError, match=r"cannot write .*absent/a: no such file") as refused:
        await sent(made(tmp_path / "absent" / "a"), 1)
    assert refused.value.retry


async def test_a_pipe_is_refused_for_good(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")

    with pytest.raises(ComponentError, match="not a regular file") as refused:
        await sent(made(tmp_path / "pipe"), 1)
    assert not refused.value.retry


@pytest.fixture
def hanging(monkeypatch: pytest.MonkeyPatch) -> Iterator[Event]:
    """From the next fsync on, the disk hangs until this is set."""
    released = Event()
    fsync = os.fsync

    def hang(descriptor: int) -> None:
        released.wait(60)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", hang)
    yield released
    released.set()


async def test_a_disk_that_hangs_costs_one_thread_however_often_it_is_tried(tmp_path: Path, hanging: Event) -> None:
    path = tmp_path / "alerts.ndjson"

    with pytest.raises(ComponentError, match=r"was not written within 0\.05 s; check its disk or mount"):
        await sent(made(path, timeout_s=0.05), 1)
    for _ in range(40):
        forwarder = made(path)
        with pytest.raises(ComponentError, match=r"the last write to .*alerts\.ndjson still hangs; check its disk"):
            await sent(forwarder, 1)
        await forwarder.close()

    assert [thread.name for thread in enumerate_threads()].count(f"write to {path}") == 1
    async with asyncio.timeout(30):
        assert await asyncio.to_thread(lambda: "the shared pool works") == "the shared pool works"
        assert await sent_elsewhere(tmp_path / "other.ndjson", hanging) == ["accepted"]


async def sent_elsewhere(path: Path, hanging: Event) -> list[str]:
    """Another destination on a disk that works, while the first one still hangs."""
    with pytest.MonkeyPatch.context() as works:
        works.setattr(os, "fsync", lambda _: None)
        assert not hanging.is_set()
        return await sent(made(path), 1)


async def test_what_a_disk_took_late_is_in_the_file_once(tmp_path: Path, hanging: Event) -> None:
    path = tmp_path / "alerts.ndjson"
    with pytest.raises(ComponentError):
        await sent(made(path, timeout_s=0.05), 1)

    hanging.set()
    await until(lambda: not workers[f"write to {path}"].busy, 30)

    assert await sent(made(path), 1, 2) == ["duplicate", "accepted"]
    assert seqs_in(path) == [1, 2]


_HANGS = """
import asyncio, os, threading
from pathlib import Path
os.fsync = lambda descriptor: threading.Event().wait()
from test_file_forwarder import made, sent
try:
    asyncio.run(sent(made(Path("alerts.ndjson"), timeout_s=0.05), 1))
except Exception as error:
    print(error)
"""


def test_a_disk_that_hangs_does_not_keep_the_process_from_ending(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    environment = os.environ | {"PYTHONPATH": f"{root}:{root / 'tests'}:{Path(__file__).parent}"}

    ended = subprocess.run(
        [sys.executable, "-c", _HANGS], cwd=tmp_path, env=environment, capture_output=True, timeout=60, check=False
    )

    assert (ended.returncode, ended.stdout.decode()) == (
        0,
        "alerts.ndjson was not written within 0.05 s; check its disk or mount\n",
    )
