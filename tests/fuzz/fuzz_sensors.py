"""Fuzz target: what anybody who may use the socket can say to a collector `packets`, and to a socmon-capture."""

import contextlib

from collectors._sensors import Reached, Sensor
from socmon.capture.told import Told, is_told, read_answer, read_told
from socmon.errors import ParseError
from socmon.event import Source

SOURCE = Source("net", "net1", "zeek")


def one_input(position: bytes | None, lines: list[bytes]) -> None:
    """Each event is a record or the connection ends; the position counts just these, and says so again."""
    with contextlib.suppress(ParseError):
        assert read_answer(b"".join(lines)) >= 0
    try:
        told = read_told(lines[0]) if lines else Told(sensor="net1")
    except ParseError:
        told = Told(sensor="net1", run="r")
    sensor = Sensor(told, position)
    before = sensor.reached
    assert before.wanted >= told.next
    assert sensor.missing >= 0
    for line in lines:
        wanted = sensor.reached.wanted
        try:
            records, said = sensor.take([line], SOURCE, 1)
        except ParseError:
            assert sensor.reached.wanted == wanted
            continue
        assert len(records) + len(said) == 1
        assert [record.data for record in records] == ([] if is_told(line) else [line])
        assert sensor.reached.wanted == wanted + len(records)
        assert sensor.dropped() >= 0
        assert sensor.dropped() == 0
    assert Reached.decode(sensor.reached.encode()) == sensor.reached
