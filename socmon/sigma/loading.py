"""Rule files → rules and their conditions: what can be loaded is, every refusal is an error with path and line.

Each file is read by itself (reading.py), or was before (rule_cache.py); what refers across files is resolved here.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from stat import S_ISREG

from msgspec import structs

from socmon.sigma.chains import Chains
from socmon.sigma.filters import Filters
from socmon.sigma.logsources import FILE_NAME, LogSources
from socmon.sigma.outline import Piece
from socmon.sigma.rule import Rule, RuleError
from socmon.sigma.rule_cache import Kept
from socmon.sigma.stated import (
    MAX_BYTES,
    NO_PLACEHOLDERS,
    Origin,
    Placeholders,
    Refused,
    RefusedError,
    Stated,
    StatedCorrelation,
    StatedFile,
    StatedFilter,
    StatedRule,
)

_SUFFIXES = frozenset({".yml", ".yaml"})
_TEST_SUFFIXES = (".test.yml", ".test.yaml")
_INVERTED = "this filter keeps what it names and suppresses all else; to suppress that, write `condition: not …`"


def rule_files(path: Path, errors: list[RuleError]) -> Iterator[Path]:
    """The rule files at `path`, sorted; what cannot be listed is added to `errors`."""
    if path.is_dir():
        unreadable: list[OSError] = []
        found = [Path(top, name) for top, _, names in os.walk(path, onerror=unreadable.append) for name in names]
        errors += [_os_error(Path(error.filename or path), error) for error in unreadable]
        rules = (file for file in found if file.suffix in _SUFFIXES and _is_rules(file))
        yield from sorted(rules, key=lambda file: file.parts)  # as paths compare, in a tenth of the time
    elif _is_rules(path):
        yield path


def _is_rules(file: Path) -> bool:
    return file.name != FILE_NAME and not file.name.endswith(_TEST_SUFFIXES)


def _os_error(path: Path, error: OSError) -> RuleError:
    return RuleError(str(path), 1, f"cannot read it: {(error.strerror or 'error').lower()}")


class Loader:
    """Collects the rules of files; `finish` resolves what refers across them.

    Args:
        kept: what files stated when they were read before; None to read all.

    Attributes:
        errors: what was refused so far.
        warnings: what loads and may not be meant so; complete once `finish` was called.
        conditions: of the single-event rules, by rule id.
    """

    def __init__(
        self, sources: LogSources, placeholders: Placeholders = NO_PLACEHOLDERS, *, kept: Kept | None = None
    ) -> None:
        self.errors: list[RuleError] = []
        self.warnings: list[RuleError] = []
        self.conditions: dict[str, Piece] = {}
        self._sources = sources
        self._placeholders = placeholders
        self._kept = kept
        self._used: set[str] = set()
        self._unexpanded: list[RuleError] = []
        self._filters = Filters(sources)
        self._filtered: dict[str, Rule] = {}
        self._seen_files: set[tuple[int, int]] = set()
        self._entries: list[Rule | StatedCorrelation] = []
        # By id and by name: place, and rule; None for a filter, which nothing refers to.
        self._known: dict[str, tuple[str, Rule | StatedCorrelation | None]] = {}

    def add_path(self, path: Path) -> None:
        """Load a file, unless it was loaded before under any name."""
        try:
            status = path.stat()
            file = (status.st_dev, status.st_ino)
            if file in self._seen_files:
                return
            self._seen_files.add(file)
            if not S_ISREG(status.st_mode):
                self.errors.append(RuleError(str(path), 1, "neither a file nor a directory"))
                return
            with path.open("rb") as stream:
                content = stream.read(MAX_BYTES + 1)
        except OSError as error:
            self.errors.append(_os_error(path, error))
        else:
            self.add(str(path), content)

    def add(self, path: str, content: bytes) -> None:
        """Load the bytes of a file."""
        file = self._kept.find(path, content) if self._kept else None
        if file is None:
            file = self._read(path, content)
        self.errors += file.errors
        self._used.update(file.placeholders)
        self._unexpanded += file.unexpanded
        for stated in file.documents:
            try:
                self._add(stated)
            except RefusedError as error:
                self._refuse(stated.origin, error)
            self.warnings += stated.warnings

    def _read(self, path: str, content: bytes) -> StatedFile:
        from socmon.sigma.reading import read_file  # noqa: PLC0415  pySigma: 0.3 s that a start from the cache has not

        file = read_file(path, content, self._sources, self._placeholders)
        if self._kept:
            self._kept.add(path, content, file)
        return file

    def _refuse(self, origin: Origin, error: RefusedError) -> None:
        self.errors.append(origin.error(str(error), *error.place))

    def _add(self, stated: Stated) -> None:
        match stated:
            case Refused():
                self.errors += stated.errors
            case StatedFilter():
                self._remember(stated.origin, stated.filter.id, stated.name, None)
                self._filters.add(stated)
            case StatedCorrelation():
                self._remember(stated.origin, stated.rule.id, stated.rule.name, stated)
                self._entries.append(stated)
            case StatedRule():
                self._remember(stated.origin, stated.rule.id, stated.rule.name, stated.rule)
                self.conditions[stated.rule.id] = stated.condition
                self._entries.append(stated.rule)
                self.warnings += stated.unused

    def _remember(self, origin: Origin, own_id: str, name: str | None, rule: Rule | StatedCorrelation | None) -> None:
        own = {"id": own_id} | ({"name": name} if name else {})
        for key, value in own.items():
            if value in self._known:
                taken = self._known[value][0]
                raise RefusedError(f"{key} {value[:60]!r} is taken by the rule at {taken}; choose another", (key,))
        for value in own.values():
            self._known[value] = (f"{origin.path}:{origin.line_of()}", rule)

    def _find(self, reference: str) -> Rule | StatedCorrelation | None:
        _, rule = self._known.get(reference) or self._known.get(reference.lower()) or ("", None)
        return self._filtered.get(rule.id, rule) if isinstance(rule, Rule) else rule

    def finish(self) -> list[Rule]:
        """All rules in load order, as their filters leave them; what refers to rules that did not load is refused."""
        single = [entry for entry in self._entries if isinstance(entry, Rule)]
        self._filtered = self._filters.applied(single, self.conditions, self._find)
        chains = Chains([entry for entry in self._entries if isinstance(entry, StatedCorrelation)], self._find)
        for origin, error in (*self._filters.refused, *chains.refused):
            self._refuse(origin, error)
        self.warnings += self._unexpanded
        self.warnings += [origin.error(_INVERTED, "filter", "condition") for origin in self._filters.inverted()]
        rules = [
            self._filtered.get(entry.id, entry) if isinstance(entry, Rule) else chains.rule(entry)
            for entry in self._entries
        ]
        return _with_alerts([rule for rule in rules if rule])

    def unused(self) -> list[str]:
        """The placeholders that have values and that no document uses, one that was refused neither."""
        return [name for name in self._placeholders if name not in self._used]


def _with_alerts(rules: list[Rule]) -> list[Rule]:
    """Rules, and correlations, that only feed correlations do not alert."""
    correlations = [rule.correlation for rule in rules if rule.correlation]
    used = {base for correlation in correlations for base in correlation.rules}
    wanted = {base for correlation in correlations if correlation.generate for base in correlation.rules}
    return [structs.replace(rule, alerts=rule.id not in used - wanted) for rule in rules]
