"""Error log of nginx (ngx_log.c; its tail: ngx_http_request.c, ngx_http_log_error and ngx_http_log_error_handler).

    2026/11/23 10:00:02 [error] 2865#0: *66 user "x": password mismatch, client: 192.0.2.7, server: www.example.com,
    request: "GET / HTTP/1.1", host: "www.example.com", referrer: "https://example.com/"

It escapes nothing. A user name or a path, before the tail, can hold a forged tail, and so can the request and the
referrer, inside it. So the client is the one whose tail reads to its end in nginx's order; where two readings name two
addresses neither is given, and `action` is `forged_client` (docs/adr/0019). Before a message without quotation marks
stand no words of clients: its first `, client: ` is nginx's own.
"""

import re
from typing import Any

from socmon.addresses import address
from socmon.errors import ParseError
from socmon.event import SECOND_US, Event, LogSource, Record
from socmon.parsers import modsecurity, stamps, web_access
from socmon.parsers.requests import request_fields

LOGSOURCE = LogSource(product="nginx", category="webserver_error", service="nginx")

# What the journal puts before a line, when it is printed without its own time: `web01 nginx[2833]: `.
_TAGS = r"(?:([^\s:\[]{1,255}) nginx(?:\[[0-9]{1,10}\])?: )?(?:(?:[^\s:\[]{1,255} )?nginx(?:\[[0-9]{1,10}\])?: )?"
_TIME = r"((?:19|20|21)[0-9]{2}/[0-9]{2}/[0-9]{2} [0-9]{2}:[0-9]{2}):([0-9]{2})"
_LINE = re.compile(rf"{_TAGS}{_TIME} (\[[a-z]{{1,16}}\] [0-9]{{1,10}}[#:].*)", re.DOTALL)
_MESSAGE = re.compile(
    rf"(?:{_TIME} )?\[([a-z]{{1,16}})\] ([0-9]{{1,10}})[#:][0-9]{{1,20}}:?(?: \*[0-9]{{1,20}})? ?(.*)", re.DOTALL
)
_CLIENT = re.compile(r', (?:udp )?client: ([^\s,"]{1,128})(?=,|$)')
_TAIL_KEY = re.compile(r'", (subrequest|upstream|host|referrer|login): "')
_TAIL_ORDER = ("request", "subrequest", "upstream", "login", "host", "referrer")
_SERVER = re.compile(
    r"(?:, server: ([^,\"]{0,255}))?(?:, (request|subrequest|upstream|login|host|referrer): \"|$|, bytes )"
)
_HOST = re.compile(r'[^"\s]*')
# What nginx itself writes last, before the tail.
_END_OF_WORDS = re.compile(
    r'(?: password mismatch| was not found in "[^"]*"| is not found \([^()"]*\)| failed \([0-9]+: [^()"]*\)'
    r"| is forbidden| - (?:not authenticated|invalid account): [\w ]+|(?<!\w)while [a-z ,]+)$"
)
_WORDS_LETTERS = 512
_MOST_CLIENTS = 8
# nginx cuts a line at 2,048 bytes (NGX_MAX_ERROR_STR), and with it the tail behind a long forged one. A character has
# four bytes at most (RFC 3629, section 3).
_CUT_LETTERS = 480

_USER = (
    re.compile(r'user "(.*)":? (?:password mismatch|was not found in "[^"]*")', re.DOTALL),
    re.compile(r"PAM: user '(.*)' - (?:not authenticated|invalid account): .*", re.DOTALL),
)
_AUTHENTICATION = re.compile(
    r"user \"|PAM: user '|(?:http_)?auth_(?:ldap|pam|digest).{0,512}?(?:nvalid cred|failed|ismatch)"
)
_ACTIONS = tuple(
    (re.compile(pattern, re.DOTALL), action)
    for pattern, action in (
        (r"access forbidden by rule|directory index of \".*\" is forbidden|.* failed \(13: ", "denied"),
        (r"(?:limiting|delaying) (?:requests?|connections?)\b", "limited"),
        (r"client sent too long URI", "uri_too_long"),
        (r"client intended to send too large", "too_large"),
        (
            r"client sent no required SSL|client SSL certificate|(?:SSL_|peer closed connection in SSL|.*\(SSL:)",
            "tls_error",
        ),
        (r"client sent |invalid (?:host|URL|request)", "invalid_request"),
        (r"FastCGI sent in stderr: \".*(?:Primary script unknown|Unable to open primary script)", "script_not_found"),
        (r".* (?:failed|not found) \((?:2|20|3): |.*\" is not found", "not_found"),
        (r"(?:upstream |no live upstreams|connect\(\) failed|recv\(\) failed)", "upstream_error"),
    )
)


def fits(data: bytes) -> bool:
    """Whether `data` begins with this log's time, level and process."""
    return _LINE.match(data[:1024].decode("utf-8", "backslashreplace")) is not None


def parse(record: Record, *, year: int | None, undated: bool) -> Event:  # noqa: ARG001  # the time has its year
    """The event of one line; `message` is the text after the connection's number.

    Raises:
        ParseError: no such line, or a time that does not exist.
    """
    text = record.data.decode("utf-8", "backslashreplace").rstrip(" \t\r\n\0")
    line = _LINE.fullmatch(text)
    if line is None:
        raise ParseError(f"not a line of nginx's error log: {text[:80]!r}")
    host, minute, second, rest = line.groups()
    start_us = stamps.local_minute_us(minute.replace("/", "-").replace(" ", "T"), record.source.zone)
    if start_us is None or second > "60":
        raise ParseError(f"there is no such time as {minute}:{second} (zone {record.source.zone})")
    fields = read(rest) or {"message": rest}
    return Event(record, start_us + int(second) * SECOND_US, "stated", host or "", LOGSOURCE, fields)


def read(message: str) -> dict[str, Any]:
    """What a message states, with or without its time, as it also comes through syslog; an access line too.

    `src_ip level pid user outcome action`, `cs-method cs-uri …`, `cs-host`, `cs-referer`; {} if it is neither.
    """
    found = _MESSAGE.fullmatch(message)
    if found is None:
        return web_access.read(message)
    _, _, level, pid, told = found.groups()
    fields: dict[str, Any] = {"level": level, "pid": int(pid), "message": told}
    clients = list(_clients(told))
    words = told
    if clients:
        words = told[: clients[-1][0].start()]
        if len({client[1] for client, _ in clients}) > 1:
            fields["action"] = "forged_client"
            return fields
        client, tail = clients[-1]
        fields.update(tail)
        if src_ip := address(client[1]):
            fields["src_ip"] = src_ip
    _add_outcome(fields, words)
    return fields


def _clients(told: str) -> "list[tuple[re.Match[str], dict[str, Any]]]":
    """Who may be the client, each with what its tail states."""
    places = list(_CLIENT.finditer(told))
    if places and not {'"', "'"} & set(_without_zone(told[: places[0].start()])):
        return [(places[0], _tail(told[places[0].end() :]) or {})]
    if len(places) > _MOST_CLIENTS:  # nobody but a forger writes so many; two of them make it plain
        return [(place, {}) for place in places]
    read_tails = ((place, _tail(told[place.end() :])) for place in places)
    fitting = [(place, tail) for place, tail in read_tails if tail is not None]
    if len(places) == 1:
        return fitting if fitting or len(told) >= _CUT_LETTERS else [(places[0], {})]
    if not all(_ends_words(told, place.start()) for place, _ in fitting):
        fitting = []
    return fitting or [(place, {}) for place in places]


def _ends_words(told: str, end: int) -> bool:
    """Whether words of nginx's own stand right before `end`."""
    return _END_OF_WORDS.search(told, max(0, end - _WORDS_LETTERS), end) is not None


def _without_zone(words: str) -> str:
    """`words` without the name of a zone, which is the configuration's."""
    return re.sub(r' by zone "[^"]{0,255}"', "", words) if words.startswith(("limiting ", "delaying ")) else words


def _tail(tail: str) -> dict[str, Any] | None:
    """What stands after a client's address; None unless it reads to its end in nginx's order."""
    server = _SERVER.match(tail)
    if server is None:
        return None
    key = server[2]
    if key is None:
        return {}
    if not tail.endswith('"') or len(tail) == server.end():
        return None
    stated = _values(key, tail[server.end() : -1])
    if not _HOST.fullmatch(stated.get("host", "")):
        return None
    fields = request_fields(stated["request"]) if "request" in stated else {}
    fields.pop("action", None)
    for name, field in (("host", "cs-host"), ("referrer", "cs-referer"), ("login", "user")):
        if stated.get(name):
            fields[field] = stated[name]
    return fields


def _values(key: str, text: str) -> dict[str, str]:
    """The values of the tail by key; a key out of order is a word of the value before it."""
    stated: dict[str, str] = {}
    start = 0
    for found in _TAIL_KEY.finditer(text):
        if _TAIL_ORDER.index(found[1]) > _TAIL_ORDER.index(key):
            stated[key] = text[start : found.start()]
            key, start = found[1], found.end()
    stated[key] = text[start:]
    return stated


def _add_outcome(fields: dict[str, Any], words: str) -> None:
    """Add `user`, `outcome` and `action` of the words before the tail."""
    if words.startswith("ModSecurity:"):
        fields.update(modsecurity.read(words))
    elif _AUTHENTICATION.match(words):
        fields["outcome"] = "failure"
        for form in _USER:
            if stated := form.match(words):
                fields["user"] = stated[1]
    else:
        action = next((action for pattern, action in _ACTIONS if pattern.match(words)), None)
        if action:
            fields["action"] = action
