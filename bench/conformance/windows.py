"""Every rule of SigmaHQ on real Windows events: the pairs of event and rule that match, against a second engine's.

The second engine is pySigma's SQLite backend. Its matches lie beside the events (expected_pysigma_sqlite.jsonl.xz), as
do SigmaHQ's own regression cases. Events go the way of the product: format `windows_json`, log sources by the table.
"""

import json
import lzma
import multiprocessing
import os
import tarfile
import tempfile
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from msgspec import Struct

from bench.conformance.readings import CLASSES, OTHER, TABLE, Readings
from socmon import parsers
from socmon.errors import ParseError
from socmon.event import Event, Record, Source
from socmon.sigma import RuleSet, load_rules
from socmon.sigma.outline import items

FOLDER = Path("logs", "windows")
ARCHIVE = Path("logs", "sigma", "sigmahq_rules.tar.xz")
SETS = ("regression", "evtx", "otrf")
MATRIX = "expected_pysigma_sqlite.jsonl.xz"
MAX_MISSING, MAX_EXTRA = 0.005, 0.02
_WITHOUT_KEYWORDS = "otrf"  # the second engine left the keyword rules out there
_ACTIVE = "rules"  # how the folders of active rules begin; the others are deprecated/, unsupported/ and tests/
_NOW_US = 1_800_000_000_000_000

Told = Mapping[int, Collection[str]]  # rule ids, by line from 0


class Difference(Struct, frozen=True):
    """A pair of event and rule that only one of the engines matches."""

    file: str
    line: int
    rule_id: str
    expected: bool
    name: str
    shown: str

    @property
    def place(self) -> str:
        """Where the event is."""
        return f"{self.file}:{self.line}"


class Score(Struct):
    """Of one set, or of one file of it.

    Attributes:
        denied: by class, how many pairs that both engines match its reading would deny: none, if it is theirs.
    """

    events: int = 0
    unparsed: int = 0
    expected: int = 0
    ours: int = 0
    differences: list[Difference] = []
    denied: dict[str, int] = {}

    @property
    def missing(self) -> int:
        """Pairs of the second engine that socmon does not match."""
        return sum(each.expected for each in self.differences)

    @property
    def extra(self) -> int:
        """Pairs of socmon that the second engine does not match."""
        return len(self.differences) - self.missing

    @property
    def unexplained(self) -> list[Difference]:
        """Differences without a class."""
        return [each for each in self.differences if each.name == OTHER]

    def add(self, other: "Score") -> None:
        """Count another file."""
        self.events += other.events
        self.unparsed += other.unparsed
        self.expected += other.expected
        self.ours += other.ours
        self.differences += other.differences
        self.denied = dict(Counter(self.denied) + Counter(other.denied))


def active_rules(data: Path) -> RuleSet:
    """All active rules of the archive, unchanged."""
    with tempfile.TemporaryDirectory() as folder, tarfile.open(data / ARCHIVE) as archive:
        archive.extractall(folder, filter="data")
        return load_rules(sorted(Path(folder).glob(f"{_ACTIVE}*")))


def keyword_rules(rules: RuleSet) -> frozenset[str]:
    """The rules that look for words anywhere in an event."""
    ids = (rule.id for rule in rules.rules if rule.correlation is None)
    return frozenset(rule_id for rule_id in ids if any(not item.names for item in items(rules.condition(rule_id))))


def lines_of(file: Path) -> Iterator[bytes]:
    """The lines of a file, packed or not."""
    with lzma.open(file) if file.suffix == ".xz" else file.open("rb") as stream:
        yield from stream


def event_of(line: bytes, name: str, n: int) -> Event:
    """Line `n` of file `name` as the product reads it.

    Raises:
        ParseError: it is no event of Windows.
    """
    return parsers.parse(Record(line.rstrip(), Source("conformance", name, format="windows_json"), _NOW_US, seq=n + 1))


def scored(data: Path, rules: RuleSet) -> dict[str, Score]:
    """Each set that is there, by its name; with a process a core, which the rules are loaded for but once."""
    readings = Readings(rules, (data / TABLE).read_text("utf-8"))
    scores: dict[str, Score] = {}
    with multiprocessing.get_context("fork").Pool(initializer=_begin, initargs=(rules, readings)) as pool:
        for name in SETS:
            folder = data / FOLDER / name
            if (folder / MATRIX).is_file():
                left_out = keyword_rules(rules) if name == _WITHOUT_KEYWORDS else frozenset()
                scores[name] = Score(differences=[], denied={})
                for score in pool.imap(_score_file, _tasks(folder, left_out)):
                    scores[name].add(score)
                scores[name].differences.sort(key=lambda each: (each.file, each.line, each.rule_id))
    return scores


def _tasks(folder: Path, left_out: frozenset[str]) -> list[tuple[Path, Told, frozenset[str]]]:
    """The files of a set, the greatest first, each with what the second engine says of it."""
    told: dict[str, dict[int, list[str]]] = {}
    for row in map(json.loads, lines_of(folder / MATRIX)):
        told.setdefault(row["file"], {})[row["n"]] = row["rules"]
    files = sorted((folder / "events").iterdir(), key=lambda file: (-file.stat().st_size, file.name))
    return [(file, told.get(name_of(file), {}), left_out) for file in files]


def name_of(file: Path) -> str:
    """What the second engine calls a file."""
    return file.name.removesuffix(".xz")


_worker: tuple[RuleSet, Readings]


def _begin(rules: RuleSet, readings: Readings) -> None:
    global _worker  # noqa: PLW0603  a process of the pool serves one call of `scored`
    os.nice(10)
    _worker = rules, readings


def _score_file(task: tuple[Path, Told, frozenset[str]]) -> Score:
    file, told, left_out = task
    return score_of(name_of(file), lines_of(file), told, *_worker, left_out=left_out)


def score_of(
    name: str, lines: Iterable[bytes], told: Told, rules: RuleSet, readings: Readings, *, left_out: Collection[str] = ()
) -> Score:
    """The events of one file against what is told of them.

    Args:
        told: ids of the rules that the second engine matches, by line from 0.
        left_out: ids of rules that are not scored.
    """
    score, denied = Score(differences=[]), Counter[str]()
    for n, line in enumerate(lines):
        score.events += 1
        expected = set(told.get(n, ())).difference(left_out)
        try:
            event = event_of(line, name, n)
        except ParseError:
            event = None
            score.unparsed += 1
        matched = set(rules.match(event.fields, event.logsource)).difference(left_out) if event else set()
        fields = event.fields if event else {}
        score.expected += len(expected)
        score.ours += len(matched)
        for rule_id in expected & matched:
            denied.update(each.name for each in CLASSES if not readings.answer(each.name, rule_id, fields))
        for rule_id in expected ^ matched:
            is_expected = rule_id in expected
            found = readings.class_of(rule_id, fields, expected=is_expected)
            shown = "" if found == OTHER else readings.shown(found, rule_id, fields)
            score.differences.append(Difference(name, n + 1, rule_id, is_expected, found, shown))
    score.denied = dict(denied)
    return score


def silent(data: Path, rules: RuleSet) -> tuple[int, list[str]]:
    """How many regression cases of SigmaHQ there are, and the titles of those that match less than they must."""
    folder = data / FOLDER / "regression"
    cases = [json.loads(line) for line in lines_of(folder / "expected.jsonl")]
    few = []
    for case in cases:
        file = folder / case["file"]
        events = (event_of(line, file.name, n) for n, line in enumerate(lines_of(file)))
        fired = sum(case["rule_id"] in rules.match(event.fields, event.logsource) for event in events)
        if fired < (case["match_count"] or 1):
            few.append(case["title"])
    return len(cases), few


def limits(scores: Mapping[str, Score]) -> str:
    """Which sets keep to what is demanded, before any explanation and without what a class explains."""
    before = [name for name, score in scores.items() if not _keeps(score, score.differences)]
    after = [name for name, score in scores.items() if not _keeps(score, score.unexplained)]
    demanded = f"missing ≤ {MAX_MISSING:.1%}, extra ≤ {MAX_EXTRA:.1%}".replace("%", " %")
    told = f"beyond it before any explanation: {', '.join(before) or 'none'}"
    return f"Demanded: {demanded}; {told}; without what a class explains: {', '.join(after) or 'none'}."


def is_explained(scores: Mapping[str, Score]) -> bool:
    """Whether each difference has its class, and no class denies what both engines match."""
    return not any(score.unexplained or score.denied for score in scores.values())


def _keeps(score: Score, differences: Sequence[Difference]) -> bool:
    missing = sum(each.expected for each in differences)
    extra = len(differences) - missing
    return missing <= MAX_MISSING * score.expected and extra <= MAX_EXTRA * score.expected


def _part(count: int, whole: int) -> str:
    return f"{count} ({100 * count / whole:.2f} %)" if whole else str(count)


def rows(scores: Mapping[str, Score]) -> Iterator[tuple[str, ...]]:
    """A row a set, before any explanation."""
    yield "set", "events", "unparsed", "pairs expected", "ours", "missing", "extra", "not classified"
    for name, score in scores.items():
        parts = _part(score.missing, score.expected), _part(score.extra, score.expected)
        counts = (score.events, score.unparsed, score.expected, score.ours)
        yield (name, *(f"{count:,}" for count in counts), *parts, str(len(score.unexplained)))


def difference_rows(scores: Mapping[str, Score], rules: RuleSet) -> Iterator[tuple[str, ...]]:
    """A row a class, with a worked event."""
    yield "class", "missing", "extra", "in", "agreed pairs it denies", "right", "why", "one of them"
    for each in CLASSES:
        found = {name: [one for one in score.differences if one.name == each.name] for name, score in scores.items()}
        every = [one for differences in found.values() for one in differences]
        if every:
            missing = sum(one.expected for one in every)
            where = ", ".join(f"{name} ({len(some)})" for name, some in found.items() if some)
            denied = sum(score.denied.get(each.name, 0) for score in scores.values())
            counts = str(missing), str(len(every) - missing), where, str(denied)
            yield (each.name, *counts, each.right, each.sentence, _worked(_commonest(every), rules))
    for score in scores.values():
        for one in score.unexplained:
            missed, more = str(int(one.expected)), str(int(not one.expected))
            yield OTHER, missed, more, one.place, "", "", "The reason is not known yet.", one.rule_id


def _commonest(differences: Sequence[Difference]) -> Difference:
    """The first difference of the rule that has the most."""
    most, _ = Counter(each.rule_id for each in differences).most_common(1)[0]
    return next(each for each in differences if each.rule_id == most)


def _worked(one: Difference, rules: RuleSet) -> str:
    return f"{one.place}: {rules.by_id[one.rule_id].title}: {one.shown}"
