"""Whether a condition is true for every event: such a rule says nothing, and alerts on everything.

Every event has some value that is not empty; a field that holds an empty list, and so no value at all, is not
considered.
"""

from collections.abc import Mapping

from socmon.sigma.ir import TEXT_OPS, And, Atom, Node, Not, Or, atoms
from socmon.sigma.matcher import Compiler

_MAX_VISITS = 200_000  # of atoms; a fraction of a second
_PRINTABLE = [chr(code) for code in range(ord(" "), ord("~") + 1)]
# A keyword that is in all of these is in every event.
_ORDINARY = (*_PRINTABLE, "".join(_PRINTABLE) * 20)
# What else is true of a value because a literal text is its whole, its beginning, its end or a part of it.
_CARRIES: Mapping[str, frozenset[str]] = {
    "eq": TEXT_OPS | {"cidr", "time", "gt", "gte", "lt", "lte"},
    "starts": frozenset({"starts", "has"}),
    "ends": frozenset({"ends", "has"}),
    "has": frozenset({"has"}),
}

_Known = dict[Atom, bool]


def always_true(node: Node) -> bool:
    """True if nothing that an event can hold makes `node` false.

    A condition that takes too long to decide is taken as able to be false.
    """
    every = tuple(dict.fromkeys(atoms(node)))
    facts = _Facts(every)
    everywhere = {atom: True for atom in every if facts.is_everywhere(atom)}
    # These two settle nearly every rule at once.
    if facts.all_can_be_false() and _simplify(node, dict.fromkeys(every, False) | everywhere) is False:
        return False
    if _simplify(node, dict.fromkeys(every, True)) is False:
        return False
    pending = [everywhere]
    while pending and facts.visits < _MAX_VISITS:
        known = pending.pop()
        result = _simplify(node, known)
        if result is False:
            return False
        if result is not True:
            atom = next(atoms(result))
            branches = (facts.extended(known, atom, value=value) for value in (True, False))
            pending += [branch for branch in branches if branch is not None]
    return facts.visits < _MAX_VISITS


class _Facts:
    """How the atoms of one condition depend on each other.

    Each fact is about two atoms, so what `extended` gives can always be completed without a contradiction.

    Attributes:
        visits: how many atoms were looked at.
    """

    def __init__(self, every: tuple[Atom, ...]) -> None:
        self._every = every
        self._compiler = Compiler()
        self.visits = 0

    def is_everywhere(self, atom: Atom) -> bool:
        """Whether `atom` is a keyword that every event holds."""
        if atom.names or atom.op not in ("any", "glob", "re"):
            return False
        return all(self._holds(atom, text) for text in _ORDINARY)

    def all_can_be_false(self) -> bool:
        nulls = {atom.names for atom in self._every if atom.op == "null"}
        return not any(atom.names in nulls and atom.op in ("any", "exists") for atom in self._every)

    def extended(self, known: _Known, atom: Atom, *, value: bool) -> _Known | None:
        """`known`, and `atom` as `value`, and all that follows within the visits; None if that is a contradiction."""
        known = known | {atom: value}
        causes = [atom]
        while causes and self.visits < _MAX_VISITS:
            cause = causes.pop()
            self.visits += len(self._every)
            for other in self._every:
                follows = self._follows(cause, known[cause], other)
                if follows is None:
                    continue
                if other not in known:
                    known[other] = follows
                    causes.append(other)
                elif known[other] is not follows:
                    return None
        return known

    def _follows(self, cause: Atom, is_true: bool, other: Atom) -> bool | None:  # noqa: FBT001  a value, not a switch
        """What `other` is because of `cause`; None if it may be either."""
        if cause.names != other.names or cause == other:
            return None
        if is_true:
            return True if self._implies(cause, other) else None
        if self._implies(other, cause):
            return False
        # A field is missing, or it is null, or it has a value.
        return True if {cause.op, other.op} in ({"null", "any"}, {"null", "exists"}) else None

    def _implies(self, cause: Atom, other: Atom) -> bool:
        if other.op == "exists":
            return cause.op != "null"
        if other.op == "any":
            return cause.op not in ("null", "exists")
        if other.op not in _CARRIES.get(cause.op, ()) or (other.cased and not cause.cased):
            return False
        return self._holds(other, cause.arg)

    def _holds(self, atom: Atom, text: str) -> bool:
        return self._compiler.test_for(atom)({atom.names[0] if atom.names else "": text})


def _simplify(node: Node, known: Mapping[Atom, bool]) -> Node | bool:
    """`node` with the `known` atoms put in."""
    if isinstance(node, Atom):
        return known.get(node, node)
    if isinstance(node, Not):
        inner = _simplify(node.node, known)
        return (not inner) if isinstance(inner, bool) else Not(inner)
    decisive = isinstance(node, Or)
    left: list[Node] = []
    for part in node.nodes:
        result = _simplify(part, known)
        if result is decisive:
            return decisive
        if not isinstance(result, bool):
            left.append(result)
    if not left:
        return not decisive
    return Or(tuple(left)) if decisive else And(tuple(left))
