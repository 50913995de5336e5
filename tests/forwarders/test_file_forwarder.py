"""Forwarder `file`: each alert once in the file, whatever happened between two batches."""

import os
from pathlib import Path

import msgspec
import pytest
from feed_kit import alert, release
from harness import FakeContext
from hypothesis import given, settings
from hypothesis import strategies as st

from forwarders.file import FileForwarder, FileSettings
from socmon.component import Released
from socmon.errors import ComponentError


def made(path: Path) -> FileForwarder:
    return FileForwarder(FakeContext(FileSettings(path=path)))


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
