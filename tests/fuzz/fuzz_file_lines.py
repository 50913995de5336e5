"""Fuzz target: the bytes of a log file, read by the `file` collector in one piece and in two."""

import contextlib
import tempfile
from pathlib import Path

from collectors._logfile import Position
from collectors._tail import Start, Tail
from socmon.errors import ComponentError
from socmon.event import Record, Source

MAX_BYTES = 300


def one_input(data: bytes) -> None:
    """The records are the file's lines; read on from any position they are the rest of these; positions never crash."""
    with contextlib.suppress(ComponentError):
        Position.decode(data, "log")
    with tempfile.TemporaryDirectory() as directory:
        log = Path(directory) / "log"
        log.write_bytes(data)
        records = read_all(log, None)
        lines = [line.removesuffix(b"\r")[:MAX_BYTES] for line in data.split(b"\n")[:-1]]
        assert [record.data for record in records] == [line for line in lines if line]
        half = len(records) // 2
        if half:
            rest = read_all(log, records[half - 1].position)
            assert [record.data for record in rest] == [record.data for record in records[half:]]


def read_all(log: Path, position: tuple[str, bytes] | None) -> list[Record]:
    start = None if position is None else Position.decode(position[1], position[0])
    tail = Tail(Source("fuzz", str(log)), Start(start, 1), max_bytes=MAX_BYTES, rotate_wait_s=0)
    records: list[Record] = []
    while (block := tail.read()).more:
        records += block.records
    tail.close()
    return records
