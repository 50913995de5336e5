"""How far a TCP connection got: Zeek's `history` and `conn_state`, after its TCP analyzer and base/protocols/conn."""

from socmon.network.flows import ACK, FIN, RST, SYN, TCP, UDP, Flow, Half

# The state of an end.
_INACTIVE, _SYN_SENT, _PARTIAL, _ESTABLISHED, _CLOSED, _RESET = range(6)

# What stands in the history.
SEEN_DATA, SEEN_ACK = 0x01, 0x02
_SEEN_SYN, _SEEN_SYN_ACK, _SEEN_FIN, _SEEN_RST, _SEEN_ODD, _WAS_CLOSED = 0x04, 0x08, 0x10, 0x20, 0x40, 0x80


def note(half: Half, bit: int, letter: str) -> None:
    """Put a letter into the history, in lower case for the responder; once per side."""
    if not half.seen & bit:
        half.seen |= bit
        half.flow.history += letter if half.orig else letter.lower()


def repeated(half: Half) -> None:
    """Note that data came again; in the history at the 1st, 10th, 100th … time."""
    half.repeats += 1
    if half.repeats in (1, 10, 100, 1_000, 10_000, 100_000):
        half.flow.history += "T" if half.orig else "t"


def observe(half: Half, flags: int, size: int) -> None:
    """A packet that may change the state: it has SYN, FIN or RST, or is this side's first one with data or without."""
    ends = flags & (FIN | RST)
    if flags & SYN:
        if ends:
            note(half, _SEEN_ODD, "I" if flags & FIN else "Q")
        elif flags & ACK:
            note(half, _SEEN_SYN_ACK, "H")
        else:
            note(half, _SEEN_SYN, "S")
    if size:
        note(half, SEEN_DATA, "D")
    elif not flags & SYN and not ends:
        note(half, SEEN_ACK, "A")
    if half.state == _INACTIVE:
        _first(half, half.peer, flags)
    if ends:
        _end(half, half.peer, flags)


def _end(half: Half, peer: Half, flags: int) -> None:
    """What FIN and RST make of an end."""
    if flags & FIN and not flags & SYN:
        note(half, _SEEN_FIN, "F")
    if flags & RST and not flags & SYN:
        note(half, _SEEN_RST, "R")
    if flags & FIN and not flags & RST and half.state != _RESET:
        half.state = _CLOSED
        if peer.state == _RESET and peer.seen & _WAS_CLOSED:
            peer.state = _CLOSED
    if flags & RST and not (half.state == peer.state == _CLOSED):
        if half.state == _CLOSED:
            half.seen |= _WAS_CLOSED
        half.state = _RESET


def _first(half: Half, peer: Half, flags: int) -> None:
    """What the first packet of an end makes of it."""
    if flags & SYN and not half.orig:
        half.state = _ESTABLISHED
        if peer.state == _SYN_SENT:
            peer.state = _ESTABLISHED
    elif flags & SYN and not flags & ACK:
        half.state = _SYN_SENT
    elif half.orig and peer.state == _ESTABLISHED:
        half.state = _ESTABLISHED
    elif not flags & SYN:
        half.state = _PARTIAL


def finished(flow: Flow) -> bool:
    """Whether nothing more is to be expected: both ends are closed, or one has been reset."""
    ends = (flow.orig.state, flow.resp.state)
    return _RESET in ends or ends == (_CLOSED, _CLOSED)


def conn_state(flow: Flow) -> str:
    """Zeek's summary of how a flow went."""
    if flow.protocol == UDP:
        if flow.orig.packets:
            return "SF" if flow.resp.packets else "S0"
        return "SHR"
    if flow.protocol != TCP:
        return "OTH"
    return _tcp_state(flow.orig.state, flow.resp.state, data=bool(flow.orig.bytes or flow.resp.bytes))


def _tcp_state(orig: int, resp: int, *, data: bool) -> str:  # noqa: PLR0911 - a table of Zeek's, in Zeek's order
    orig_silent, resp_silent = orig in (_INACTIVE, _PARTIAL), resp in (_INACTIVE, _PARTIAL)
    if resp == _RESET:
        if orig == _SYN_SENT or (orig == _RESET and not data):
            return "REJ"
        return "RSTRH" if orig_silent else "RSTR"
    if orig == _RESET:
        return "RSTOS0" if resp_silent else "RSTO"
    if orig == _CLOSED:
        return "SF" if resp == _CLOSED else "SH" if resp_silent else "S2"
    if resp == _CLOSED:
        return "SHR" if orig_silent else "S3"
    if (orig, resp) == (_SYN_SENT, _INACTIVE):
        return "S0"
    return "S1" if (orig, resp) == (_ESTABLISHED, _ESTABLISHED) else "OTH"
