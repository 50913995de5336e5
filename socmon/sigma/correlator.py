"""Matches → alerts: watermarks and groups, exact on event time and bounded (docs/semantics.md, "Correlation").

The state is a function of the journal alone: nothing here reads a clock, the store, or what analysts did. A snapshot
taken between two batches and restored continues exactly as the run it was taken from.
"""

import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import cast

import msgspec
from msgspec import Struct

from socmon.event import Alert, Event, Match, clock_of
from socmon.sigma.joining import MAX_ALERTS, Limits, Row, alert_id, find, is_approximate, join
from socmon.sigma.keeper import Keeper, Key, Pending, Reached, keepers_of, lowest
from socmon.sigma.measured import Measured, MeasuredWindow, Member, News
from socmon.sigma.measures import Lack
from socmon.sigma.rule import Rule
from socmon.sigma.windows import NEVER_US, Group, OpenAlert

Clock = tuple[str, str, str]

_STEP_MATCHES = 50  # 7 ms where five correlations look at each
_MAX_CLOCKS = 10_000  # peers' addresses and hosts' names can be made up


class Tally(Struct):
    """What correlation has done, and what it could not use, since the journal began.

    Attributes:
        opened: alerts, by level.
        joined: matches that joined an open alert.
        late: matches behind their own source's watermark.
        missing_field: matches that lack a group-by field, or one whose values are counted.
        evicted: groups dropped because of a bound.
        not_numeric: matches, and results, whose value is no number where numbers are added up or ranked.
    """

    opened: dict[str, int] = {}
    joined: int = 0
    late: int = 0
    missing_field: int = 0
    evicted: int = 0
    not_numeric: int = 0


class _Meta(Struct):
    """The part of the state that every batch changes."""

    tally: Tally
    clock_us: int = NEVER_US  # the greatest event time of all sources
    low_us: int = NEVER_US  # no event in time is older; only grows
    touches: int = 0


class Correlator:
    """Turns matches, in journal order, into alerts.

    Args:
        rules: the rules in force; a correlation's base rules alert only with `generate`.
        incarnation: of the journal; alert ids are derived from it.
    """

    def __init__(self, rules: Iterable[Rule], incarnation: uuid.UUID, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self._incarnation = incarnation
        self._keepers, self._fed_by = keepers_of(rules, self.limits)
        self._clocks: dict[Clock, int] = {}  # per source, its greatest event time
        self._meta = _Meta(tally=Tally())
        self._groups = 0
        self._members = 0
        self._changed: dict[str, tuple[Keeper, Key, OpenAlert]] = {}
        self._touched_groups: set[tuple[str, Key]] = set()
        self._touched_clocks: set[Clock] = set()
        self._foreign: list[bytes] = []  # restored rows of rules that changed or went

    @property
    def tally(self) -> Tally:
        """Counts since the journal began."""
        return self._meta.tally

    @property
    def size(self) -> tuple[int, int]:
        """(groups, events held in them)."""
        return self._groups, self._members

    def reached(self, event: Event, matched: Sequence[str]) -> dict[str, dict[Key, Reached] | Lack]:
        """Per correlation the groups that an event is in, or its results; a Lack if it is none of its events.

        Args:
            matched: the rules that the event matches.
        """
        found: dict[str, dict[Key, Reached] | Lack] = {}
        pending: dict[Keeper, set[Key]] = {}
        for keeper in self._fed(matched):
            facts = keeper.facts_of(event, matched)
            if isinstance(facts, Lack):
                found[keeper.rule.id] = facts
            pending[keeper] = set() if isinstance(facts, Lack) else {key for key, _ in facts}
        while pending:
            for keeper in lowest(pending):
                if keys := pending.pop(keeper):
                    found[keeper.rule.id] = {key: keeper.reached(key) for key in sorted(keys)}
                for parent in keeper.parents:
                    pending.setdefault(parent.keeper, set()).update(map(parent.key_of, keys))
        return found

    # ── a batch ──────────────────────────────────────────────────────────────────────────────────────────────────

    def process(self, matches: Iterable[Match], highs: Mapping[Clock, int]) -> None:
        """Correlate one journal batch.

        Args:
            matches: in journal order.
            highs: per source with a dated event in the batch, its greatest event time.
        """
        for _ in self.steps(matches, highs):
            pass

    def steps(self, matches: Iterable[Match], highs: Mapping[Clock, int]) -> Iterator[None]:
        """`process` in steps of some milliseconds; until the last one is done the state is that of half a batch."""
        self._forget()
        for done, match in enumerate(matches, 1):
            self._match(match)
            if done % _STEP_MATCHES == 0:
                yield
        for clock, high_us in highs.items():
            self._advance(clock, high_us)

    def tick(self, received_us: int) -> None:
        """Time passes without events: nothing further back than the greatest skew can still come in time."""
        self._meta.clock_us = max(self._meta.clock_us, received_us - self.limits.max_skew_us)
        self._forget()

    def _advance(self, clock: Clock, high_us: int) -> None:
        self._clocks[clock] = max(high_us, self._clocks.get(clock, NEVER_US))
        self._touched_clocks.add(clock)
        self._meta.clock_us = max(self._meta.clock_us, high_us)
        if len(self._clocks) > _MAX_CLOCKS:
            furthest_behind = sorted(self._clocks, key=lambda known: (self._clocks[known], known))[: _MAX_CLOCKS // 16]
            for gone in furthest_behind:
                del self._clocks[gone]
            self._touched_clocks.update(furthest_behind)

    def _forget(self) -> None:
        """Raise the low watermark and drop the groups that no event in time can reach any more."""
        meta = self._meta
        slowest = min(self._clocks.values(), default=NEVER_US)
        low_us = max(slowest, meta.clock_us - self.limits.max_skew_us) - self.limits.lateness_us
        meta.low_us = max(meta.low_us, low_us)
        for keeper in self._keepers.values():
            while keeper.groups:
                key, group = next(iter(keeper.groups.items()))
                if group.clock_us >= meta.low_us - keeper.memory_us:
                    break  # groups stand in the order of their last touch, and the clock never goes back
                self._remove(keeper, key)

    def _match(self, match: Match) -> None:
        event, high_us = match.event, match.high_us
        time_us = event.time_us
        if time_us is None:
            return
        mark_us = max(self._clocks.get(clock_of(event), NEVER_US), high_us)
        meta, limits = self._meta, self.limits
        # A mark in this record's future is of a time when our own clock ran ahead; nothing is late against that.
        if time_us < mark_us - limits.lateness_us and (
            limits.ahead_us is None or mark_us <= event.record.received_us + limits.ahead_us
        ):
            meta.tally.late += 1
            return
        meta.clock_us = max(meta.clock_us, high_us)
        pending: Pending = {}  # for measured windows, and for correlations over the results of this event
        for keeper in self._fed(match.rules):
            if keeper.window is None:  # most rules: nothing is read of the event
                self._correlate(keeper, (event.host,), event, time_us, pending)
                continue
            facts = keeper.facts_of(event, match.rules)
            if not isinstance(facts, tuple):
                self._lacks(facts)
                continue
            for key, fact in facts:
                if isinstance(keeper.window, MeasuredWindow):
                    news = pending.setdefault(keeper, {}).setdefault(key, News())
                    news.add(Member(time_us, event.record.seq, event.repeat, fact), keeper.window.merged)
                else:
                    self._correlate(keeper, key, event, time_us, pending)
        if pending:
            self._correlate_pending(event, time_us, pending)

    def _correlate_pending(self, event: Event, time_us: int, pending: Pending) -> None:
        """A correlation after all below it: so it sees at once all that the event comes to there."""
        while pending:
            for keeper in lowest(pending):
                for key, news in pending.pop(keeper).items():
                    self._correlate(keeper, key, event, time_us, pending, news)

    def _fed(self, matched: Sequence[str]) -> Iterable[Keeper]:
        """Once each: an event that two rules of one correlation match is still one event."""
        if len(matched) == 1:
            return self._fed_by.get(matched[0], ())
        return dict.fromkeys(keeper for base in matched for keeper in self._fed_by.get(base, ()))

    def _lacks(self, lack: Lack) -> None:
        if lack is Lack.MISSING:
            self._meta.tally.missing_field += 1
        else:
            self._meta.tally.not_numeric += 1

    def _correlate(
        self, keeper: Keeper, key: Key, event: Event, time_us: int, pending: Pending, news: News | None = None
    ) -> None:
        group = self._touch(keeper, key)
        seq, weight, window = event.record.seq, event.repeat, keeper.window
        if window is None:
            alert = find(group, time_us, (), self.limits) or self._open(keeper, key, group, event, (seq, time_us))
            if group.lost_us != NEVER_US:  # else nothing was, that could have made an alert of it approximate
                alert.approximate |= is_approximate(group, alert, time_us, (), group.lost_us, self.limits)
            self._join(keeper, key, alert, [Row(seq, time_us, weight)], event)
            return
        held = len(group.times)
        group.prune(self._meta.low_us - keeper.reach_us)
        spans: Iterable[range]
        if isinstance(window, MeasuredWindow):
            spans = window.add(cast("Measured", group), news or News())  # the keeper makes no others
        else:
            spans = window.add(group, time_us, seq, weight)
        for span in spans:
            fresh = group.fresh(span)
            if keeper.parents:
                self._meta.tally.not_numeric += keeper.hand_on(key, group, span[-1], fresh, pending)
            if keeper.rule.alerts:
                self._fire(keeper, key, group, span, fresh, event)
            else:
                group.take(fresh, group.seqs[span[-1]])
        grown = len(group.times) - held
        keeper.members += grown
        self._members += grown
        while self._members > self.limits.max_members:  # one event may bring a chain hundreds
            self._evict(max(self._keepers.values(), key=lambda other: other.members))

    def _touch(self, keeper: Keeper, key: Key) -> Group:
        group = keeper.groups.pop(key, None)
        if group is None:
            while self._groups >= self.limits.max_groups:
                self._evict(max(self._keepers.values(), key=lambda other: len(other.groups)))
            self._groups += 1
            group = keeper.new_group()
        keeper.groups[key] = group
        meta = self._meta
        meta.touches = group.touched = meta.touches + 1
        group.clock_us = meta.clock_us
        memory_ends_us = meta.low_us - keeper.memory_us
        if group.alerts and group.alerts[0].clock_us < memory_ends_us:
            group.alerts = [alert for alert in group.alerts if alert.clock_us >= memory_ends_us]
        self._touched_groups.add((keeper.rule.id, key))
        return group

    # ── alerts ───────────────────────────────────────────────────────────────────────────────────────────────────

    def _fire(self, keeper: Keeper, key: Key, group: Group, window: range, fresh: Sequence[int], event: Event) -> None:
        """The condition holds at the last event of `window`: open an alert with all of it, or join what is new.

        An alert that has reached its greatest length while the condition stays true is followed by one that begins with
        what is new.

        Args:
            fresh: the events of the window that are in no alert yet.
        """
        if not fresh:
            return
        last = window[-1]
        near = group.near(window)
        alert = find(group, group.times[last], near, self.limits)
        if alert is None:
            alert = self._open(keeper, key, group, event, (group.seqs[last], group.times[last]))
            if not near:
                fresh = group.events(window)
        rows = [Row(group.seqs[index], group.times[index], group.weights[index]) for index in fresh]
        lost_us = keeper.lost_us(group) + keeper.reach_us
        alert.approximate |= is_approximate(group, alert, group.times[last], near, lost_us, self.limits)
        group.take(fresh, alert.opened_seq)
        self._join(keeper, key, alert, rows, event)

    def _open(self, keeper: Keeper, key: Key, group: Group, event: Event, opened: tuple[int, int]) -> OpenAlert:
        seq, time_us = opened
        alert = OpenAlert(
            id=alert_id(self._incarnation, keeper.rule.id, key, seq),
            first_us=-NEVER_US,
            last_us=NEVER_US,
            opened_us=time_us,
            opened_seq=seq,
            host=event.host,
            agency=event.owner.agency,
            system=event.owner.system,
            system_level=event.owner.system_level,
        )
        group.alerts.append(alert)
        if len(group.alerts) > MAX_ALERTS:
            gone = group.alerts.pop(0)
            group.lost_us = max(group.lost_us, gone.last_us + self.limits.suppress_us)
        by_level = self._meta.tally.opened
        by_level[keeper.rule.level] = by_level.get(keeper.rule.level, 0) + 1
        return alert

    def _join(self, keeper: Keeper, key: Key, alert: OpenAlert, rows: list[Row], event: Event) -> None:
        if alert.revision:
            self._meta.tally.joined += 1
        join(alert, rows, event, self.limits.keep_events)
        alert.clock_us = self._meta.clock_us
        self._changed[alert.id] = (keeper, key, alert)

    def take_alerts(self) -> list[tuple[Alert, list[int]]]:
        """The alerts that changed since the last call, as they are now, without evidence.

        Each comes with the sequences of its evidence that it was not handed out with before.
        """
        taken = []
        for keeper, key, alert in self._changed.values():
            kept = alert.first + alert.last
            fresh = sorted(set(kept).difference(alert.handed))
            if self.limits.keep_events is not None:
                alert.handed = kept
            taken.append((keeper.finished(key, alert), fresh))
        self._changed = {}
        return taken

    def hand_over(self) -> list[tuple[Alert, list[int]]]:
        """`take_alerts` for who takes no snapshots and keeps all events himself: each is handed out once."""
        changed, taken = self._changed.values(), self.take_alerts()  # which begins another one
        for _, _, alert in changed:
            alert.first = []
        self._touched_groups, self._touched_clocks = set(), set()
        return taken

    # ── bounds ───────────────────────────────────────────────────────────────────────────────────────────────────

    def _evict(self, keeper: Keeper) -> None:
        """Drop the coldest 64th of the groups of the rule that holds the most, so that no rule starves the others."""
        for key in list(keeper.groups)[: max(1, len(keeper.groups) // 64)]:
            group = keeper.groups[key]
            joinable = (alert.last_us + self.limits.suppress_us for alert in group.alerts)
            keeper.evicted_us = max(keeper.evicted_us, group.lost_us, *group.times[-1:], *joinable)
            self._meta.tally.evicted += 1
            self._remove(keeper, key)

    def _remove(self, keeper: Keeper, key: Key) -> None:
        held = len(keeper.groups.pop(key))
        keeper.members -= held
        self._members -= held
        self._groups -= 1
        self._touched_groups.add((keeper.rule.id, key))

    # ── snapshot ─────────────────────────────────────────────────────────────────────────────────────────────────

    def take_snapshot(self) -> dict[bytes, bytes | None]:
        """State rows that changed since the last call; None for one that is gone. Grows with touched groups only."""
        encode = msgspec.msgpack.encode
        rows: dict[bytes, bytes | None] = dict.fromkeys(self._foreign)
        for rule_id, key in self._touched_groups:
            keeper = self._keepers[rule_id]
            group = keeper.groups.get(key)
            rows[encode(["group", rule_id, keeper.rule.hash, key])] = None if group is None else encode(group)
        for clock in self._touched_clocks:
            high_us = self._clocks.get(clock)
            rows[encode(["clock", *clock])] = None if high_us is None else encode(high_us)
        evicted = {rule_id: k.evicted_us for rule_id, k in self._keepers.items() if k.evicted_us != NEVER_US}
        rows[encode(["meta"])] = encode([self._meta, evicted])
        self._touched_groups, self._touched_clocks, self._foreign = set(), set(), []
        return rows

    def restore(self, rows: Iterable[tuple[bytes, bytes]]) -> None:
        """Continue from the rows that `take_snapshot` gave out, in any order.

        Groups of a rule that changed, went, or stands over one that did, are not taken over, nor is what is not in the
        form that this version writes; the next snapshot drops their rows.
        """
        groups: list[tuple[Keeper, Key, Group]] = []
        for row, value in rows:
            kind, *name = msgspec.msgpack.decode(row)
            if kind == "group":
                rule_id, rule_hash, key = name
                keeper = self._keepers.get(rule_id)
                group = keeper.decoded(value) if keeper and keeper.rule.hash == rule_hash else None
                if keeper is None or group is None:
                    self._foreign.append(row)
                else:
                    groups.append((keeper, tuple(key), group))
            elif kind == "clock":
                self._clocks[name[0], name[1], name[2]] = msgspec.msgpack.decode(value)
            else:
                self._meta, evicted = msgspec.msgpack.decode(value, type=tuple[_Meta, dict[str, int]])
                for rule_id in evicted.keys() & self._keepers.keys():
                    self._keepers[rule_id].evicted_us = evicted[rule_id]
        for keeper, key, group in sorted(groups, key=lambda item: item[2].touched):
            keeper.groups[key] = group
            keeper.members += len(group)
            self._members += len(group)
        self._groups = len(groups)
