"""Which rules are asked about an event: those that look at its log source, as its fields settle it. Within bounds."""

from collections import defaultdict
from collections.abc import Callable, Container, Iterable, Mapping
from itertools import chain
from operator import itemgetter
from typing import Any, TypeVar

from socmon.event import LogSource
from socmon.sigma.ir import Node
from socmon.sigma.logsources import PARTS, LogSources, Standing, log_source
from socmon.sigma.matcher import BESIDES
from socmon.sigma.met import Layout, Met, Values, picker
from socmon.sigma.numbered import ALWAYS, Condition, numbers_in, simplified
from socmon.sigma.plan import Plan, Shared
from socmon.sigma.routing import NOTHING, Routing, Told
from socmon.sigma.signatures import Memory, is_one_key
from socmon.sigma.values import fold, text_of

_KeyT = TypeVar("_KeyT")
_ValueT = TypeVar("_ValueT")

_MEMORY_BYTES = 128 << 20
_MAX_SOURCES = 4096  # a log source holds text that the sender chose, such as a syslog tag
_MAX_ROUTED = 4096  # and so do the fields that say more of it
_MAX_CHARS = 256  # of a text that leads to a plan and is remembered
_MAX_NAMES = 131_072  # of all layouts that are remembered: what members an event has the sender chooses too
_MAX_METS = 4096
_MAX_KINDS = 4096  # of events, in all layouts

# What picks the values that a plan reads, and what such came to; None where an event's fields have to be asked.
Known = tuple[Callable[[Values], Values] | None, Met | None]
# What picks the values that tell an event's log source, and what is known of events by these.
Seen = tuple[Callable[[Values], Values], dict[Values, Known]]
ASK_THE_FIELDS: Known = (None, None)
_OTHER = object()  # stands for every text that no rule asks for

Rules = list[tuple[str, Condition]]


class Route:
    """Leads the events of one log source to their plans, by the fields that say more of it.

    Attributes:
        names: of these fields; () where there are none.
        read: the values of these fields in an event; a KeyError if it lacks one.
        matches: what matches their events, by what `read` gives, as far as it was met.
    """

    def __init__(self, event: LogSource, routing: Routing | None) -> None:
        self.event = event
        self.routing = routing
        self.names = routing.names if routing else ()
        self.read: Callable[[Mapping[str, Any]], Any] = itemgetter(*self.names) if self.names else _nothing
        self.matches: dict[Any, Callable[[Mapping[str, Any], bytes | None], tuple[str, ...]]] = {}
        self.bases: dict[Told, _Base] = {}


class _Base:
    """The rules that see events of one standing, with as many plans as values of the routing fields differ to them.

    A plan holds what is left of the rules' conditions once these values are put in (partial evaluation).
    """

    def __init__(self, rules: Rules, names: tuple[str, ...], shared: Shared) -> None:
        self._rules = rules
        self._shared = shared
        self._plans: dict[tuple[object, ...], Plan] = {}
        # Of each routing field, the atoms that its value settles: text that it must equal → their numbers.
        self._equal: list[dict[str, list[int]]] = [defaultdict(list) for _ in names]
        for number in set().union(*(numbers_in(condition) for _, condition in rules)):
            atom = shared.numbers.atoms[number]
            if atom.op == "eq" and not atom.cased and atom.names and atom.names[0] in names:
                self._equal[names.index(atom.names[0])][atom.arg].append(number)

    def plan(self, values: tuple[Any, ...]) -> Plan:
        """The plan for events with these values in the routing fields."""
        # Of finitely many keys one, whatever a sender writes.
        key = (*map(_differing, values, self._equal),)
        plan = self._plans.get(key)
        if plan is None:
            plan = self._plans[key] = Plan(self._left(key), self._shared)
        return plan

    def _left(self, key: tuple[Any, ...]) -> Rules:
        true: set[int] = set()
        every: set[int] = set()
        for equal, text in zip(self._equal, key, strict=True):
            if text is not None:
                true.update(equal.get(text, ()))
                every.update(*equal.values())
        known = frozenset(true), frozenset(every - true)
        left = ((rule_id, simplified(condition, *known)) for rule_id, condition in self._rules)
        return [(rule_id, ALWAYS if one is True else one) for rule_id, one in left if one is not False]


def _differing(value: Any, texts: Container[str]) -> object:
    """What a value is to rules that ask for these texts: one of them, or none; None where it is no single value."""
    if value is None or isinstance(value, (list, tuple, dict)):
        return None
    text = fold(text_of(value))
    return text if text in texts else _OTHER


class Plans:
    """The plan of each event.

    Attributes:
        routes: by log source, as far as they were met.
        seen: what is known of events, by their layouts.
    """

    def __init__(self, sources: LogSources, rules: Iterable[tuple[LogSource, str, Node]]) -> None:
        self.routes: dict[LogSource, Route] = {}
        self.seen: dict[Layout, Seen] = {}
        self._sources = sources
        # By log source, of which there are few; each rule with its place in load order.
        self._rules: dict[LogSource, list[tuple[int, str, Node]]] = defaultdict(list)
        for place, (rule, rule_id, node) in enumerate(rules):
            self._rules[rule].append((place, rule_id, node))
        self._shared = Shared(_MEMORY_BYTES)
        self._conditions: dict[str, Condition] = {}
        self._bases: dict[tuple[Standing, tuple[str, ...]], _Base] = {}
        stated = [frozenset(filter(None, (getattr(rule, part) for rule in self._rules))) for part in PARTS]
        self._stated = Standing(*stated)
        self._mets: dict[tuple[Plan, frozenset[str]], Met] = {}
        self._left = _MAX_NAMES
        self._kinds = 0

    @property
    def memory(self) -> Memory:
        """What is remembered of values and combinations."""
        return self._shared.memory

    def route(self, logsource: LogSource) -> Route:
        """The route of a log source that was not met before."""
        event = log_source(logsource)
        route = _room(self.routes, _MAX_SOURCES)[logsource] = Route(event, self._sources.routing(event))
        return route

    def choose(self, route: Route, fields: Mapping[str, Any]) -> Plan:
        """The plan of an event whose routing fields have values that were not met before."""
        told = route.routing.told(route.event.service, fields) if route.routing else NOTHING
        base = route.bases.get(told)
        if base is None:
            base = route.bases[told] = self._base(route, told)
        values = (*map(fields.get, route.names),)
        plan = base.plan(values)
        if is_one_key(values) and None not in values and all(map(_is_short, values)):
            _room(route.matches, _MAX_ROUTED)[route.read(fields)] = plan.match
        return plan

    def see(self, layout: Layout) -> Seen:
        """What is known of the events of a layout that was not met before, which is nothing yet."""
        self._left -= len(layout.names)
        if self._left < 0:
            self.seen.clear()
            self._left = _MAX_NAMES
        telling = [name for name in layout.telling if name in layout.names]
        seen = self.seen[layout] = picker(telling, layout), {}
        return seen

    def know(self, layout: Layout, values: Values) -> Known:
        """What is to be known of an event, and of others whose log source is told by the same values."""
        fields = dict(zip(layout.names, values, strict=True))
        logsource = layout.logsource(fields)
        if logsource is None:
            return ASK_THE_FIELDS
        route = self.routes.get(logsource) or self.route(logsource)
        known = ASK_THE_FIELDS
        if {*layout.telling}.issuperset(route.names):
            plan = self.choose(route, fields)
            if plan.reads.isdisjoint(layout.besides | BESIDES):
                met = self._met(plan, layout)
                known = picker(met.picked, layout), met
        if self._kinds >= _MAX_KINDS:
            for _, kinds in self.seen.values():
                kinds.clear()
            self._kinds = 0
        self._kinds += 1
        pick, kinds = self.seen.get(layout) or self.see(layout)
        kinds[pick(values)] = known
        return known

    def _met(self, plan: Plan, layout: Layout) -> Met:
        """Of all layouts that have the same of the fields that the plan reads, the same one."""
        names = plan.reads.intersection(layout.names)
        met = self._mets.get((plan, names))
        if met is None:
            if len(self._mets) >= _MAX_METS:
                for one in self._mets.values():
                    self.memory.drop(one)
                self._mets.clear()
                self.seen.clear()
                self._kinds = 0
            met = self._mets[plan, names] = Met(plan, names, layout.telling)
        return met

    def _base(self, route: Route, told: Told) -> _Base:
        """The rules for what an event is; one for all log sources that no rule tells apart."""
        every = self._sources.standing(route.event, told)
        standing = Standing(*(held & stated for held, stated in zip(every, self._stated, strict=True)))
        key = (standing, route.names)
        base = self._bases.get(key)
        if base is None:
            seeing = [each for rule, each in self._rules.items() if not self._sources.differing(rule, standing)]
            ordered = sorted(chain.from_iterable(seeing), key=itemgetter(0))
            rules = [(rule_id, self._condition(rule_id, node)) for _, rule_id, node in ordered]
            base = _room(self._bases, _MAX_SOURCES)[key] = _Base(rules, route.names, self._shared)
        return base

    def _condition(self, rule_id: str, node: Node) -> Condition:
        condition = self._conditions.get(rule_id)
        if condition is None:
            condition = self._conditions[rule_id] = self._shared.numbers.condition(node)
        return condition


def _is_short(value: Any) -> bool:
    return type(value) is not str or len(value) <= _MAX_CHARS


def _nothing(_fields: Mapping[str, Any]) -> None:
    """What events are told apart by that only their log source tells apart."""


def _room(found: dict[_KeyT, _ValueT], most: int) -> dict[_KeyT, _ValueT]:
    if len(found) >= most:
        found.clear()
    return found
