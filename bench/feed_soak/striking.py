"""How each fault is done, and how it is known that it struck."""

import signal
import time
from collections.abc import Callable, Mapping

from bench.feed_soak.place import Place, until
from bench.feed_soak.plan import Kind, Strike

_PATIENCE_S = 60.0
_DOWN_S = 0.5
_FULL_S = 2.0
_NEAR_S = 60
_FULL_WORDS = {
    "sender": ("daemon.log", ("alerts cannot be stored, they are kept in memory", "component failed, will restart")),
    "receiver": ("centre.log", ("batch not stored",)),
}


def strike(place: Place, fault: Strike) -> int:
    """Do it; return how often it struck, which is 0 if nothing shows that it did."""
    return _WAYS[fault.kind](place, fault)


def _killed(place: Place, name: str) -> int:
    process = place.process(name)
    if process.poll() is not None:
        return 0
    process.send_signal(signal.SIGKILL)
    struck = process.wait(30) == -signal.SIGKILL
    time.sleep(_DOWN_S)
    place.start(name)
    return int(struck)


def _cut(place: Place, fault: Strike, way: str) -> int:
    assert place.link is not None
    assert place.link.stdin is not None
    before = place.cuts(way)
    for _ in range(fault.times):
        place.link.stdin.write(f"{way}\n")
    until(lambda: place.cuts(way) >= before + fault.times, _PATIENCE_S)
    return place.cuts(way) - before


def _refused(place: Place, fault: Strike) -> int:
    offset = place.log_size("centre.log")

    def struck() -> int:
        return len(place.events("centre.log", "fault injected", offset))

    place.fault(fault="503", times=fault.times)
    until(lambda: struck() >= fault.times, _PATIENCE_S)
    return struck()


def _clock(place: Place, fault: Strike, name: str) -> int:
    """Both clocks show in a heartbeat: the centre says by how much they differ."""
    place.sides[name].set_clock(fault.offset_s)
    differ_s = place.sides["sender"].offset_s - place.sides["receiver"].offset_s

    def seen() -> bool:
        skew_s = place.organisation().get("skew_s")
        return skew_s is not None and abs(skew_s - differ_s) < _NEAR_S

    return int(until(seen, _PATIENCE_S))


def _full(place: Place, name: str) -> int:
    log, words = _FULL_WORDS[name]
    offset = place.log_size(log)
    disk = place.sides[name].disk

    def struck() -> bool:
        disk.fill()
        return any(
            "disk is full" in entry.get("error", "") for word in words for entry in place.events(log, word, offset)
        )

    try:
        found = until(struck, _PATIENCE_S)
        time.sleep(_FULL_S)
    finally:
        disk.free()
    return int(found)


_WAYS: Mapping[Kind, Callable[[Place, Strike], int]] = {
    "sender killed": lambda place, _: _killed(place, "sender"),
    "receiver killed": lambda place, _: _killed(place, "receiver"),
    "cut in a request": lambda place, fault: _cut(place, fault, "request"),
    "cut in a reply": lambda place, fault: _cut(place, fault, "reply"),
    "receiver refuses (503)": _refused,
    "sender's clock steps": lambda place, fault: _clock(place, fault, "sender"),
    "receiver's clock steps": lambda place, fault: _clock(place, fault, "receiver"),
    "sender's disk full": lambda place, _: _full(place, "sender"),
    "receiver's disk full": lambda place, _: _full(place, "receiver"),
}
