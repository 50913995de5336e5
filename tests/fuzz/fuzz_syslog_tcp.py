"""Fuzz target: the bytes of a TCP connection, read by the `syslog_tcp` collector in one piece and in many."""

from collectors._framing import Framing

MAX_BYTES = 300


def one_input(data: bytes) -> None:
    """The pieces make no difference; no message is empty or too long, and none holds more than was sent."""
    whole = read([data])
    step = data[0] % 7 + 1 if data else 1
    assert read([data[at : at + step] for at in range(0, len(data), step)]) == whole
    messages = whole[0]
    assert all(0 < len(message) <= MAX_BYTES for message in messages)
    assert sum(map(len, messages)) <= len(data)
    at = 0
    for message in messages:
        at = data.index(message, at) + len(message)


def read(pieces: list[bytes]) -> tuple[list[bytes], bool, int, bytes]:
    """All messages, the last line too; whether a frame is incomplete; cuts; what could not be told, shortened."""
    framing = Framing(MAX_BYTES)
    messages = [message for piece in pieces for message in framing.feed(piece)]
    rest, incomplete = ([], False) if framing.lost else framing.finish()
    assert len(framing._held) <= MAX_BYTES + 3
    return messages + rest, incomplete, framing.too_long, framing.lost[:1]
