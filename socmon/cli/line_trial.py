"""One log line through the daemon's own stages, after those before it: frame, event, owner, rules, correlations."""

import re
import time
import uuid
from collections.abc import Iterator, Sequence

import msgspec
from msgspec import Struct

from socmon.enrich import Assets
from socmon.errors import ParseError
from socmon.event import Alert, Event, Match, Record, Source, clock_of
from socmon.matching import Matcher
from socmon.parsers import detect
from socmon.sigma import Rule, RuleSet
from socmon.sigma.correlator import Correlator
from socmon.sigma.explaining import Counted, Explainer, Explanation, counted
from socmon.sigma.joining import Limits

_INCARNATION = uuid.UUID(int=0)  # alert ids are not shown: they belong to a journal
_OCTETS = re.compile(rb"([1-9][0-9]{0,8}) (?=<)")  # RFC 6587, section 3.4.1


class Frame(Struct, frozen=True):
    """A line as it came.

    Attributes:
        octets: the count before it, which was taken away; None if there was none.
        format: a parser's name, "" where none fits; `is_detected` from the line itself.
    """

    data: bytes
    octets: int | None
    format: str
    is_detected: bool


class Trial(Struct, frozen=True):
    """What a line came to, stage by stage.

    Attributes:
        n: its number, from 0.
        error: why it could not be decoded; "" if it could.
        matches: the single-event rules that match.
        late: it is further behind its source than correlation waits, so its matches count for nothing.
        alerts: those that it opened or joined, as they are then.
        asked: the rules that were named, explained; the bases of one that is a correlation.
        near: rules that it just misses, where none was named.
    """

    n: int
    frame: Frame
    error: str = ""
    event: Event | None = None
    matches: Sequence[Rule] = ()
    late: bool = False
    counts: Sequence[Counted] = ()
    alerts: Sequence[Alert] = ()
    asked: Sequence[Explanation] = ()
    near: Sequence[Explanation] = ()


class Session:
    """Lines that are tried one after the other, as one source sends them.

    Args:
        wanted: the rule that is asked about; None asks for near misses.

    Attributes:
        fulfilled: the rule that is asked about has matched, or come true.
        undecoded: a line could not be decoded.
    """

    def __init__(
        self,
        rules: RuleSet,
        source: Source,
        bounds: Limits,
        assets: Assets | None,
        wanted: Rule | None,
        year: int | None,
    ) -> None:
        self._rules = rules
        self._source = source
        self._assets = assets
        self._wanted = wanted
        self._matcher = Matcher(rules, year=year, assets=assets)
        # Lines that are pasted happened long before they are received here.
        self._correlator = Correlator(rules.rules, _INCARNATION, bounds._replace(ahead_us=None))
        self._explainer = Explainer(rules)
        self._bases = [*_bases(rules, wanted)] if wanted else []
        self.fulfilled = False
        self.undecoded = False

    def tried(self, n: int, line: bytes) -> Trial:
        """What `line` comes to, after those before it."""
        frame = _framed(line, self._source.format)
        source = msgspec.structs.replace(self._source, format=frame.format or "auto")
        try:
            event = self._matcher.parse(Record(frame.data, source, time.time_ns() // 1000, seq=n + 1))
        except ParseError as error:
            self.undecoded = True
            return Trial(n, frame, error=str(error))
        if self._assets:
            event.owner = self._assets.owner(event)
        matched = self._rules.match(event.fields, event.logsource)
        late = self._correlate(event, matched)
        counts = counted(self._rules, self._correlator, event, matched)
        if self._wanted:
            came_true = [*matched, *(each.rule.id for each in counts if each.holds)]
            self.fulfilled |= self._wanted.id in came_true
        explain = self._explainer
        asked = [explain.explain(rule, event.fields, event.logsource) for rule in self._bases]
        near = [] if self._wanted else explain.near_misses(event.fields, event.logsource)
        event.logsource = self._rules.stated(event.fields, event.logsource)  # for people: all that rules see it as
        return Trial(
            n,
            frame,
            event=event,
            matches=[self._rules.by_id[rule_id] for rule_id in matched],
            late=late,
            counts=counts,
            alerts=[alert for alert, _ in self._correlator.take_alerts()],
            asked=asked,
            near=near,
        )

    def _correlate(self, event: Event, matched: Sequence[str]) -> bool:
        """Bring the event to the correlator; whether it came too late."""
        if event.time_us is None:
            return False
        before = self._correlator.tally.late
        matches = [Match(event, matched, event.time_us)] if matched else []
        self._correlator.process(matches, {clock_of(event): event.time_us})
        return self._correlator.tally.late > before


def _framed(line: bytes, chosen: str) -> Frame:
    """The line without what a collector takes away, and the format that reads it."""
    counted_octets = _OCTETS.match(line)
    data = line[counted_octets.end() :] if counted_octets else line
    name = detect([data]) or "" if chosen == "auto" else chosen
    return Frame(data, int(counted_octets[1]) if counted_octets else None, name, is_detected=chosen == "auto")


def _bases(rules: RuleSet, rule: Rule) -> Iterator[Rule]:
    """The single-event rules that a rule is made of: itself, or what its correlation refers to in the end."""
    if rule.correlation is None:
        yield rule
        return
    for base in dict.fromkeys(rule.correlation.rules):
        yield from _bases(rules, rules.by_id[base])
