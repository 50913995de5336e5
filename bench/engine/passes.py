"""One round of the race: the same lines through the engine, through a naive one, and through the JSON decoder alone."""

import gc
import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from bench.engine.inputs import fresh, naive
from socmon.garbage import settle
from socmon.parsers import windows_json, windows_layouts
from socmon.sigma import RuleSet

Found = list[tuple[int, tuple[str, ...]]]  # place of a line, and the rules that it matches; only where it matches any
MatchLine = Callable[[bytes], Sequence[str]]
MatchEvent = Callable[..., Sequence[str]]  # of fields and log source

NAMES = ("warm", "unseen", "hostile")
_MOST_SHOWN = 10


@dataclass(frozen=True)
class Lines:
    """What is raced over.

    Attributes:
        warm: the engine has seen all of it once.
        naive: how many of each, spread evenly, the naive engine is given.
    """

    warm: list[bytes]
    unseen: list[bytes]
    hostile: list[bytes]
    naive: int

    def places(self, name: str) -> range:
        """Which of the lines of this name the naive engine is given."""
        count = len(getattr(self, name))
        return range(0, count, max(1, count // self.naive))


@dataclass(frozen=True)
class Answer:
    """What all lines of one name came to: pairs of event and rule that match, and a digest of them."""

    pairs: int
    sha256: str


@dataclass(frozen=True)
class Round:
    """Of one round.

    Attributes:
        rates: events a CPU second, by runner and name of the lines.
        answers: of the engine, by name of the lines.
        differences: where engine and naive engine, or two passes of the engine, do not agree.
    """

    rates: Mapping[str, float]
    answers: Mapping[str, Answer]
    differences: Sequence[str]


def raced(rules: RuleSet, lines: Lines) -> Round:
    """One round, by an engine that remembers nothing yet; its first pass over the warm lines is what warms it.

    What a pass is compared with runs right before or behind it: a shared machine is faster now, and slower then.
    """
    ours, naively = _as_the_daemon(fresh(rules)), _by_fields(naive(rules).match)
    settle()
    rates: dict[str, float] = {}
    answers: dict[str, Answer] = {}
    rates["first pass"], before = _matched(ours, lines.warm)
    differences: list[str] = []
    for name in NAMES:
        each, places = getattr(lines, name), lines.places(name)
        decoded = [_decoded(each)]
        rates[name], found = _matched(ours, each)
        decoded.append(_decoded(each))
        rates[f"decode, {name}"] = len(decoded) / sum(1 / rate for rate in decoded)
        rates[f"naive, {name}"], theirs = _matched(naively, [each[place] for place in places])
        differences += [f"{name}: {told}" for told in differing(found, theirs, places)]
        if name == "warm":
            differences += [f"second pass: {told}" for told in differing(found, before, range(len(each)))]
        answers[name] = _answer(found)
    return Round(rates, answers, differences)


def _as_the_daemon(rules: RuleSet) -> MatchLine:
    """From the line to the rules as `Matcher` goes: by the line's layout, or by its fields where that cannot tell."""
    read, by_layout, by_fields = windows_layouts.Events().read, rules.match_by_layout, _by_fields(rules.match)

    def matched(line: bytes) -> Sequence[str]:
        if (found := read(line)) is not None and (told := by_layout(*found, line)) is not None:
            return told
        return by_fields(line)

    return matched


def _by_fields(match: MatchEvent) -> MatchLine:
    """From the line to the rules by way of the event's fields."""
    fields_of, logsource = windows_json.fields_of, windows_json.logsource

    def matched(line: bytes) -> Sequence[str]:
        fields = fields_of(line)
        return match(fields, logsource(fields))

    return matched


def _matched(match: MatchLine, lines: Sequence[bytes]) -> tuple[float, Found]:
    """Events a CPU second, and what they match. The collector of garbage runs as it does in the daemon."""
    found: Found = []
    gc.collect()
    began_s = time.process_time()
    for place, line in enumerate(lines):
        if rules := match(line):
            found.append((place, tuple(rules)))
    return len(lines) / (time.process_time() - began_s), found


def _decoded(lines: Sequence[bytes]) -> float:
    """Events a CPU second of nothing but `msgspec.json.decode`."""
    decode = msgspec.json.decode
    gc.collect()
    began_s = time.process_time()
    for line in lines:
        decode(line)
    return len(lines) / (time.process_time() - began_s)


def _answer(found: Found) -> Answer:
    told = msgspec.json.encode(found)
    return Answer(sum(len(rules) for _, rules in found), hashlib.sha256(told).hexdigest())


def differing(ours: Found, theirs: Found, places: range) -> list[str]:
    """Where the answers differ; `theirs` are for the lines at `places` only, counted from 0. At most ten are shown."""
    mine, others = dict(ours), {places[place]: rules for place, rules in theirs}
    wrong = [place for place in places if mine.get(place, ()) != others.get(place, ())]
    shown = [
        f"line {place}: only the first {sorted({*mine.get(place, ())} - {*others.get(place, ())})}, "
        f"only the other {sorted({*others.get(place, ())} - {*mine.get(place, ())})}"
        for place in wrong[:_MOST_SHOWN]
    ]
    return shown + ([f"and {len(wrong) - _MOST_SHOWN} more"] if len(wrong) > _MOST_SHOWN else [])
