"""The province's log, which is written to all the time: attackers who come back, some of whom get in."""

import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from random import Random

_EVERY_S = 0.2
_TRIES = 12
_REMEMBERED = 40  # who came last may come again: his alerts get revisions


def lines(seed: int, base_s: int) -> Iterator[str]:
    """Without an end: twelve failures of an address, now and then a login after them, five a second by their dates.

    By the shipped rules that raises alerts of three levels; those of old addresses are revised.
    """
    chance = Random(seed)
    known: list[str] = []
    number = 0
    for block in count():
        if known and chance.random() < 0.5:
            address = chance.choice(known)
        else:
            address = f"198.{18 + block // 62_500 % 2}.{block // 250 % 250}.{block % 250 + 1}"
            known = [*known[1 - _REMEMBERED :], address]
        words = ["Failed"] * _TRIES + ["Accepted"] * (chance.random() < 0.3)
        for word in words:
            stamp = datetime.fromtimestamp(base_s + number // 5, UTC).strftime("%b %e %H:%M:%S")
            yield f"{stamp} dvc-web-01 sshd[{number + 100}]: {word} password for root from {address} port 40022 ssh2"
            number += 1


class Writing(threading.Thread):
    """Appends to a file until it is told to stop.

    Attributes:
        written: the lines so far.
        rate: lines a second; may be changed meanwhile.
    """

    def __init__(self, path: Path, seed: int, base_s: int, *, rate: int) -> None:
        super().__init__(name="soak writer", daemon=True)
        self.written: list[str] = []
        self.rate = rate
        self._path = path
        self._lines = lines(seed, base_s)
        self._over = threading.Event()

    def run(self) -> None:
        """Write until `stop`."""
        owed, before_s = 0.0, time.monotonic()
        with self._path.open("a", encoding="utf-8") as log:
            while not self._over.wait(_EVERY_S):
                now_s = time.monotonic()
                owed, before_s = owed + (now_s - before_s) * self.rate, now_s
                new = [next(self._lines) for _ in range(int(owed))]
                owed -= len(new)
                log.writelines(f"{line}\n" for line in new)
                log.flush()
                self.written += new

    def stop(self) -> None:
        """Return when the last line is written."""
        self._over.set()
        self.join()
