"""YAML as operators mean it: duplicate keys refused, line numbers kept, none of YAML 1.1's surprises.

Of the plain scalars only null, true, false and decimal numbers are more than text (after YAML 1.2.2, section 10.3.2):
`no` is the text "no", `12:30:00` is text, and `0777`, which is 511 to some and 777 to others, is refused.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

Place = tuple[str | int, ...]

_TAG = "tag:yaml.org,2002:"
_MAX_DEPTH = 50
_MEND = "correct it there, or just before"
_MAX_NUMBER_CHARS = 40
_DIGITS = "(?:0|[1-9][0-9]*(?:_[0-9]+)*)"
_AMBIGUOUS = "ambiguous"
_BOOLEANS = {"true": True, "false": False}


class _Loader(yaml.CSafeLoader):
    """The C parser with resolvers of our own; only its node tree is used."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012  PyYAML's own shape


def _resolver(tag: str, pattern: str, *first: str) -> None:
    """Read plain scalars that match `pattern` and begin with one of `first` ("" for the empty one) as `tag`."""
    _Loader.add_implicit_resolver(tag, re.compile(pattern), list(first))


_resolver(f"{_TAG}null", r"(?:~|null|Null|NULL|)$", *"~nN", "")
_resolver(f"{_TAG}bool", r"(?:true|True|TRUE|false|False|FALSE)$", *"tTfF")
_resolver(f"{_TAG}int", rf"[-+]?{_DIGITS}$", *"-+0123456789")
_resolver(f"{_TAG}float", rf"[-+]?(?:{_DIGITS})?(?:\.[0-9]+|\.?[0-9]*[eE][-+]?[0-9]+)$", *"-+.0123456789")
_resolver(_AMBIGUOUS, r"[-+]?0[0-9_]+$", *"-+0")

_SCALARS: Mapping[str, Callable[[str], Any]] = {
    f"{_TAG}null": lambda _text: None,
    f"{_TAG}bool": lambda text: _BOOLEANS[text.lower()],
    f"{_TAG}int": int,
    f"{_TAG}float": float,
    f"{_TAG}str": str,
}
_NUMBERS = (f"{_TAG}int", f"{_TAG}float")


@dataclass(slots=True)
class Document:
    """One YAML file.

    Attributes:
        data: its value; {} for an empty file.
        lines: place, as in `("http", "port")`, → line number, from 1.
        problems: what is wrong with it, `path:line: what; the remedy`.
        broken: places that a problem was found for; their value is None.
    """

    path: Path
    data: Any = field(default_factory=dict)
    lines: dict[Place, int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    broken: set[Place] = field(default_factory=set)

    def at(self, place: Place) -> str:
        """`path:line` of `place`, or of the nearest thing around it that the file spells out."""
        while place and place not in self.lines:
            place = place[:-1]
        return f"{self.path}:{self.lines.get(place, 1)}"


def read(path: Path) -> Document:
    """Read one file; a file that cannot be read or parsed is a problem of the document, not an exception."""
    document = Document(path)
    try:
        text = path.read_bytes()
        if line := _too_deep(text):
            document.problems.append(f"{path}:{line}: nested deeper than {_MAX_DEPTH} levels; make it flatter")
            return document
        root = _Loader(text).get_single_node()
    except OSError as error:
        document.problems.append(
            f"{path}: cannot read it: {(error.strerror or 'error').lower()}; check path and rights"
        )
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        document.problems.append(f"{path}:{line}: not valid YAML: {error.problem or error.context}; {_MEND}")
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        document.problems.append(f"{path}:1: not valid YAML: {' '.join(str(error).split())}; {_MEND}")
    else:
        if root is not None:
            document.data = _Reader(document).value(root, ())
    return document


def _too_deep(text: bytes) -> int | None:
    """The line where nesting becomes absurd: libyaml's composer recurses in C and would take the process with it."""
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > _MAX_DEPTH:
                return event.start_mark.line + 1 if event.start_mark else 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
    return None


class _Reader:
    """Turns the node tree into plain values, noting lines and problems in the document."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.seen: set[int] = set()

    def value(self, node: yaml.Node, place: Place) -> Any:
        self.document.lines.setdefault(place, node.start_mark.line + 1)
        if id(node) in self.seen:
            self.problem(node, place, "an alias (*name); write the value out")
            return None
        self.seen.add(id(node))
        if isinstance(node, yaml.MappingNode):
            return self.mapping(node, place)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(item, (*place, index)) for index, item in enumerate(node.value)]
        return self.scalar(node, place)

    def mapping(self, node: yaml.MappingNode, place: Place) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                self.problem(key_node, place, "a key must be a word")
                continue
            key = str(key_node.value)
            if key in found:
                first = self.document.lines[*place, key]
                again = f"key {key[:60]!r} stands here a second time, first on line {first}; remove one"
                self.problem(key_node, (*place, key), again)
                continue
            self.document.lines[*place, key] = key_node.start_mark.line + 1
            found[key] = self.value(value_node, (*place, key))
        return found

    def scalar(self, node: yaml.Node, place: Place) -> Any:
        text = str(node.value)
        if node.tag == _AMBIGUOUS:
            plain = text.lstrip("+-0_") or "0"
            self.problem(node, place, f"{text[:60]} may be octal or decimal; write {plain[:60]}, or put it in quotes")
            return None
        if node.tag in _NUMBERS and len(text) > _MAX_NUMBER_CHARS:
            self.problem(node, place, f"{text[:60]!r} is too long for a number; put it in quotes if it is text")
            return None
        if node.tag not in _SCALARS:
            self.problem(node, place, f"tag {node.tag[:60]!r}; tags are not used here, remove it")
            return None
        try:
            return _SCALARS[node.tag](text)
        except (ValueError, KeyError):  # only where the tag is spelled out, as in `!!int x`
            self.problem(node, place, f"{text[:60]!r} is no {node.tag.removeprefix(_TAG)}; remove the tag")
            return None

    def problem(self, node: yaml.Node, place: Place, what: str) -> None:
        self.document.broken.add(place)
        self.document.problems.append(f"{self.document.path}:{node.start_mark.line + 1}: {what}")
