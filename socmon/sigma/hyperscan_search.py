r"""Hyperscan: which of many literals or expressions may stand in bytes; and expressions that RE2 refuses.

Of the latter (counts above 1,000, `\h`, `\Z`, comments) it says exactly whether they are found. A value is given as one
byte for each character, in which every character beyond ASCII is the same byte. So Hyperscan sees no UTF-8, valid or
not, a `.` is one character, and compiling `.{1,2000}` takes milliseconds instead of half a minute. The price is that an
expression itself must be ASCII.
"""

import re
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache

import hyperscan

_BEYOND_ASCII = re.compile(r"[^\x00-\x7f]")
_ONE_BYTE = "\x80"
# Escapes that tell characters beyond ASCII from each other, and verbs, some of which switch UTF-8 on.
_TELLS_APART = re.compile(r"\\(?:\\|([pPoX]|x[89a-fA-F]|x\{|[0-7]{3}))|(\(\*)")
_FLAGS = hyperscan.HS_FLAG_ALLOWEMPTY | hyperscan.HS_FLAG_SINGLEMATCH
# Hyperscan takes seconds to compile longer expressions, and higher counts, than these.
_MAX_CHARS = 500
_MAX_COUNTS = 5_000
_COUNT = re.compile(r"\{(?:[0-9]+,)?([0-9]+),?\}")
_MAX_DATABASE_BYTES = 1 << 20  # its scratch grows with it


def hyperscan_searcher(pattern: str) -> Callable[[str], bool]:
    """Whether `pattern` is found anywhere in a text.

    Raises:
        ValueError: Hyperscan refuses the pattern, or would take seconds for it, or it is not ASCII.
    """
    if not pattern.isascii() or any(found[1] or found[2] for found in _TELLS_APART.finditer(pattern)):
        raise ValueError("takes ASCII only here")
    if len(pattern) > _MAX_CHARS:
        raise ValueError(f"takes {_MAX_CHARS} characters at most here")
    if sum(map(int, _COUNT.findall(pattern))) > _MAX_COUNTS:
        raise ValueError(f"takes counts that come to {_MAX_COUNTS} at most here")
    database, lock = _compiled(pattern)

    def found(text: str) -> bool:
        data = text if text.isascii() else _BEYOND_ASCII.sub(_ONE_BYTE, text)
        ends: list[int] = []
        with lock:
            database.scan(data.encode("latin-1"), match_event_handler=lambda _id, _start, end, *_: ends.append(end))
        return bool(ends)

    return found


@lru_cache(maxsize=64)  # a rule's expression is compiled when it is checked, read and put to work
def _compiled(pattern: str) -> tuple[hyperscan.Database, threading.Lock]:
    """The database of `pattern`, and the lock of its scratch, which Hyperscan refuses to use twice at once."""
    # Each has its own scratch: one that several share is unusable after an expression that Hyperscan refuses.
    database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
    try:
        database.compile(expressions=[pattern.encode()], flags=[_FLAGS])
    except hyperscan.error as error:
        raise ValueError(str(error).rstrip(".")) from error
    if database.size() > _MAX_DATABASE_BYTES:
        raise ValueError(f"needs more than {_MAX_DATABASE_BYTES >> 20} MiB for it")
    return database, threading.Lock()


def literal_scanner(
    literals: Sequence[bytes], found: list[int], *, without_case: bool = False
) -> Callable[[bytes], object]:
    """What adds to `found` the places of the literals that stand in bytes, each once. For one thread.

    Args:
        without_case: letters of ASCII are found in either case.

    Raises:
        ValueError: Hyperscan refuses one of them.
    """
    database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
    count = len(literals)
    flags = hyperscan.HS_FLAG_SINGLEMATCH | (hyperscan.HS_FLAG_CASELESS if without_case else 0)
    try:
        database.compile(
            expressions=list(literals), ids=list(range(count)), elements=count, flags=[flags] * count, literal=True
        )
    except hyperscan.error as error:
        raise ValueError(str(error).rstrip(".")) from error
    return _adding(database, found)


def scanner(
    expressions: Mapping[int, bytes], found: list[int], *, prefilter: bool = False
) -> Callable[[bytes], object]:
    """What adds to `found` the numbers of the expressions that may be found in bytes. For one thread.

    Args:
        expressions: by number; each is an expression of bytes.
        prefilter: take what Hyperscan cannot hold exactly as well, as something that is found more often.

    Raises:
        ValueError: Hyperscan refuses one of them.
    """
    database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
    flags = _FLAGS | (hyperscan.HS_FLAG_PREFILTER if prefilter else 0)
    numbers = list(expressions)
    try:
        database.compile(
            expressions=list(expressions.values()), ids=numbers, elements=len(numbers), flags=[flags] * len(numbers)
        )
    except hyperscan.error as error:
        raise ValueError(str(error).rstrip(".")) from error
    return _adding(database, found)


def _adding(database: hyperscan.Database, found: list[int]) -> Callable[[bytes], object]:
    """What adds to `found` the numbers of what `database` finds in bytes."""
    scan = database.scan

    def add(number: int, *_place: object) -> None:
        found.append(number)

    # By place: to the binding arguments by name cost as much as to search a kilobyte.
    return lambda data: scan(data, add)
