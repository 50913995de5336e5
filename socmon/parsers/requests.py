"""The request line of HTTP in Sigma's webserver fields, as access logs, error logs and applications state it."""

import re
from typing import Any
from urllib.parse import unquote

_REQUEST = re.compile(r"([A-Z][A-Z_-]{0,31}) +(\S.*)", re.DOTALL)
_VERSION = re.compile(r"HTTP/[0-9]\.?[0-9]?")
_DECODED_TIMES = 2  # `%252e` reaches a second decoder behind a proxy


def request_fields(request: str) -> dict[str, Any]:
    """`cs-method cs-uri cs-uri-stem cs-uri-query cs-uri-decoded cs-version` of `GET /a?b=c HTTP/1.1`.

    `action` is `invalid_request` for what is no request line (TLS or another protocol on a plain port); nothing is
    stated for `-` and for nothing at all, which clients leave that only connect.
    """
    found = _REQUEST.fullmatch(request.rstrip(" "))
    method, uri = found.groups() if found else ("", "")
    # Not by the pattern: to look for an end behind each space takes time with the square of their number.
    before, _, last = uri.rpartition(" ")
    version = last if before and _VERSION.fullmatch(last) else ""
    if version:
        uri = before.rstrip(" ")
    if not (version or uri.startswith("/")):
        return {"action": "invalid_request"} if request not in ("", "-") else {}
    fields = {"cs-method": method, **uri_fields(uri)}
    if version:
        fields["cs-version"] = version
    return fields


def uri_fields(uri: str) -> dict[str, Any]:
    """`cs-uri` and its parts as the client wrote them, and `cs-uri-decoded`."""
    stem, asked, query = uri.partition("?")
    fields = {"cs-uri": uri, "cs-uri-stem": stem, "cs-uri-decoded": uri}
    if asked:
        fields["cs-uri-query"] = query
    if "%" in uri or "+" in query:
        fields["cs-uri-decoded"] = _decoded(stem) + asked + _decoded(query.replace("+", " "))
    return fields


def _decoded(text: str) -> str:
    """`text` percent-decoded twice; bytes that are not UTF-8 as escapes."""
    for _ in range(_DECODED_TIMES):
        text = unquote(text, errors="backslashreplace")
    return text
