"""Apache's error log, 2.2 and 2.4: what was refused, and who asked, whatever stands in a user name or a path."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from parsers.records import event, record

from socmon.errors import ParseError
from socmon.event import LogSource, rfc3339
from socmon.parsers import apache_error, parse

NEW = "[Mon Nov 23 10:00:02.453232 2026] [auth_basic:error] [pid 17512:tid 140123] [client 192.0.2.7:51380] "
OLD = "[Mon Nov 23 10:00:02 2026] [error] [client 192.0.2.7] "


def fields(line: str) -> dict[str, Any]:
    return event(line, "apache_error").fields


def test_every_part_of_a_line_of_2_4_has_its_field() -> None:
    line = f'{NEW}AH01617: user hoa: authentication failure for "/x": Password Mismatch, referer: http://example.com/'

    found = parse(record(line, format_="apache_error", zone="Asia/Ho_Chi_Minh"))

    assert found.time_us is not None
    assert rfc3339(found.time_us) == "2026-11-23T03:00:02.453232Z"
    assert found.logsource == LogSource(product="apache", category="webserver_error", service="apache")
    assert found.fields == {
        "module": "auth_basic",
        "level": "error",
        "pid": 17512,
        "src_ip": "192.0.2.7",
        "src_port": 51380,
        "code": "AH01617",
        "user": "hoa",
        "outcome": "failure",
        "cs-referer": "http://example.com/",
        "message": 'user hoa: authentication failure for "/x": Password Mismatch, referer: http://example.com/',
    }


@pytest.mark.parametrize(
    ("client", "src_ip", "src_port"),
    [
        ("[pid 1] [client [2001:db8::51]:51548]", "2001:db8::51", 51548),
        ("[pid 1] [client ::1:37752]", "::1", 37752),
        ("[client 2001:db8::8:51]", "2001:db8::8:51", None),
        ("[pid 1:tid 2] (13)Permission denied: [client 192.0.2.7:1]", "192.0.2.7", 1),
        ("[pid 1:tid 2] ssl_engine_io.c(1200): [client 192.0.2.7:1]", "192.0.2.7", 1),
        ("[pid 1] [remote 192.0.2.7:443]", None, None),
        ("[client client.example.net]", None, None),
    ],
)
def test_client_is_the_one_in_its_place(client: str, src_ip: str | None, src_port: int | None) -> None:
    found = fields(f"[Mon Nov 23 10:00:02 2026] [core:error] {client} AH00128: File does not exist: /srv/x")

    assert (found.get("src_ip"), found.get("src_port")) == (src_ip, src_port)


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("user a b not found: /x", {"outcome": "failure", "user": "a b"}),
        ("user  not found: /x", {"outcome": "failure", "user": None}),
        ("user hoa: password mismatch: /x", {"outcome": "failure", "user": "hoa"}),
        ("Digest: user `hoa' in realm `r' not found: /x", {"outcome": "failure", "user": "hoa"}),
        ("Digest: invalid nonce abc received - length is not 52", {"outcome": "failure"}),
        ("realm mismatch - got `x' but expected `y'", {"outcome": "failure"}),
        ("unknown algorithm `x' received: /d/", {"outcome": "failure"}),
        ("client used wrong authentication scheme: /x", {"outcome": "failure"}),
        (
            "auth_ldap authenticate: user hoa authentication failed; URI /x [a][b]",
            {"outcome": "failure", "user": "hoa"},
        ),
        ("PAM: user 'hoa' - not authenticated: Authentication failure", {"outcome": "failure", "user": "hoa"}),
        ("AuthExtern pwauth [/usr/bin/pwauth]: Failed (1) for user hoa", {"outcome": "failure", "user": "hoa"}),
        ('user hoa: authorization failure for "/x": ', {"action": "denied", "user": "hoa", "outcome": None}),
        ("Authorization of user hoa to access /x failed, reason: owner", {"action": "denied", "user": "hoa"}),
        (
            "access to /x failed, reason: user 'hoa' does not meet 'require'ments for x",
            {"action": "denied", "user": "hoa"},
        ),
        ("client denied by server configuration: /srv/x", {"action": "denied", "path": "/srv/x"}),
        ("(13)Permission denied: file permissions deny server access: /srv/x", {"action": "denied", "path": "/srv/x"}),
        ("Directory index forbidden by Options directive: /srv/", {"action": "denied"}),
        ("File does not exist: /srv/pma, referer: http://x/", {"action": "not_found", "path": "/srv/pma"}),
        ("script '/srv/x.php' not found or unable to stat", {"action": "script_not_found", "path": "/srv/x.php"}),
        ("script not found or unable to stat: /srv/x.cgi", {"action": "script_not_found", "path": "/srv/x.cgi"}),
        ("stderr from /srv/x: script not found or unable to stat", {"action": "script_not_found", "path": "/srv/x"}),
        ("Got error 'Primary script unknown\\n'", {"action": "script_not_found"}),
        ("request failed: URI too long (longer than 8190)", {"action": "uri_too_long"}),
        ("Invalid URI in request GET /../x HTTP/1.1", {"action": "invalid_request", "cs-uri": "/../x"}),
        ("Invalid method in request \\x16\\x03\\x01", {"action": "invalid_request", "cs-uri": None}),
        ("invalid URI path (/%%32%65/x)", {"action": "invalid_request", "path": "/%%32%65/x"}),
        ("request failed: error reading the headers", {"action": "invalid_request"}),
        ("SSL Library Error: error:1407609B", {"action": "tls_error"}),
        ("No hostname was provided via SNI for a name based virtual host", {"action": "tls_error"}),
        ("PHP Notice:  Undefined index", {"action": None, "outcome": None}),
        (
            '[client 192.0.2.7] ModSecurity: Access denied. [id "942100"] [data "[id \\"1\\"]"] [severity "CRITICAL"]',
            {"action": "modsecurity", "modsecurity.id": "942100", "modsecurity.severity": "CRITICAL"},
        ),
    ],
)
@pytest.mark.parametrize("start", [OLD, NEW + "AH01234: "])
def test_message_is_read_for_what_it_means(start: str, message: str, expected: dict[str, Any]) -> None:
    if message.startswith("[client"):  # ModSecurity has no code
        start = start.removesuffix("AH01234: ")
    found = fields(start + message)

    assert found["src_ip"] == "192.0.2.7"
    assert {name: found.get(name) for name in expected} == expected


def test_lines_without_a_client_are_read() -> None:
    found = fields("[Mon Nov 23 10:00:02 2026] [notice] child pid 2 exit signal Segmentation fault (11)")

    assert found == {"level": "notice", "message": "child pid 2 exit signal Segmentation fault (11)"}


def test_evasive_limits() -> None:
    line = NEW.replace("auth_basic", "evasive20") + "client denied by server configuration: /x"

    assert fields(line)["action"] == "limited"


def test_message_through_syslog_is_read_with_and_without_time() -> None:
    line = f"{NEW}AH01618: user x not found: /"

    assert apache_error.read(line) == apache_error.read(line.partition("] ")[2]) == fields(line)
    access = apache_error.read('192.0.2.7 - - [23/Nov/2026:10:00:03 +0700] "GET / HTTP/1.1" 200 5')
    assert access["c-ip"] == "192.0.2.7"
    assert apache_error.read("caught SIGTERM, shutting down") == {}


PIECES = st.lists(
    st.sampled_from(
        ["x", "] ", "[client 198.51.100.9] ", "[client 198.51.100.9:5] ", " not found: ", "ModSecurity: ", ": "]
    )
).map("".join)


@given(st.sampled_from([OLD, NEW]), PIECES, PIECES, PIECES)
def test_no_word_of_a_client_moves_its_address(start: str, user: str, path: str, referer: str) -> None:
    found = fields(f"{start}user {user} not found: /{path}, referer: {referer}")

    assert (found["src_ip"], found["outcome"]) == ("192.0.2.7", "failure")


@given(PIECES)
def test_a_line_without_a_client_gets_none_from_its_words(words: str) -> None:
    assert "src_ip" not in fields(f"[Mon Nov 23 10:00:02 2026] [cgi:error] [pid 1] AH01215: x{words}")


@pytest.mark.parametrize("line", ["", "x", "[Mon Nov 31 10:00:02 2026] [error] x", "[Mon Nov 23 10:00:02 2026] x"])
def test_what_is_no_line_of_apache_is_refused(line: str) -> None:
    with pytest.raises(ParseError):
        fields(line)
