"""The sample logs of the demonstration, and how their lines are numbered."""

from collections import Counter
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path

import pytest

from socmon.demo import sample
from socmon.demo.capture import capture, events
from socmon.event import Record, Source
from socmon.parsers import detect, parse
from socmon.replaying import Replay
from socmon.resources import shipped
from socmon.sigma import load_rules

NOW = datetime(2026, 11, 3, 8, 0, 7, tzinfo=UTC)
SERVERS = sample.BY_NAME["servers"]
SAMPLES = Path(str(files("socmon.demo") / "samples"))
FORMATS = {
    "servers": "rfc3164",
    "portal": "web_access",
    "documents": "json",
    "lgsp": "json",
    "mail": "rfc3164",
    "communes": "rfc5424",
    "firewall": "rfc3164",
    "finance": "json",
}
OF_LINES = [stream for stream in sample.STREAMS if stream.transport != "capture"]
NOW_US = int(NOW.timestamp()) * 1_000_000
each_stream = pytest.mark.parametrize("stream", OF_LINES, ids=lambda stream: stream.name)


def test_the_samples_tell_the_story_and_nothing_else(tmp_path: Path) -> None:
    told_by_sensor = tmp_path / "sensor.ndjson"
    told_by_sensor.write_bytes(b"".join(line + b"\n" for line in events(capture(0, NOW_US))))
    logs = [*(str(SAMPLES / stream.file) for stream in OF_LINES), str(told_by_sensor)]

    replay = Replay(logs, load_rules([shipped("rules")]), year=2026)
    told = Counter(
        (found.alert.title, value)
        for found in replay.alerts()
        for value in (*found.alert.group.values(), *found.alert.entities.get("ip", ()))
    )

    assert replay.unparsed == 0
    assert set(sample.STORY) <= told.keys()
    titles = {title for title, _ in told} - {title for title, _ in sample.STORY}
    assert titles == {
        "SSH probing",
        "Sudo gave up after wrong passwords",
        "Sudo refused to a user without the right",
    }
    assert ("SSH brute force", "198.51.100.23") not in told, "the slow client is no attack"


@each_stream
def test_every_line_of_a_sample_is_used(stream: sample.Stream) -> None:
    text = (SAMPLES / stream.file).read_text(encoding="utf-8")

    assert len(sample.lines(stream)) == len(text.splitlines()) > 100


@each_stream
def test_each_stream_is_detected_as_what_it_is(stream: sample.Stream) -> None:
    data = [sample.written(stream, line, n, 0, NOW) for n, line in enumerate(sample.lines(stream)[:20], 1)]

    assert detect(data) == FORMATS[stream.name]


@each_stream
def test_a_written_line_is_of_now_and_carries_its_number(stream: sample.Stream) -> None:
    source = Source(stream.name, "sample", format=FORMATS[stream.name])
    now_us = int(NOW.timestamp() * 1_000_000)

    for number, line in enumerate(sample.lines(stream), 1):
        data = sample.written(stream, line, number, 0, NOW)

        assert sample.number_of(stream, data) == number
        assert parse(Record(data, source, now_us)).time_us == now_us


def test_a_written_line_is_syslog() -> None:
    line = sample.Line("", " mail-01 sshd[", "]: Connection closed by 192.0.2.44 port 33212 [preauth]")

    written = sample.written(SERVERS, line, 17, 0, NOW)

    assert written == b"Nov  3 08:00:07 mail-01 sshd[1000017]: Connection closed by 192.0.2.44 port 33212 [preauth]"


def test_a_line_of_someone_else_has_no_number() -> None:
    assert sample.number_of(SERVERS, b"Nov  3 08:00:07 mail-01 sshd[812]: Connection closed [1000017]") == 0


def test_a_capture_gives_the_same_events_each_time_and_none_of_them_twice() -> None:
    first, again, next_turn = events(capture(0, NOW_US)), events(capture(0, NOW_US)), events(capture(1, NOW_US + 60))

    assert first == again
    assert detect(first[:20]) == "zeek"
    assert len(first) == len(set(first)) > 150
    assert set(first).isdisjoint(next_turn)
    assert max(parse(Record(line, Source("c", "p", "zeek"), 0)).time_us or 0 for line in first) <= NOW_US


def test_without_a_broker_the_story_is_told_without_the_agency_that_publishes() -> None:
    others = [stream for stream in sample.STREAMS if stream.transport != "mqtt"]

    assert sample.story(sample.STREAMS) == list(sample.STORY)
    assert set(sample.STORY) - set(sample.story(others)) == {("Application login brute force", "10.13.9.66")}


def test_each_turn_has_attackers_of_its_own() -> None:
    turns = [sample.fresh(address, turn) for turn in range(254) for address in sample.ATTACKERS]

    assert len(set(turns)) == len(turns)
    assert turns[:2] == list(sample.ATTACKERS)


def test_addresses_of_our_own_stay_the_same() -> None:
    assert sample.fresh("from 10.20.1.15 port 1", 5) == "from 10.20.1.15 port 1"
