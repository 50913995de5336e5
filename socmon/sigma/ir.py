"""A rule's condition as we evaluate it: and, or, not over atoms, which test one field each."""

from collections.abc import Iterator
from typing import Any, Literal

from msgspec import Struct

from socmon.sigma.times import TimeUnit

TextOp = Literal["eq", "starts", "ends", "has", "glob", "any"]
CompareOp = Literal["gt", "gte", "lt", "lte"]
Op = Literal[TextOp, CompareOp, "re", "cidr", "time", "null", "exists", "ref"]
TEXT_OPS: frozenset[str] = frozenset({"eq", "starts", "ends", "has", "glob", "any"})


class Atom(Struct, frozen=True):
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
    arg: Any = None
    cased: bool = False


class FieldRef(Struct, frozen=True):
    """The field that an atom's field is compared with: equal, or beginning, ending or (both) holding it."""

    names: tuple[str, ...]
    starts: bool = False
    ends: bool = False


class TimePart(Struct, frozen=True):
    """What a date's `unit` must be: the number, or what compares with it so."""

    unit: TimeUnit
    number: int
    op: CompareOp | Literal["eq"] = "eq"


class Not(Struct, frozen=True):
    """True when `node` is false."""

    node: "Node"


class And(Struct, frozen=True):
    """True when all of `nodes` are."""

    nodes: tuple["Node", ...]


class Or(Struct, frozen=True):
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
