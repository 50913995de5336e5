"""What a field's values come to, remembered: a value's signature is which of the field's tests are true of it."""

import sys
from collections.abc import Callable, Collection, Iterable
from typing import Any, Protocol

from socmon.sigma.values import text_of, texts_of

ENTRY_BYTES = 110  # of a dictionary's entry, with the room that it keeps free
_SIGNATURE_BYTES = 250
_SHARE = 8


class Memo(Protocol):
    """Something that remembers.

    Attributes:
        held: bytes that it holds, nearly.
    """

    held: int

    def forget(self) -> None:
        """Forget all."""


class Memory:
    """What all memos of a rule set hold together: of more than `limit` bytes the largest memos are emptied.

    By bytes, since a value may have many; and not by a limit on a value's length, since long values come often too. An
    eighth is emptied at once, so that whoever fills it by many small memos does not make each value look through them.
    """

    def __init__(self, limit: int) -> None:
        self.held = 0
        self.limit = limit
        self._memos: dict[int, Memo] = {}  # by identity: empty ones are equal

    def add(self, memo: Memo) -> None:
        """Let `memo` hold a part of it."""
        self._memos[id(memo)] = memo

    def drop(self, memo: Memo) -> None:
        """Let `memo` hold nothing any more."""
        self.release(memo)
        del self._memos[id(memo)]

    def release(self, memo: Memo) -> None:
        """Let `memo` forget what it holds."""
        self.held -= memo.held
        memo.held = 0
        memo.forget()

    def take(self, memo: Memo, size: int) -> None:
        """Account for `size` bytes more that `memo` is about to hold; make room for them."""
        if self.held + size > self.limit:
            self._make_room(size)
        memo.held += size
        self.held += size

    def _make_room(self, size: int) -> None:
        for largest in sorted(self._memos.values(), key=lambda one: one.held, reverse=True):
            self.release(largest)
            if self.held + size <= self.limit - self.limit // _SHARE:
                return


class Signature:
    """Numbers of the atoms that are true together; compared by identity, so its hash costs nothing."""

    __slots__ = ("atoms",)

    def __init__(self, atoms: tuple[int, ...]) -> None:
        self.atoms = atoms


NOTHING = Signature(())


class FieldMemo(dict[Any, Signature]):
    """Value → signature of one field; a value that it does not know yet is looked at when it is asked for.

    Values that cannot be keys (lists, objects) raise TypeError; `of` takes them.

    Args:
        true_of: numbers of the atoms that are true of a text.
        absent: those that are true where there is no value, or null.
    """

    def __init__(self, true_of: Callable[[str], Collection[int]], absent: Iterable[int], memory: Memory) -> None:
        super().__init__()
        self.held = 0
        self._true_of = true_of
        self._memory = memory
        self._signatures: dict[tuple[int, ...], Signature] = {}
        self._null = tuple(sorted(absent))
        self._absent = Signature(self._null) if self._null else NOTHING
        self[None] = self._absent
        memory.add(self)

    def forget(self) -> None:
        """Forget all values; signatures that others hold stay what they are."""
        self.clear()
        self._signatures.clear()
        self[None] = self._absent

    def __missing__(self, value: Any) -> Signature:
        if isinstance(value, str):
            signature = self._signature(self._true_of(value))
        elif isinstance(value, tuple):
            return self.of(value)
        else:
            signature = self[text_of(value)]
            # To a dictionary 1, 1.0 and True are one key, and 0 and False; all other equal numbers have the same text.
            if type(value) is not int or 0 <= value <= 1:
                return signature
        self._memory.take(self, sys.getsizeof(value) + ENTRY_BYTES)
        self[value] = signature
        return signature

    def of(self, value: Any) -> Signature:
        """The signature of any value; of a list or an object, what is true of one of the values in it."""
        if not isinstance(value, (list, tuple, dict)):
            return self[value]
        atoms = {atom for text in texts_of(value) for atom in self[text].atoms}
        if not isinstance(value, dict) and None in value:
            atoms.update(self._null)
        return self._signature(atoms)

    def _signature(self, atoms: Collection[int]) -> Signature:
        if not atoms:
            return NOTHING
        key = (*sorted({*atoms}),)
        signature = self._signatures.get(key)
        if signature is None:
            self._memory.take(self, sys.getsizeof(key) + _SIGNATURE_BYTES)
            signature = self._signatures[key] = Signature(key)
        return signature


def is_one_key(values: Iterable[Any]) -> bool:
    """Whether nothing else is the same key to a dictionary: 1 and True are one, and lists are none."""
    return all(type(value) is str or value is None or (type(value) is int and value > 1) for value in values)
