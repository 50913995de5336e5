"""Which rules are asked about an event: those that look at its log source, as its fields settle it. Within bounds."""

from collections import defaultdict
from collections.abc import Callable, Container, Iterable, Mapping
from collections.abc import Set as AbstractSet
from itertools import chain
from operator import itemgetter
from typing import Any, TypeVar

from socmon.event import LogSource
from socmon.sigma.ir import Node
from socmon.sigma.logsources import PARTS, LogSources, Standing, log_source
from socmon.sigma.matcher import BESIDES
from socmon.sigma.numbered import ALWAYS, Condition, numbers_in, simplified
from socmon.sigma.plan import Plan, Shared
from socmon.sigma.routing import NOTHING, Routing, Told
from socmon.sigma.signatures import Memory, is_one_key
from socmon.sigma.values import fold, text_of
from socmon.sigma.views import ASK_THE_FIELDS, Found, Layout, Met, Values, View, picker

_KeyT = TypeVar("_KeyT")
_ValueT = TypeVar("_ValueT")

_MEMORY_BYTES = 128 << 20
_MAX_SOURCES = 4096  # a log source holds text that the sender chose, such as a syslog tag
_MAX_ROUTED = 4096  # and so do the fields that say more of it
_MAX_CHARS = 256  # of a text that leads to a plan and is remembered
_MAX_LAYOUTS = 4096  # and what members an event has
_MAX_VIEWS = 1024  # of them, which rules can tell apart
_MAX_KINDS = 4096  # of events, in all views
_SURE = frozenset({str, type(None)})  # values of these types are the same where they are equal
Picking = tuple[Callable[[Values], Values], Met]
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

    Args:
        names: of all fields that the rules read.

    Attributes:
        routes: by log source, as far as they were met.
        picked: of events of a layout, what picks the values that rules read, and what such came to.
    """

    def __init__(
        self, sources: LogSources, rules: Iterable[tuple[LogSource, str, Node]], names: AbstractSet[str]
    ) -> None:
        self.routes: dict[LogSource, Route] = {}
        self.picked: dict[Layout, Picking] = {}
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
        self._names = frozenset(names)
        self._views: dict[frozenset[str], View] = {}
        self._seen: dict[Layout, View] = {}
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

    def picking(self, layout: Layout) -> Picking:
        """What picks the values that rules read of a layout's events, and what such came to."""
        view = self._seen.get(layout) or self._view(layout)
        picked = self.picked[layout] = picker(view.picked, layout), view.met
        return picked

    def _view(self, layout: Layout) -> View:
        """The view of a layout that was not met before; of those that rules cannot tell apart, the same one."""
        if len(self._seen) >= _MAX_LAYOUTS or len(self._views) >= _MAX_VIEWS:
            self._forget_views()
        names = self._names.union(layout.telling).intersection(layout.names)
        view = self._views.get(names)
        if view is None:
            view = self._views[names] = View(names, layout.telling, Met(self.memory))
        view.layouts.append(layout)
        self._seen[layout] = view
        return view

    def _forget_views(self) -> None:
        for view in self._views.values():
            self.memory.drop(view.met)
        self._kinds = 0
        self._views.clear()
        self._seen.clear()
        self.picked.clear()

    def found(self, layout: Layout, values: Values) -> Found:
        """What an event comes to that was not met before."""
        fields = dict(zip(layout.names, values, strict=True))
        view = self._seen[layout]
        kind = (*map(fields.__getitem__, view.kind),)
        if kind in view.plans:
            plan = view.plans[kind]
        else:
            logsource = layout.logsource(fields)
            if logsource is None:
                return ASK_THE_FIELDS
            plan = view.plans[kind] = self._plan(layout, logsource, fields)
        found = (plan.without_keywords(fields), plan.keywords) if plan else ASK_THE_FIELDS
        besides = [*map(fields.__getitem__, view.besides)]
        # What tells the log source is the same where it is equal.
        if _SURE.issuperset(map(type, besides)) or is_one_key(besides):
            view.met.keep((*map(fields.__getitem__, view.picked),), found)
        return found

    def _plan(self, layout: Layout, logsource: LogSource, fields: Mapping[str, Any]) -> Plan | None:
        """The plan for events of a kind that was not met before; None if it reads what is not given of them."""
        self._kinds += 1
        if self._kinds > _MAX_KINDS:
            self._kinds = 1
            for one in self._views.values():
                one.plans.clear()
        route = self.routes.get(logsource) or self.route(logsource)
        if not {*layout.telling}.issuperset(route.names):
            return None
        plan = self.choose(route, fields)
        if not plan.reads.isdisjoint(layout.besides | BESIDES):
            return None
        view = self._seen[layout]
        if view.tell_apart(plan.reads):
            for each in view.layouts:
                self.picked.pop(each, None)
        return plan

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
