"""The ledger as the checkpoint has it, which may be damaged like all else on a disk."""

import msgspec

from socmon.ledger import Ledger


def readable_ledger(stored: object) -> tuple[Ledger, str]:
    """The ledger, and ""; or one that begins anew, and why `stored` is none."""
    if not isinstance(stored, bytes):
        return Ledger(), f"it is no bytes but {type(stored).__name__}"
    try:
        return msgspec.msgpack.decode(stored, type=Ledger), ""
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        return Ledger(), str(error)


def is_place(incarnation: object, number: object) -> bool:
    """Whether these name a frame of a journal."""
    return isinstance(number, int) and number >= 0 and isinstance(incarnation, str) and bool(incarnation)
