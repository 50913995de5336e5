"""Whatever 64 KiB a line holds, its reader takes time in proportion to them: no sender can hold up the others."""

import json
import re
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest
from parsers.records import record
from watchdog import watchdog

from socmon.errors import ParseError
from socmon.parsers import FORMATS, parse, programs
from socmon.parsers.requests import request_fields

SIZE = 64 * 1024
FILLS = [
    " ",
    "\t",
    "a",
    "1",
    "a ",
    "a, ",
    "a=b ",
    '"',
    '\\"',
    '" ',
    "\\",
    "[",
    "] ",
    "(",
    "): ",
    "<",
    ">, ",
    ": ",
    "::",
]
FILLS += ["1.1.1.1 ", " rhost=", " from ", "rip=1.1.1.1, ", ", client: 1", '{"a":', "[1,", '] "', " HTTP/1.1 ", "%25"]
SAMPLES = sorted((Path(__file__).parent / "samples").glob("*.jsonl"))
HEADS = {
    "rfc3164": ["<34>Nov 23 10:00:02 ", "Nov 23 10:00:02 web01 ", "2026-11-23T10:00:02+07:00 web01 httpd[1]: "],
    "rfc5424": ["<34>1 ", "<34>1 2026-11-23T10:00:02Z w app 1 - ", "<34>1 2026-11-23T10:00:02Z w app 1 - [a b="],
    "untimed_syslog": ["", "<34>", "web01 ", "web01 sshd[", "web01 sshd[812]: "],
    "web_access": [
        "192.0.2.7 - ",
        '192.0.2.7 - - [23/Nov/2026:10:00:03 +0700] "GET ',
        '192.0.2.7 - - [23/Nov/2026:10:00:03 +0700] "GET / H',
        '192.0.2.7 - - [23/Nov/2026:10:00:03 +0700] "GET / HTTP/1.1" 200 5 "',
    ],
    "nginx_error": ["", "2026/11/23 10:00:02 [error] 28#28: ", '2026/11/23 10:00:02 [error] 28#28: *6 user "'],
    "apache_error": ["", "[Mon Nov 23 10:00:02 2026] [error] ", "[Mon Nov 23 10:00:02 2026] [error] [client 1.1.1.1] "],
    "zeek": ["", '{"_path":"conn","ts":1,"uid":"', '{"ts":1,"uid":"C1","answers":[', '{"_path":"'],
    "journald": ["", '{"__CURSOR":"s=1","__REALTIME_TIMESTAMP":"1764174645000000","MESSAGE":"'],
    "windows_json": ["", '{"EventID":1,"Channel":"', '{"EventID":1,"Channel":"x","Hashes":"', '{"winlog":{"event_id":'],
    "json": ["", '{"message":"', '{"a":'],
    "dovecot": ["", "Nov 23 10:00:02 imap-login: Info: ", "Nov 23 10:00:02 auth: Info: passwd("],
}  # fmt: skip
ENDS = ["", "x", '"}']
WEB_ENDS = ["", "x", ' HTTP/1.1" 200 5 "-" "curl"', 'x HTTP/1.1" 200 5 "-" "curl"', 'x" 200 5 "-" "curl"']


def stretched(head: str, fill: str, end: str) -> str:
    return head + (fill * SIZE)[:SIZE] + end


def read_to_an_end(read: Callable[[], object], what: str) -> None:
    with watchdog(what), suppress(ParseError):
        read()


def test_a_pattern_that_takes_no_end_is_ended() -> None:
    with pytest.raises(AssertionError, match="a quadratic one does not end"), watchdog("a quadratic one", 0.05):
        re.match(r"(?: *)*x", " " * 60_000)


def test_every_format_has_heads() -> None:
    assert set(HEADS) == set(FORMATS)


@pytest.mark.parametrize("name", HEADS)
def test_a_long_line_of_a_format_is_read_quickly(name: str) -> None:
    for head in HEADS[name]:
        for fill in FILLS:
            for end in WEB_ENDS if name == "web_access" else ENDS:
                data = stretched(head, fill, end)
                FORMATS[name].fits(data.encode())
                read_to_an_end(partial(parse, record(data, format_=name)), f"{name}: {head!r} {fill!r} {end!r}")


@pytest.mark.parametrize("tag", [*programs._PROGRAMS, "login"])
def test_a_long_message_of_a_program_is_read_quickly(tag: str) -> None:
    for fill in FILLS:
        message = stretched("", fill, "x")
        read_to_an_end(partial(programs.read, tag, message), f"{tag}: {fill!r}")


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_a_sample_that_is_stretched_anywhere_is_read_quickly(path: Path) -> None:
    for number, text in enumerate(path.read_text(encoding="utf-8").splitlines()):
        sample = json.loads(text)
        line, fill = sample["line"], FILLS[number % len(FILLS)]
        for at in range(number % 29, len(line), 29):
            data = stretched(line[:at], fill, line[at:])
            format_ = sample.get("format", "rfc3164")
            read_to_an_end(partial(parse, record(data, format_=format_)), f"{line[:at]!r} {fill!r}")


@pytest.mark.parametrize(
    ("request_line", "uri", "version"),
    [
        ("GET /a  b   HTTP/1.1  ", "/a  b", "HTTP/1.1"),
        ("GET   /a  ", "/a", None),
        ("GET / HTTP/1.1 HTTP/2", "/ HTTP/1.1", "HTTP/2"),
        ("GET /HTTP/1.1", "/HTTP/1.1", None),
        ("GET /\nx HTTP/1.0", "/\nx", "HTTP/1.0"),
    ],
)
def test_the_version_of_a_request_is_its_last_word(request_line: str, uri: str, version: str | None) -> None:
    fields = request_fields(request_line)

    assert (fields["cs-uri"], fields.get("cs-version")) == (uri, version)
