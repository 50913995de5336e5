"""What analysts' comments say of an incident's cause, scope and remedy, and of reports that were handed over.

A line that begins with one of the words below and a colon begins a part; it goes on up to the next such line. Whatever
stands before the first one belongs to no part: comments are of this house unless they are meant for a report.
"""

import unicodedata
from collections.abc import Collection, Mapping, Sequence
from typing import Literal

from msgspec import Struct

from socmon.store.triage import Entry

Kind = Literal["first", "detailed", "final"]
Part = Literal["cause", "scope", "remedy", "first", "detailed", "final"]

WORDS: Mapping[str, Part] = {
    "cause": "cause",
    "nguyên nhân": "cause",
    "scope": "scope",
    "phạm vi": "scope",
    "phạm vi ảnh hưởng": "scope",
    "remedy": "remedy",
    "khắc phục": "remedy",
    "biện pháp khắc phục": "remedy",
    "first notice": "first",
    "thông báo ban đầu": "first",
    "detailed report": "detailed",
    "báo cáo sự cố": "detailed",
    "final report": "final",
    "báo cáo kết thúc": "final",
}
_MAX_WORD_CHARS = 60  # decomposed, a word of these is three times as long


class Telling(Struct, frozen=True):
    """One part of one comment; `text` as it was written, without space around it."""

    time_us: int
    actor: str
    text: str


def parts(text: str) -> list[tuple[Part, str]]:
    """The parts of one comment, in their order; those with nothing in them are left out."""
    joined = [(part, lines[0].partition(":")[2], lines[1:]) for part, lines in _parted(text)]
    told = [(part, "\n".join([first, *rest]).strip()) for part, first, rest in joined]
    return [(part, each) for part, each in told if each]


def kept(text: str, wanted: Collection[Part]) -> str:
    """Of one comment the `wanted` parts, as they were written; "" if there are none."""
    return "\n".join(line for part, lines in _parted(text) if part in wanted for line in lines)


def parts_of(entries: Sequence[Entry]) -> dict[Part, list[Telling]]:
    """All parts of all comments of a history, each in the order in which it was written."""
    found: dict[Part, list[Telling]] = {}
    for entry in entries:
        for part, text in parts(entry.text):
            found.setdefault(part, []).append(Telling(entry.time_us, entry.actor, text))
    return found


def _parted(text: str) -> list[tuple[Part, list[str]]]:
    """The lines of each part, the first with the word that begins it."""
    found: list[tuple[Part, list[str]]] = []
    for line in text.splitlines():
        word, colon, _ = line.partition(":")
        part = WORDS.get(_plain(word)) if colon and len(word) <= _MAX_WORD_CHARS else None
        if part:
            found.append((part, [line]))
        elif found:
            found[-1][1].append(line)
    return found


def _plain(word: str) -> str:
    """Composed, as the words above are: a keyboard may write a letter and its tone apart."""
    return unicodedata.normalize("NFC", word).strip().casefold()
