"""Hostile messages to the reader of every program that writes syslog, in each format that carries them."""

import msgspec

from socmon.errors import ParseError
from socmon.event import Record, Source
from socmon.parsers import detect, parse

_NOW_US = 1_795_435_200_000_000
_TAGS = (
    b"sshd",
    b"sudo",
    b"su",
    b"cron",
    b"useradd",
    b"passwd",
    b"systemd",
    b"systemd-logind",
    b"kernel",
    b"vsftpd",
    b"login",
    b"postfix/smtpd",
    b"dovecot",
    b"auth-worker",
    b"ftpd(pam_unix)",
    b"httpd",
    b"apache2",
    b"nginx",
)
_HEADERS = (
    *(("rfc3164", b"Nov 23 10:00:02 h " + tag + b"[8]: ") for tag in _TAGS),
    *(("rfc5424", b"<38>1 2026-11-23T10:00:02Z h " + tag + b" 8 - - ") for tag in (b"sshd", b"kernel", b"dovecot")),
    ("rfc5424", b"<38>1 2026-11-23T10:00:02Z h a 8 - "),
    ("rfc5424", b"<38>1 "),
    ("rfc5424", b""),
    ("dovecot", b"2026-11-23 10:00:02 imap-login: Info: "),
    ("dovecot", b"@400000004c91b044077a9e94 auth("),
    ("dovecot", b""),
    ("untimed_syslog", b"<38>h sshd[8]: "),
    ("untimed_syslog", b"<"),
    ("untimed_syslog", b""),
)


def one_input(data: bytes) -> None:
    """Read `data` as the message of each program, and as structured data, header and whole line."""
    detect([data])
    for name, header in _HEADERS:
        source = Source(collector="fuzz", peer="fuzz", format=name)
        try:
            event = parse(Record(header + data, source, _NOW_US))
        except ParseError:
            continue
        msgspec.json.encode([event.fields, event.entities, event.host])
        assert event.time_us is not None
        assert event.fields.get("outcome") in {None, "success", "failure"}
        assert isinstance(event.fields.get("action", ""), str)
        assert 0 <= event.fields.get("src_port", 0) <= 99_999
