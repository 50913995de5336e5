"""Dovecot's own log (`log_path`, `info_log_path`), without syslog: time, process, level, message.

    2013-08-11 03:56:40 auth-worker(default): Info: pam(lan,192.0.2.1): pam_authenticate() failed: …
    Jan 29 13:54:06 imap-login: Info: Login: user=<lan>, method=PLAIN, rip=192.0.2.1, …
    Mar 13 15:25:07 Info: auth(default): …        1.x has the level first; @400000004c91b044077a9e94 multilog's time

src/lib/failures.c, default_log_prefix and i_set_failure_file().
"""

import re

from socmon.errors import ParseError
from socmon.event import Event, Record
from socmon.parsers import dating, programs

_LEVEL = r"(?:Debug|Info|Warning|Error|Fatal|Panic):"
_PROCESS = (
    r"(?:(?:imap|pop3|submission|managesieve|lmtp)(?:-login)?|auth(?:-worker)?|lda|master|config|anvil|log|stats|ssl-params"
    r"|dovecot(?:-auth)?|doveadm|director|indexer(?:-worker)?|dict|ipc|replicator|aggregator|quota-status|IMAP|POP3)"
)
_HEADER = re.compile(
    rf"""
    {dating.STAMP}
    [ ]
    (?: {_LEVEL}[ ] ( {_PROCESS} (?:\([^()]{{0,400}}\))? :[ ] .*)
      | ( {_PROCESS} (?:\(.{{0,400}}?\))? (?:<[^<>\s]{{0,80}}>){{0,2}} :[ ] {_LEVEL} .*) )
    """,
    re.VERBOSE | re.DOTALL,
)


def fits(data: bytes) -> bool:
    """Whether `data` begins with a time, one of Dovecot's processes and a level."""
    return _HEADER.match(data[:1024].decode("utf-8", "backslashreplace")) is not None


def parse(record: Record, *, year: int | None, undated: bool) -> Event:
    """The event of one line; `message` is the text after the time, or after a level that stands first.

    Raises:
        ParseError: no such header, or a time that does not exist.
    """
    text = record.data.decode("utf-8", "backslashreplace")
    header = _HEADER.match(text)
    if header is None:
        raise ParseError(f"no time, process and level of Dovecot's log at the start of {text[:80]!r}")
    label, stamp, stated_year, minute, second, fraction, zone, behind_level, before_level = header.groups()
    message = (behind_level or before_level).rstrip(" \t\r\n\0")
    stated = (label, stamp, stated_year, minute, second, fraction, zone)
    time_us, known = dating.time_of(stated, record, year, undated=undated)
    logsource, fields, repeat = programs.read("dovecot", message)
    fields["message"], fields["program"] = message, "dovecot"
    return Event(record, time_us, known, "", logsource, fields, repeat)
