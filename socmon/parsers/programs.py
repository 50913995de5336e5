"""Who reads the messages of a program that writes syslog: one line a program, whatever carried the message."""

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from socmon.event import LogSource
from socmon.parsers import (
    accounts,
    apache_error,
    cron,
    dovecot,
    netfilter,
    nginx_error,
    pam,
    postfix,
    sshd,
    su,
    sudo,
    systemd,
    web_access,
    windows_json,
)

Reader = Callable[[str], dict[str, Any]]


class Program(NamedTuple):
    """A program.

    Attributes:
        read: what a message states, {} if the reader knows no such message.
        told: log source of the messages that `read` knows; None if it is that of all others.
    """

    read: Reader
    told: LogSource | None = None


_FIREWALL = LogSource(product="linux", category="firewall", service="kernel")

# By service: the tag in lower case, without its path.
_PROGRAMS: Mapping[str, Program] = {
    "sshd": Program(sshd.read),
    "sudo": Program(sudo.read),
    "su": Program(su.read),
    "cron": Program(cron.read),
    "kernel": Program(netfilter.read, _FIREWALL),
    "ulogd": Program(netfilter.read, _FIREWALL),
    "postfix": Program(postfix.read),
    "dovecot": Program(dovecot.read),
    "systemd": Program(systemd.read),
    "systemd-logind": Program(systemd.read_logind),
    "systemd-sysusers": Program(accounts.read),
    "useradd": Program(accounts.read),
    "usermod": Program(accounts.read),
    "userdel": Program(accounts.read),
    "groupadd": Program(accounts.read),
    "groupmod": Program(accounts.read),
    "groupdel": Program(accounts.read),
    "gpasswd": Program(accounts.read),
    "passwd": Program(accounts.read),
    "chpasswd": Program(accounts.read),
    "chage": Program(accounts.read),
    "chsh": Program(accounts.read),
    "chfn": Program(accounts.read),
    "adduser": Program(accounts.read),
    "deluser": Program(accounts.read),
    "vsftpd": Program(pam.read_vsftpd),
    "httpd": Program(apache_error.read, apache_error.LOGSOURCE),
    "apache2": Program(apache_error.read, apache_error.LOGSOURCE),
    "nginx": Program(nginx_error.read, nginx_error.LOGSOURCE),
}
_ANY = Program(pam.read)  # PAM writes under the tag of whoever called it

# Tags that differ from the name of the service. OpenSSH 9.8 split its daemon into parts; dovecot's own log has no
# other tag than the process.
_SERVICES = {
    "sshd-session": "sshd",
    "sshd-auth": "sshd",
    "crond": "cron",
    "crontab": "cron",
    "dovecot-auth": "dovecot",
    "auth": "dovecot",
    "auth-worker": "dovecot",
    "imap-login": "dovecot",
    "pop3-login": "dovecot",
    "submission-login": "dovecot",
    "managesieve-login": "dovecot",
}
_INSTANCE = re.compile(r"(postfix)(?:-[^/]{1,64})?/")  # `postfix-incoming/smtpd`, `postfix/submission/smtpd`

_REPEATED = re.compile(r"message repeated ([0-9]{1,7}) times: \[ ?(.*)\]", re.DOTALL)  # rsyslog
_MOST_REPEATS = 1_000_000


def read(tag: str, message: str) -> tuple[LogSource, dict[str, Any], int]:
    """Log source, fields (without `message` and `program`) and repeats of a message that came with `tag`."""
    logsource, program = of(tag)
    return read_by(program, logsource, message)


def read_by(program: Program | None, logsource: LogSource, message: str) -> tuple[LogSource, dict[str, Any], int]:
    """As `read`, of the program and the log source that `of` has found for the tag."""
    repeat, told = _repeated(message) if message.startswith("message repeated ") else (1, message)
    if program is None:
        return logsource, {}, repeat
    if program is _ANY and (fields := windows_json.wrapped(told)):
        return windows_json.logsource(fields), fields, repeat
    fields = program.read(told)
    if "sc-status" in fields:  # a web server that sends its access log too
        return web_access.LOGSOURCE, fields, repeat
    return (program.told if program.told and fields else logsource), fields, repeat


@lru_cache(maxsize=1024)
def of(tag: str) -> tuple[LogSource, Program | None]:
    """Log source of a tag, and its program; None of one that is not Linux's.

    Tags are written as `sshd(pam_unix)`, `/usr/sbin/CRON`, `syslogd 1.4.1` too.
    """
    if tag.startswith("%"):  # `%LINK-3-UPDOWN`: network equipment, not Linux
        return LogSource(), None
    name = tag.rpartition("/")[2] if tag.startswith("/") else tag
    name = re.split(r"[( ]", name.lower())[0] or name
    if instance := _INSTANCE.match(name):
        name = instance[1]
    service = _SERVICES.get(name, name) or None
    return LogSource(product="linux", service=service), _PROGRAMS.get(service or "", _ANY)


def _repeated(message: str) -> tuple[int, str]:
    """How often the inner message of `message repeated N times: [ … ]` came, and it; (1, message) beyond the bound."""
    found = _REPEATED.fullmatch(message)
    if found is None or not 1 <= int(found[1]) <= _MOST_REPEATS:
        return 1, message
    return int(found[1]), found[2]
