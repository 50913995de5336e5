"""Access logs of Apache and nginx: each part as it was logged, and nobody's words in another part's place."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from parsers.records import event, record

from socmon.errors import ParseError
from socmon.event import LogSource, rfc3339
from socmon.parsers import parse, web_access

WHEN = "[23/Nov/2026:10:00:03 +0700]"
LINE = f'192.0.2.7 - hoa {WHEN} "GET /a/b?c=d&e=%27 HTTP/1.1" 200 512 "https://example.com/x" "Mozilla/5.0 (X11)"'


def fields(line: str) -> dict[str, Any]:
    return event(line, "web_access").fields


def test_every_part_of_a_combined_line_has_its_field() -> None:
    found = event(LINE, "web_access")

    assert found.time_us is not None
    assert (rfc3339(found.time_us), found.time_known, found.host) == ("2026-11-23T03:00:03Z", "stated", "")
    assert found.logsource == LogSource(category="webserver")
    assert found.fields == {
        "c-ip": "192.0.2.7",
        "cs-username": "hoa",
        "cs-method": "GET",
        "cs-uri": "/a/b?c=d&e=%27",
        "cs-uri-stem": "/a/b",
        "cs-uri-query": "c=d&e=%27",
        "cs-uri-decoded": "/a/b?c=d&e='",
        "cs-version": "HTTP/1.1",
        "sc-status": 200,
        "sc-bytes": 512,
        "cs-referer": "https://example.com/x",
        "cs-user-agent": "Mozilla/5.0 (X11)",
        "message": LINE,
    }
    assert found.entities == {"ip": ["192.0.2.7"], "user": ["hoa"]}


def test_common_format_and_dashes_state_nothing_more() -> None:
    assert set(fields(f'192.0.2.7 - - {WHEN} "GET / HTTP/1.0" 304 -')) == {
        *("c-ip", "cs-method", "cs-uri", "cs-uri-stem", "cs-uri-decoded", "cs-version", "sc-status", "message")
    }
    assert "cs-referer" not in fields(f'192.0.2.7 - - {WHEN} "GET / HTTP/1.0" 200 5 "-" "-"')


@pytest.mark.parametrize(
    ("start", "expected"),
    [
        ("www.example.com:443 192.0.2.7 - -", {"cs-host": "www.example.com", "s-port": 443, "c-ip": "192.0.2.7"}),
        ("www.example.com 2001:DB8::7 - -", {"cs-host": "www.example.com", "c-ip": "2001:db8::7"}),
        ("203.0.113.5:80 192.0.2.7 - -", {"cs-host": "203.0.113.5", "s-port": 80, "c-ip": "192.0.2.7"}),
        ("::ffff:192.0.2.7 - -", {"c-ip": "192.0.2.7"}),
        ("client.example.net - an", {"c-dns": "client.example.net", "c-ip": None, "cs-username": "an"}),
        ("192.0.2.7 - nguyễn văn an", {"c-ip": "192.0.2.7", "cs-host": None, "cs-username": "nguyễn văn an"}),
        (r"192.0.2.7 - nguy\xe1\xbb\x85n", {"cs-username": "nguyễn"}),
        ("192.0.2.7 - 198.51.100.9 x - -", {"c-ip": "192.0.2.7"}),
    ],
)
def test_client_and_host_are_told_apart(start: str, expected: dict[str, Any]) -> None:
    found = fields(f'{start} {WHEN} "GET / HTTP/1.1" 200 5')

    assert {name: found.get(name) for name in expected} == expected


@pytest.mark.parametrize("request_", [r"\x16\x03\x01\x02", "batman", "SSH-2.0-Go", r"\x00", "t3 12.1.2", "GET"])
def test_what_is_no_request_is_invalid(request_: str) -> None:
    found = fields(f'192.0.2.7 - - {WHEN} "{request_}" 400 5 "-" "-"')

    assert (found["action"], found["c-ip"], found["sc-status"]) == ("invalid_request", "192.0.2.7", 400)
    assert "cs-uri" not in found


@pytest.mark.parametrize("request_", ["", "-"])
def test_a_connection_without_a_request_states_none(request_: str) -> None:
    assert set(fields(f'192.0.2.7 - - {WHEN} "{request_}" 408 0 "-" "-"')) == {
        "c-ip",
        "sc-status",
        "sc-bytes",
        "message",
    }


@pytest.mark.parametrize(
    ("uri", "decoded"),
    [
        ("/a/%2e%2e/%2E%2e/etc/passwd", "/a/../../etc/passwd"),
        ("/%252e%252e/x", "/../x"),
        ("/x?id=1+UNION%20SELECT+1", "/x?id=1 UNION SELECT 1"),
        ("/a+b?c", "/a+b?c"),
        ("/%ff%41", r"/\xffA"),
        ("/%%32%65/", "/./"),
        ("/%", "/%"),
    ],
)
def test_decoded_uri_is_what_a_second_decoder_sees_and_the_raw_one_stays(uri: str, decoded: str) -> None:
    found = fields(f'192.0.2.7 - - {WHEN} "GET {uri} HTTP/1.1" 404 5')

    assert (found["cs-uri"], found["cs-uri-decoded"]) == (uri, decoded)


def test_escapes_of_the_server_are_undone_but_for_controls() -> None:
    found = fields(rf'192.0.2.7 - - {WHEN} "GET /\"\xc3\xa1\x1b\\ HTTP/1.1" 200 5 "\x22" "a\"b"')

    assert (found["cs-uri"], found["cs-referer"], found["cs-user-agent"]) == ('/"á\\x1b\\', '"', 'a"b')


def test_more_fields_are_passed_over_and_the_first_forwarded_address_is_kept() -> None:
    assert fields(f'{LINE} "198.51.100.9, 10.0.0.1" 0.123 rt=0.1')["xff"] == "198.51.100.9"
    assert fields(f'{LINE} 293 1149 "-"')["cs-user-agent"] == "Mozilla/5.0 (X11)"
    assert "xff" not in fields(f'{LINE} "x, 198.51.100.9"')


def test_a_line_in_quotation_marks_is_read_as_the_line() -> None:
    doubled = '"' + LINE.replace('"', '""') + '"'

    assert fields(f'"{LINE}"') == fields(LINE) == fields(doubled)


def test_line_without_zone_is_of_the_sources_zone() -> None:
    line = '192.0.2.7 - - [23/Nov/2026:10:00:03] "GET / HTTP/1.1" 200 5'

    found = parse(record(line, format_="web_access", zone="Asia/Ho_Chi_Minh"))

    assert found.time_us is not None
    assert rfc3339(found.time_us) == "2026-11-23T03:00:03Z"


@pytest.mark.parametrize(
    "line",
    [
        "",
        "GET / HTTP/1.1",
        LINE.replace("23/Nov", "31/Nov"),
        LINE.replace("10:00", "25:00"),
        LINE.replace("Nov", "Xov"),
    ],
)
def test_what_is_no_access_line_is_refused(line: str) -> None:
    with pytest.raises(ParseError):
        fields(line)


def test_cut_line_keeps_what_it_has() -> None:
    assert fields(LINE[:-8])["cs-user-agent"] == "Mozilla/5."


WORDS = st.text(
    st.characters(min_codepoint=0x20, exclude_characters="\x7f\x85", exclude_categories=["C", "Z"]), min_size=1
)
HOSTILE = st.lists(
    st.sampled_from(["x", " ", WHEN, '"', '" 200 5 "', "- - ", "198.51.100.9", "[", "]", "GET / HTTP/1.1", "\\"])
).map("".join)


def escaped(text: str) -> str:
    """As Apache writes it (util.c, ap_escape_logitem)."""
    return text.replace("\\", "\\\\").replace('"', '\\"')


@given(WORDS, WORDS, WORDS, st.sampled_from(["192.0.2.7", "2001:db8::7"]), st.integers(100, 599))
def test_a_line_that_was_written_is_read_back(path: str, referer: str, agent: str, client: str, status: int) -> None:
    request = escaped(f"POST /{path} HTTP/1.1")
    line = f'{client} - - {WHEN} "{request}" {status} 7 "r{escaped(referer)}" "a{escaped(agent)}"'

    found = fields(line)

    assert (found["c-ip"], found["cs-method"], found["sc-status"]) == (client, "POST", status)
    assert (found["cs-uri"], found["cs-referer"], found["cs-user-agent"]) == (f"/{path}", f"r{referer}", f"a{agent}")


@given(HOSTILE, HOSTILE, HOSTILE, HOSTILE)
def test_no_word_of_a_client_moves_its_address_or_the_status(user: str, uri: str, referer: str, agent: str) -> None:
    parts = [escaped(part) for part in (user, uri, referer, agent)]
    line = '192.0.2.7 - {} {} "GET /{} HTTP/1.1" 401 7 "{}" "{}"'.format(parts[0] or "-", WHEN, *parts[1:])

    found = fields(line)

    assert (found["c-ip"], found["sc-status"], found["cs-method"]) == ("192.0.2.7", 401, "GET")
    assert "cs-host" not in found


def test_message_that_came_through_syslog_is_read_too() -> None:
    assert web_access.read(LINE)["c-ip"] == "192.0.2.7"
    assert web_access.read("AH00558: could not determine the name") == {}
