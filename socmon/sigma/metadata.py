"""What every rule document states besides what it looks for: id, title, level, tags; and what pySigma finds wrong."""

import uuid
from collections.abc import Iterator, Mapping
from pathlib import PurePath
from typing import Any, TypeVar

from sigma.correlations import SigmaCorrelationRule
from sigma.rule import SigmaRule

from socmon.event import LEVELS, Level, LogSource
from socmon.registry import did_you_mean
from socmon.sigma.detection import PYSIGMA_ERRORS, culprit, refusal
from socmon.sigma.documents import Document
from socmon.sigma.logsources import PARTS
from socmon.sigma.policy import POLICY
from socmon.sigma.rule import Rule
from socmon.sigma.stated import Place, RefusedError

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
# What to write there instead; pySigma says what is wrong, and mostly neither the value nor this.
_REMEDIES: Mapping[str, str] = {
    "id": "write one as uuidgen prints it",
    "title": "say in it, in text, what the rule detects",
    "related": "write a list of entries with the id of a rule and a type",
    "level": f"write {', '.join(LEVELS)}",
    "status": "write stable, test, experimental, deprecated or unsupported",
    "tags": "write a list of them, such as [attack.t1110]",
    "logsource": f"write {', '.join(PARTS[:-1])} or {PARTS[-1]}, each in text",
    "detection": "write detections with names, and a condition",
    "condition": "write `condition:` and which detections must match",
    "correlation": "a correlation has type, rules, timespan and condition",
    "type": "a correlation has type, rules, timespan and condition",
    "timespan": "write a number and s, m, h, d, w, M (months) or y, as in 5m",
}

# At a rule's top an author may have keys of their own (the specification: "arbitrary custom fields"). Only what looks
# like one of these is taken for a mistake, and only where that one is missing; 0.75 lets one letter in five be wrong.
_KEYS = (
    "title", "id", "name", "related", "taxonomy", "status", "description", "license", "author", "references", "date",
    "modified", "logsource", "detection", "correlation", "filter", "fields", "falsepositives", "level", "tags", "scope",
    "generate",
)  # fmt: skip
_ALIKE = 0.75


def misspelt(document: Document) -> Iterator[tuple[str, str]]:
    """Each key at the document's top that seems to be meant for one that it lacks, and what to say of it."""
    missing = [key for key in _KEYS if key not in document.data]
    for key in document.data:
        if key not in _KEYS and (meant := did_you_mean(key.lower(), missing, alike=_ALIKE)):
            yield key, f"{key[:60]!r} is no key of a Sigma rule, and does nothing{meant}"


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
        return [_in_detection(document) or _refusal(error, data)]
    problems = [_refusal(error, data) for error in parsed.errors]
    if problems and (found := _in_detection(document)):
        problems[-1] = found  # pySigma reads the detection last
    if parsed.title == "":
        problems.append(RefusedError("the title is empty; say what the rule detects", ("title",)))
    taxonomy = parsed.taxonomy
    if isinstance(taxonomy, str) and taxonomy not in ("", "sigma"):
        problems.append(RefusedError(f"taxonomy {taxonomy[:60]!r} is not supported; use sigma", ("taxonomy",)))
    if unknown := list(_unknown_parts(data.get("logsource"))):
        problems = [problem for problem in problems if problem.place != ("logsource",)] + unknown
    return problems or parsed


def _unknown_parts(section: object) -> Iterator[RefusedError]:
    """Refuse what no log source has: without the part that was meant, a rule would look at far more events."""
    known = [*PARTS, "definition"]
    for key in section if isinstance(section, Mapping) else ():
        if key not in known:
            remedy = did_you_mean(key, known) or f"; it has {', '.join(known)}"
            yield RefusedError(f"{key[:60]!r} is not part of a log source{remedy}", ("logsource", key))


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


def _refusal(error: Exception, data: Mapping[str, Any]) -> RefusedError:
    """A RefusedError with what stands there and what to write, where pySigma does not say it."""
    place = _place_of(error)
    refused = refusal(error, place)
    text = str(refused)
    remedy = _REMEDIES.get(str(place[-1]))
    if ";" in text or not remedy:
        return refused
    value: Any = data
    for step in place:
        value = value.get(step) if isinstance(value, Mapping) else None
    shown = "" if value is None or isinstance(value, Mapping) or str(value) in text else f" (it is {value!r:.60})"
    return RefusedError(f"{text.rstrip('.')}{shown}; {remedy}", place)


def describe(document: Document, parsed: Parsed, logsource: LogSource, content: str) -> Rule:
    """The Rule for a parsed document, by itself; `content` is its hash."""
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
