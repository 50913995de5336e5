"""Events of Windows by their layout: what is read is what the line holds, and whoever varies lines fills no memory."""

import json as stdlib_json
from typing import Any

import pytest

from socmon.parsers import windows_layouts
from socmon.parsers.windows_layouts import Events


def line(**members: Any) -> bytes:
    return stdlib_json.dumps({"EventID": 4688, "Channel": "Security", **members}).encode()


def read(events: Events, data: bytes) -> dict[str, Any] | None:
    found = events.read(data)
    return None if found is None else dict(zip(found[0].names, found[1], strict=True))


def taught(*lines: bytes) -> Events:
    """What has met these lines as often as it takes to make a struct, the last ones last."""
    events = Events()
    for data in lines:
        for _ in range(windows_layouts._OFTEN + 1):
            events.read(data)
    return events


def structs(events: Events) -> int:
    return sum(layout.is_often for layout in events._layouts.values())


def test_an_event_is_read_the_same_by_a_dictionary_and_by_a_struct() -> None:
    events, quick = Events(), taught(line(a="x", b=[1, None]))
    assert structs(quick) == 1

    for members in ({"a": None, "b": 2.5}, {"b": [], "a": True}, {"a": '\u1ec7"\\', "b": -(2**63)}):
        data = line(**members)
        assert read(events, data) == read(quick, data) == {"EventID": 4688, "Channel": "Security", **members}
    twice = b'{"EventID": 4688, "Channel": "Security", "a": 1, "b": 2, "\\u0061": "y"}'
    assert read(events, twice) == read(quick, twice) == {"EventID": 4688, "Channel": "Security", "a": "y", "b": 2}


@pytest.mark.parametrize(
    "member",
    [b'"a": {}', b'"a": [[1]]', b'"a": "\xff"', b'"a": 9223372036854775808', b'"a": "\\ud800"', b'"a": tru',
     b'"a b": 1', b'"a\\"b": 1', b'"": 1', b'"%s": 1' % (b"n" * 65), b'"EventID": true',
     b'"EventID": 1.0', b'"EventID": null', b'"Hostname": 7', b'"'],
)  # fmt: skip
def test_what_only_the_parser_can_tell_is_not_read(member: bytes) -> None:
    for events in (Events(), taught(line(a="x"))):
        assert events.read(line(a="x")[:-1] + b", " + member + b"}") is None


@pytest.mark.parametrize(
    "members",
    [{"Channel": 1}, {"Channel": "c" * 257}, {"Channel": None}, {"Provider_Name": ["a"]}, {"EventID": "4688"}],
)
def test_whatever_tells_the_log_source_is_read_of_any_type_and_told_of_short_text_only(members: dict[str, Any]) -> None:
    for events in (Events(), taught(line(**{**members, "Channel": "Security", "EventID": 4688, "Provider_Name": "a"}))):
        found = events.read(line(**members))
        assert found is not None
        fields = dict(zip(found[0].names, found[1], strict=True))
        assert fields == {"EventID": 4688, "Channel": "Security", **members}
        assert (found[0].logsource(fields) is None) == (members != {"EventID": "4688"})


def test_what_stands_under_another_name_is_read_under_its_own_too() -> None:
    events = Events()

    assert read(events, line(Hostname="pc1")) == {
        "EventID": 4688, "Channel": "Security", "Hostname": "pc1", "Computer": "pc1",
    }  # fmt: skip
    assert (read(events, line(Computer=7, Hostname="pc1")) or {})["Computer"] == "pc1"
    assert (read(events, line(Computer=7, Hostname=8)) or {})["Computer"] == 7


def test_a_line_of_another_layout_than_the_last_ones_is_read_as_what_it_is() -> None:
    events = taught(line(a=1), line(a=1, b=2))

    for members in ({"a": 1}, {"a": 1, "b": 2}, {"b": 2}, {}, {"a": 1, "b": 2, "c": 3}, {"a": 1}):
        assert read(events, line(**members)) == {"EventID": 4688, "Channel": "Security", **members}


def test_a_guess_that_is_wrong_more_often_than_right_is_given_up() -> None:
    events = taught(line(a=1), line(b=1))
    for _ in range(200):
        events.read(line(a=1))
        events.read(line(b=1))

    assert events._guesses == {b'"EventID": 4688,': None}
    assert read(events, line(a=7)) == {"EventID": 4688, "Channel": "Security", "a": 7}


def test_whoever_varies_names_fills_no_memory_and_others_are_read_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(windows_layouts, "_MOST_IN_ALL", 1_000)
    monkeypatch.setattr(windows_layouts, "_MOST_HINTS", 20)
    events = taught(line(a=1))

    for number in range(1_000):
        for _ in range(1 + number % 3):
            made_up = {"EventID": number, "Channel": "c", f"name{number}": 1, "x" * (number % 80): 2}
            assert read(events, stdlib_json.dumps(made_up).encode()) == (made_up if 1 <= number % 80 <= 64 else None)
        assert sum(map(len, events._layouts)) <= 1_000
        assert len(events._guesses) <= 20
        assert read(events, line(a=number)) == {"EventID": 4688, "Channel": "Security", "a": number}

    assert events.read(line(**{f"n{number}": 1 for number in range(255)})) is None
