"""Capture files for tests, what they must give, and the `pcap` collector by itself."""

import io
import os
from pathlib import Path

from harness import FakeContext

from bench.capture.traffic import traffic, write
from collectors.pcap import PcapSettings
from socmon.capture.decoding import Decoding

PcapContext = FakeContext[PcapSettings]


def capture_file(path: Path, flows: int = 40, *, seed: int = 5, mtime_s: float | None = None) -> list[bytes]:
    """Write a capture file, last changed long ago or at `mtime_s`; the events in it."""
    part = path.with_suffix(".part")
    write(part, traffic(flows, seed=seed).packets)
    changed_s = part.stat().st_mtime - 3600 if mtime_s is None else mtime_s
    os.utime(part, (changed_s, changed_s))
    part.rename(path)
    return events_of(path.read_bytes())


def events_of(data: bytes) -> list[bytes]:
    return list(Decoding(io.BytesIO(data)))


def pcap_context(folder: Path, positions: dict[str, bytes] | None = None, **options: object) -> PcapContext:
    settings = PcapSettings.model_validate({"paths": [f"{folder}/*.pcap"], "poll_s": 0.05, **options})
    return FakeContext(settings, name="captures", positions=positions)
