"""Conditions over numbered atoms: what is put in, what triggers them, and whether they hold.

Sets of numbers are compared at the speed of C, where atoms would be hashed field by field.
"""

from collections.abc import Iterable, Mapping

from msgspec import Struct

from socmon.sigma.ir import And, Atom, Node, Not, Op

_SELDOM = 1.0  # how often an atom is true, roughly: a text that must be equal seldom is
_OFTEN = 500.0
_LITERAL, _BY_LENGTH = 2.0, 40.0  # a part of a text is the seldomer, the longer it is


class All(Struct, frozen=True):
    """True when all of `atoms` and of `parts` are."""

    atoms: frozenset[int]
    parts: tuple["Condition", ...] = ()


class Some(Struct, frozen=True):
    """True when one of `atoms` or of `parts` is."""

    atoms: frozenset[int]
    parts: tuple["Condition", ...] = ()


class Without(Struct, frozen=True):
    """True when `part` is false."""

    part: "Condition"


Condition = All | Some | Without
ALWAYS = All(frozenset())


class Numbers(dict[Atom, int]):
    """Numbers of atoms, equal ones have one; an atom gets its number when it is first asked for.

    Attributes:
        atoms: by their numbers.
    """

    def __init__(self) -> None:
        super().__init__()
        self.atoms: list[Atom] = []

    def __missing__(self, atom: Atom) -> int:
        number = self[atom] = len(self.atoms)
        self.atoms.append(atom)
        return number

    def condition(self, node: Node) -> Condition:
        """`node`, by numbers."""
        if isinstance(node, Atom):
            return All(frozenset((self[node],)))
        if isinstance(node, Not):
            return Without(self.condition(node.node))
        atoms = frozenset(self[part] for part in node.nodes if isinstance(part, Atom))
        parts = (*(self.condition(part) for part in node.nodes if not isinstance(part, Atom)),)
        return All(atoms, parts) if isinstance(node, And) else Some(atoms, parts)


def numbers_in(condition: Condition) -> set[int]:
    """The atoms of a condition."""
    if isinstance(condition, Without):
        return numbers_in(condition.part)
    return set(condition.atoms).union(*map(numbers_in, condition.parts))


def holds(condition: Condition, true: set[int]) -> bool:
    """Whether a condition holds when `true` are all atoms that are true."""
    if isinstance(condition, Without):
        return not holds(condition.part, true)
    is_all = isinstance(condition, All)
    told = condition.atoms <= true if is_all else not condition.atoms.isdisjoint(true)
    if told is not is_all:
        return told
    for part in condition.parts:  # a generator would double the cost
        if holds(part, true) is not is_all:
            return not is_all
    return is_all


def simplified(condition: Condition, true: frozenset[int], false: frozenset[int]) -> Condition | bool:
    """A condition with the atoms put in that are known to be true and to be false (partial evaluation)."""
    if isinstance(condition, Without):
        part = simplified(condition.part, true, false)
        return (not part) if isinstance(part, bool) else Without(part)
    decisive = isinstance(condition, Some)
    deciding, idle = (true, false) if decisive else (false, true)
    if not condition.atoms.isdisjoint(deciding):
        return decisive
    atoms = condition.atoms - idle
    parts: list[Condition] = []
    for part in condition.parts:
        left = simplified(part, true, false)
        if left is decisive:
            return decisive
        if not isinstance(left, bool):
            parts.append(left)
    if not atoms and not parts:
        return not decisive
    if not atoms and len(parts) == 1:
        return parts[0]
    return Some(atoms, tuple(parts)) if decisive else All(atoms, tuple(parts))


def triggers(condition: Condition, atoms: list[Atom]) -> Iterable[int] | None:
    """Atoms of which one is true whenever the condition holds, few and seldom true; None where none are so.

    Of all parts that must hold the cheapest one's are taken; what is negated triggers nothing.

    Args:
        atoms: by their numbers.
    """
    found = _cheapest(condition, atoms)
    return None if found is None else found[1]


def _cheapest(condition: Condition, atoms: list[Atom]) -> tuple[float, set[int]] | None:
    if isinstance(condition, Without):
        return None
    parts = [_cheapest(part, atoms) for part in condition.parts]
    if isinstance(condition, All):
        single = ((_weight(atoms[number]), {number}) for number in condition.atoms)
        told = [*single, *(part for part in parts if part is not None)]
        return min(told, key=lambda each: each[0], default=None)
    weight = sum(_weight(atoms[number]) for number in condition.atoms)
    whole = set(condition.atoms)
    for part in parts:
        if part is None:
            return None
        weight += part[0]
        whole |= part[1]
    return weight, whole


_WEIGHTS: Mapping[Op, float] = {"eq": _SELDOM, "any": _OFTEN, "null": _OFTEN, "exists": _OFTEN, "ref": _OFTEN}


def _weight(atom: Atom) -> float:
    if atom.op in ("starts", "ends", "has"):
        return _LITERAL + _BY_LENGTH / (1 + len(atom.arg))
    return _WEIGHTS.get(atom.op, _LITERAL + _BY_LENGTH / 5)
