"""A document's filter section → what it states (Sigma filters specification 2.1); filters.py applies it."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from msgspec import structs
from sigma.rule import SigmaRule

from socmon.event import LogSource
from socmon.sigma.always import always_true
from socmon.sigma.detection import ConditionReader, refusal
from socmon.sigma.documents import Document
from socmon.sigma.ir import Not
from socmon.sigma.logsources import LogSources, log_source
from socmon.sigma.metadata import parse, rule_id
from socmon.sigma.outline import Piece, with_names
from socmon.sigma.rule import Filter
from socmon.sigma.stated import Place, RefusedError, StatedFilter, content_hash, content_text

ANY = "any"  # Sigma 2.2, and pySigma, have it: all rules whose log source fits
_SECTION = "filter"


def read_filter(document: Document, sources: LogSources) -> StatedFilter | list[RefusedError]:
    """The filter of a document whose placeholders are filled in, or all that is wrong with it.

    Raises:
        RefusedError: something in it is not supported, or cannot be meant.
    """
    _refuse_form(document)
    as_rule = _as_rule(document)
    parsed = parse(structs.replace(document, data=as_rule), as_rule, SigmaRule)
    if isinstance(parsed, list):
        return [_moved(error) for error in parsed]
    section, stated = document.data[_SECTION], parsed.logsource
    logsource = log_source(LogSource(stated.product, stated.category, stated.service))
    condition = _condition(parsed, as_rule["detection"])
    node = with_names(condition, partial(sources.names, logsource)).node
    if always_true(node):
        raise RefusedError("the condition is true for every event, so it suppresses nothing", (_SECTION, "condition"))
    if always_true(Not(node)):
        text = "the condition is false for every event, so its rules would never match"
        raise RefusedError(text, (_SECTION, "condition"))
    return StatedFilter(
        document.origin("id", "name", "logsource", _SECTION),
        Filter(rule_id(document, parsed), parsed.title, document.path, document.line_of()),
        parsed.name,
        logsource,
        _references(section["rules"]),
        condition,
        content_hash(content_text({key: value for key, value in section.items() if key != "rules"})),
    )


def _condition(parsed: SigmaRule, section: Mapping[str, Any]) -> Piece:
    """What it asks of an event; how each field is called there is told by the rules that it is for."""
    try:
        return ConditionReader(parsed.detection, section, lambda field: (field,)).any_condition()
    except RecursionError as error:
        raise refusal(error, (_SECTION,)) from error
    except RefusedError as error:
        raise _moved(error) from error


def _refuse_form(document: Document) -> None:
    section = document.data[_SECTION]
    for other in ("detection", "correlation"):
        if other in document.data:
            raise RefusedError(f"a document has a filter or a {other}; make it two", (_SECTION,))
    if not isinstance(section, Mapping):
        raise RefusedError(f"a filter has rules, detections and a condition, not {section!r:.60}", (_SECTION,))
    rules = section.get("rules")
    if not rules or not isinstance(rules, str | list):
        text = f"a filter has rules, a list of ids or names, or {ANY}; not {rules!r:.60}"
        raise RefusedError(text, (_SECTION, "rules"))
    condition = section.get("condition")
    if not isinstance(condition, str):
        raise RefusedError(f"a filter has one condition, in text, not {condition!r:.60}", (_SECTION, "condition"))


def _as_rule(document: Document) -> dict[str, Any]:
    """What a rule with the filter's detections would state: all that is said of these holds for a filter's."""
    detections = {key: value for key, value in document.data[_SECTION].items() if key != "rules"}
    return {key: value for key, value in document.data.items() if key != _SECTION} | {"detection": detections}


def _moved(error: RefusedError) -> RefusedError:
    if error.place[:1] == ("detection",):
        error.place = (_SECTION, *error.place[1:])
    return error


def _references(stated: str | list[object]) -> tuple[tuple[object, Place], ...] | None:
    if isinstance(stated, list):
        return tuple((one, (_SECTION, "rules", index)) for index, one in enumerate(stated))
    return None if stated.lower() == ANY else ((stated, (_SECTION, "rules")),)
