"""A rule's detection section → our condition (Sigma rules specification 2.1 and its modifiers appendix).

pySigma reads values, modifiers and the grammar of conditions; linking items, values and `x of` is done here, so that a
refusal can name the line of the value it is about.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from sigma.conditions import (
    ConditionAND,
    ConditionIdentifier,
    ConditionNOT,
    ConditionSelector,
    SigmaCondition,
)
from sigma.exceptions import SigmaConditionError
from sigma.rule import SigmaDetection, SigmaDetectionItem, SigmaDetections

from socmon.sigma.always import always_true
from socmon.sigma.ir import Not, atoms, both, either
from socmon.sigma.modifiers import adapt_pysigma, plainly, refuse_modifiers, refuse_unquoted
from socmon.sigma.outline import Group, Item, Piece, all_of, any_of, not_of
from socmon.sigma.placeholders import Filled
from socmon.sigma.policy import POLICY
from socmon.sigma.stated import Place, RefusedError
from socmon.sigma.terms import term_of
from socmon.sigma.values import text_of

# What pySigma, its parser and our recursion raise for input that nobody expected; SigmaError is a ValueError.
PYSIGMA_ERRORS = (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)
_MAX_CONDITION_CHARS = 10_000
_MAX_COMPARISONS = 100_000  # a condition may name a long detection thousands of times

_SEVERAL_OF = re.compile(r"\b(?!1 )[0-9]+ +of\b")
_STOPPED = re.compile(r"found (.*?) +\(at char [0-9]+\), \(line:[0-9]+, col:([0-9]+)\)$", re.DOTALL)
_WORDS = frozenset({"and", "or", "not", "of", "all", "any", "them"})

adapt_pysigma()
# How pySigma prints a value that has no text, such as null.
_OBJECT = re.compile(r"'?<[\w.]*\bSigma(\w+) object at 0x[0-9a-f]+>'?")


def refusal(error: Exception, place: Place) -> RefusedError:
    """A RefusedError in one printable line that says what `error` says."""
    text = " ".join(str(error).split()) or type(error).__name__
    text = plainly(_OBJECT.sub(lambda found: found[1].lower(), text))
    if isinstance(error, RecursionError):
        text = "nested too deep; make it flatter"
    return RefusedError("".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text[:300]), place)


def culprit(definition: Any, place: Place) -> RefusedError | None:
    """Why pySigma refuses the first detection item that it refuses, within the definition at `place`."""
    if isinstance(definition, Mapping):
        for key, value in definition.items():
            try:
                refuse_unquoted(key, value)
                SigmaDetectionItem.from_mapping(key, value, policy=POLICY)
            except PYSIGMA_ERRORS as error:
                return refusal(error, (*place, key))
    elif isinstance(definition, list):
        for index, one in enumerate(definition):
            if found := culprit(one, (*place, index)):
                return found
    try:
        SigmaDetection.from_definition(definition, policy=POLICY)
    except PYSIGMA_ERRORS as error:
        return refusal(error, place)
    return None


class ConditionReader:
    """Reads one rule's conditions.

    Args:
        detections: pySigma's parse of `definitions`, the detection section.
        names_of: the names that a field of the rule may have in an event.
    """

    def __init__(
        self, detections: SigmaDetections, definitions: Mapping[str, Any], names_of: Callable[[str], tuple[str, ...]]
    ) -> None:
        self._detections = detections
        self._definitions = definitions
        self._names_of = names_of
        self._named: dict[str, Group] = {}
        self._sizes: dict[str, int] = {}
        self._comparisons = 0
        self._used: set[str] = set()

    def read(self) -> Piece:
        """What fulfils the rule.

        Raises:
            RefusedError: something in it is not supported, or cannot be meant.
        """
        whole = self.any_condition()
        if always_true(whole.node):
            text = "the condition is true for every event; say what the rule looks for"
            raise RefusedError(text, ("detection", "condition"))
        return whole

    def any_condition(self) -> Piece:
        """Any of the conditions, whatever it says.

        Raises:
            RefusedError: something in it is not supported.
        """
        for name, detection in self._detections.detections.items():
            group = self._detection(detection, self._definitions[name], ("detection", name), name)
            self._named[name] = group
            self._sizes[name] = sum(1 for _ in atoms(group.node))
        place: Place = ("detection", "condition")
        pieces = tuple(self._condition(condition, place) for condition in self._detections.parsed_condition)
        return pieces[0] if len(pieces) == 1 else any_of(pieces)

    def _detection(self, detection: SigmaDetection, definition: Any, place: Place, name: str = "") -> Group:
        pieces: list[Piece] = []
        for part, inner, where in _parts(detection, definition, place):
            if isinstance(part, SigmaDetection):
                pieces.append(self._detection(part, inner, where))
            else:
                key = str(where[-1]) if isinstance(definition, Mapping) else ""
                try:
                    pieces.append(self._item(part, key, inner))
                except PYSIGMA_ERRORS as error:
                    raise refusal(error, where) from error
        linked = all_of if detection.item_linking is ConditionAND else any_of
        return linked(tuple(pieces), name)

    def _item(self, item: SigmaDetectionItem, key: str, stated: object) -> Item:
        refuse_modifiers(item)
        names = () if item.field is None else self._names_of(item.field)
        terms = tuple(term_of(value, names, self._names_of) for value in item.value)
        if not terms:
            raise ValueError("an empty list says nothing; remove it, or write null for a missing field")
        if isinstance(stated, Filled):  # "single, multiple or-linked values" for a placeholder, also under `all`
            terms = tuple(map(either, stated.grouped(terms)))
        node = both(terms) if item.value_linking is ConditionAND else either(terms)
        values = tuple(map(_written, stated if isinstance(stated, list) else [stated]))
        return Item(key, names, values, Not(node) if item.negated else node)

    def _condition(self, condition: SigmaCondition, place: Place) -> Piece:
        if not isinstance(condition.condition, str) or len(condition.condition) > _MAX_CONDITION_CHARS:
            raise RefusedError(f"a condition is text of up to {_MAX_CONDITION_CHARS} characters", place)
        if "|" in condition.condition:
            raise RefusedError("aggregation after | is no longer part of Sigma; write a correlation rule", place)
        try:
            tree = condition.parse(postprocess=False)
            return self._tree(tree)
        except SigmaConditionError as error:
            raise refusal(ValueError(f"{_unread(error)}; {_grammar(condition.condition)}"), place) from error
        except PYSIGMA_ERRORS as error:
            raise refusal(error, place) from error

    def _tree(self, tree: Any) -> Piece:
        if isinstance(tree, ConditionIdentifier):
            if tree.identifier not in self._named:
                known = ", ".join(map(repr, self._named))[:120]
                raise ValueError(f"no detection is called {tree.identifier[:60]!r}; the rule has {known}")
            return self._group(tree.identifier)
        if isinstance(tree, ConditionSelector):
            chosen = [one.identifier for one in tree.resolve_referenced_detections(self._detections)]
            if not chosen:
                raise ValueError(f"no detection is called like {tree.pattern[:60]!r}")
            pieces = tuple(map(self._group, chosen))
            return all_of(pieces) if tree.cond_class is ConditionAND else any_of(pieces)
        parts = tuple(self._tree(arg) for arg in tree.args)
        if isinstance(tree, ConditionNOT):
            return not_of(parts[0])
        return all_of(parts) if isinstance(tree, ConditionAND) else any_of(parts)

    def unused(self) -> tuple[str, ...]:
        """The detections that no condition names, once it is read."""
        return tuple(name for name in self._named if name not in self._used)

    def _group(self, name: str) -> Group:
        """The detection `name`, where a condition names it."""
        self._used.add(name)
        self._comparisons += self._sizes[name]
        if self._comparisons > _MAX_COMPARISONS:
            raise ValueError(f"the condition comes to over {_MAX_COMPARISONS} comparisons; name each detection once")
        return self._named[name]


def _unread(error: SigmaConditionError) -> str:
    """Where a condition stops making sense; the parser counts lines of its own."""
    found = _STOPPED.search(str(error))
    if found is None:
        return str(error)
    if found[1] == "end of text":
        return "the condition ends too early"
    return f"the condition cannot be read from {found[1]} on, in column {found[2]}"


def _grammar(condition: str) -> str:
    """What to write instead of a condition that cannot be read."""
    for word in condition.replace("(", " ").replace(")", " ").split():
        if word.lower() in _WORDS and word not in _WORDS:
            return f"write {word.lower()} in lower case"
    if _SEVERAL_OF.search(condition):
        return "of a number there is only `1 of`; write the combinations out, or a correlation"
    return "a condition is names with and, or, not, 1 of, all of and parentheses"


def _written(value: object) -> str:
    return "null" if value is None else text_of(value)


def _parts(
    detection: SigmaDetection, definition: Any, place: Place
) -> Iterator[tuple[SigmaDetection | SigmaDetectionItem, Any, Place]]:
    """Each part of a detection, with its definition and place."""
    parts = detection.detection_items
    if isinstance(definition, Mapping):
        for part, (key, value) in zip(parts, definition.items(), strict=True):
            yield part, value, (*place, key)
    elif isinstance(definition, list) and isinstance(parts[0], SigmaDetection):
        for index, (part, value) in enumerate(zip(parts, definition, strict=True)):
            yield part, value, (*place, index)
    else:
        yield parts[0], definition, place
