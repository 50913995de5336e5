"""A rule's condition as we evaluate it: and, or, not over atoms, which test one field each.

The structs are kept in files too (rule_cache.py), hence arrays and tags. None holds itself, so the garbage
collector need not follow them.
"""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Literal

from msgspec import Struct

from socmon.sigma.times import TimeUnit

TextOp = Literal["eq", "starts", "ends", "has", "glob", "any"]
CompareOp = Literal["gt", "gte", "lt", "lte"]
Op = Literal[TextOp, CompareOp, "re", "cidr", "time", "null", "exists", "ref"]
TEXT_OPS: frozenset[str] = frozenset({"eq", "starts", "ends", "has", "glob", "any"})


class FieldRef(Struct, frozen=True, array_like=True, tag="field", gc=False):
    """The field that an atom's field is compared with: equal, or beginning, ending or (both) holding it."""

    names: tuple[str, ...]
    starts: bool = False
    ends: bool = False


class TimePart(Struct, frozen=True, array_like=True, tag="time", gc=False):
    """What a date's `unit` must be: the number, or what compares with it so."""

    unit: TimeUnit
    number: int
    op: CompareOp | Literal["eq"] = "eq"


if TYPE_CHECKING:
    _Arg = Any  # which one it is, the atom's `op` tells
else:
    _Arg = str | int | float | TimePart | FieldRef | None  # what is read back from a file


class Atom(Struct, frozen=True, array_like=True, tag="atom", gc=False):
    """One test of one field; equal atoms are interchangeable.

    Attributes:
        names: the field's names, the first one that the event has counts; () for a keyword, which looks at every field.
        op: eq, starts, ends, has compare with text; glob is a regular expression made from wildcards; any wants a value
            at all; re is the rule's own regular expression; cidr an IP network; gt, gte, lt, lte a number; time a part
            of a date; null is true for a missing field and for null; exists for a field that is there, even null; ref
            compares with a field.
        arg: text, folded unless `cased`; a number for gt … lte; a TimePart for time; a FieldRef for ref; None for any,
            null and exists.
        cased: compare without folding.
    """

    names: tuple[str, ...]
    op: Op
    arg: _Arg = None
    cased: bool = False


class Not(Struct, frozen=True, array_like=True, tag="not", gc=False):
    """True when `node` is false."""

    node: "Node"


class And(Struct, frozen=True, array_like=True, tag="and", gc=False):
    """True when all of `nodes` are."""

    nodes: tuple["Node", ...]


class Or(Struct, frozen=True, array_like=True, tag="or", gc=False):
    """True when one of `nodes` is."""

    nodes: tuple["Node", ...]


Node = Atom | Not | And | Or


def both(nodes: tuple[Node, ...]) -> Node:
    """And of `nodes`, flattened."""
    flat = tuple(part for node in nodes for part in (node.nodes if isinstance(node, And) else (node,)))
    return flat[0] if len(flat) == 1 else And(flat)


def either(nodes: tuple[Node, ...]) -> Node:
    """Or of `nodes`, flattened."""
    flat = tuple(part for node in nodes for part in (node.nodes if isinstance(node, Or) else (node,)))
    return flat[0] if len(flat) == 1 else Or(flat)


def atoms(node: Node) -> Iterator[Atom]:
    """The atoms of `node` in the order that the rule writes them, repeated where it repeats them."""
    if isinstance(node, Atom):
        yield node
    elif isinstance(node, Not):
        yield from atoms(node.node)
    else:
        for part in node.nodes:
            yield from atoms(part)


def names_in(node: Node) -> tuple[str, ...]:
    """Names of the fields that `node` reads, once each, in its order."""
    names: dict[str, None] = {}
    for atom in atoms(node):
        names |= dict.fromkeys(atom.names)
        if isinstance(atom.arg, FieldRef):
            names |= dict.fromkeys(atom.arg.names)
    return tuple(names)


def renamed(node: Node, names_of: Callable[[str], tuple[str, ...]]) -> Node:
    """`node`, whose fields have one name each, with all names that `names_of` gives them."""
    if isinstance(node, Atom):
        arg = node.arg
        if isinstance(arg, FieldRef):
            arg = FieldRef(all_names(arg.names, names_of), arg.starts, arg.ends)
        return Atom(all_names(node.names, names_of), node.op, arg, node.cased)
    if isinstance(node, Not):
        return Not(renamed(node.node, names_of))
    parts = tuple(renamed(part, names_of) for part in node.nodes)
    return And(parts) if isinstance(node, And) else Or(parts)


def all_names(names: tuple[str, ...], names_of: Callable[[str], tuple[str, ...]]) -> tuple[str, ...]:
    """All names of a field that has one, () for a keyword, which has none."""
    return names_of(names[0]) if names else ()
