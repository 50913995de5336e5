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
from socmon.sigma.logsources import FILE_NAME, LogSources, log_source
from socmon.sigma.metadata import describe, parse, rule_id
from socmon.sigma.outline import Piece
from socmon.sigma.rule import Rule, RuleError

_SUFFIXES = frozenset({".yml", ".yaml"})
_TEST_SUFFIXES = (".test.yml", ".test.yaml")
# Documents that are Sigma but not rules, by the key that tells.
_UNSUPPORTED = {"filter": "Sigma filters are", "action": "rule collections (action: …) are"}


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
        conditions: of the single-event rules, by rule id.
    """

    def __init__(self, sources: LogSources) -> None:
        self.errors: list[RuleError] = []
        self.conditions: dict[str, Piece] = {}
        self._sources = sources
        self._seen_files: set[Path] = set()
        self._entries: list[Rule | tuple[Document, SigmaCorrelationRule]] = []
        self._known: dict[str, tuple[str, Rule | SigmaCorrelationRule]] = {}  # by id and by name: place, rule

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

    def _refuse(self, document: Document, *errors: RefusedError) -> None:
        self.errors += [document.error(str(error), *error.place) for error in errors]

    def _add(self, document: Document) -> None:
        for key, what in _UNSUPPORTED.items():
            if key in document.data:
                raise RefusedError(f"{what} not supported yet", (key,))
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
            condition = ConditionReader(parsed.detection, document.data["detection"], names_of).read()
        except RecursionError as error:
            raise refusal(error, ("detection",)) from error
        rule = describe(document, parsed, logsource)
        self._remember(document, parsed, rule)
        self.conditions[rule.id] = condition
        self._entries.append(rule)

    def _remember(
        self, document: Document, parsed: SigmaRule | SigmaCorrelationRule, rule: Rule | SigmaCorrelationRule
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
        return rule

    def finish(self) -> list[Rule]:
        """All rules in load order; correlations that refer to rules which did not load are refused."""
        chains = Chains([entry for entry in self._entries if not isinstance(entry, Rule)], self._find)
        for document, error in chains.refused:
            self._refuse(document, error)
        rules = [entry if isinstance(entry, Rule) else chains.rule(entry[1]) for entry in self._entries]
        return _with_alerts([rule for rule in rules if rule])


def _with_alerts(rules: list[Rule]) -> list[Rule]:
    """Rules, and correlations, that only feed correlations do not alert."""
    correlations = [rule.correlation for rule in rules if rule.correlation]
    used = {base for correlation in correlations for base in correlation.rules}
    wanted = {base for correlation in correlations if correlation.generate for base in correlation.rules}
    return [structs.replace(rule, alerts=rule.id not in used - wanted) for rule in rules]
