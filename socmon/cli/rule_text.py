"""What a rule says of itself, in the reader's language: our rules hold English first, then Vietnamese."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from msgspec import Struct

from socmon.i18n import Lang

# Letters that Vietnamese has and hardly another language: with horn, breve, stroke, or a tone on one of these.
_VIETNAMESE = re.compile("[\u0102\u0103\u0110\u0111\u0128\u0129\u0168\u0169\u01a0\u01a1\u01af\u01b0\u1ea0-\u1ef9]")
_SENTENCE = re.compile(r"(?<=[.!?])\s+")
_MAX_BYTES = 1024 * 1024  # of a rule file


class RuleText(Struct):
    """Description and false positives by language; a rule in one language has it under both."""

    path: str
    description: dict[Lang, str]
    false_positives: dict[Lang, list[str]]


def find(rule_id: str, title: str, places: Iterable[Path]) -> RuleText | None:
    """The text of a rule in the files and folders `places`; None if it is not there any more, or cannot be read.

    Looks at no more than it must: a file that does not name the rule is not parsed.
    """
    for path in _files(places):
        try:
            text = path.read_bytes()[:_MAX_BYTES]
        except OSError:
            continue
        if rule_id.encode() in text.lower() or title.encode() in text:
            for document in _documents(text):
                if _is_it(document, rule_id, title):
                    return _told(path, document)
    return None


def split(text: str) -> dict[Lang, str]:
    """Sentences before the first Vietnamese one are English, the rest Vietnamese; all of it where one is missing."""
    sentences = _SENTENCE.split(" ".join(text.split()))
    first = next((number for number, each in enumerate(sentences) if _VIETNAMESE.search(each)), len(sentences))
    english, vietnamese = " ".join(sentences[:first]), " ".join(sentences[first:])
    return {"en": english or vietnamese, "vi": vietnamese or english}


def _files(places: Iterable[Path]) -> Iterator[Path]:
    for place in places:
        if place.is_dir():
            yield from sorted(place.rglob("*.yml"))
            yield from sorted(place.rglob("*.yaml"))
        elif place.is_file():
            yield place


def _documents(text: bytes) -> list[Any]:
    import yaml

    try:
        return [*yaml.load_all(text, yaml.CSafeLoader)]
    except (yaml.YAMLError, ValueError, RecursionError):
        return []


def _is_it(document: Any, rule_id: str, title: str) -> bool:
    if not isinstance(document, dict):
        return False
    stated = document.get("id")
    return str(stated).lower() == rule_id.lower() if stated else document.get("title") == title


def _told(path: Path, document: dict[str, Any]) -> RuleText:
    false_positives = document.get("falsepositives")
    items = [str(item) for item in false_positives] if isinstance(false_positives, list) else []
    vietnamese = [item for item in items if _VIETNAMESE.search(item)]
    english = [item for item in items if item not in vietnamese]
    return RuleText(
        path=str(path),
        description=split(str(document.get("description") or "")),
        false_positives={"en": english or vietnamese, "vi": vietnamese or english},
    )
