"""A rule's condition as the rule writes it, each piece with what is evaluated of it: for those who ask why.

The pieces hold the very nodes that the rule is compiled from, so whoever explains by them cannot disagree with it.
"""

from collections.abc import Iterator
from typing import Literal

from msgspec import Struct

from socmon.sigma.ir import Node, Not, both, either

Kind = Literal["all", "any", "not"]


class Item(Struct, frozen=True):
    """One line of a detection: a field, its modifiers, and the values of which one (or all) must fit.

    Attributes:
        key: as the rule has it, such as `user|contains`; "" for keywords.
        names: of the field in an event, the first that it has counts; () for keywords.
        values: as the rule has them, as text.
        node: all of it.
    """

    key: str
    names: tuple[str, ...]
    values: tuple[str, ...]
    node: Node


class Group(Struct, frozen=True):
    """Pieces of which all, one or none must hold.

    Attributes:
        name: of the detection that this is; "" for a word of the condition, or a list within a detection.
        filter: title of the filter that this is the condition of; "" for all else.
        node: all of it.
    """

    kind: Kind
    parts: tuple["Piece", ...]
    node: Node
    name: str = ""
    filter: str = ""


Piece = Item | Group


def all_of(parts: tuple[Piece, ...], name: str = "") -> Group:
    """All of `parts` must hold."""
    return Group("all", parts, both(tuple(part.node for part in parts)), name)


def any_of(parts: tuple[Piece, ...], name: str = "") -> Group:
    """One of `parts` must hold."""
    return Group("any", parts, either(tuple(part.node for part in parts)), name)


def not_of(part: Piece) -> Group:
    """`part` must not hold."""
    return Group("not", (part,), Not(part.node))


def filter_of(part: Piece, title: str) -> Group:
    """`part` must hold because the filter `title` says so."""
    return Group("all", (part,), part.node, filter=title)


def items(piece: Piece) -> Iterator[Item]:
    """The items in `piece`, in the order in which the rule uses them."""
    if isinstance(piece, Item):
        yield piece
    else:
        for part in piece.parts:
            yield from items(part)
