"""A rule's condition as the rule writes it, each piece with what is evaluated of it: for those who ask why.

The pieces hold the very nodes that the rule is compiled from, so whoever explains by them cannot disagree with it.
"""

from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Literal

from msgspec import Struct

from socmon.sigma.ir import Node, Not, all_names, both, either, renamed

Kind = Literal["all", "any", "not"]


class Item(Struct, frozen=True, array_like=True, tag="item", gc=False):
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


class Group(Struct, frozen=True, array_like=True, tag="group", dict=True):
    """Pieces of which all, one or none must hold.

    Attributes:
        name: of the detection that this is; "" for a word of the condition, or a list within a detection.
        filter: title of the filter that this is the condition of; "" for all else.
    """

    kind: Kind
    parts: tuple["Piece", ...]
    name: str = ""
    filter: str = ""

    @cached_property
    def node(self) -> Node:
        """All of it."""
        nodes = tuple(part.node for part in self.parts)
        if self.kind == "not":
            return Not(nodes[0])
        if len(nodes) == 1:
            return nodes[0]
        return both(nodes) if self.kind == "all" else either(nodes)


Piece = Item | Group


def all_of(parts: tuple[Piece, ...], name: str = "") -> Group:
    """All of `parts` must hold."""
    return Group("all", parts, name)


def any_of(parts: tuple[Piece, ...], name: str = "") -> Group:
    """One of `parts` must hold."""
    return Group("any", parts, name)


def not_of(part: Piece) -> Group:
    """`part` must not hold."""
    return Group("not", (part,))


def filter_of(part: Piece, title: str) -> Group:
    """`part` must hold because the filter `title` says so."""
    return Group("all", (part,), filter=title)


def items(piece: Piece) -> Iterator[Item]:
    """The items in `piece`, in the order in which the rule uses them."""
    if isinstance(piece, Item):
        yield piece
    else:
        for part in piece.parts:
            yield from items(part)


def with_names(piece: Piece, names_of: Callable[[str], tuple[str, ...]]) -> Piece:
    """`piece`, whose fields have one name each, with all names that `names_of` gives them."""
    if isinstance(piece, Item):
        return Item(piece.key, all_names(piece.names, names_of), piece.values, renamed(piece.node, names_of))
    return Group(piece.kind, tuple(with_names(part, names_of) for part in piece.parts), piece.name, piece.filter)
