"""The soak itself: faults upon faults for a while, then peace, and both sets compared."""

import shutil
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from bench.feed_soak.disks import mounted
from bench.feed_soak.place import LOG, Place, Sets, Side, ended, until
from bench.feed_soak.plan import KINDS, Strike, strikes
from bench.feed_soak.striking import strike
from bench.feed_soak.writing import Writing

_DISK_MIB = 96
_DRAIN_S = 300.0
_SETTLE_S = 30.0
_SHOWN = 20
_ENROLLED_S = 3000  # before the start; certificates are good from an hour before they are made


@dataclass(frozen=True)
class Found:
    """What a soak found.

    Attributes:
        struck: by kind, how often.
        messages: answered for by the centre, as events.
        missing, foreign, other: uids that only the province has, that only the centre has, and those whose last
            revision differs, each with (the province's, the centre's).
        drained: whether all was answered for in time once there was peace.
        alone: processes that ended by themselves.
    """

    seed: int
    took_s: float
    drain_s: float
    struck: dict[str, int]
    lines: int
    alerts: int
    messages: int
    duplicates: int
    twice: int
    dead: int
    drained: bool
    missing: list[str]
    foreign: list[str]
    other: dict[str, tuple[int, int]]
    alone: list[str]

    @property
    def problems(self) -> list[str]:
        """What is not as required."""
        told = [f"{kind}: never struck" for kind in KINDS if not self.struck.get(kind)]
        told += self.alone
        if not self.drained:
            told.append("not all is answered for")
        for what, uids in (("only in the province", self.missing), ("only at the centre", self.foreign)):
            told += [f"{what}: {uid}" for uid in uids[:_SHOWN]]
        told += [
            f"{uid}: revision {ours} here, {theirs} there" for uid, (ours, theirs) in [*self.other.items()][:_SHOWN]
        ]
        if self.twice:
            told.append(f"{self.twice} stored twice")
        if not self.alerts:
            told.append("no alert at all")
        return told


def soak(root: Path, seconds: float, seed: int, *, rate: int, show: Callable[[str], None]) -> Found:
    """Strike for `seconds`, and until each kind was due once; what was there stays in `root` if something is wrong.

    Args:
        rate: lines a second that are written to the province's log.
        show: is told what strikes, a line each.
    """
    with ExitStack() as opened:
        sides = {}
        for name, folder in (("sender", "state"), ("receiver", "centre")):
            disk = opened.enter_context(mounted(root / "place" / folder, _DISK_MIB))
            sides[name] = Side(root / f"{name}.clock", disk)
            sides[name].set_clock(0)
        place = opened.enter_context(ended(Place(root / "place", sides=sides)))
        opened.callback(place.disconnect)
        place.connect()
        # It enrols the province now, and no step of its clock may go to before that.
        sides["receiver"].set_clock(-_ENROLLED_S)
        place.start("receiver")
        sides["receiver"].set_clock(0)
        place.start("sender")
        writing = Writing(place.root / LOG, seed, int(time.time()) - 86_400, rate=rate)
        place.sent[LOG] = writing.written
        writing.start()
        try:
            began_s = time.monotonic()
            struck = _struck(place, seconds, seed, show)
            took_s = time.monotonic() - began_s
        finally:
            writing.stop()
        found = _compared(place, seed, took_s, struck)
        if found.problems:
            _save(place)
        return found


def _struck(place: Place, seconds: float, seed: int, show: Callable[[str], None]) -> dict[str, int]:
    until_s = time.monotonic() + seconds
    struck: dict[str, int] = dict.fromkeys(KINDS, 0)
    for number, fault in enumerate(strikes(seed), 1):
        if number > len(KINDS) and time.monotonic() >= until_s:
            return struck
        time.sleep(fault.pause_s)
        place.look()
        began_s = time.monotonic()
        times = strike(place, fault)
        struck[fault.kind] += times
        show(_line(number, fault, times, time.monotonic() - began_s))
    raise AssertionError("strikes never end")


def _line(number: int, fault: Strike, times: int, took_s: float) -> str:
    what = f" {fault.offset_s:+d} s" if "clock" in fault.kind else ""
    return f"{number:4}  {fault.kind}{what}: {times or 'NOT'} struck ({took_s:.1f} s)"


def _compared(place: Place, seed: int, took_s: float, struck: dict[str, int]) -> Found:
    """Peace: clocks right, disks free, no cut armed any more; then what is where."""
    for side in place.sides.values():
        side.set_clock(0)
    began_s = time.monotonic()
    end_s = began_s + _DRAIN_S

    def settled() -> bool:
        place.look()
        return place.settled()

    drained = until(settled, end_s - time.monotonic())
    until(lambda: place.province() == place.centre_set(), _SETTLE_S if drained else 1.0)
    drain_s = time.monotonic() - began_s
    ours, theirs, said, rows = place.province(), place.centre_set(), place.organisation(), place.counts()
    return Found(
        seed=seed,
        took_s=round(took_s, 1),
        drain_s=round(drain_s, 1),
        struck=struck,
        lines=len(place.sent[LOG]),
        alerts=len(ours),
        messages=said["events_received"],
        duplicates=said["duplicates_answered"],
        twice=said["rows_stored_twice"],
        dead=rows.get("dead", 0),
        drained=drained,
        missing=sorted(ours.keys() - theirs.keys()),
        foreign=sorted(theirs.keys() - ours.keys()),
        other=_other(ours, theirs),
        alone=place.alone,
    )


def _other(ours: Sets, theirs: Sets) -> dict[str, tuple[int, int]]:
    return {uid: (ours[uid], theirs[uid]) for uid in sorted(ours.keys() & theirs.keys()) if ours[uid] != theirs[uid]}


def _save(place: Place) -> None:
    """The disks go with their mounts."""
    for process in place.started:
        process.kill()
        process.wait(30)
    for name in ("state", "centre"):
        kept = place.root / f"{name}.kept"
        shutil.copytree(place.root / name, kept, ignore=shutil.ignore_patterns("*.sock", "filler"))
