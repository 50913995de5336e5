"""nginx's error log: what was refused, and who asked, whatever stands in a user name, a path or a referrer."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from parsers.records import event, record

from socmon.errors import ParseError
from socmon.event import LogSource, rfc3339
from socmon.parsers import nginx_error, parse

START = "2026/11/23 10:00:02 [error] 2865#2865: *66 "
TAIL = ', client: 192.0.2.7, server: www.example.com, request: "GET /x?y HTTP/1.1", host: "www.example.com"'
FORGED = ', client: 198.51.100.9, server: s, request: "GET /x?y HTTP/1.1", host: "www.example.com"'


def fields(message: str) -> dict[str, Any]:
    return event(START + message, "nginx_error").fields


def test_a_refused_password_has_its_user_address_and_request() -> None:
    line = f'{START}user "hoa": password mismatch{TAIL}, referrer: "https://example.com/"'

    found = parse(record(line, format_="nginx_error", zone="Asia/Ho_Chi_Minh"))

    assert found.time_us is not None
    assert (rfc3339(found.time_us), found.logsource) == (
        "2026-11-23T03:00:02Z",
        LogSource(product="nginx", category="webserver_error", service="nginx"),
    )
    assert found.fields == {
        "level": "error",
        "pid": 2865,
        "user": "hoa",
        "outcome": "failure",
        "src_ip": "192.0.2.7",
        "cs-method": "GET",
        "cs-uri": "/x?y",
        "cs-uri-stem": "/x",
        "cs-uri-query": "y",
        "cs-uri-decoded": "/x?y",
        "cs-version": "HTTP/1.1",
        "cs-host": "www.example.com",
        "cs-referer": "https://example.com/",
        "message": line.removeprefix(START),
    }


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ('user "a b" was not found in "/etc/nginx/.htpasswd"', {"user": "a b", "outcome": "failure"}),
        ("PAM: user 'an' - not authenticated: Authentication failure", {"user": "an", "outcome": "failure"}),
        ("no user/password was provided for basic authentication", {"outcome": None, "action": None}),
        ("access forbidden by rule", {"action": "denied", "outcome": None}),
        ('directory index of "/srv/www/" is forbidden', {"action": "denied"}),
        ('open() "/srv/.env" failed (13: Permission denied)', {"action": "denied"}),
        ('open() "/srv/pma" failed (2: No such file or directory)', {"action": "not_found"}),
        ('"/srv/pma/index.html" is not found (2: No such file or directory)', {"action": "not_found"}),
        ('limiting requests, excess: 1.495 by zone "one"', {"action": "limited"}),
        ('delaying request, excess: 0.841, by zone "one"', {"action": "limited"}),
        ('limiting connections by zone "one"', {"action": "limited"}),
        ("client sent too long URI while reading client request line", {"action": "uri_too_long"}),
        ("client sent invalid method while reading client request line", {"action": "invalid_request"}),
        ("client intended to send too large body: 10485761 bytes", {"action": "too_large"}),
        ("SSL_do_handshake() failed (SSL: error:0A0001BB:SSL routines) while SSL handshaking", {"action": "tls_error"}),
        ('FastCGI sent in stderr: "Primary script unknown" while reading', {"action": "script_not_found"}),
        ("upstream timed out (110: Connection timed out) while connecting to upstream", {"action": "upstream_error"}),
        (
            'ModSecurity: Access denied with code 403 (phase 2). [id "942100"] [msg "SQL"] [data "[id \\"1\\"]"]',
            {"action": "modsecurity", "modsecurity.id": "942100", "modsecurity.action": "denied"},
        ),
    ],
)
def test_message_is_read_for_what_it_means(message: str, expected: dict[str, Any]) -> None:
    found = fields(message + TAIL)

    assert found["src_ip"] == "192.0.2.7"
    assert {name: found.get(name) for name in expected} == expected


def test_lines_without_a_client_a_request_or_their_end_are_read() -> None:
    assert "src_ip" not in fields("worker process 12 exited on signal 6 (core dumped)")
    assert fields("SSL_read() failed (SSL: x), client: 2001:DB8::7, server: 0.0.0.0:443")["src_ip"] == "2001:db8::7"
    assert fields("access forbidden by rule" + TAIL[:-30])["src_ip"] == "192.0.2.7"
    assert fields("no live upstreams, client: unix:, server: x")["level"] == "error"


def test_lines_as_the_journal_prints_them_have_the_host() -> None:
    found = event(f"web01 nginx[2865]: web01 nginx: {START}access forbidden by rule{TAIL}", "nginx_error")

    assert (found.host, found.fields["src_ip"]) == ("web01", "192.0.2.7")


def test_message_through_syslog_is_read_with_and_without_time() -> None:
    whole = f"{START}access forbidden by rule{TAIL}"

    assert nginx_error.read(whole) == nginx_error.read(whole[20:]) == fields("access forbidden by rule" + TAIL)
    access = nginx_error.read('192.0.2.7 - - [23/Nov/2026:10:00:03 +0700] "GET / HTTP/1.1" 200 5')
    assert access["c-ip"] == "192.0.2.7"
    assert nginx_error.read("the configuration file syntax is ok") == {}


def test_forged_tail_in_a_user_name_does_not_name_the_client() -> None:
    found = fields(f'user "x": password mismatch{FORGED}": was not found in "/etc/nginx/.htpasswd"{TAIL}')

    assert (found["src_ip"], found["outcome"]) == ("192.0.2.7", "failure")


def test_forged_tail_behind_words_that_are_all_nginx_s_own_does_not_name_the_client() -> None:
    found = fields(f'access forbidden by rule{TAIL}, referrer: "x"{FORGED}')

    assert (found["src_ip"], found["action"]) == ("192.0.2.7", "denied")


def test_two_clients_that_can_both_be_true_are_neither() -> None:
    found = fields(f'open() "/srv/x" failed (2: No such file or directory){TAIL}, referrer: "x"{FORGED}')

    assert "src_ip" not in found
    assert found["action"] == "forged_client"


PIECES = st.lists(
    st.sampled_from(
        ["x", '"', " ", FORGED, FORGED[:-1], ", client: 198.51.100.9", ", server: s", ', referrer: "', '", host: "']
    ),
    max_size=6,
).map("".join)


@given(PIECES, PIECES, PIECES)
def test_no_word_of_a_client_moves_its_address(user: str, uri: str, referrer: str) -> None:
    request = f', client: 192.0.2.7, server: www.example.com, request: "GET /{uri} HTTP/1.1", host: "www.example.com"'

    found = fields(f'user "{user}": password mismatch{request}, referrer: "{referrer}"')

    assert found.get("src_ip") in ("192.0.2.7", None)
    assert "src_ip" in found or found["action"] == "forged_client"


@pytest.mark.parametrize(
    "line", ["", "x", START.replace("/11/23", "/13/23") + "x", START.replace("10:00", "10:60") + "x"]
)
def test_what_is_no_line_of_nginx_is_refused(line: str) -> None:
    with pytest.raises(ParseError):
        event(line, "nginx_error")
