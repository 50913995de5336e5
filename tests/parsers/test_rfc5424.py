"""RFC 5424: what stands in the header and in the structured data is read back; what breaks its grammar is refused."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from parsers.records import NOW_US, record

from socmon.errors import ParseError
from socmon.event import Event, LogSource
from socmon.parsers import detect, parse
from socmon.parsers.rfc5424 import LONGEST_VALUE, MOST_PARAMS

NAMES = st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters='="]'), min_size=1, max_size=32)
VALUES = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


def event(line: str) -> Event:
    return parse(record(line, format_="rfc5424"))


def escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("]", "\\]")


@settings(max_examples=200, deadline=None)
@given(data=st.dictionaries(NAMES, st.dictionaries(NAMES, VALUES, max_size=4), min_size=1, max_size=4), text=VALUES)
def test_structured_data_are_read_back(data: dict[str, dict[str, str]], text: str) -> None:
    elements = "".join(
        f"[{name}" + "".join(f' {param}="{escaped(value)}"' for param, value in params.items()) + "]"
        for name, params in data.items()
    )

    found = event(f"<13>1 2026-11-23T10:00:00Z h app - - {elements} {text}")

    stated = {f"{name}.{param}" for name, params in data.items() for param in params}
    for name, params in data.items():
        for param, value in params.items():
            told = found.fields[f"{name}.{param}"]
            assert value in (told if isinstance(told, list) else [told])  # `a.b` of `c` and `b.c` of `a` are one name
    assert set(found.fields) <= stated | {"message", "program", "facility", "severity"}
    assert found.fields["message"] == text.removeprefix("\ufeff").strip(" \t\r\n\0")


def test_parameter_that_is_repeated_is_a_list() -> None:
    found = event('<13>1 - h app - - [origin ip="192.0.2.1" ip="192.0.2.2" ip="192.0.2.3"]')

    assert found.fields["origin.ip"] == ["192.0.2.1", "192.0.2.2", "192.0.2.3"]


def test_backslash_before_any_other_character_is_itself() -> None:
    assert event(r'<13>1 - h app - - [a b="c:\temp \\ \" \]"]').fields["a.b"] == r'c:\temp \ " ]'


def test_number_and_size_of_parameters_are_bounded() -> None:
    params = "".join(f' p{n}="{"x" * 3000}"' for n in range(MOST_PARAMS + 10))

    found = event(f"<13>1 - h app - - [a{params}] text").fields

    assert len([name for name in found if name.startswith("a.")]) == MOST_PARAMS
    assert {len(value) for name, value in found.items() if name.startswith("a.")} == {LONGEST_VALUE}
    assert found["message"] == "text"


def test_structured_data_cannot_stand_for_a_field_of_the_message() -> None:
    line = '<38>1 - h sshd 7 - [x src_ip="6.6.6.6" outcome="success"] Failed password for a from 192.0.2.1 port 1 ssh2'

    found = event(line).fields

    assert (found["src_ip"], found["outcome"], found["x.src_ip"]) == ("192.0.2.1", "failure", "6.6.6.6")


def test_message_without_a_time_has_that_of_its_arrival() -> None:
    found = event("<13>1 - - - - - -")

    assert (found.time_us, found.time_known, found.host) == (NOW_US, "received", "")
    assert found.logsource == LogSource(product="linux")
    assert found.fields == {"message": "", "facility": 1, "severity": 5}
    assert parse(record("<13>1 - - - - - -", format_="rfc5424"), undated=True).time_us is None


def test_byte_order_mark_before_the_message_is_left_out() -> None:
    assert event("<13>1 - h app - - - \ufeffchào").fields["message"] == "chào"


@pytest.mark.parametrize(("process", "fields"), [("812", {"pid": 812}), ("9" * 11, {"procid": "9" * 11}), ("-", {})])
def test_process_id_is_a_number_only_if_it_is_one(process: str, fields: dict[str, object]) -> None:
    found = event(f"<13>1 - h app {process} - - x").fields

    assert {name: found[name] for name in ("pid", "procid") if name in found} == fields


@pytest.mark.parametrize(
    "line",
    [
        "",
        "<13>1",
        "<13>1 - - - - -",
        "<13>0 - - - - - -",
        "<13>1000 - - - - - -",
        "<192>1 - - - - - -",
        "<13>1 - - - - - -x",
        "<13>1 2026-11-23 10:00:00Z h a - - -",
        "<13>1 2026-11-23T10:00:00 h a - - -",
        "<13>1 2026-02-30T10:00:00Z h a - - -",
        "<13>1 2026-11-23T10:00:61Z h a - - -",
        '<13>1 - h a - - [a b="c"',
        "<13>1 - h a - - [a b=c]",
        "<13>1 - h a - - []",
        '<13>1 - h a - - [a b="]"]',
        "<13>1 - h a - - [a][a]",
        "<13>1 - h a - - [a]x",
        f"<13>1 - {'h' * 256} a - - -",
        "Nov 23 10:00:00 web01 app: x",
    ],
)
def test_line_that_breaks_the_grammar_is_a_parse_error(line: str) -> None:
    with pytest.raises(ParseError) as error:
        event(line)

    assert len(str(error.value)) < 250


def test_format_is_told_apart_from_its_predecessor() -> None:
    assert detect([b"<13>1 2026-11-23T10:00:00Z h app - - - x"]) == "rfc5424"
    assert detect([b"<13>Nov 23 10:00:00 h app: x"]) == "rfc3164"


def test_structured_data_of_64_kb_are_read_in_linear_time() -> None:
    for piece in ('[a b="', "\\", '" b="', '[a b="c"]', '\\"'):
        with pytest.raises(ParseError):  # a quadratic pattern would meet the timeout of the suite
            event('<13>1 - h app - - [x y="' + piece * (65_000 // len(piece)))
