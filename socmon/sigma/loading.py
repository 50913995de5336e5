"""Rule files → rules and their conditions: what can be loaded is, every refusal is an error with path and line."""

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from msgspec import structs
from sigma.correlations import SigmaCorrelationRule
from sigma.rule import SigmaRule

from socmon.event import LogSource
from socmon.sigma.chains import Chains
from socmon.sigma.correlations import for_pysigma
from socmon.sigma.detection import ConditionReader, refusal
from socmon.sigma.documents import MAX_BYTES, Document, RefusedError, read_documents
from socmon.sigma.filters import Filters, read_filter
from socmon.sigma.logsources import FILE_NAME, LogSources, log_source
from socmon.sigma.metadata import describe, misspelt, parse, rule_id
from socmon.sigma.outline import Piece
from socmon.sigma.placeholders import NO_PLACEHOLDERS, Filler, Placeholders
from socmon.sigma.rule import Rule, RuleError

_SUFFIXES = frozenset({".yml", ".yaml"})
_TEST_SUFFIXES = (".test.yml", ".test.yaml")
_INVERTED = "this filter keeps what it names and suppresses all else; to suppress that, write `condition: not …`"


def rule_files(path: Path, errors: list[RuleError]) -> Iterator[Path]:
    """The rule files at `path`, sorted; what cannot be listed is added to `errors`."""
    if path.is_dir():
        unreadable: list[OSError] = []
        found = [Path(top, name) for top, _, names in os.walk(path, onerror=unreadable.append) for name in names]
        errors += [_os_error(Path(error.filename or path), error) for error in unreadable]
        yield from sorted(file for file in found if file.suffix in _SUFFIXES and _is_rules(file))
    elif _is_rules(path):
        yield path


def _is_rules(file: Path) -> bool:
    return file.name != FILE_NAME and not file.name.endswith(_TEST_SUFFIXES)


def _os_error(path: Path, error: OSError) -> RuleError:
    return RuleError(str(path), 1, f"cannot read it: {(error.strerror or 'error').lower()}")


class Loader:
    """Collects the rules of files; `finish` resolves what refers across them.

    Attributes:
        errors: what was refused so far.
        warnings: what loads and may not be meant so; complete once `finish` was called.
        conditions: of the single-event rules, by rule id.
    """

    def __init__(self, sources: LogSources, placeholders: Placeholders = NO_PLACEHOLDERS) -> None:
        self.errors: list[RuleError] = []
        self.warnings: list[RuleError] = []
        self.conditions: dict[str, Piece] = {}
        self._sources = sources
        self._placeholders = placeholders
        self._filler = Filler(placeholders)
        self._filters = Filters(sources)
        self._filtered: dict[str, Rule] = {}
        self._seen_files: set[Path] = set()
        self._entries: list[Rule | tuple[Document, SigmaCorrelationRule]] = []
        # By id and by name: place, and rule; None for a filter, which nothing refers to.
        self._known: dict[str, tuple[str, Rule | SigmaCorrelationRule | None]] = {}

    def add_path(self, path: Path) -> None:
        """Load a file, unless it was loaded before under any name."""
        try:
            file = path.resolve()
            if file in self._seen_files:
                return
            self._seen_files.add(file)
            if path.exists() and not path.is_file():
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
        documents, errors = read_documents(path, content)
        self.errors += errors
        if not documents and not errors:
            self.errors.append(RuleError(path, 1, "holds no rule; remove it, or write one"))
        for document in documents:
            try:
                self._add(document)
            except RefusedError as error:
                self._refuse(document, error)
            self.warnings += [document.error(text, key) for key, text in misspelt(document)]

    def _refuse(self, document: Document, *errors: RefusedError) -> None:
        self.errors += [document.error(str(error), *error.place) for error in errors]

    def _add(self, document: Document) -> None:
        if "action" in document.data:
            raise RefusedError("rule collections (action: …) are not supported yet", ("action",))
        if "filter" in document.data:
            self._add_filter(self._filler.filled(document, "filter"))
            return
        if "correlation" in document.data:
            if "detection" in document.data:
                raise RefusedError("a document has a detection or a correlation; make it two", ("correlation",))
            correlation = parse(document, for_pysigma(document.data), SigmaCorrelationRule)
            if isinstance(correlation, list):
                self._refuse(document, *correlation)
            else:
                self._remember(document, correlation, correlation)
                self._entries.append((document, correlation))
            return
        document = self._filler.filled(document, "detection")
        parsed = parse(document, document.data, SigmaRule)
        if isinstance(parsed, list):
            self._refuse(document, *parsed)
        else:
            self._add_rule(document, parsed)

    def _add_rule(self, document: Document, parsed: SigmaRule) -> None:
        stated = parsed.logsource
        logsource = log_source(LogSource(stated.product, stated.category, stated.service))
        names_of = partial(self._sources.names, logsource)
        try:
            reader = ConditionReader(parsed.detection, document.data["detection"], names_of)
            condition = reader.read()
        except RecursionError as error:
            raise refusal(error, ("detection",)) from error
        rule = describe(document, parsed, logsource)
        self._remember(document, parsed, rule)
        self.conditions[rule.id] = condition
        self._entries.append(rule)
        for name in reader.unused():
            text = (
                f"the condition does not name the detection {name[:60]!r}, which so does nothing; add it, or remove it"
            )
            self.warnings.append(document.error(text, "detection", name))

    def _add_filter(self, document: Document) -> None:
        made = read_filter(document, self._sources)
        if isinstance(made, list):
            self._refuse(document, *made)
        else:
            self._remember(document, made.parsed, None)
            self._filters.add(made)

    def _remember(
        self, document: Document, parsed: SigmaRule | SigmaCorrelationRule, rule: Rule | SigmaCorrelationRule | None
    ) -> None:
        own = {"id": rule_id(document, parsed)} | ({"name": parsed.name} if parsed.name else {})
        for key, value in own.items():
            if value in self._known:
                taken = self._known[value][0]
                raise RefusedError(f"{key} {value[:60]!r} is taken by the rule at {taken}; choose another", (key,))
        for value in own.values():
            self._known[value] = (f"{document.path}:{document.line_of()}", rule)

    def _find(self, reference: str) -> Rule | SigmaCorrelationRule | None:
        _, rule = self._known.get(reference) or self._known.get(reference.lower()) or ("", None)
        return self._filtered.get(rule.id, rule) if isinstance(rule, Rule) else rule

    def finish(self) -> list[Rule]:
        """All rules in load order, as their filters leave them; what refers to rules that did not load is refused."""
        single = [entry for entry in self._entries if isinstance(entry, Rule)]
        self._filtered = self._filters.applied(single, self.conditions, self._find)
        chains = Chains([entry for entry in self._entries if not isinstance(entry, Rule)], self._find)
        for document, error in (*self._filters.refused, *chains.refused):
            self._refuse(document, error)
        self.warnings += self._filler.warnings
        self.warnings += [document.error(_INVERTED, "filter", "condition") for document in self._filters.inverted()]
        rules = [
            self._filtered.get(entry.id, entry) if isinstance(entry, Rule) else chains.rule(entry[1])
            for entry in self._entries
        ]
        return _with_alerts([rule for rule in rules if rule])

    def unused(self) -> list[str]:
        """The placeholders that have values and that no document uses, one that was refused neither."""
        return [name for name in self._placeholders if name not in self._filler.used]


def _with_alerts(rules: list[Rule]) -> list[Rule]:
    """Rules, and correlations, that only feed correlations do not alert."""
    correlations = [rule.correlation for rule in rules if rule.correlation]
    used = {base for correlation in correlations for base in correlation.rules}
    wanted = {base for correlation in correlations if correlation.generate for base in correlation.rules}
    return [structs.replace(rule, alerts=rule.id not in used - wanted) for rule in rules]
