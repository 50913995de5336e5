"""The body of a request: gzip that cannot explode (RFC 1952), and the records in it: lines, or elements of an array."""

import re
import zlib
from collections.abc import Sequence

import msgspec

from collectors._http_refusals import RequestRefusedError

LINES = frozenset({"application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines"})
JSON = "application/json"
TEXT = "text/plain"
ENCODINGS = ("gzip", "identity")

_GZIP = 16 + zlib.MAX_WBITS
# Repetitive logs come to 1:100; deflate itself ends at 1:1032.
_MAX_RATIO = 250
_RATIO_FROM_BYTES = 1024 * 1024
_STEP_BYTES = 1024 * 1024
_MAX_MEMBERS = 1000  # each costs a step, and an empty one takes 20 bytes only
_COMMAS = 40  # of one record on the average; honest ones of so many fields come to the limit in bytes before
_BOM = b"\xef\xbb\xbf"
_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|[\[\]{},]', re.DOTALL)
_BYTE = re.compile(r"\(byte (\d+)\)")
_ELEMENTS = msgspec.json.Decoder(list[msgspec.Raw])
_ONE = msgspec.json.Decoder(msgspec.Raw)


class Body:
    """What has come in of a body, unpacked.

    Args:
        encoding: of `Content-Encoding`, one of ENCODINGS.
        max_bytes: of the body, as it comes in and unpacked.
    """

    def __init__(self, encoding: str, max_bytes: int) -> None:
        self._gzip = encoding == "gzip"
        self._max_bytes = max_bytes
        self._came_bytes = 0
        self._data = bytearray()
        self._member = zlib.decompressobj(wbits=_GZIP)
        self._members = 1

    def feed(self, chunk: bytes) -> int:
        """Take in what came; how many bytes the body has grown by.

        Raises:
            RequestRefusedError: 413 too large or a bomb, 400 no gzip.
        """
        before = len(self._data)
        self._came_bytes += len(chunk)
        if self._gzip:
            self._unpack(chunk)
        else:
            self._data += chunk
        if max(len(self._data), self._came_bytes) > self._max_bytes:
            text = f"the body is larger than {self._max_bytes} bytes; send fewer records at a time"
            raise RequestRefusedError(413, "too_large", text)
        return len(self._data) - before

    def whole(self) -> bytes:
        """All of it, after the last `feed`.

        Raises:
            RequestRefusedError: 400, it ends in the middle of the compressed data.
        """
        if self._gzip and self._came_bytes and not self._member.eof:
            raise RequestRefusedError(400, "bad_gzip", "the body ends in the middle of the gzip data; send it whole")
        return bytes(self._data)

    def _unpack(self, chunk: bytes) -> None:
        while chunk:
            if self._member.eof:
                self._members += 1
                self._member = zlib.decompressobj(wbits=_GZIP)
            if self._members > _MAX_MEMBERS:
                raise RequestRefusedError(413, "too_large", f"the body has more than {_MAX_MEMBERS} members of gzip")
            try:
                # Step by step, and one byte more than may be, so that what is too much is seen without being made.
                step_bytes = min(_STEP_BYTES, self._max_bytes + 1 - len(self._data))
                self._data += self._member.decompress(chunk, step_bytes)
            except zlib.error as error:
                raise RequestRefusedError(400, "bad_gzip", f"the body is not gzip: {error}") from error
            if len(self._data) > self._max_bytes:
                return
            if len(self._data) > max(_RATIO_FROM_BYTES, _MAX_RATIO * self._came_bytes):
                text = f"the body grows to more than {_MAX_RATIO} times its size when unpacked; send it uncompressed"
                raise RequestRefusedError(413, "too_large", text)
            chunk = self._member.unconsumed_tail or self._member.unused_data


def split(media: str, body: bytes, max_records: int) -> Sequence[bytes | msgspec.Raw]:
    """The records in `body`, in order, framing removed; blank lines are none.

    What is in a line is not judged here: whoever can put something into a log would otherwise have the whole request
    refused. But a body without one line that looks like an object is of another form than its type says.

    Args:
        media: type of the body, TEXT, JSON or one of LINES.

    Raises:
        RequestRefusedError: 400 the body is not what `media` says, with line or element; 413 more than `max_records`.
    """
    body = body.removeprefix(_BOM)
    if media == JSON:
        start = body[:4096].lstrip()[:1]
        if start == b"[":
            return _elements(body, max_records)
        if start == b"{" and _is_one(body):
            return [body.strip()]
    lines = _lines(body, max_records)
    if media != TEXT and lines and not any(line.startswith(b"{") for line in lines):
        text = f"line 1 is no JSON object, and neither is another one; it begins {lines[0][:40]!r}"
        raise RequestRefusedError(400, "bad_body", f"{text}; send plain lines as {TEXT}", where={"line": 1})
    return lines


def _lines(body: bytes, max_records: int) -> list[bytes]:
    if body.count(b"\n") > max_records:
        raise _too_many(max_records)
    lines = [line for line in (each.strip(b" \t\r\0") for each in body.split(b"\n")) if line]
    if len(lines) > max_records:
        raise _too_many(max_records)
    return lines


def _is_one(body: bytes) -> bool:
    try:
        _ONE.decode(body)
    except (msgspec.MsgspecError, RecursionError):
        return False
    return True


def _elements(body: bytes, max_records: int) -> list[msgspec.Raw]:
    # Before the elements are made: they take more memory than the commas.
    if body.count(b",") > _COMMAS * max_records:
        raise _too_many(max_records)
    try:
        elements = _ELEMENTS.decode(body)
    except (msgspec.MsgspecError, RecursionError) as error:
        number = _element_at(body, str(error))
        text = f"the array cannot be read at element {number}: {str(error)[:100].lower()}"
        raise RequestRefusedError(400, "bad_body", text, where={"element": number}) from error
    if len(elements) > max_records:
        raise _too_many(max_records)
    for number, element in enumerate(elements, 1):
        if bytes(memoryview(element)[:1]) != b"{":
            text = f"element {number} is no JSON object"
            raise RequestRefusedError(400, "bad_body", text, where={"element": number})
    return elements


def _element_at(body: bytes, said: str) -> int:
    """The element, from 1, in which the byte lies that the decoder stopped at; the last one if it named none."""
    found = _BYTE.search(said)
    depth, number = 0, 1
    for token in _TOKEN.finditer(body, 0, int(found[1]) if found else len(body)):
        mark = token[0]
        if mark in b"[{":
            depth += 1
        elif mark in b"]}":
            depth -= 1
        elif mark == b"," and depth == 1:
            number += 1
    return number


def _too_many(max_records: int) -> RequestRefusedError:
    return RequestRefusedError(413, "too_large", f"more than {max_records} records; send fewer at a time")
