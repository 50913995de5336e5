"""Makes the log of this benchmark: real sshd lines moved in time and address, with traps and noise woven in.

The real lines are dataset OpenSSH of `$SOCMON_DATA/logs/logs/loghub.jsonl.xz`; without them `sample.log`, written by
us, takes their place. The same size and seed give the same bytes. The log crosses the turn of a year, which its time
stamps do not state: its modification time does.
"""

import argparse
import ipaddress
import itertools
import json
import lzma
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

from bench.ssh_bruteforce.traps import HOSTS, TRAPS, Attacker, Story, noise

HERE = Path(__file__).resolve().parent
DATA = HERE.parent / "data" / "ssh_bruteforce"
LEAST_LINES = 2_000  # below, the traps do not fit
START = datetime(2025, 12, 29, 18, tzinfo=UTC)
SPAN_S = 4 * 86_400
NEW_YEAR_S = int((datetime(2026, 1, 1, tzinfo=UTC) - START).total_seconds())

_STAMPED = re.compile(r"(?P<stamp>[A-Z][a-z]{2} [ \d]\d [\d:]{8}) (?P<host>\S+) (?P<rest>.*)", re.DOTALL)
_ADDRESS = re.compile(r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?!\.?\w)")


Placed = tuple[int, Story]
"""(seconds after START, story)."""


@dataclass(frozen=True)
class Log:
    """A log in time order.

    Attributes:
        lines: without newlines.
        last: the moment of the last line.
        known: {address: is it an offender} of every trap, by the way it was made; real addresses are not in it.
        origin: whose lines the untrapped ones are.
    """

    lines: list[str]
    last: datetime
    known: dict[str, bool]
    origin: str

    def write(self, path: Path) -> None:
        """Write the log, dated a minute after its last line."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{line}\n" for line in self.lines), encoding="utf-8")
        written = (self.last + timedelta(minutes=1)).timestamp()
        os.utime(path, (written, written))


def nobodys_addresses() -> Iterator[str]:
    """Each once: of the shared address space (RFC 6598), every third of the documentation prefix (RFC 3849)."""
    for given in itertools.count(1):
        if given % 3 == 0:
            yield str(ipaddress.IPv6Address((0x20010DB8 << 96) + given * 0x9E3779B97F4A7C15 % (1 << 64)))
        else:
            # An odd factor visits each of the 2^22 addresses once.
            yield str(ipaddress.IPv4Address((100 << 24 | 64 << 16) + given * 1_103_515 % (1 << 22)))


def real_lines() -> tuple[str, list[str]]:
    """(whose, lines): of the public dataset where it is, else our own sample."""
    data = Path(os.environ.get("SOCMON_DATA", HERE.parents[1] / "../shared/data"))
    dataset = data / "logs" / "logs" / "loghub.jsonl.xz"
    if not dataset.is_file():
        return "a sample of our own", (HERE / "sample.log").read_text(encoding="utf-8").splitlines()
    with lzma.open(dataset, "rt", encoding="utf-8") as rows:
        chosen = [row for row in map(json.loads, rows) if row["dataset"] == "OpenSSH"]
    chosen.sort(key=lambda row: int(row["n"]))
    return "loghub's OpenSSH lines", [row["line"] for row in chosen]


def _as_story(lines: list[str]) -> Story:
    story: Story = []
    for line in lines:
        if (parts := _STAMPED.fullmatch(line)) is None:
            raise ValueError(f"not an RFC 3164 line: {line[:120]!r}")
        moment = datetime.strptime(f"2025 {parts['stamp']}", "%Y %b %d %H:%M:%S").replace(tzinfo=UTC)
        story.append((int(moment.timestamp()), parts["rest"]))
    first = story[0][0]
    return [(second - first, rest) for second, rest in story]


def _moved(story: Story, addresses: Iterator[str], host: str) -> Story:
    """The same story on another host, told of other addresses."""
    others: dict[str, str] = {}

    def other(found: re.Match[str]) -> str:
        if found[0] not in others:
            others[found[0]] = next(addresses)
        return others[found[0]]

    return [(second, f"{host} {_ADDRESS.sub(other, rest)}") for second, rest in story]


def _attacks(rng: Random, addresses: Iterator[str], lines: int, known: dict[str, bool]) -> Iterator[Placed]:
    """Every trap, again and again up to a fifth of `lines` (but twice at least); fills `known`."""
    patient = next(addresses)
    known[patient] = False  # four failures a minute, for ever
    yield 0, Attacker(patient, rng).fails_at(*range(0, min(20 * (lines // 50), SPAN_S), 20))
    lines_a_round = sum(len(trap.story(Attacker("192.0.2.1", Random(0)))) for trap in TRAPS)
    for played in range(max(2, lines // 5 // lines_a_round)):
        for trap in TRAPS:
            address = next(addresses)
            known[address] = trap.offends
            story = trap.story(Attacker(address, rng, rng.choice(HOSTS)))
            # The first round meets the turn of the year.
            yield NEW_YEAR_S - 30 if played == 0 else rng.randrange(SPAN_S - story[-1][0]), story


def _sessions(rng: Random, addresses: Iterator[str], lines: int, real: Story) -> Iterator[Placed]:
    """As many copies of the real lines as fit into `lines`; the beginning of one if none does."""
    real = real[:lines]
    for _ in range(lines // len(real)):
        yield rng.randrange(SPAN_S - real[-1][0]), _moved(real, addresses, rng.choice(HOSTS))


def build(lines: int = 200_000, seed: int = 1) -> Log:
    """A log of exactly `lines` lines: traps, then three quarters of the rest real ones, then noise.

    Raises:
        ValueError: fewer lines than the traps need.
    """
    if lines < LEAST_LINES:
        raise ValueError(f"{lines} lines cannot hold the traps; ask for {LEAST_LINES} or more")
    rng, addresses = Random(seed), nobodys_addresses()
    origin, real = real_lines()
    known: dict[str, bool] = {}
    placed = list(_attacks(rng, addresses, lines, known))
    room = lines - sum(len(story) for _, story in placed)
    placed += _sessions(rng, addresses, room * 3 // 4, _as_story(real))
    dated = [(start + second, line) for start, story in placed for second, line in story]
    dated += [(rng.randrange(SPAN_S), noise(rng)) for _ in range(lines - len(dated))]
    dated.sort(key=lambda entry: entry[0])  # stable: lines of one second keep the order in which they were told
    moments = [(START + timedelta(seconds=second), line) for second, line in dated]
    stamped = [f"{moment:%b} {moment.day:2d} {moment:%H:%M:%S} {line}" for moment, line in moments]
    return Log(stamped, moments[-1][0], known, origin)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--lines", type=int, default=200_000)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--out", type=Path, default=DATA / "auth.log")
    asked = options.parse_args()
    log = build(asked.lines, asked.seed)
    log.write(asked.out)
    print(f"{len(log.lines)} lines around {log.origin}, {sum(log.known.values())} of {len(log.known)} traps offend")


if __name__ == "__main__":
    main()
