"""The header of RFC 3164 as it is met: with and without priority, host, tag, year; and what is no header."""

import unicodedata
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from parsers.records import event, record

from socmon.errors import ParseError
from socmon.event import Event, LogSource, Record, rfc3339
from socmon.parsers import FORMATS, detect, parse, rfc3164

BAD = [
    b"",
    b"   ",
    b"foobar",
    b"<12>",
    b"<12>May 02 09:33:54",
    b"<12>May 02 09:33:54 only-a-host",
    b"<192>May 02 09:33:54 host tag: message",
    b"Foo 02 09:33:54 host tag: message",
    b"Feb 30 09:33:54 host tag: message",
    b"May 02 24:00:00 host tag: message",
    b"May 02 09:33:61 host tag: message",
    b"2026-02-29T10:00:00Z host tag: message",
    b"2026-02-28T10:00:00+07:61 host tag: message",
    b"2026-02-28T10:00:00 host tag: message without a zone",
    b"<34>1 2003-10-11T22:14:15.003Z host app - ID47 - RFC 5424",
]


@pytest.mark.parametrize("data", BAD)
def test_line_without_a_valid_header_is_a_parse_error(data: bytes) -> None:
    with pytest.raises(ParseError) as error:
        parse(record(data))

    assert len(str(error.value)) < 200


@pytest.mark.parametrize("day", ["Nov  3", "Nov 3", "Nov 03"])
def test_day_of_one_digit_may_have_one_space_two_or_a_zero(day: str) -> None:
    found = event(f"{day} 10:00:00 web01 cron[7]: tick")

    assert (found.time_us, found.host, found.fields["pid"]) == (1_793_700_000_000_000, "web01", 7)


def test_priority_becomes_facility_and_severity() -> None:
    found = event("<86>Nov 23 10:00:00 web01 su: x")

    assert (found.fields["facility"], found.fields["severity"]) == (10, 6)


@pytest.mark.parametrize("host", ["2001:db8::1", "fe80::1%eth0", "192.0.2.1", "gw,site-7,v1.2"])
def test_host_may_be_an_address_or_odd(host: str) -> None:
    found = event(f"Nov 23 10:00:00 {host} sshd[1]: x")

    assert (found.host, found.logsource) == (host, LogSource(product="linux", service="sshd"))


def test_leap_second_is_the_next_minute() -> None:
    assert event("2016-12-31T23:59:60Z h t: x").time_us == event("2017-01-01T00:00:00Z h t: x").time_us


def test_bytes_that_are_not_utf8_stay_readable_as_escapes() -> None:
    found = event(b"Nov 23 10:00:00 web01 sshd[1]: Invalid user a\xff\xc3 from 192.0.2.1")

    assert found.fields["user"] == "a\\xff\\xc3"


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_vietnamese_is_left_as_it_was_written(form: str) -> None:
    name = unicodedata.normalize(form, "Nguyễn Thị Hoà")  # type: ignore[arg-type]  # the two names are its literals

    assert event(f"Nov 23 10:00:00 web01 sshd[1]: Invalid user {name} from 192.0.2.1").fields["user"] == name


@pytest.mark.parametrize(
    ("count", "repeat"), [("2", 2), ("1000000", 1_000_000), ("1000001", 1), ("0", 1), ("9" * 9, 1)]
)
def test_repeats_are_believed_up_to_a_million(count: str, repeat: int) -> None:
    inner = "Failed password for root from 192.0.2.1 port 22 ssh2"

    found = event(f"Nov 23 10:00:00 web01 sshd[1]: message repeated {count} times: [ {inner}]")

    assert found.repeat == repeat
    assert ("outcome" in found.fields) == (repeat > 1)


def test_message_of_several_lines_is_kept_whole() -> None:
    assert event("Nov 23 10:00:00 web01 app: one\n  two\r\n").fields["message"] == "one\n  two"


def test_auto_is_settled_for_the_record() -> None:
    assert parse(record("Nov 23 10:00:00 web01 app: x", format_="auto")).host == "web01"
    with pytest.raises(ParseError, match="no known format"):
        parse(record(b"\x00\x01", format_="auto"))


def test_unknown_format_is_a_parse_error_that_names_the_known() -> None:
    with pytest.raises(ParseError, match="rfc3164"):
        parse(record("Nov 23 10:00:00 web01 app: x", format_="cobol"))


def test_detect_wants_more_than_half_of_the_lines() -> None:
    line, rest = b"Nov 23 10:00:00 web01 app: x", b"of a line cut in the middle"

    assert detect([line, b"", b"\n"]) == "rfc3164"
    assert detect([rest, line, line]) == "rfc3164"
    assert detect([rest, line]) is None
    assert detect([b"", b" "]) is None
    assert detect([]) is None


def test_line_of_syslog_fits_its_own_format_only() -> None:
    assert [name for name, parser in FORMATS.items() if parser.fits(b"Nov 23 10:00:00 web01 app: x")] == ["rfc3164"]


@pytest.mark.parametrize(
    ("line", "host", "tag", "utc"),
    [
        ("2026-11-23 10:00:00.5+0700  mac sshd[8]: x", "mac", "sshd", "2026-11-23T03:00:00.5Z"),
        ("2026-11-23T10:00:00.25 ftp1 vsftpd[8]: x", "ftp1", "vsftpd", "2026-11-23T10:00:00.25Z"),
        ("2026-11-23 10:00:00 ftp1 vsftpd[8]: x", "ftp1", "vsftpd", "2026-11-23T10:00:00Z"),
        ("@400000006925f20a0c8a9e94 auth: x", "", "auth", "2025-11-25T18:14:24.210411Z"),
        ("Nov 23 10:00:00 [sshd] x", "", "sshd", "2026-11-23T10:00:00Z"),
        ("Nov 23 10:00:00 [sshd]: x", "", "sshd", "2026-11-23T10:00:00Z"),
    ],
)
def test_relatives_of_the_header_are_read_too(line: str, host: str, tag: str, utc: str) -> None:
    found = event(line)

    assert found.time_us is not None
    assert (found.host, found.fields["program"], rfc3339(found.time_us)) == (host, tag, utc)
    assert found.fields["message"] == "x"


@pytest.mark.parametrize(
    "line",
    [
        "2026-11-23 10:00:00 ERROR worker: no zone and no process id",
        "2026-11-23 10:00:00,412 app.server: INFO: x",
        "@4000000069ff h t: x",
        "@ffffffffffffffffffffffff h t: x",
        "@400000006925f20affffffff h t: x",
    ],
)
def test_other_programs_own_logs_are_not_taken_for_syslog(line: str) -> None:
    with pytest.raises(ParseError):
        event(line)


@settings(max_examples=200, deadline=None)
@given(
    st.from_regex(rb"(?s)(<\d{1,3}>)?[A-Z][a-z]{2} {1,2}\d{1,2} \d\d:\d\d:\d\d.{0,80}", fullmatch=True) | st.binary()
)
def test_no_line_raises_anything_but_parse_error(data: bytes) -> None:
    try:
        found = parse(record(data))
    except ParseError:
        return
    assert isinstance(found.fields["message"], str)


@settings(max_examples=100, deadline=None)
@given(
    host=st.from_regex(r"[A-Za-z0-9][A-Za-z0-9.-]{0,60}", fullmatch=True),
    tag=st.from_regex(r"[a-z][A-Za-z0-9_./-]{0,30}", fullmatch=True),
    pid=st.integers(0, 2**31) | st.none(),
    message=st.text(st.characters(exclude_categories=["Cs", "Cc", "Zs", "Zl", "Zp"]), min_size=1),
)
def test_what_was_written_is_read_back(host: str, tag: str, pid: int | None, message: str) -> None:
    found = event(f"Nov 23 10:00:00 {host} {tag}{'' if pid is None else f'[{pid}]'}: {message}")

    assert (found.host, found.fields["program"], found.fields.get("pid")) == (host, tag, pid)
    assert found.fields["message"] == message


_STAMPS = (
    "Nov 23 10:00:00",
    "Nov  3 10:00:00",
    "Nov 3 10:00:00",
    "Feb 30 10:00:00",
    "Nov 23 10:00:61",
    "Nov 23 10:00:00.5",
)
_HOSTS = ("web01", "2001:db8::1", "h:", "<h>", "[h]", "%LINK", "é")
_TAGS = ("sshd", "/usr/sbin/CRON", "syslogd 1.4.1", "a:b", "sshd(pam_unix)", "%ASA-1", "[sshd]", "")
_ENDS = (
    "[1]: ",
    "[12345678901]: ",
    "[1]:",
    "[1] ",
    "[x]: ",
    "[]: ",
    ": ",
    ":",
    "[1]: [ID 4 auth.info] ",
    "[1]: [ID x] ",
    "",
)
_SAID = (
    "Failed password for root from 192.0.2.1 port 22 ssh2",
    "pam_unix(cron:session): session closed for user root",
    " x\0",
    "",
    "\n",
)


_LINES = st.tuples(
    st.sampled_from(["", "<86>", "<192>", "<1"]),
    st.sampled_from(_STAMPS),
    st.sampled_from([" ", "  "]),
    st.sampled_from(_HOSTS) | st.text(st.characters(codec="utf-8"), max_size=6),
    st.sampled_from([" ", "  "]),
    st.sampled_from(_TAGS) | st.text(st.characters(codec="utf-8"), max_size=6),
    st.sampled_from(_ENDS),
    st.sampled_from(_SAID) | st.text(st.characters(codec="utf-8"), max_size=12),
).map("".join)


@given(_LINES)
@settings(max_examples=600)
def test_common_line_is_read_as_all_others_are(line: str) -> None:
    assert _outcome(rfc3164.parse, line) == _outcome(_as_any_line, line)


def _as_any_line(given: Record, *, year: int | None, undated: bool) -> Event:
    return rfc3164._parse_any(given.data.decode("utf-8", "backslashreplace"), given, year, undated=undated)


def _outcome(read: Callable[..., Event], line: str) -> Event | str:
    try:
        return read(record(line.encode()), year=None, undated=False)
    except ParseError as error:
        return str(error)
