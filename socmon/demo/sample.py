"""The sample logs, made for the demonstration: ten minutes of a province, and how their lines are numbered.

The lines are as the programs write them that stand in a province's systems: OpenSSH, sudo and systemd over rsyslog (RFC
3164), nginx, postfix and dovecot, a document system, a gateway and a finance department that write JSON, the routers of
communes (RFC 5424), and a firewall that knows nothing but UDP. Addresses of strangers are those for documentation (RFC
5737, RFC 3849). Each line carries its message number where its program has a number anyway, so that lost = numbers that
are absent from the journal. What a sensor tells is made in socmon.demo.capture.
"""

import re
from collections.abc import Sequence
from datetime import datetime
from importlib.resources import files
from typing import Literal

from msgspec import Struct

# Both trip the rule SSH brute force; 198.51.100.23, which tries four times in all, must not.
ATTACKERS = ("203.0.113.7", "2001:db8:1:7::c0de")
_INTRUDER = ATTACKERS[0]
SCANNER, TUNNELLER = "198.51.100.141", "10.50.2.33"
_BY_MQTT = ("Application login brute force", "10.13.9.66")

# What must be told, from the scan to the break-in: title of an alert, and a value of its group or an address in it.
STORY = (
    ("Port scan", _INTRUDER),
    ("Web scanner user agent", _INTRUDER),
    ("Web scan", _INTRUDER),
    ("Web SQL injection", _INTRUDER),
    ("Web path traversal", _INTRUDER),
    ("Web shell", _INTRUDER),
    *(("SSH brute force", address) for address in ATTACKERS),
    ("SSH login after a series of failures", _INTRUDER),
    ("Sudo abuse", "quantri"),
    ("Shell through a sudo escape", "dvc-web-01"),
    ("New privileged user", "dvc-web-01"),
    ("Log tampering", "dvc-web-01"),
    ("Command history cleared", "dvc-web-01"),
    ("Mail brute force", "198.51.100.77"),
    ("Application login brute force", "10.20.3.77"),
    ("Web scan", "10.40.17.66"),
    ("Port scan", "198.51.100.140"),  # met by the firewall only, so it shows that datagrams arrive
    ("Port scan on the network", SCANNER),  # these two by the sensor only
    ("DNS tunnel", TUNNELLER),
    _BY_MQTT,
)

Transport = Literal["file", "newline", "octets", "datagram", "mqtt", "capture"]

_FIRST = 1_000_000  # no number of the samples is as long
_NUMBER = rb"([0-9]{7,10})"
_STRANGER_4 = re.compile(r"\b(203\.0\.113|198\.51\.100)\.([0-9]{1,3})\b")
_STRANGER_6 = re.compile(r"\b2001:db8:1:")


class Stream(Struct, frozen=True):
    """One log, and how it comes in.

    Attributes:
        name: of its collector and, where there is one, of its log file.
        file: the sample.
        transport: written to a file, sent over TCP with newlines or with octet counts (RFC 6587), or over UDP, each
            line a datagram (RFC 5426), published over MQTT; or told by a sensor's capture files, which have no sample.
        line: what a line of the sample looks like; its groups are the stamp and the number, with all that lies between.
        stamp: of strftime(3), in UTC.
        number: finds the message number in a written line.
    """

    name: str
    file: str
    transport: Transport
    line: re.Pattern[str]
    stamp: str
    number: re.Pattern[bytes]


_PROCESS = rb"\[" + _NUMBER + rb"\]: "
_JSON = re.compile(r'(?P<head>\{"time":")(?P<stamp>[^"]+)(?P<middle>","id":)(?P<number>[0-9]+)(?P<tail>,.*)')
_JSON_STAMP = "%FT%TZ"
_JSON_NUMBER = re.compile(rb'"id":' + _NUMBER)

# Its lines are not numbered: what a capture gives is known, and each line of it is another one.
SENSOR = Stream("sensor", "", "capture", re.compile(r"(?!)"), "", re.compile(rb"(?!)"))
STREAMS = (
    Stream(
        "servers",
        "servers.log",
        "file",
        re.compile(r"(?P<head>)(?P<stamp>.{15})(?P<middle> \S+ [\w-]+\[)(?P<number>[0-9]+)(?P<tail>\]: .*)"),
        "%b %e %H:%M:%S",
        re.compile(_PROCESS),
    ),
    Stream(
        "portal",
        "portal.log",
        "file",
        re.compile(r'(?P<head>\S+ - - \[)(?P<stamp>[^\]]+)(?P<middle>\] .* ")(?P<number>[0-9]+)(?P<tail>")'),
        "%d/%b/%Y:%H:%M:%S +0000",
        re.compile(rb' "' + _NUMBER + rb'"$'),
    ),
    Stream("documents", "qlvb.ndjson", "file", _JSON, _JSON_STAMP, _JSON_NUMBER),
    Stream("lgsp", "lgsp.ndjson", "file", _JSON, _JSON_STAMP, _JSON_NUMBER),
    Stream(
        "mail",
        "mail.log",
        "newline",
        re.compile(r"(?P<head><[0-9]+>)(?P<stamp>.{15})(?P<middle> \S+ [\w/-]+\[)(?P<number>[0-9]+)(?P<tail>\]: .*)"),
        "%b %e %H:%M:%S",
        re.compile(_PROCESS),
    ),
    Stream(
        "communes",
        "communes.log",
        "octets",
        re.compile(r"(?P<head><[0-9]+>1 )(?P<stamp>\S+)(?P<middle> \S+ \S+ )(?P<number>[0-9]+)(?P<tail> .*)"),
        "%FT%T.%fZ",
        re.compile(rb"^<[0-9]{1,3}>1 \S+ \S+ \S+ " + _NUMBER),
    ),
    Stream(
        "firewall",
        "firewall.log",
        "datagram",
        # The number stands where the kernel tells the seconds since it was started.
        re.compile(r"(?P<head><[0-9]+>)(?P<stamp>.{15})(?P<middle> \S+ kernel: \[)(?P<number>[0-9]+)(?P<tail>\..*)"),
        "%b %e %H:%M:%S",
        re.compile(rb" kernel: \[" + _NUMBER + rb"\."),
    ),
    Stream("finance", "finance.ndjson", "mqtt", _JSON, _JSON_STAMP, _JSON_NUMBER),
    SENSOR,
)
BY_NAME = {stream.name: stream for stream in STREAMS}


def story(streams: Sequence[Stream]) -> list[tuple[str, str]]:
    """What must be told where these streams are there."""
    over_mqtt = any(stream.transport == "mqtt" for stream in streams)
    return [each for each in STORY if over_mqtt or each != _BY_MQTT]


class Line(Struct, frozen=True):
    """A line of a sample without its time and number: what stands before, between and behind them."""

    head: str
    middle: str
    tail: str


def lines(stream: Stream) -> list[Line]:
    """The sample of a stream, in its order."""
    text = (files("socmon.demo") / "samples" / stream.file).read_text(encoding="utf-8")
    found = map(stream.line.fullmatch, text.splitlines())
    return [Line(each["head"], each["middle"], each["tail"]) for each in found if each]


def written(stream: Stream, line: Line, number: int, turn: int, now: datetime) -> bytes:
    """`line` as message `number` (from 1) of its stream, in its `turn`-th repetition (from 0), without a newline."""
    text = f"{line.head}{now.strftime(stream.stamp)}{line.middle}{_FIRST + number}{line.tail}"
    return fresh(text, turn).encode()


def fresh(text: str, turn: int) -> str:
    """`text` with other strangers in each repetition, so that each is an attack of its own; for 254 of them."""
    text = _STRANGER_4.sub(lambda found: f"{found[1]}.{(int(found[2]) - 1 + turn) % 254 + 1}", text)
    return _STRANGER_6.sub(f"2001:db8:{turn % 0xFFFF + 1:x}:", text)


def number_of(stream: Stream, data: bytes) -> int:
    """The message number of a written line; 0 if it has none."""
    found = stream.number.search(data)
    return int(found[1]) - _FIRST if found else 0
