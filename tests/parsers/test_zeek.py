"""Logs of Zeek, with and without the name of their log, and what socmon tells of packets in the same form."""

import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from parsers.records import NOW_US, event, record

from socmon.errors import ParseError
from socmon.event import Event, LogSource, rfc3339
from socmon.parsers import detect, parse
from socmon.parsers.zeek import fits

DATA = Path(os.environ.get("SOCMON_DATA", Path(__file__).parents[3] / "shared" / "data")) / "logs" / "zeek"
REAL = sorted(path for path in DATA.glob("*/*.log") if path.read_bytes()[:1] == b"{")
OWN = [
    json.loads(line)["line"]
    for line in (Path(__file__).parent / "samples" / "zeek.jsonl").read_text("utf-8").splitlines()
]
PATHS = ("_path", "@stream")


def read(**keys: Any) -> Event:
    return event(json.dumps({"ts": 1795402800.5, "uid": "C1"} | keys), "zeek")


def nameless(line: str | bytes) -> str:
    """The line without the name of its log."""
    return json.dumps({name: value for name, value in json.loads(line).items() if name not in PATHS})


@pytest.mark.parametrize(
    ("ts", "time"),
    [
        (1795402800.123456, "2026-11-23T03:00:00.123456Z"),
        (1795402800, "2026-11-23T03:00:00Z"),
        (0.25, "1970-01-01T00:00:00.25Z"),
        (1795402800123, "2026-11-23T03:00:00.123Z"),
        ("2026-11-23T03:00:00.123456Z", "2026-11-23T03:00:00.123456Z"),
        ("2026-11-23T10:00:00+07:00", "2026-11-23T03:00:00Z"),
    ],
)
def test_the_time_is_that_of_ts_in_each_form_that_zeek_writes(ts: object, time: str) -> None:
    found = read(_path="conn", ts=ts)

    assert found.time_us is not None
    assert (rfc3339(found.time_us), found.time_known) == (time, "stated")


@pytest.mark.parametrize(
    ("path", "duration", "time"),
    [
        ("conn", 3600.25, "2026-11-23T04:00:00.75Z"),
        ("conn", "3600", "2026-11-23T03:00:00.5Z"),
        ("conn", -1, "2026-11-23T03:00:00.5Z"),
        ("conn", 1e300, "2026-11-23T03:00:00.5Z"),
        ("files", 3600.25, "2026-11-23T03:00:00.5Z"),
    ],
)
def test_a_connection_is_of_its_end_when_it_is_told_of(path: str, duration: object, time: str) -> None:
    found = read(_path=path, duration=duration)

    assert found.time_us is not None
    assert rfc3339(found.time_us) == time


@pytest.mark.parametrize("ts", [True, None, -1.5, 1e300, "soon", [1795402800.5]])
def test_what_is_no_time_leaves_the_event_of_when_it_came(ts: object) -> None:
    found = read(_path="conn", ts=ts)

    assert (found.time_us, found.time_known) == (NOW_US, "received")


def test_entities_are_addresses_domains_and_hashes_each_of_its_kind() -> None:
    found = read(
        **{"_path": "dns", "id.orig_h": "192.0.2.1", "id.resp_h": "192.0.2.53"},
        query="www.example.com",
        answers=["cdn.example.net", "198.51.100.7", "2001:db8::7", 5],
        server_name="www.example.com",
        host="203.0.113.5",
        ja3="e7d7",
        md5="0c1a",
    )

    assert found.entities == {
        "ip": ["192.0.2.1", "192.0.2.53", "198.51.100.7", "2001:db8::7"],
        "domain": ["www.example.com"],
        "hash": ["e7d7", "0c1a"],
    }


def test_other_formats_have_no_entities_of_these_names() -> None:
    assert event('{"query":"select 1","host":"db1","md5":"x"}', "json").entities == {"host": ["db1"]}


def test_mapped_addresses_are_one_with_those_that_they_map() -> None:
    assert read(**{"_path": "conn", "id.orig_h": "::ffff:192.0.2.1"}).fields["id.orig_h"] == "192.0.2.1"


def test_what_a_client_writes_is_neither_the_host_nor_the_log() -> None:
    found = read(_path="http", host="evil.example", server_name="evil.example", query="x", user_agent="dvc-web-01")

    assert (found.host, found.logsource) == ("", LogSource(product="zeek", category="proxy", service="http"))


def test_of_a_log_that_is_not_known_the_service_is_not() -> None:
    line = json.dumps({"ts": 1795402800.5, "uid": "C1", "id.orig_h": "192.0.2.1", "rune": 7})

    assert event(line, "zeek").logsource == LogSource(product="zeek")
    assert not fits(line.encode())


@pytest.mark.parametrize(
    "line",
    [
        '{"_path":"../etc","ts":1.5}',
        '{"_path":7,"ts":1.5}',
        '{"ts":1795402800.5,"level":"info","msg":"started"}',
        '{"ts":"2026-11-23T10:00:00Z","uid":"u1","user":"hoa","status":200}',
        '{"ts":1795402800.5,"uid":"u1","id":7}',
        '{"name":"/opt/zeek/share/zeek/base/init-bare.zeek"}',
        "[]",
        "{}",
        "#fields\tts\tuid",
    ],
)
def test_what_is_no_log_of_zeek_is_left_to_others(line: str) -> None:
    assert not fits(line.encode())
    with pytest.raises(ParseError):
        event(line, "zeek")


def test_a_line_of_another_program_in_a_source_of_zeek_is_read_as_what_it_is() -> None:
    line = '{"time":"2026-11-23T10:00:02Z","message":"rotated","host":"z1"}'
    source = record(line, format_="zeek").source

    found = parse(record(line, format_="auto"))

    assert source.format == "zeek"
    assert (found.host, found.fields["message"], found.logsource.category) == ("z1", "rotated", "application")


@pytest.mark.parametrize("line", OWN, ids=lambda line: line[:40])
def test_a_line_whose_log_is_not_named_is_known_by_its_fields(line: str) -> None:
    named = event(line, "zeek").logsource
    if named.service not in {"arp", "icmp"}:  # only socmon writes these, and always names them
        assert event(nameless(line), "zeek").logsource == named
        assert detect([nameless(line).encode()]) == "zeek"


@pytest.mark.skipif(not REAL, reason=f"no logs below {DATA}; set SOCMON_DATA")
def test_real_logs_are_read_and_known_by_their_fields_as_by_their_names() -> None:
    services: Counter[str] = Counter()
    for path in REAL:
        name = path.stem.rpartition("__")[2].removeprefix("json_")
        for line in path.read_bytes().splitlines():
            if name in {"loaded_scripts", "reporter"}:  # without time or connection nothing tells what they are
                continue
            found, guessed = event(line, "zeek"), event(nameless(line), "zeek")
            assert found.time_known == "stated"
            assert {found.logsource.service, guessed.logsource.service} <= {name, None}
            assert detect([line]) in {"zeek", None} or found.logsource.service is None
            services[str(guessed.logsource.service)] += 1

    assert len(services) > 15
    assert services["None"] < 0.02 * services.total(), "requests of Kerberos that say next to nothing"


KEYS = st.sampled_from(
    ["_path", "@stream", "ts", "uid", "id", "id.orig_h", "id_orig_h", "id.resp_p", "query", "answers", "conn_state",
     "proto", "message", "_system_name", "host", "orig_h", "service", "trans_id"]
)  # fmt: skip
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=12)
    | st.sampled_from(["conn", "dns", "192.0.2.1", "::1"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


@given(st.dictionaries(KEYS, VALUES, max_size=8))
@example({"_path": "conn", "ts": 99_999_999_999.9})
def test_any_object_is_an_event_that_can_be_shown_or_no_log_of_zeek(keys: dict[str, Any]) -> None:
    line = json.dumps(keys).encode()
    try:
        found = event(line, "zeek")
    except ParseError:
        assert not fits(line)
        return

    assert found.logsource.product == "zeek"
    assert isinstance(found.fields["message"], str)
    assert len(found.host) <= 255
    assert found.time_us is not None
    rfc3339(found.time_us)
    assert all(isinstance(text, str) for texts in found.entities.values() for text in texts)
