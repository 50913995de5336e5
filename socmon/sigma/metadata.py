"""What every rule document states besides what it looks for: id, title, level, tags; and what pySigma finds wrong."""

import uuid
from pathlib import PurePath
from typing import Any, TypeVar

from sigma.correlations import SigmaCorrelationRule
from sigma.rule import SigmaRule

from socmon.event import LEVELS, Level, LogSource
from socmon.sigma.detection import PYSIGMA_ERRORS, culprit, refusal
from socmon.sigma.documents import Document, Place, RefusedError, content_hash
from socmon.sigma.regex import POLICY
from socmon.sigma.rule import Rule

Parsed = SigmaRule | SigmaCorrelationRule
_KindT = TypeVar("_KindT", SigmaRule, SigmaCorrelationRule)

_DEFAULT_LEVEL: Level = "medium"
_LEVELS: dict[str, Level] = {level: level for level in LEVELS}
_NAMESPACE = uuid.UUID("7b1f6c0e-6b0c-4d0a-9a49-3f6d0f7c2b51")
# pySigma's error classes are named after the key that they are about, but for these.
_PLACES: dict[str, Place] = {
    "identifier": ("id",),
    "tag": ("tags",),
    "value": ("tags",),
    "condition": ("detection", "condition"),
    "timespan": ("correlation", "timespan"),
    "correlationtype": ("correlation", "type"),
    "correlationrule": ("correlation",),
    "correlationcondition": ("correlation", "condition"),
}


def parse(document: Document, data: dict[str, Any], kind: type[_KindT]) -> _KindT | list[RefusedError]:
    """What pySigma makes of a document's data, or all that is wrong with it."""
    stated = data.get("id")
    if not isinstance(stated, str | None):
        return [RefusedError(f"the id must be a UUID in text, not {stated!r:.60}", ("id",))]
    if isinstance(references := data.get("references"), str):
        data = data | {"references": [references]}  # the schema wants a list, but rules in use have text; it is clear
    try:
        parsed: _KindT = kind.from_dict(data, collect_errors=True, policy=POLICY)
    except PYSIGMA_ERRORS as error:
        return [_in_detection(document) or refusal(error, _place_of(error))]
    problems = [refusal(error, _place_of(error)) for error in parsed.errors]
    if problems and (found := _in_detection(document)):
        problems[-1] = found  # pySigma reads the detection last
    if parsed.title == "":
        problems.append(RefusedError("the title is empty; say what the rule detects", ("title",)))
    taxonomy = parsed.taxonomy
    if isinstance(taxonomy, str) and taxonomy not in ("", "sigma"):
        problems.append(RefusedError(f"taxonomy {taxonomy[:60]!r} is not supported; use sigma", ("taxonomy",)))
    return problems or parsed


def _in_detection(document: Document) -> RefusedError | None:
    definitions = document.data.get("detection")
    if not isinstance(definitions, dict):
        return None
    named = ((name, definition) for name, definition in definitions.items() if name != "condition")
    refused = (culprit(definition, ("detection", name)) for name, definition in named)
    return next((error for error in refused if error), None)


def _place_of(error: Exception) -> Place:
    word = type(error).__name__.removeprefix("Sigma").removesuffix("Error").lower()
    return _PLACES.get(word, (word,))


def describe(document: Document, parsed: Parsed, logsource: LogSource, *, bases: tuple[Rule, ...] = ()) -> Rule:
    """The Rule for a parsed document, without its correlation.

    Args:
        bases: the rules that a correlation refers to; its hash covers theirs.

    Raises:
        RefusedError: the document is nested too deep.
    """
    try:
        content = content_hash(document.data, *(base.hash for base in bases))
    except RecursionError as error:
        raise refusal(error, ()) from error
    return Rule(
        id=rule_id(document, parsed),
        title=parsed.title,
        name=parsed.name,
        level=_LEVELS[parsed.level.name.lower()] if parsed.level else _DEFAULT_LEVEL,
        tags=tuple(str(tag) for tag in parsed.tags),
        logsource=logsource,
        path=document.path,
        line=document.line_of(),
        hash=content,
    )


def rule_id(document: Document, parsed: Parsed) -> str:
    """The stated id, else one made of file name and title, the same on every start."""
    if parsed.id is not None:
        return str(parsed.id)
    return str(uuid.uuid5(_NAMESPACE, f"{PurePath(document.path).stem}/{parsed.title}"))
