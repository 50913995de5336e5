"""The `pcap` collector and real decoders: each event of each capture file once, in order, whatever becomes of them."""

import asyncio
import os
import sys
import time
from pathlib import Path

import pytest
from harness import running, until
from pcap_kit import PcapContext, capture_file, events_of, pcap_context

from collectors import pcap
from collectors.pcap import PcapCollector
from socmon.errors import ComponentError


async def read_all(context: PcapContext, files: int) -> None:
    """Run until `files` files are read."""
    async with running(PcapCollector(context)):
        await until(lambda: len(told(context, "capture file read")) == files)


def told(context: PcapContext, event: str) -> list[dict[str, object]]:
    return [dict(entry) for entry in context.logged if entry["event"] == event]


async def test_each_event_of_each_file_is_a_record_the_oldest_file_first(tmp_path: Path) -> None:
    newer = capture_file(tmp_path / "a.pcap", seed=1, mtime_s=2_000_000)
    older = capture_file(tmp_path / "b.pcap", seed=2, mtime_s=1_000_000)
    (tmp_path / "notes.txt").write_text("no capture")
    context = pcap_context(tmp_path)

    await read_all(context, 2)

    assert len(older) > 50
    assert context.lines == older + newer
    assert [record.source.peer for record in context.records[:1]] == [str(tmp_path / "b.pcap")]
    assert {record.source.format for record in context.records} == {"zeek"}
    assert context.counts["received"] == len(older + newer)


@pytest.mark.parametrize("journalled", [3, 12, -1])
async def test_a_restart_goes_on_behind_the_last_event_that_is_journalled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, journalled: int
) -> None:
    monkeypatch.setattr(pcap, "BATCH_RECORDS", 10)
    expected = capture_file(tmp_path / "a.pcap") + capture_file(tmp_path / "b.pcap", seed=7)
    first = pcap_context(tmp_path)
    await read_all(first, 2)
    kept = first.batches[: journalled if journalled >= 0 else len(first.batches)]
    positions = dict(record.position for batch in kept for record in batch if record.position)
    (tmp_path / "c.pcap").write_bytes((tmp_path / "a.pcap").read_bytes())  # another file with the same in it
    os.utime(tmp_path / "c.pcap", (time.time() - 60, time.time() - 60))

    second = pcap_context(tmp_path, positions)
    done = sum(record.position is not None and record.position[0] == "done" for batch in kept for record in batch)
    await read_all(second, 3 - done)

    assert [record.data for batch in kept for record in batch] + second.lines == (
        expected + events_of((tmp_path / "a.pcap").read_bytes())
    )


async def test_a_file_that_grows_is_waited_for(tmp_path: Path) -> None:
    expected = capture_file(tmp_path / "whole.pcap.old")
    data = (tmp_path / "whole.pcap.old").read_bytes()
    (tmp_path / "a.pcap").write_bytes(data[:2000])
    context = pcap_context(tmp_path, settle_s=3600)
    async with running(PcapCollector(context)):
        await until(lambda: context.beats > 5)
        (tmp_path / "a.pcap").write_bytes(data)
        await until(lambda: context.beats > 10)
        assert context.lines == []
        os.utime(tmp_path / "a.pcap", (1, 1))
        await until(lambda: told(context, "capture file read"))
    assert context.lines == expected


async def test_a_file_that_grew_after_it_was_read_is_told_and_not_read_again(tmp_path: Path) -> None:
    capture_file(tmp_path / "a.pcap")
    context = pcap_context(tmp_path)
    async with running(PcapCollector(context)):
        await until(lambda: told(context, "capture file read"))
        read = len(context.records)
        with (tmp_path / "a.pcap").open("ab") as file:
            file.write(bytes(100))
        os.utime(tmp_path / "a.pcap", (1, 1))
        await until(lambda: context.counts["error.grown"])
    assert len(context.records) == read
    assert len(told(context, "capture file has grown since it was read; use a longer settle_s")) == 1


async def test_of_a_damaged_file_what_came_before_is_read_and_the_next_file_too(tmp_path: Path) -> None:
    whole = capture_file(tmp_path / "b.pcap", mtime_s=2_000_000)
    damaged = (tmp_path / "b.pcap").read_bytes()[:5001]
    (tmp_path / "a.pcap").write_bytes(damaged)
    (tmp_path / "0.pcap").write_bytes(b"no capture at all")
    for name in ("a.pcap", "0.pcap"):
        os.utime(tmp_path / name, (1_000_000, 1_000_000))
    context = pcap_context(tmp_path)

    await read_all(context, 3)

    assert len(events_of(damaged)) > 5
    assert context.lines == events_of(damaged) + whole
    assert context.counts["error.damaged"] == 2
    warned = told(context, "capture file is damaged, what came before is read")
    assert [entry["path"] for entry in warned] == [str(tmp_path / "0.pcap"), str(tmp_path / "a.pcap")]


HANGS = "import sys, time; print('{}', flush=True); time.sleep(60)"
DIES = "import os, signal; print('{}', flush=True); os.kill(os.getpid(), signal.SIGSEGV)"
EATS = "x = []\nwhile True: x.append(bytes(1 << 24))"
ENDLESS = "import sys\nwhile True: sys.stdout.write('x' * 100000)"


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        (HANGS, "it took too long"),
        (DIES, "the decoder ended with -11"),
        (EATS, "the decoder ended with 1"),
        (ENDLESS, "an event that does not end"),
    ],
)
async def test_a_file_that_breaks_its_decoder_is_set_aside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, reason: str
) -> None:
    capture_file(tmp_path / "bad.pcap", flows=1, mtime_s=1)
    # The decoder of the bad file is a program that behaves so: no capture file is known that makes ours do it.
    decoder = tmp_path / "python"
    decoder.write_text(f'#!/bin/sh\ncase "$*" in *bad.pcap) exec {sys.executable} -c "$SCRIPT";; esac\n'
                       f'exec {sys.executable} "$@"\n')  # fmt: skip
    decoder.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(decoder))
    monkeypatch.setenv("SCRIPT", script)
    patience_s = 1 if script == HANGS else 60
    context = pcap_context(tmp_path, timeout_s=patience_s, memory_mib=256)
    collector = PcapCollector(context)
    async with running(collector):
        await until(lambda: context.counts["error.decoder_failed"])
        # A real decoder takes seconds to begin where the machine is slow.
        collector.settings = collector.settings.model_copy(update={"timeout_s": 60})
        expected = capture_file(tmp_path / "good.pcap", flows=5)
        await until(lambda: told(context, "capture file read"))

    assert [line for line in context.lines if line != b"{}"] == expected
    assert context.counts["error.decoder_failed"] == 1
    assert [entry["reason"] for entry in told(context, "capture file set aside, it cannot be decoded")] == [reason]


async def test_the_decoder_ends_with_the_collector(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    capture_file(tmp_path / "a.pcap")
    pid = tmp_path / "pid"
    decoder = tmp_path / "python"
    decoder.write_text(f"#!/bin/sh\necho $$ > {pid}.part; mv {pid}.part {pid}; exec sleep 60\n")
    decoder.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(decoder))
    async with running(PcapCollector(pcap_context(tmp_path))):
        await until(pid.exists)

    assert not Path(f"/proc/{pid.read_text().strip()}").exists()


async def test_while_the_journal_is_full_nothing_is_lost(tmp_path: Path) -> None:
    expected = capture_file(tmp_path / "a.pcap")
    context = pcap_context(tmp_path)
    context.gate.clear()
    async with running(PcapCollector(context)):
        await until(lambda: context.waiting)
        await asyncio.sleep(0)
        assert context.records == []
        context.gate.set()
        await until(lambda: told(context, "capture file read"))
    assert context.lines == expected


async def test_a_folder_that_is_not_there_is_told_with_its_remedy(tmp_path: Path) -> None:
    with pytest.raises(ComponentError, match="no such file or directory; create it, or correct paths"):
        await PcapCollector(pcap_context(tmp_path / "nowhere")).run()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read any file")
async def test_a_file_that_is_closed_to_us_is_told_once(tmp_path: Path) -> None:
    expected = capture_file(tmp_path / "a.pcap")
    capture_file(tmp_path / "b.pcap")
    (tmp_path / "b.pcap").chmod(0)
    context = pcap_context(tmp_path)
    await read_all(context, 1)
    assert context.lines == expected
    assert context.counts["error.unreadable"] == 1


def test_paths_must_be_absolute() -> None:
    with pytest.raises(ValueError, match="is not absolute"):
        pcap_context(Path("captures"))
