"""YAML rule files → documents that know their lines.

YAML 1.1 as pySigma and SigmaHQ read it (010 is 8), except that what hides a mistake is refused: duplicate keys, keys
that are not text, `no` meaning false, and 12:30:00 meaning 45000.
"""

from collections import deque
from collections.abc import Iterator
from typing import Any

import yaml
from msgspec import Struct
from sigma.exceptions import SigmaError
from sigma.rule.base import check_alias_expansion

from socmon.sigma.rule import RuleError
from socmon.sigma.stated import MAX_BYTES, Origin, Place

_TAG = "tag:yaml.org,2002:"
_MAX_DEPTH = 100
_MAX_LINES = 10_000  # that are kept of a document; what is further down is told by the line above it
# PyYAML's composer recurses in C, with half a KiB of stack for a level, and would take the process with it. Every level
# needs one of these characters, so that most files need no look at their depth.
_OPENERS = "[{-:?"
_HARMLESS_DEPTH = 500
# PyYAML's constructors raise any of these for scalars that do not fit their tag, such as `!!timestamp x`.
_YAML_ERRORS = (
    yaml.YAMLError,
    ArithmeticError,
    AttributeError,
    LookupError,
    NameError,
    RecursionError,
    TypeError,
    ValueError,
)


class Document(Struct, frozen=True):
    """One YAML document that holds a mapping.

    Attributes:
        node: its node tree, which knows the lines.
    """

    path: str
    data: dict[str, Any]
    node: yaml.Node

    def line_of(self, *place: str | int) -> int:
        """Line, from 1, of the key or item at `place`, or of the nearest thing around it that the file spells out."""
        node, line = self.node, self.node.start_mark.line
        for step in place:
            if isinstance(node, yaml.MappingNode):
                found = next(((key, value) for key, value in node.value if key.value == step), None)
            elif isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
                found = (node.value[step], node.value[step])
            else:
                found = None
            if found is None:
                break
            line, node = found[0].start_mark.line, found[1]
        return line + 1

    def error(self, message: str, *place: str | int) -> RuleError:
        """A RuleError at `place`."""
        return RuleError(self.path, self.line_of(*place), message)

    def origin(self, *keys: str) -> Origin:
        """Where it stands, with the lines of all that is at `keys` and below, what is near the top first."""
        lines: dict[Place, int] = {(): self.line_of()}
        pending: deque[tuple[Place, yaml.Node]] = deque([((), self.node)])
        while pending:
            place, node = pending.popleft()
            below: list[tuple[str | int, yaml.Node, yaml.Node]] = []
            if isinstance(node, yaml.MappingNode):
                below = [(key.value, key, value) for key, value in node.value if isinstance(key.value, str)]
            elif isinstance(node, yaml.SequenceNode):
                below = [(index, value, value) for index, value in enumerate(node.value)]
            for step, first, inner in below:
                wanted = (place or step in keys) and len(lines) < _MAX_LINES
                if wanted and (*place, step) not in lines:
                    lines[*place, step] = first.start_mark.line + 1
                    pending.append(((*place, step), inner))
        return Origin(self.path, lines)


def read_documents(path: str, content: bytes) -> tuple[list[Document], list[RuleError]]:
    """The documents of one file, and what is wrong with the others; empty documents are left out."""
    documents: list[Document] = []
    errors: list[RuleError] = []
    if len(content) > MAX_BYTES:
        return [], [RuleError(path, 1, f"larger than {MAX_BYTES >> 20} MiB; split it")]
    try:
        text = content.decode("utf-8-sig")
        _refuse_depth(text)
        loader = yaml.CSafeLoader(text)
        while loader.check_node() and (node := loader.get_node()) is not None:
            problems = [RuleError(path, line, message) for line, message in _problems(node)]
            if not problems and (document := _construct(path, loader, node, problems)):
                documents.append(document)
            errors += problems
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        errors.append(RuleError(path, line, "not UTF-8; save the file as UTF-8"))
    except _YAML_ERRORS as error:
        errors.append(_yaml_error(path, error, 1))
    return documents, errors


def _refuse_depth(text: str) -> None:
    if sum(map(text.count, _OPENERS)) <= _HARMLESS_DEPTH:
        return
    depth = 0
    for event in yaml.parse(text, Loader=yaml.CSafeLoader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > _MAX_DEPTH:
                line = event.start_mark.line + 1 if event.start_mark else 1
                raise yaml.YAMLError(f"nested deeper than {_MAX_DEPTH} levels on line {line}; make it flatter")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _construct(path: str, loader: yaml.CSafeLoader, node: yaml.Node, problems: list[RuleError]) -> Document | None:
    line = node.start_mark.line + 1
    try:
        data = loader.construct_document(node)
        check_alias_expansion(data)
    except SigmaError as error:
        problems.append(RuleError(path, line, f"{error}; write values out instead of using aliases"))
        return None
    except _YAML_ERRORS as error:
        problems.append(_yaml_error(path, error, line))
        return None
    if isinstance(data, dict):
        return Document(path, data, node)
    if data is not None:
        problems.append(RuleError(path, line, "not a Sigma rule, which is a mapping with title and detection"))
    return None


def _yaml_error(path: str, error: BaseException, line: int) -> RuleError:
    what = " ".join(str(error).split())
    if isinstance(error, yaml.MarkedYAMLError):
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else line
        what = error.problem or error.context or what
    return RuleError(
        path, line, f"not valid YAML: {what[:200] or type(error).__name__}; correct it there, or just before"
    )


def _problems(root: yaml.Node) -> Iterator[tuple[int, str]]:
    """(line, message) of everything in the document that does not mean what it seems to."""
    seen: set[int] = set()
    nodes = [root]
    while nodes:
        node = nodes.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, yaml.MappingNode):
            yield from _key_problems(node)
            nodes += [value for _key, value in reversed(node.value)]
        elif isinstance(node, yaml.SequenceNode):
            nodes += reversed(node.value)
        elif problem := _scalar_problem(node):
            yield node.start_mark.line + 1, problem


def _key_problems(node: yaml.MappingNode) -> Iterator[tuple[int, str]]:
    first: dict[str, int] = {}
    for key, _value in node.value:
        line, name = key.start_mark.line + 1, key.value
        if key.tag == f"{_TAG}merge":
            continue
        if key.tag != f"{_TAG}str":
            yield line, f"key {str(name)[:60]!r} is not text; put it in quotes"
        elif name in first:
            yield line, f"key {name[:60]!r} stands here a second time, first on line {first[name]}; remove one"
        else:
            first[name] = line


def _scalar_problem(node: yaml.Node) -> str | None:
    text = str(node.value)
    if node.tag == f"{_TAG}bool" and text.lower() not in ("true", "false"):
        return f"{text[:20]} may be text or a truth value; write '{text[:20]}' in quotes, or true or false"
    if node.tag in (f"{_TAG}int", f"{_TAG}float") and ":" in text:
        return f"{text[:60]} is a number in base 60 to YAML; put it in quotes"
    return None
