"""Which rules are asked about an event: those that look at its log source. Remembered, within bounds."""

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from msgspec import Struct

from socmon.event import LogSource
from socmon.sigma.logsources import PARTS, LogSources, Standing, log_source
from socmon.sigma.matcher import Test
from socmon.sigma.routing import NOTHING, Routing, Told

_KeyT = TypeVar("_KeyT")
_ValueT = TypeVar("_ValueT")

Plan = list[tuple[str, Test]]
_MAX_PLANS = 4096  # a log source holds text that the sender chose, such as a syslog tag
_MAX_ROUTED = 256


class _Routed(Struct):
    """A log source whose events say more of it in their fields; as many plans as they can say things."""

    event: LogSource
    routing: Routing
    plans: dict[Told, Plan]


class Plans:
    """The plan of each log source.

    Attributes:
        settled: of log sources whose events' fields say no more; whoever finds a plan here need not ask `choose`.
    """

    def __init__(self, sources: LogSources, tests: Iterable[tuple[LogSource, str, Test]]) -> None:
        self.settled: dict[LogSource, Plan] = {}
        self._sources = sources
        self._tests = [(rule, (rule_id, test)) for rule, rule_id, test in tests]
        self._routed: dict[LogSource, _Routed] = {}
        self._shared: dict[Standing, Plan] = {}
        stated = [frozenset(filter(None, (getattr(rule, part) for rule, _ in self._tests))) for part in PARTS]
        self._stated = Standing(*stated)

    def choose(self, logsource: LogSource, fields: Mapping[str, Any]) -> Plan:
        """The plan of an event whose log source is new, or says only with the fields what it is."""
        routed = self._routed.get(logsource)
        if routed is None:
            event = log_source(logsource)
            routing = self._sources.routing(event)
            if routing is None:
                plan = _room(self.settled, _MAX_PLANS)[logsource] = self._plan(event, NOTHING)
                return plan
            routed = _room(self._routed, _MAX_ROUTED)[logsource] = _Routed(event, routing, {})
        told = routed.routing.told(routed.event.service, fields)
        known = routed.plans.get(told)
        if known is None:
            known = routed.plans[told] = self._plan(routed.event, told)
        return known

    def _plan(self, event: LogSource, told: Told) -> Plan:
        """The rules for an event; one list for all log sources that no rule tells apart."""
        every = self._sources.standing(event, told)
        standing = Standing(*(held & stated for held, stated in zip(every, self._stated, strict=True)))
        plan = self._shared.get(standing)
        if plan is None:
            plan = [entry for rule, entry in self._tests if not self._sources.differing(rule, standing)]
            _room(self._shared, _MAX_PLANS)[standing] = plan
        return plan


def _room(plans: dict[_KeyT, _ValueT], most: int) -> dict[_KeyT, _ValueT]:
    if len(plans) >= most:
        plans.clear()
    return plans
