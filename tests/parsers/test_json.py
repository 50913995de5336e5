"""JSON lines: usual keys are known in any spelling, and nothing hostile gets further than ParseError."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from parsers.records import NOW_US, event, record

from socmon.errors import ParseError
from socmon.event import Event, LogSource, rfc3339
from socmon.parsers import parse


def read(**keys: Any) -> Event:
    return event(json.dumps(keys), "json")


def time_of(zone: str = "UTC", **keys: Any) -> str | None:
    found = parse(record(json.dumps(keys), format_="json", zone=zone))
    assert found.time_us is not None
    return rfc3339(found.time_us) if found.time_known == "stated" else None


def test_nested_keys_are_joined_and_lists_are_kept() -> None:
    found = read(a={"b": {"c": 1}, "d": [1, {"e": 2}]}, f={}, message="x")

    assert found.fields == {"a.b.c": 1, "a.d": [1, {"e": 2}], "f": {}, "message": "x"}
    assert found.logsource == LogSource(category="application")


@pytest.mark.parametrize(
    "keys",
    [
        {"time": "2026-11-23T10:00:00.5+07:00"},
        {"@timestamp": "2026-11-23T03:00:00.500Z"},
        {"timestamp": "2026-11-23 10:00:00,500"},
        {"eventTime": "2026-11-23T10:00:00.5+0700"},
        {"ts": 1795402800.5},
        {"ts": 1795402800500},
        {"timestamp": "1795402800500000"},
        {"timestamp_ns": 1795402800500000000},
        {"date": "2026-11-23", "time": "10:00:00.5"},
        {"level": "x", "time": "soon", "datetime": "2026-11-23T10:00:00.5"},
    ],
)
def test_usual_times_are_read(keys: dict[str, Any]) -> None:
    assert time_of("Asia/Ho_Chi_Minh", **keys) == "2026-11-23T03:00:00.5Z"


def test_time_of_a_request_in_common_log_format_is_read() -> None:
    assert time_of(time_local="23/Nov/2026:10:00:00 +0700") == "2026-11-23T03:00:00Z"


@pytest.mark.parametrize(
    "value", [0.5, True, None, "2026-02-30T00:00:00Z", "2026-11-23T25:00:00", 1e300, -5, [], "٣" * 10]
)
def test_what_is_no_time_is_passed_over_and_the_event_is_of_when_it_came(value: Any) -> None:
    found = read(time=value)

    assert (found.time_us, found.time_known) == (NOW_US, "received")


def test_without_an_anchor_there_is_no_time() -> None:
    found = parse(record('{"a":1}', format_="json"), undated=True)

    assert (found.time_us, found.time_known) == (None, "unknown")


def test_request_of_an_nginx_has_the_fields_of_a_web_server() -> None:
    found = read(
        remote_addr="192.0.2.7",
        remote_user="-",
        request="GET /a%2e?x=1 HTTP/1.1",
        status="404",
        body_bytes_sent="12",
        http_referer="-",
        http_user_agent="curl/8",
        http_x_forwarded_for="198.51.100.9, 10.0.0.1",
        host="www.example.com",
    )

    web = {name: value for name, value in found.fields.items() if name.startswith(("c-", "cs-", "sc-", "xff"))}
    assert (found.logsource, found.host) == (LogSource(category="webserver"), "")
    assert web == {
        "c-ip": "192.0.2.7",
        "cs-method": "GET",
        "cs-uri": "/a%2e?x=1",
        "cs-uri-stem": "/a%2e",
        "cs-uri-query": "x=1",
        "cs-uri-decoded": "/a.?x=1",
        "cs-version": "HTTP/1.1",
        "sc-status": 404,
        "sc-bytes": 12,
        "cs-user-agent": "curl/8",
        "cs-host": "www.example.com",
        "xff": "198.51.100.9",
    }
    assert (found.fields["src_ip"], found.fields["remote_addr"]) == ("192.0.2.7", "192.0.2.7")


def test_request_through_a_gateway_keeps_its_service() -> None:
    found = read(
        service={"name": "LGSP"},
        http={"request": {"method": "post"}, "response": {"status_code": 401}},
        url={"path": "/dvc/hồ-sơ"},
        source={"ip": "2001:DB8::7"},
        hostname="gw1",
        user={"name": "hoa"},
    )

    assert (found.logsource, found.host) == (LogSource(category="webserver", service="lgsp"), "gw1")
    assert (found.fields["cs-method"], found.fields["sc-status"], found.fields["cs-uri"]) == ("POST", 401, "/dvc/hồ-sơ")
    assert found.entities == {"host": ["gw1"], "ip": ["2001:db8::7"], "user": ["hoa"]}


@pytest.mark.parametrize(
    ("keys", "outcome"),
    [
        ({"event": "login", "result": "success"}, "success"),
        ({"event": "user.login", "outcome": "FAILURE"}, "failure"),
        ({"action": "LoginFailed"}, "failure"),
        ({"event_type": "USER_LOGIN", "success": False}, "failure"),
        ({"hanh_dong": "Đăng nhập", "ket_qua": "Thất bại"}, "failure"),
        ({"hanh_dong": "Đa\u0306ng nha\u0323\u0302p", "ket_qua": "tha\u0300nh công"}, "success"),
        ({"event": "login", "result": "pending"}, None),
        ({"event": "upload", "result": "success"}, None),
        ({"message": "login failed"}, None),
        ({"event": "login", "user": "failed"}, None),
    ],
)
def test_outcome_is_that_of_a_login_that_says_so(keys: dict[str, Any], outcome: str | None) -> None:
    found = read(**keys)

    assert found.fields.get("outcome") == outcome


def test_log_of_a_document_system_keeps_its_words_and_keys() -> None:
    told = {"tai_khoan": "hoa.nguyễn", "noi_dung": "Sai mật khẩu", "client_ip": "192.0.2.7:4000", "tên": "hoa\u0300"}

    found = read(**told, ung_dung="vanban")

    assert {name: found.fields[name] for name in told} == told
    assert (found.fields["user"], found.fields["src_ip"], found.fields["src_port"]) == ("hoa.nguyễn", "192.0.2.7", 4000)
    assert found.fields["message"] == "Sai mật khẩu"


def test_log_source_is_what_the_keys_say() -> None:
    assert read(product="Linux", category="Auth", app="X").logsource == LogSource("linux", "auth", "x")


def test_line_without_a_message_is_its_message() -> None:
    assert event(' {"message": 5} ', "json").fields["message"] == '{"message": 5}'
    assert event('{"a": 1}', "json").fields["message"] == '{"a": 1}'


def test_src_ip_is_an_address_or_absent() -> None:
    assert "src_ip" not in read(src_ip="unknown").fields
    assert "src_ip" not in read(src_ip=["192.0.2.7"]).fields
    assert read(src_ip="unknown", client_ip="::ffff:192.0.2.7").fields["src_ip"] == "192.0.2.7"


def test_bytes_and_surrogates_that_are_no_text_are_shown_as_escapes() -> None:
    found = event(b'{"a":"\xff","b":"\\ud800","c":"\\ud83d\\ude00 \\udc00","d":"\\\\ud800"}', "json").fields

    assert (found["a"], found["b"], found["c"], found["d"]) == ("\\xff", "\\ud800", "\U0001f600 \\udc00", "\\ud800")


def test_numbers_beyond_64_bits_are_text_and_of_a_doubled_key_the_last_counts() -> None:
    found = event('{"a":123456789012345678901234567890,"b":[-9223372036854775809],"c":1,"c":2}', "json").fields

    assert (found["a"], found["b"], found["c"]) == ("123456789012345678901234567890", ["-9223372036854775809"], 2)


@pytest.mark.parametrize(
    "line",
    [
        *("", "[]", "5", '{"a":NaN}', '{"a":1e400}', '{"a":', "{'a':1}", '{"a":1}x', '{"a":' * 99),
        *('{"a":' + "[" * 9000, '{"a":' + "[" * 40 + "]" * 40 + "}", '{"a":' * 40 + "1" + "}" * 40),
    ],
)
def test_what_is_no_honest_object_is_refused(line: str) -> None:
    with pytest.raises(ParseError):
        event(line, "json")


def test_fields_and_names_are_bounded() -> None:
    found = read(**{f"k{n}" * 100: n for n in range(5000)}).fields

    assert len(found) <= 1030
    assert max(map(len, found)) == 256


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=12,
)
KEYS = st.sampled_from(
    ["time", "ts", "host", "user", "status", "method", "uri", "src_ip", "event", "result", "message"]
)


@given(st.dictionaries(KEYS | st.text(max_size=10), VALUES, max_size=8))
def test_any_object_becomes_an_event_that_can_be_stored(keys: dict[str, Any]) -> None:
    found = read() if not keys else event(json.dumps(keys), "json")

    assert isinstance(found.fields["message"], str)
    assert msgspec.json.decode(msgspec.json.encode(found.fields)) is not None
    assert found.entities is not None
