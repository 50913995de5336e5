"""What the parent and a worker say to each other over two pipes: a head each, then a body.

    u8 kind, u64 token, u32 length of the body       little-endian

To a worker: RULES (a packed recipe), CHUNK (a frame of the journal, see `task`). From it, in the same order, with the
same token: READY, MATCHED (MessagePack of Answer). Nothing that comes from a worker is unpickled: it reads strangers'
bytes.
"""

from collections.abc import Iterable, Sequence
from struct import Struct as Layout

import msgspec
from msgspec import Struct

from socmon.errors import JournalError
from socmon.event import Match
from socmon.journal import Frame
from socmon.matching import Matched, Matcher

RULES, CHUNK, READY, MATCHED = range(4)
HEAD = Layout("<BQI")
MAX_BODY_BYTES = 1 << 30

_TASK = Layout("<QQI?H")  # number, first sequence, records, undated, how many are set aside
_SEQ = Layout("<Q")

_encode = msgspec.msgpack.Encoder().encode


class LeftOut(Struct, array_like=True, frozen=True):
    """A match whose event MessagePack cannot hold, such as one with an integer of 80 bits; the parent parses it again.

    Attributes:
        place: among the matches.
        seq: of its record.
    """

    place: int
    seq: int
    rules: Sequence[str]
    high_us: int


class Answer(Struct, array_like=True):
    """What a chunk came to. The records of its events are without their bytes; nobody needs them.

    Attributes:
        matched: None where the frame's bytes are no batch.
        left_out: in the order of their places.
    """

    matched: Matched | None
    left_out: list[LeftOut] = []


_decoder = msgspec.msgpack.Decoder(Answer)


def task(frame: Frame, *, undated: bool, aside: Iterable[int]) -> tuple[bytes, bytes]:
    """The body of a CHUNK, in two pieces."""
    seqs = sorted(aside)
    head = _TASK.pack(frame.number, frame.first_seq, frame.records, undated, len(seqs))
    return head + b"".join(map(_SEQ.pack, seqs)), frame.payload


def read_task(body: bytes) -> tuple[Frame, bool, frozenset[int]]:
    """(frame, undated, sequences set aside) of a CHUNK."""
    number, first_seq, records, undated, count = _TASK.unpack_from(body)
    end = _TASK.size + count * _SEQ.size
    aside = frozenset(seq for (seq,) in _SEQ.iter_unpack(body[_TASK.size : end]))
    return Frame(number, first_seq, records, body[end:]), undated, aside


def answer(matched: Matched | None) -> bytes:
    """The body of a MATCHED; `matched` is changed by it."""
    if matched is None:
        return _encode(Answer(None))
    for event in (*(match.event for match in matched.matches), *matched.own):
        event.record = msgspec.structs.replace(event.record, data=b"", position=None)
    try:
        return _encode(Answer(matched))
    except (OverflowError, UnicodeEncodeError):
        left_out = [
            LeftOut(place, match.event.record.seq, match.rules, match.high_us)
            for place, match in enumerate(matched.matches)
            if not _holds(match)
        ]
        matched.matches = [match for match in matched.matches if _holds(match)]
        return _encode(Answer(matched, left_out))


def read_answer(body: bytes, frame: Frame, matcher: Matcher) -> Matched | None:
    """What a MATCHED says of `frame`; None where that is no batch.

    Args:
        matcher: like the worker's, for what it could not say.

    Raises:
        msgspec.MsgspecError: it is no answer.
    """
    told = _decoder.decode(body)
    if told.matched is not None and told.left_out:
        if (batch := frame.batch()) is None:
            raise JournalError(f"frame {frame.number} was read by a worker and cannot be decoded here")
        for each in told.left_out:
            event = matcher.event(batch.records[each.seq - frame.first_seq])
            told.matched.matches.insert(each.place, Match(event, each.rules, each.high_us))
    return told.matched


def _holds(match: Match) -> bool:
    try:
        _encode(match)
    except (OverflowError, UnicodeEncodeError):
        return False
    return True
