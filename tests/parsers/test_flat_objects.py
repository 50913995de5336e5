"""Flat objects are read without a look at each member: what comes of that is what the general way makes of them."""

import json as stdlib_json
import lzma
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socmon.errors import ParseError
from socmon.parsers import json, json_time, windows_json

DATA = Path(os.environ.get("SOCMON_DATA", Path(__file__).parents[3] / "shared" / "data")) / "logs"
REAL = [*DATA.glob("windows/evtx/events/*.jsonl.xz"), *(Path(__file__).parent / "samples").glob("*.jsonl")]

OF_EVENTS = ("EventID", "Channel", "Provider_Name", "ProviderName", "SourceName", "Computer", "Hostname", "TimeCreated")
OF_XML = ("TimeCreated_SystemTime", "Threat Name", "ThreatName", "#text", "EventData", "Event", "System", "a.b")
LONG = ("x" * 256, "x" * 257, "x" * 300)
NAMES = st.text(max_size=6) | st.sampled_from([*OF_EVENTS, *OF_XML, *LONG, "message", "Message", " ", ""])
NUMBERS = st.integers() | st.sampled_from([2**63 - 1, 2**63, -(2**63), -(2**63) - 1, 2**64, 10**40])
SCALARS = NUMBERS | st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3), max_leaves=6
)
TOLD = st.fixed_dictionaries(
    {},
    optional={
        "EventID": st.sampled_from([1, 0, -1, 2**32, True, "4625", "1 or 2", 1.0, [1]]),
        "Channel": st.sampled_from(["Security", "", "x" * 300, None, ["Security"], 7]),
        "Provider_Name": st.sampled_from(["Linux-Sysmon", "x", None, 7]),
        "message": st.sampled_from(["told", "", None, 7]),
        "Message": st.sampled_from(["Told", "", None]),
    },
)


def shown(fields: dict[str, Any] | ParseError) -> str:
    """In order, with the types of the values: True is not 1, nor 1 1.0."""
    return str(fields) if isinstance(fields, ParseError) else repr(list(fields.items()))


def said(read: Any, data: bytes) -> str:
    try:
        return shown(read(data))
    except ParseError as error:
        return str(error)


def the_general_way(data: bytes) -> dict[str, Any]:
    return windows_json.completed(*windows_json.flattened(data), data)


def line(members: list[tuple[str, Any]]) -> bytes:
    """One object, in which names may stand twice."""
    inner = (f"{stdlib_json.dumps(name)}: {stdlib_json.dumps(value)}" for name, value in members)
    return ("{" + ", ".join(inner) + "}").encode()


@given(TOLD, st.lists(st.tuples(NAMES, VALUES), max_size=6), st.randoms(use_true_random=False))
def test_any_object_comes_to_the_same_fields(told: dict[str, Any], rest: list[tuple[str, Any]], random: Any) -> None:
    members = [*told.items(), *rest]
    random.shuffle(members)
    data = line(members)

    assert said(windows_json.fields_of, data) == said(the_general_way, data)
    assert said(json.flat, data) == said(json.joined, data)


@given(st.lists(st.tuples(st.text(max_size=4), SCALARS | st.lists(SCALARS, max_size=3)), max_size=8))
def test_flat_objects_come_to_the_same_fields(members: list[tuple[str, Any]]) -> None:
    data = line([("EventID", 1), ("Channel", "Security"), *members])

    assert said(windows_json.fields_of, data) == said(the_general_way, data)
    assert said(json.flat, data) == said(json.joined, data)


@pytest.mark.parametrize(
    "member",
    [
        b'"a":"\\ud800"',
        b'"a":"\xff"',
        b'"\xff":1',
        b'"\\ud83d\\ude00":"\\ud83d"',
        b'"a":1,"b":2,"a":3',
        b'"a b":1,"ab":2',
        b'"ab":1,"a b":2',
        b'"\\u0020":1',
        b'"a":' + b"9" * 40,
        b'"a":[18446744073709551615]',
        b'"a":1e400',
        b'"a":-0,"b":-0.0,"c":1E2',
        b'"a":' + b"[" * 40 + b"]" * 40,
        b'"a":{}',
        b'"a":NaN',
        b'"a":1',
    ],
)
def test_what_cannot_be_kept_as_it_is_comes_to_the_same(member: bytes) -> None:
    data = b'{"EventID":1,"Channel":"Security",%s}' % member

    assert said(windows_json.fields_of, data) == said(the_general_way, data)
    assert said(json.flat, data) == said(json.joined, data)


@pytest.mark.parametrize("number", [1021, 1022, 1023, 1024, 3000])
def test_many_members_are_bounded_in_the_same_way(number: int) -> None:
    data = line([("EventID", 1), ("Channel", "Security"), *((f"n{index}", index) for index in range(number))])

    assert said(windows_json.fields_of, data) == said(the_general_way, data)
    assert said(json.flat, data) == said(json.joined, data)


def test_names_made_up_without_end_are_not_kept() -> None:
    for index in range(20_000):
        assert windows_json.fields_of(b'{"EventID":1,"Channel":"Security","made up":1,"made%d":1}' % index)
        assert windows_json.fields_of(b'{"EventID":1,"Channel":"Security","made%d":1}' % index)[f"made{index}"] == 1

    assert len(json._PLAIN_NAMES) <= json._MOST_PLAIN_NAMES
    assert not any(" " in name for name in json._PLAIN_NAMES)


STAMPS = st.builds(
    "{}{}{}{}{}".format,
    st.sampled_from(["2026-11-23", "2026-02-30", "1890-01-01", "2026-11-2"]),
    st.sampled_from(["T", " ", "t", ""]),
    st.sampled_from(["10:00:02", "10:00", "10:00:60", "10:00:61", "24:00:00"]),
    st.sampled_from(["", ".", ".1", ",25", ".1234567", ".123456789", ".1234567890", ".1 ", ".٣", ".²", "x1"]),
    st.sampled_from(["Z", "z", "+07:00", "", " Z"]),
)


@given(STAMPS, STAMPS)
def test_a_time_does_not_depend_on_those_that_were_read_before(before: str, stamp: str) -> None:
    json_time._SECONDS_US.clear()
    alone = json_time.moment_us(stamp, "Asia/Ho_Chi_Minh")
    json_time._SECONDS_US.clear()
    json_time.moment_us(before, "UTC")

    assert json_time.moment_us(stamp, "Asia/Ho_Chi_Minh") == alone
    assert json_time.moment_us(stamp, "Asia/Ho_Chi_Minh") == alone


def test_seconds_are_not_kept_without_end() -> None:
    for second in range(20_000):
        hour, minute = second // 3600, second // 60 % 60
        assert json_time.moment_us(f"2026-11-23T{hour:02}:{minute:02}:{second % 60:02}.5Z", "UTC")

    assert len(json_time._SECONDS_US) <= json_time._MOST_SECONDS


@pytest.mark.skipif(not REAL, reason=f"no events below {DATA}; set SOCMON_DATA")
def test_real_events_and_logs_come_to_the_same() -> None:
    for path in REAL:
        lines = lzma.decompress(path.read_bytes()) if path.suffix == ".xz" else path.read_bytes()
        for data in lines.splitlines()[:300]:
            assert said(windows_json.fields_of, data) == said(the_general_way, data)
            assert said(json.flat, data) == said(json.joined, data)
