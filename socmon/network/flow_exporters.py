"""What exporters of flows have said, bounded: templates, samplers, and data whose template is still to come."""

from collections import OrderedDict
from collections.abc import Iterator
from itertools import count

import msgspec
from msgspec import Struct

from socmon.errors import ParseError
from socmon.network.flow_line import Moment
from socmon.network.flow_template import Template

_ALL = {2: False, 3: True}  # withdrawn, these stand for all templates, and all templates of options (RFC 7011, 8.1)


class Limits(Struct, frozen=True):
    """Bounds of what exporters, who may be made up, can have us keep; the least used goes first."""

    exporters: int = 1000
    domains: int = 64  # of one exporter: versions, and observation domains of each
    templates: int = 500  # of one domain
    all_templates: int = 20_000
    samplers: int = 256  # of one domain
    held_bytes: int = 4 * 1024 * 1024
    held_s: float = 600.0
    state_bytes: int = 64 * 1024


class Domain:
    """What one exporter said in one version and observation domain.

    Attributes:
        sampling: one packet in so many is counted; 0 where it does not say. `samplers`: the same by sampler.
        boot_ms: when its clock of uptimes began, in ms since 1970.
        expected: the number that its next datagram should have.
        held: by template, the numbers of what waits for it, oldest first.
    """

    def __init__(self) -> None:
        self.templates: OrderedDict[int, Template] = OrderedDict()
        self.samplers: dict[int, int] = {}
        self.sampling = 0
        self.boot_ms: int | None = None
        self.expected: int | None = None
        self.held: dict[int, dict[int, None]] = {}

    def learn(self, kind: int, template: Template, most: int) -> bool:
        """Take a template as the newest word, and whether it is news; of more than `most` the oldest is forgotten."""
        before = self.templates.get(kind)
        news = before is None or (before.told, before.options) != (template.told, template.options)
        if news:
            self.templates[kind] = template
        self.templates.move_to_end(kind)
        if len(self.templates) > most:
            self.templates.popitem(last=False)
        return news

    def withdraw(self, kind: int) -> bool:
        """Forget a template, and whether it was known."""
        gone = [kind]
        if kind in _ALL:
            gone = [each for each, known in self.templates.items() if known.options is _ALL[kind]]
        return [self.templates.pop(each) for each in gone if each in self.templates] != []


class Held(Struct):
    """A data set that waits for its template; `start` is its place in the datagram."""

    domain: Domain
    kind: int
    body: bytes
    start: int
    moment: Moment
    prefix: str
    since_s: float


class Waiting:
    """Data sets whose templates are still to come, oldest first.

    Attributes:
        lost: how many were given up: too old, too many, or their exporter forgotten.
    """

    def __init__(self, limits: Limits) -> None:
        self.lost = 0
        self._limits = limits
        self._held: OrderedDict[int, Held] = OrderedDict()
        self._bytes = 0
        self._numbers = count()

    def add(self, held: Held) -> None:
        """Keep it, and give up the oldest where there is no room."""
        number = next(self._numbers)
        self._held[number] = held
        held.domain.held.setdefault(held.kind, {})[number] = None
        self._bytes += len(held.body)
        while self._bytes > self._limits.held_bytes:
            self._lose(next(iter(self._held)))

    def come(self, domain: Domain, kind: int) -> Iterator[Held]:
        """What waited for this template, which is known now."""
        for number in domain.held.pop(kind, ()):
            held = self._held.pop(number)
            self._bytes -= len(held.body)
            yield held

    def expire(self, now_s: float) -> None:
        """Give up what waits for too long."""
        while self._held:
            number = next(iter(self._held))
            if now_s - self._held[number].since_s < self._limits.held_s:
                return
            self._lose(number)

    def give_up(self, domain: Domain | None = None) -> None:
        """Give up what waits for a template of `domain`, or for any."""
        numbers = list(self._held) if domain is None else [number for each in domain.held.values() for number in each]
        for number in numbers:
            self._lose(number)

    def _lose(self, number: int) -> None:
        held = self._held.pop(number)
        numbers = held.domain.held[held.kind]
        del numbers[number]
        if not numbers:
            del held.domain.held[held.kind]
        self._bytes -= len(held.body)
        self.lost += 1


class _State(Struct, array_like=True):
    """A domain in `Exporters.state`."""

    version: int
    domain: int
    templates: list[tuple[int, bool, bytes]]
    samplers: dict[int, int]
    sampling: int
    boot_ms: int | None


class Exporters:
    """All domains of all exporters.

    Attributes:
        waiting: see Waiting.
    """

    def __init__(self, limits: Limits) -> None:
        self.waiting = Waiting(limits)
        self._limits = limits
        self._known: OrderedDict[str, OrderedDict[tuple[int, int], Domain]] = OrderedDict()
        self._templates = 0

    def domain(self, exporter: str, version: int, number: int) -> Domain:
        """What is known of a domain, which is the last used one now."""
        domains = self._known.get(exporter)
        if domains is None:
            domains = self._known[exporter] = OrderedDict()
            if len(self._known) > self._limits.exporters:
                self._forget_exporter()
        self._known.move_to_end(exporter)
        key = (version, number)
        if key not in domains:
            domains[key] = Domain()
            if len(domains) > self._limits.domains:
                self._forget(domains.popitem(last=False)[1])
        domains.move_to_end(key)
        return domains[key]

    def learn(self, domain: Domain, kind: int, template: Template) -> bool:
        """Take a template of `domain`, the last used one, and whether it is news."""
        before = len(domain.templates)
        news = domain.learn(kind, template, self._limits.templates)
        self._templates += len(domain.templates) - before
        while self._templates > self._limits.all_templates and len(self._known) > 1:
            self._forget_exporter()
        return news

    def withdraw(self, domain: Domain, kind: int) -> bool:
        """Forget a template of `domain`, and whether it was known."""
        before = len(domain.templates)
        known = domain.withdraw(kind)
        self._templates += len(domain.templates) - before
        return known

    def _forget_exporter(self) -> None:
        for domain in self._known.popitem(last=False)[1].values():
            self._forget(domain)

    def _forget(self, domain: Domain) -> None:
        self.waiting.give_up(domain)
        self._templates -= len(domain.templates)

    # ── over a restart ───────────────────────────────────────────────────────────────────────────────────────────

    def state(self, exporter: str) -> bytes | None:
        """Templates and samplers of `exporter`, for `restore`; None where there are none, or more than the bound."""
        told = [
            _State(
                version,
                number,
                [(kind, each.options, each.told) for kind, each in domain.templates.items()],
                domain.samplers,
                domain.sampling,
                domain.boot_ms,
            )
            for (version, number), domain in self._known.get(exporter, {}).items()
            if domain.templates
        ]
        encoded = msgspec.msgpack.encode(told)
        return encoded if told and len(encoded) <= self._limits.state_bytes else None

    def restore(self, exporter: str, state: bytes) -> None:
        """Know again what `state` gave.

        Raises:
            ParseError: it did not.
        """
        try:
            told = msgspec.msgpack.decode(state, type=list[_State])
        except msgspec.MsgspecError as error:
            raise ParseError(f"no templates that we wrote: {error}") from error
        for each in told:
            domain = self.domain(exporter, each.version, each.domain)
            domain.samplers, domain.sampling, domain.boot_ms = each.samplers, each.sampling, each.boot_ms
            for kind, options, fields in each.templates:
                self.learn(domain, kind, Template.again(fields, options=options))
