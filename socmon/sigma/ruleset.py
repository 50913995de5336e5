"""The loaded rules: which of them match an event."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path

from socmon.event import LogSource
from socmon.sigma.ir import names_in
from socmon.sigma.loading import Loader, rule_files
from socmon.sigma.logsources import LogSourcePart, LogSources, log_source, shipped_log_sources
from socmon.sigma.matcher import Fields
from socmon.sigma.met import Layout, Values
from socmon.sigma.outline import Piece
from socmon.sigma.plans import Plans
from socmon.sigma.rule import Correlation, Rule, RuleError, by_depth
from socmon.sigma.rule_cache import RuleCache
from socmon.sigma.signatures import Memory
from socmon.sigma.stated import NO_PLACEHOLDERS, Placeholders


class RuleSet:
    """Rules, compiled, with what was refused on the way.

    Attributes:
        rules: in load order, correlations among them.
        errors: why files and rules were refused, by path and line.
        warnings: what is loaded and may not be meant so, by path and line.
        unused: names of placeholders that no rule and no filter has.
        by_id: the rules by their id.
    """

    def __init__(
        self,
        rules: Sequence[Rule],
        errors: Sequence[RuleError],
        conditions: Mapping[str, Piece],
        sources: LogSources,
        *,
        warnings: Sequence[RuleError] = (),
        unused: Sequence[str] = (),
    ) -> None:
        self.rules = list(rules)
        self.errors = sorted(errors, key=lambda error: (error.path, error.line))
        self.warnings = sorted(warnings, key=lambda warning: (warning.path, warning.line))
        self.unused = list(unused)
        self.by_id = {rule.id: rule for rule in self.rules}
        self._sources = sources
        self._conditions = conditions
        self._fields = {rule_id: names_in(piece.node) for rule_id, piece in conditions.items()}
        for rule_id in by_depth(self.by_id):
            if correlation := self.by_id[rule_id].correlation:
                self._fields[rule_id] = self._fields_below(correlation)
        single = ((rule.logsource, rule.id) for rule in self.rules if rule.correlation is None)
        nodes = ((source, rule_id, conditions[rule_id].node) for source, rule_id in single)
        self._plans = Plans(sources, nodes)
        self._seen = self._plans.seen
        self._routed: Mapping[str, str | None] | LogSource | None = None

    def match(
        self, fields: Fields, logsource: Mapping[str, str | None] | LogSource, raw: bytes | None = None
    ) -> tuple[str, ...]:
        """Ids of the single-event rules that an event matches, in load order.

        Args:
            fields: the event's; values as JSON has them.
            logsource: where the event comes from; `product`, `category`, `service`, each may be missing. What the
                event's fields say of it by the table of log sources (an event log, its category) is added to that.
            raw: JSON that all fields stand in, but for the forms of numbers (of 64 bits) and for texts that are joined
                of its words by spaces; None where there is none such. It tells sooner that an event holds no keyword.
        """
        if logsource is not self._routed:
            self._follow(logsource)
        try:
            match = self._matches[self._read(fields)]
        except (KeyError, TypeError):  # a value is new, missing, a list or an object
            match = self._plans.choose(self._route, fields).match
        return match(fields, raw)

    def match_by_layout(self, layout: Layout, values: Values, raw: bytes) -> tuple[str, ...] | None:
        """As `match`, of an event that has just the fields that its layout names; None if `match` has to say it.

        Args:
            values: of these fields, in the layout's order.
            raw: as for `match`.
        """
        tell, kinds = self._seen.get(layout) or self._plans.see(layout)
        try:
            known = kinds.get(tell(values))
        except TypeError:  # a list
            return None
        pick, met = known or self._plans.know(layout, values)
        if pick is None or met is None:
            return None
        try:
            matched = met.get(pick(values))
        except TypeError:
            return None
        if matched is None:
            matched = met.found(dict(zip(layout.names, values, strict=True)))
        keywords = met.keywords
        if keywords is not None:
            keywords.look(raw)
            if keywords.seen:
                keywords.seen.clear()
                return None
        return matched

    def _follow(self, logsource: Mapping[str, str | None] | LogSource) -> None:
        """Take the route of a log source for this event and those that come next."""
        found = logsource if isinstance(logsource, LogSource) else log_source(logsource)
        self._route = self._plans.routes.get(found) or self._plans.route(found)
        self._routed, self._read, self._matches = found, self._route.read, self._route.matches

    @property
    def memory(self) -> Memory:
        """What is remembered of events that were matched."""
        return self._plans.memory

    @property
    def parts(self) -> tuple[list[Rule], Mapping[str, Piece], LogSources]:
        """What it was made of: rules, conditions of the single-event ones by id, log sources."""
        return self.rules, self._conditions, self._sources

    def condition(self, rule_id: str) -> Piece:
        """What fulfils a single-event rule.

        Raises:
            KeyError: no such rule has this id.
        """
        return self._conditions[rule_id]

    def differing(self, rule: Rule, fields: Fields, logsource: LogSource) -> tuple[LogSourcePart, ...]:
        """Which parts of its log source keep a single-event rule from looking at an event; () if none."""
        event = log_source(logsource)
        standing = self._sources.standing(event, self._sources.told(event, fields))
        return self._sources.differing(rule.logsource, standing)

    def stated(self, fields: Fields, logsource: LogSource) -> LogSource:
        """An event's log source, with what its fields say of it where it states nothing itself."""
        told = self._sources.told(log_source(logsource), fields)
        return LogSource(
            product=logsource.product,
            category=logsource.category or "+".join(dict.fromkeys(told.categories)) or None,
            service=logsource.service or "+".join(dict.fromkeys(told.services)) or None,
        )

    def reads(self, names: Iterable[str]) -> bool:
        """Whether a rule reads one of these fields."""
        return any(name in self.fields_of(rule.id) for rule in self.rules for name in names)

    def fields_of(self, rule_id: str) -> tuple[str, ...]:
        """Names of the fields that a rule reads, once each, in its order; () for a rule of keywords only.

        For a correlation: those of its rules, then its group-by fields, then those whose values it counts; for an alias
        the fields that it stands for.

        Raises:
            KeyError: no rule has this id.
        """
        return self._fields[rule_id]

    def _fields_below(self, correlation: Correlation) -> tuple[str, ...]:
        names = [name for base in correlation.rules for name in self._fields[base]]
        single = [base for base in correlation.rules if self.by_id[base].correlation is None]
        for own in (correlation.group_by, correlation.fields):
            # The fields of results are the group-by fields of the correlations below, which are in the list already.
            names += [name for each in own for base in single for name in correlation.called(base, (each,))]
        return tuple(dict.fromkeys(names))


def load_rules(
    paths: Iterable[str | Path],
    *,
    placeholders: Placeholders = NO_PLACEHOLDERS,
    sources: LogSources | None = None,
    cache: RuleCache | None = None,
) -> RuleSet:
    """Load files and, recursively, the *.yml and *.yaml in directories, in order of path.

    `logsources.yml` and `*.test.yml` are not rules and are passed over. Nothing is raised for a rule, file or path that
    cannot be used: each is in `errors`, and the rest loads.

    Args:
        placeholders: what `%name%` stands for.
        sources: which rules see which events; None for the table that ships with the rules.
        cache: where what the files state is kept, and looked for; None to read all of them. The rules are the same.
    """
    sources, paths = sources or shipped_log_sources(), list(paths)
    with cache.kept(paths, sources, placeholders) if cache else nullcontext() as kept:
        loader = Loader(sources, placeholders, kept=kept)
        for path in paths:
            for file in rule_files(Path(path), loader.errors):
                loader.add_path(file)
    return rule_set(loader, sources)


def parse_rules(
    path: str,
    content: bytes,
    *,
    placeholders: Placeholders = NO_PLACEHOLDERS,
    sources: LogSources | None = None,
) -> RuleSet:
    """The rules of one file that is read already; `path` is what errors call it. As `load_rules` else."""
    sources = sources or shipped_log_sources()
    loader = Loader(sources, placeholders)
    loader.add(path, content)
    return rule_set(loader, sources)


def rule_set(loader: Loader, sources: LogSources) -> RuleSet:
    """What `loader` has collected; it is finished by that."""
    rules = loader.finish()
    return RuleSet(rules, loader.errors, loader.conditions, sources, warnings=loader.warnings, unused=loader.unused())
