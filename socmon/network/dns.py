"""DNS: questions joined with their answers, as in Zeek's dns.log (RFC 1035; RFC 6762 mDNS, RFC 4795 LLMNR)."""

from struct import Struct, error, unpack_from

from socmon.network import dns_records
from socmon.network.dns_records import Malformed, name
from socmon.network.flows import Flow
from socmon.network.limits import Counts
from socmon.network.names import OPCODES, QCLASSES, QTYPES, RCODES
from socmon.network.reading import Budget, Held, Reader
from socmon.network.zeek import Dns, Output, stamp

PORTS = frozenset((53, 137, 5353, 5355))
_header = Struct("!6H").unpack_from
_question = Struct("!HH").unpack_from

_MOST_QUESTIONS = 8  # more than one is never used; a message with more is not DNS
_MOST_ANSWERS = 64
_MOST_WAITING = 64  # questions of one flow
_REFUSED = 5


class Questions:
    """How many questions of all flows may still wait for their answer."""

    __slots__ = ("left",)

    def __init__(self, left: int) -> None:
        self.left = left


class DnsReader(Reader):
    """Reads the messages of a flow."""

    __slots__ = ("_counts", "_flow", "_output", "_questions", "_waiting")

    def __init__(self, flow: Flow, output: Output, counts: Counts, questions: Questions) -> None:
        self._flow = flow
        self._output = output
        self._counts = counts
        self._questions = questions
        self._waiting: dict[int, tuple[float, Dns]] = {}

    def data(self, from_originator: bool, data: bytes, ts: float) -> None:  # noqa: ARG002, FBT001 - see Reader
        """Read one message."""
        try:
            self._message(data, ts)
        except (IndexError, error, Malformed):
            self._counts.bad += 1

    def end(self) -> None:
        """Tell of the questions that nobody answered."""
        for _, line in self._waiting.values():
            self._output.write(line)
        self._questions.left += len(self._waiting)
        self._waiting.clear()

    def _message(self, data: bytes, ts: float) -> None:
        number, flags, questions, answers, _, _ = _header(data)
        if questions > _MOST_QUESTIONS:
            raise Malformed
        at, query, qtype, qclass = 12, None, None, None
        for index in range(questions):
            asked, at = name(data, at)
            kind, group = _question(data, at)
            at += 4
            if index == 0:
                query, qtype, qclass = asked, kind, group & 0x7FFF
        self._flow.service = "dns"
        if flags & 0x8000:
            found = dns_records.answers(data, at, min(answers, _MOST_ANSWERS))
            self._answered(number, flags, (query, qtype, qclass), found, ts)
        elif query is not None:
            self._asked(number, self._line(number, flags, (query, qtype, qclass), ts), ts)

    def _asked(self, number: int, line: Dns, ts: float) -> None:
        earlier = self._waiting.pop(number, None)
        if earlier is not None:
            self._questions.left += 1
            self._output.write(earlier[1])
        if self._questions.left <= 0 or len(self._waiting) >= _MOST_WAITING:
            self._output.write(line)
            return
        self._questions.left -= 1
        self._waiting[number] = ts, line

    def _answered(
        self,
        number: int,
        flags: int,
        question: tuple[str | None, int | None, int | None],
        answers: list[tuple[str, str | None, float]],
        ts: float,
    ) -> None:
        asked, line = self._waiting.pop(number, (0.0, None))
        if line is None or (question[0] is not None and line.query != question[0]):
            if line is not None:  # the number is that of another question, which goes on waiting
                self._waiting[number] = asked, line
            line = self._line(number, flags, question, ts)
            if line.query is None and answers:
                line.query = answers[0][0]
        else:
            self._questions.left += 1
            line.rtt = stamp(ts - asked)
        rcode = flags & 15
        line.rcode, line.rcode_name = rcode, RCODES.get(rcode) or f"rcode-{rcode}"
        line.AA, line.TC = bool(flags & 0x400), bool(flags & 0x200)
        line.RA, line.rejected = bool(flags & 0x80), rcode == _REFUSED
        known = [(value, ttl) for _, value, ttl in answers if value is not None]
        if known:
            line.answers = [value for value, _ in known]
            line.TTLs = [ttl for _, ttl in known]
        self._output.write(line)

    def _line(self, number: int, flags: int, question: tuple[str | None, int | None, int | None], ts: float) -> Dns:
        query, qtype, qclass = question
        orig_h, orig_p, resp_h, resp_p = self._flow.ends
        opcode = flags >> 11 & 15
        return Dns(
            ts=stamp(ts),
            uid=self._flow.uid,
            id_orig_h=orig_h,
            id_orig_p=orig_p,
            id_resp_h=resp_h,
            id_resp_p=resp_p,
            proto="tcp" if self._flow.protocol == 6 else "udp",
            trans_id=number,
            query=query,
            qtype=qtype,
            qtype_name=None if qtype is None else QTYPES.get(qtype) or f"query-{qtype}",
            qclass=qclass,
            qclass_name=None if qclass is None else QCLASSES.get(qclass) or f"qclass-{qclass}",
            AA=bool(flags & 0x400),
            TC=bool(flags & 0x200),
            RD=bool(flags & 0x100),
            RA=bool(flags & 0x80),
            Z=flags >> 4 & 7,
            rejected=False,
            opcode=opcode,
            opcode_name=OPCODES.get(opcode) or f"opcode-{opcode}",
        )


class DnsStream(DnsReader):
    """Messages over TCP, each behind its length (RFC 1035, section 4.2.2)."""

    __slots__ = ("_buffers", "_held")

    def __init__(self, flow: Flow, output: Output, counts: Counts, questions: Questions, budget: Budget) -> None:
        super().__init__(flow, output, counts, questions)
        self._buffers = [b"", b""]
        self._held = Held(budget, counts)

    def data(self, from_originator: bool, data: bytes, ts: float) -> None:  # noqa: FBT001 - see Reader
        """Read the messages that are whole."""
        buffer = self._buffers[from_originator] + data
        at = 0
        while len(buffer) - at >= 2:
            (length,) = unpack_from("!H", buffer, at)
            if len(buffer) - at - 2 < length:
                break
            super().data(from_originator, buffer[at + 2 : at + 2 + length], ts)
            at += 2 + length
        self._buffers[from_originator] = buffer[at:]
        if not self._held.fits(sum(map(len, self._buffers))):
            self.end()
            self._flow.stop()

    def drop(self) -> None:
        """Give back the room."""
        self._held.fits(0)

    def gap(self, from_originator: bool, size: int) -> None:  # noqa: ARG002, FBT001 - see Reader
        """Where the next message begins is not known any more."""
        self.end()
        self._flow.stop()
