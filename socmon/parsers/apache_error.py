"""Error log of the Apache HTTP server 2.2 and 2.4 (server/log.c; messages: server/ and modules/).

    [Sat Jul 20 21:34:49.453232 2013] [auth_basic:error] [pid 17] [client 192.0.2.7:51380] AH01618: user x not found: /
    [Sat Jul 20 21:34:49 2013] [error] [client 192.0.2.7] File does not exist: /srv/www/pma, referer: http://example.com/

User names, paths, referers and what a script writes to its error stream are the words of clients. So the client's
address is only that of the bracket in its place of the header, never one further on.
"""

import re
from typing import Any

from socmon.addresses import address
from socmon.errors import ParseError
from socmon.event import SECOND_US, Event, LogSource, Record
from socmon.parsers import modsecurity, stamps, web_access
from socmon.parsers.requests import request_fields

LOGSOURCE = LogSource(product="apache", category="webserver_error", service="apache")

_LEVELS = "emerg|alert|crit|error|warn|notice|info|debug|trace[1-8]"
_TIME = re.compile(
    r"\[(?:[A-Z][a-z]{2} )?([A-Z][a-z]{2} [ 0-3]?[0-9] [0-9]{2}:[0-9]{2}):([0-9]{2})(?:\.([0-9]{1,9}))? "
    r"((?:19|20|21)[0-9]{2})\] (?=\[)"
)
_MESSAGE = re.compile(
    rf"""
    \[ (?: ([\w.+-]{{0,64}}): )? ({_LEVELS}) \] [ ]?
    (?: \[pid[ ]([0-9]{{1,10}}) (?: :tid[ ][0-9]{{1,20}} )? \] [ ]? )?
    (?: [\w./-]{{1,128}}\.c\([0-9]{{1,6}}\):[ ] )?                  # source file, at the levels of debugging
    (?: \([0-9]{{1,10}}\)[^\[]{{1,128}}:[ ](?=\[) )?                # the system's error
    (?: \[client[ ] (?: \[([0-9A-Fa-f.:%\w]{{2,64}})\] | ([^\s\[\]]{{1,255}}?) ) (?: :([0-9]{{1,5}}) )? \] [ ]? )?
    (?: \[client[ ][^\s\]]{{1,255}}\] [ ] (?=ModSecurity:) )?
    (?: (AH[0-9]{{5}}): [ ]? )?
    (.*)
    """,
    re.VERBOSE | re.DOTALL,
)
_SYSTEM_ERROR = re.compile(r"\([0-9]{1,10}\)[^:]{1,128}: (?:(AH[0-9]{5}): )?")
_MODULE_PREFIX = re.compile(r"Digest: |(?:\[[0-9]{1,10}\] )?auth_ldap authenticate: ")

# An attempt to authenticate that failed; the first that fits counts.
_FAILURES = tuple(
    re.compile(pattern, re.DOTALL)
    for pattern in (
        r"user `(?P<user>.*)' in realm `.*' not found(?:: .*)?",  # mod_auth_digest
        r"user '(?P<user>.*)' not found(?:: .*)?",
        r"user (?P<user>.*?) not found(?:: .*)?",  # mod_auth_basic, mod_auth_form
        r"user '?(?P<user>.*?)'?: authentication failure for .*",
        r"user (?P<user>.*?): password mismatch(?:: .*)?",
        r"user (?P<user>.*?) authentication failed; URI .*",  # mod_authnz_ldap
        r"user (?P<user>.*?): (?:nonce count|invalid nonce|one-time-nonce).*",
        r"client used wrong authentication scheme\b.*",
        r"PAM: user '(?P<user>.*)' - (?:not authenticated|invalid account): .*",
        r"PAM (?:authentication|account validation) failed for user (?P<user>.*?)(?:: .*)?",  # mod_authnz_pam
        r"AuthExtern \S{1,128} \[.*\]: Failed \(-?[0-9]{1,10}\) for user (?P<user>.*)",  # mod_authnz_external
        r"(?:krb5_get_init_creds_password|krb5_verify_init_creds|gss_accept_sec_context)\(\) failed: .*",
        r"invalid (?:nonce|opaque|qop|uri|digest) .*",
        r"realm mismatch - .*",
        r"unknown algorithm `.*' received.*",
        r"uri mismatch - .*",
        r"nonce-count mismatch.*",
    )
)
_DENIED = tuple(
    re.compile(pattern, re.DOTALL)
    for pattern in (
        r"user (?P<user>.*?): authorization failure for .*",
        r"Authorization of user (?P<user>.*?) to access .* failed, reason: .*",
        r"access to .*? failed, reason: user '?(?P<user>.*?)'? (?:does not meet|is not allowed|not allowed).*",
        r"client denied by server configuration(?:: (?P<path>.*))?",
        r"access to (?P<path>.*) (?:denied|failed)\b.*",
        r"file permissions deny server access(?:: (?P<path>.*))?",
        r"(?:Cannot serve directory .*: .*directory index|Directory index) forbidden by .*",
        r"Symbolic link not allowed.*",
        r"attempt to (?:invoke|include) directory as script.*",
        r"Options ExecCGI is off in this directory.*",
    )
)
_ACTIONS = tuple(
    (re.compile(pattern, re.DOTALL), action)
    for pattern, action in (
        (r"File does not exist(?:: (?P<path>.*))?", "not_found"),
        (r"script not found or unable to stat(?:: (?P<path>.*))?", "script_not_found"),
        (r"script '(?P<path>.*)' not found or unable to stat.*", "script_not_found"),
        (r"stderr from (?P<path>.*): script not found or unable to stat.*", "script_not_found"),
        (r"Got error '.*(?:Primary script unknown|Unable to open primary script).*", "script_not_found"),
        (r"(?:request failed: )?URI too long.*|.*\(URI too long\).*", "uri_too_long"),
        (r"Requested content-length of .* is larger than .*", "too_large"),
        (r"(?:Invalid URI in request|Invalid method in request) ?(?P<request>.*)", "invalid_request"),
        (r"invalid URI path \((?P<path>.*)\)", "invalid_request"),
        (r"(?:request failed|Request header|HTTP Request Line|Client sent|client sent) .*", "invalid_request"),
        (r"request failed: .*|(?:Number|number) of request header.*", "invalid_request"),
        (r"Hostname .* provided via .*|No hostname was provided via SNI.*", "tls_error"),
        (
            r"SSL (?:Library|library) [Ee]rror.*|SSL handshake .*|Certificate Verification: .*|.*SSL input filter.*",
            "tls_error",
        ),
        (r"mod_qos\([0-9]{1,4}\): access denied.*", "limited"),
    )
)


def fits(data: bytes) -> bool:
    """Whether `data` begins with this log's time and level."""
    text = data[:512].decode("utf-8", "backslashreplace")
    return (time := _TIME.match(text)) is not None and _MESSAGE.match(text, time.end()) is not None


def parse(record: Record, *, year: int | None, undated: bool) -> Event:  # noqa: ARG001  # the time has its year
    """The event of one line; `message` is the text after the client and the code.

    Raises:
        ParseError: no such line, or a time that does not exist.
    """
    text = record.data.decode("utf-8", "backslashreplace").rstrip(" \t\r\n\0")
    time = _TIME.match(text)
    fields = _error(text[time.end() :]) if time else {}
    if time is None or not fields:
        raise ParseError(f"not a line of Apache's error log: {text[:80]!r}")
    minute, second, fraction, stated_year = time.groups()
    start_us = stamps.minute_us(minute, int(stated_year), record.source.zone)
    if start_us is None or second > "60":
        raise ParseError(f"there is no such time as {minute}:{second} (zone {record.source.zone})")
    into_us = int(second) * SECOND_US + (int(fraction[:6].ljust(6, "0")) if fraction else 0)
    return Event(record, start_us + into_us, "stated", "", LOGSOURCE, fields)


def read(message: str) -> dict[str, Any]:
    """What a message states, with or without its time, as it also comes through syslog; an access line too.

    `src_ip src_port level module code pid user outcome action path`, `cs-referer`, `cs-method cs-uri …`; {} if neither.
    """
    time = _TIME.match(message)
    return _error(message[time.end() :] if time else message) or web_access.read(message)


def _error(text: str) -> dict[str, Any]:
    found = _MESSAGE.fullmatch(text)
    if found is None:
        return {}
    module, level, pid, ipv6, client, port, code, message = found.groups()
    if client and port and ":" in client and not pid:  # 2.2 writes IPv6 without brackets, and no port
        client, port = f"{client}:{port}", None
    told, _, referer = message.partition(", referer: ")
    if system := _SYSTEM_ERROR.match(told):
        code, told = code or system[1], told[system.end() :]
    fields: dict[str, Any] = {"level": level, "message": message}
    stated = {"module": module, "code": code, "src_ip": address(ipv6 or client or ""), "cs-referer": referer}
    fields.update((name, value) for name, value in stated.items() if value)
    fields.update((name, int(value)) for name, value in (("pid", pid), ("src_port", port)) if value)
    _add_outcome(fields, told)
    return fields


def _add_outcome(fields: dict[str, Any], told: str) -> None:
    """Add `user`, `outcome`, `action` and what else the message states."""
    if told.startswith("ModSecurity:"):
        fields.update(modsecurity.read(told))
        return
    if prefix := _MODULE_PREFIX.match(told):
        told = told[prefix.end() :]
    for form in _FAILURES:
        if stated := form.fullmatch(told):
            fields["outcome"] = "failure"
            fields.update((name, value) for name, value in stated.groupdict().items() if value)
            return
    for form, action in _FORMS:
        if stated := form.fullmatch(told):
            fields["action"] = "limited" if fields.get("module") == "evasive20" else action
            _add_stated(fields, stated.groupdict())
            return


_FORMS = (*((form, "denied") for form in _DENIED), *_ACTIONS)


def _add_stated(fields: dict[str, Any], stated: dict[str, str | None]) -> None:
    request = stated.pop("request", None)
    if request:
        fields.update((name, value) for name, value in request_fields(request).items() if name != "action")
    fields.update((name, value) for name, value in stated.items() if value)
