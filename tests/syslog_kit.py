"""Receivers of syslog over TLS, and readers of RFC 6587's frames, of RFC 5424 and of CEF that are not socmon's own."""

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import trustme
from port_kit import keep

_SCRIPT = Path(__file__).with_name("syslog_receiver.py")
_KEY = re.compile(r"(?:^| )([A-Za-z0-9]+)=")


class Receiver:
    """A process that may be killed and begun again, on the same port.

    Attributes:
        ca: file with the authority that signed its certificate.
        port: where it listens.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        authority = trustme.CA()
        self.authority = authority
        self.ca = folder / "receiver-ca.pem"
        authority.cert_pem.write_to_path(str(self.ca))
        self._certificate = folder / "receiver.pem"
        authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(self._certificate))
        self._received = folder / "received"
        self._process: subprocess.Popen[str] | None = None
        self._kept = keep()
        self.port: int = self._kept.getsockname()[1]

    def start(self) -> None:
        command = [sys.executable, str(_SCRIPT), str(self.port), str(self._certificate), str(self._received)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        assert int(self._process.stdout.readline()) == self.port

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(30)
            assert self._process.stdout is not None
            self._process.stdout.close()
            self._process = None

    def messages(self) -> list[str]:
        """What came whole, in the order in which connections began."""
        streams: dict[str, bytes] = {}
        for line in self._received.read_text().splitlines() if self._received.exists() else []:
            number, size, data = line.split(" ")
            assert len(data) == 2 * int(size)
            streams[number] = streams.get(number, b"") + bytes.fromhex(data)
        return [message.decode() for stream in streams.values() for message in frames(stream)]


@contextmanager
def receiver(folder: Path) -> Iterator[Receiver]:
    running = Receiver(folder)
    running.start()
    try:
        yield running
    finally:
        running.kill()
        running._kept.close()


def frames(stream: bytes) -> list[bytes]:
    """The whole frames that `stream` begins with (RFC 6587, section 3.4.1)."""
    found = []
    while (space := stream.find(b" ")) > 0:
        size = int(stream[:space])
        if len(stream) < space + 1 + size:
            break
        found.append(stream[space + 1 : space + 1 + size])
        stream = stream[space + 1 + size :]
    return found


def cef_of(message: str) -> str:
    """The body of a message of RFC 5424, behind its structured data and byte order mark."""
    head, _, body = message.partition("\ufeff")
    assert re.fullmatch(r'<\d{1,3}>1 \S+ \S+ \S+ \S+ \S+ \[\S+(?: \w+="(?:[^"\\\]]|\\["\\\]])*")+\] ', head), head
    return body


def read_cef(text: str) -> tuple[list[str], dict[str, str]]:
    """Header fields and extension, escapes undone, character by character."""
    fields: list[str] = []
    field, at = "", 0
    while len(fields) < 7:
        if text[at] == "\\":
            assert text[at + 1] in "\\|", f"no such escape in a header: {text[at : at + 2]!r}"
            field += text[at + 1]
            at += 1
        elif text[at] == "|":
            fields.append(field)
            field = ""
        else:
            field += text[at]
        at += 1
    rest = text[at:]
    starts = [found for found in _KEY.finditer(rest) if not _is_escaped(rest, found.end() - 1)]
    ends = [found.start() for found in starts[1:]] + [len(rest)]
    values = {}
    for found, end in zip(starts, ends, strict=True):
        assert found[1] not in values
        values[found[1]] = _unescaped(rest[found.end() : end])
    return fields, values


def _is_escaped(text: str, at: int) -> bool:
    before = text[:at]
    return (len(before) - len(before.rstrip("\\"))) % 2 == 1


def _unescaped(value: str) -> str:
    meant, plain, at = {"n": "\n", "r": "\r", "\\": "\\", "=": "="}, "", 0
    while at < len(value):
        if value[at] == "\\":
            plain += meant[value[at + 1]]
            at += 2
        else:
            assert value[at] != "="
            plain += value[at]
            at += 1
    return plain
