r"""Alerts in ArcSight's Common Event Format ("Implementing ArcSight Common Event Format (CEF)", version 25, 2017).

    CEF:0|socmon|socmon|0.1.0|RULE|TITLE|8|externalId=… cnt=5 start=1795366682000 src=203.0.113.77 …

In the header `\` and `|` are escaped, in values of the extension `\` and `=`; there a line break is `\n` or `\r`. What
else could move a cursor or turn the direction of a text is made visible, as everywhere.
"""

import re
from collections.abc import Callable, Iterator
from ipaddress import ip_address

from socmon import __version__
from socmon.event import Alert
from socmon.outgoing import Release
from socmon.text import printable

# 0 to 10: 3 and less is low, 4 to 6 medium, 7 and 8 high, 9 and 10 very high.
_SEVERITIES = {"informational": 1, "low": 3, "medium": 5, "high": 8, "critical": 10}
_IN_HEADER = str.maketrans({"\\": "\\\\", "|": "\\|"})
_IN_VALUE = str.maketrans({"\\": "\\\\", "=": "\\="})
_BREAK = re.compile("([\r\n])")
_BREAKS = {"\n": "\\n", "\r": "\\r"}
_NAME_BYTES, _TEXT_BYTES, _HOST_BYTES, _MESSAGE_BYTES = 512, 1000, 100, 1023
_LEAST_BYTES = 24  # less of a value is not worth its key


def cef(alert: Alert, release: Release, max_bytes: int) -> str:
    """The alert, in at most `max_bytes` of UTF-8; what does not fit is left out, the least important first.

    Raises:
        KeyError: the level is none of ours.
    """
    header = "|".join(
        [
            f"CEF:0|socmon|socmon|{__version__}",
            _cut(printable(alert.rule_id), _NAME_BYTES, _header_escaped),
            _cut(printable(alert.title), _NAME_BYTES, _header_escaped),
            f"{_SEVERITIES[alert.level]}|",
        ]
    )
    parts: list[str] = []
    left_bytes = max_bytes - len(header.encode())
    for key, value, limit_bytes in _extension(alert, release):
        room_bytes = min(limit_bytes, left_bytes - len(key) - 2)
        if not value or room_bytes < _LEAST_BYTES:
            continue
        parts.append(f"{key}={_cut(value, room_bytes, value_escaped)}")
        left_bytes -= len(parts[-1].encode()) + 1
    return header + " ".join(parts)


def value_escaped(text: str) -> str:
    """A value of the extension as it is written."""
    # Line breaks have an escape of their own.
    return "".join(_BREAKS.get(piece) or printable(piece).translate(_IN_VALUE) for piece in _BREAK.split(text))


def _extension(alert: Alert, release: Release) -> Iterator[tuple[str, str, int]]:
    """(key, value, most bytes of it); keys and limits are those of CEF's dictionary."""
    addresses = [alert.group.get("src_ip", ""), *alert.entities.get("ip", [])]
    yield "externalId", alert.id, _TEXT_BYTES
    yield "cnt", str(int(alert.count)), _TEXT_BYTES
    yield "start", str(alert.first_us // 1000), _TEXT_BYTES
    yield "end", str(alert.last_us // 1000), _TEXT_BYTES
    yield "rt", str(release.released_us // 1000), _TEXT_BYTES
    yield "act", alert.status, _TEXT_BYTES
    yield "reason", alert.reason, _TEXT_BYTES
    yield "dvchost", alert.host, _HOST_BYTES
    yield from _address(next(filter(None, addresses), ""))
    yield "suser", ",".join(alert.entities.get("user", [])), _MESSAGE_BYTES
    yield from _labelled("cs1", "agency", alert.agency)
    yield from _labelled("cs2", "system", alert.system)
    yield from _labelled("cs3", "group", " ".join(f"{name}={value}" for name, value in alert.group.items()))
    yield from _labelled("cs4", "tags", ",".join(alert.tags))
    yield from _labelled("cs5", "addresses", ",".join(filter(None, alert.entities.get("ip", []))))
    yield "msg", alert.evidence[-1].raw if alert.evidence else "", _MESSAGE_BYTES


def _labelled(key: str, label: str, value: str) -> Iterator[tuple[str, str, int]]:
    if value:
        yield f"{key}Label", label, _TEXT_BYTES
        yield key, value, _TEXT_BYTES


def _address(text: str) -> Iterator[tuple[str, str, int]]:
    """The source's, under a key for its version."""
    try:
        version = ip_address(text).version
    except ValueError:
        return
    if version == 6:
        yield "c6a2Label", "Source IPv6 Address", _TEXT_BYTES
    yield "src" if version == 4 else "c6a2", text, _TEXT_BYTES


def _header_escaped(text: str) -> str:
    return text.translate(_IN_HEADER)


def _cut(text: str, most_bytes: int, escaped: Callable[[str], str]) -> str:
    """`text`, escaped, with as many of its first characters as `most_bytes` have room for."""
    whole = escaped(text[:most_bytes])
    if len(text) <= most_bytes and len(whole.encode()) <= most_bytes:
        return whole
    size_bytes, end = 0, 0
    for character in text:
        size_bytes += len(escaped(character).encode())
        if size_bytes > most_bytes:
            break
        end += 1
    return escaped(text[:end])
