r"""Access logs of Apache and nginx: common and combined log format (mod_log_config, ngx_http_log_module).

    192.0.2.7 - hoa [17/May/2015:10:05:03 +0700] "GET /a?b=c HTTP/1.1" 200 512 "https://example.com/" "Mozilla/5.0"
    www.example.com:443 192.0.2.7 - - [17/May/2015:10:05:03 +0700] "GET / HTTP/1.1" 200 512     with a virtual host

More may follow (request time, X-Forwarded-For); a line may stand in quotation marks, as exports write it. User,
request, referer and user agent are the client's words, but both servers escape quotation marks in them, so that `] "`
ends the user name and a mark the rest. The client's address comes before all of them.
"""

import re
from functools import lru_cache
from typing import Any

from socmon.addresses import address
from socmon.errors import ParseError
from socmon.event import SECOND_US, Event, LogSource, Record
from socmon.parsers import stamps
from socmon.parsers.requests import request_fields

LOGSOURCE = LogSource(category="webserver")

_TIME = (
    r"\[([0-3]?[0-9]/[A-Z][a-z]{2}/(?:19|20|21)[0-9]{2}:[0-9]{2}:[0-9]{2}):([0-9]{2})(?:\.[0-9]{1,9})?"
    r" ?([+-][0-9]{4})?\]"
)
_QUOTED = r'"([^"\\]*(?:\\.[^"\\]*)*)'  # without the end, which a line that was cut lacks
_HOST = r'[^\s"\[\\]{1,255}'
# Only where an ident of `-` does not come next is the first word a virtual host.
_START = (
    r"(?!<[0-9]|[A-Z][a-z]{2} {1,2}[0-9]{1,2} [0-9]|[0-9]{4}-[0-9]{2}-[0-9]{2}T)"  # syslog that carries such a line
    r'(?:(\S{1,255}) (?!- ))?([^\s\["{]\S{0,254}) (\S{1,255}) '  # host, client, ident
    rf'((?(1)(?!\[))(?:[^"]|(?<=\\)"){{0,1024}}?) ?{_TIME} '  # user, time
)
_END = rf' ([0-9]{{3}}|-) ([0-9]{{1,19}}|-)(?: {_QUOTED}"?(?: {_QUOTED}"?)?)?(.*)'  # status, size, referer, agent, more
_HEADER = re.compile(rf'{_START}(?:{_HOST} )?"')
_LINE = re.compile(rf'{_START}(?:({_HOST}) )?{_QUOTED}"{_END}', re.DOTALL)
# A server that escapes nothing: the last quotation mark that a status follows ends the request.
_UNESCAPED = re.compile(rf'{_START}(?:({_HOST}) )?"(.*)"{_END}', re.DOTALL)
_FORWARDED = re.compile(r'"([0-9A-Fa-f.:]{2,45})[",]')
_DOUBLED = re.compile(r'\] ""[^ ]')  # an export that doubles the marks inside
_ESCAPE = re.compile(r'\\(?:(["\\])|((?:x[0-9A-Fa-f]{2}(?:\\(?=x[0-9A-Fa-f]{2}))?)+))')


def fits(data: bytes) -> bool:
    """Whether `data` begins with client, user and time, before the request's quotation mark."""
    return _HEADER.match(data[:2048].removeprefix(b'"').decode("utf-8", "backslashreplace")) is not None


def parse(record: Record, *, year: int | None, undated: bool) -> Event:  # noqa: ARG001  # the time is whole
    """The event of one line; `message` is the line, without marks around it.

    Raises:
        ParseError: no such line, or a time that does not exist.
    """
    text = record.data.decode("utf-8", "backslashreplace").strip(" \t\r\n\0")
    if text.startswith('"'):
        text = text[1:].removesuffix('"')
        if _DOUBLED.search(text, 0, 4096):
            text = text.replace('""', '"')
    parts = _parts(text)
    if parts is None:
        raise ParseError(f"not a line of an access log: {text[:80]!r}")
    minute, second, offset = parts[4:7]
    start_us = stamps.clf_minute_us(minute.rjust(17, "0"), offset, record.source.zone)
    if start_us is None or second > "60":
        raise ParseError(f"there is no such time as {minute}:{second} (zone {offset or record.source.zone})")
    fields = _fields(parts)
    fields["message"] = text
    return Event(record, start_us + int(second) * SECOND_US, "stated", "", LOGSOURCE, fields)


def read(message: str) -> dict[str, Any]:
    """What a line that came through syslog states; {} if it is none."""
    parts = _parts(message)
    return _fields(parts) if parts else {}


def _parts(text: str) -> tuple[str, ...] | None:
    found = _LINE.match(text) or _UNESCAPED.match(text)
    return found.groups() if found else None


def _fields(parts: tuple[str, ...]) -> dict[str, Any]:
    host, client, _ident, user, _, _, _, host_after, request, status, size, referer, agent, rest = parts
    fields = dict(_request(request))
    c_ip = address(client)
    if c_ip:
        fields["c-ip"] = c_ip
    elif client != "-":
        fields["c-dns"] = client
    if user not in ("-", "- -", ""):
        fields["cs-username"] = _unescaped(user)
    if status != "-":
        fields["sc-status"] = int(status)
    if size != "-":
        fields["sc-bytes"] = int(size)
    if referer and referer != "-":
        fields["cs-referer"] = _unescaped(referer)
    if agent and agent != "-":
        fields["cs-user-agent"] = _unescaped(agent)
    if host or host_after:
        _add_host(fields, host or host_after)
    if rest and (forwarded := _FORWARDED.search(rest, 0, 4096)) and (xff := address(forwarded[1])):
        fields["xff"] = xff
    return fields


@lru_cache(maxsize=4096)
def _request(request: str) -> dict[str, Any]:
    return request_fields(_unescaped(request))


def _add_host(fields: dict[str, Any], host: str) -> None:
    name, colon, port = host.rpartition(":")
    if colon and port.isascii() and port.isdecimal() and len(port) <= 5:  # digits of a port
        fields["s-port"] = int(port)
        host = name
    if host != "-":
        fields["cs-host"] = host


def _unescaped(text: str) -> str:
    r"""`text` without the server's escapes; bytes that are not UTF-8, and control characters, stay `\xHH`."""
    return _ESCAPE.sub(_meant, text) if "\\" in text else text


def _meant(escape: re.Match[str]) -> str:
    if escape[1]:
        return escape[1]
    text = bytes.fromhex(escape[2].replace("\\", "").replace("x", "")).decode("utf-8", "backslashreplace")
    return "".join(char if char.isprintable() else "".join(f"\\x{byte:02x}" for byte in char.encode()) for char in text)
