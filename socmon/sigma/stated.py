"""What one file of rules states, read by itself: what refers across files is resolved in loading.py.

All of it is plain, so that it can be kept in a file and read back equal (rule_cache.py).
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from socmon.errors import SocmonError
from socmon.event import LogSource
from socmon.sigma.outline import Piece
from socmon.sigma.rule import CorrelationType, Filter, Rule, RuleError

Place = tuple[str | int, ...]
MAX_BYTES = 4 << 20  # of a file
Value = str | int | float
Placeholders = Mapping[str, Sequence[Value]]
NO_PLACEHOLDERS: Placeholders = {}


class RefusedError(SocmonError):
    """Part of a document cannot be loaded.

    Attributes:
        place: keys and indexes that lead to it from the document's top.
    """

    def __init__(self, message: str, place: Place) -> None:
        self.place = place
        super().__init__(message)


class Origin(Struct, frozen=True):
    """Where a document stands.

    Attributes:
        lines: place → line, from 1; of the document's top, (), and of what may be found wrong in it later on.
    """

    path: str
    lines: dict[Place, int]

    def line_of(self, *place: str | int) -> int:
        """Line, from 1, of `place`, or of the nearest thing around it that has one."""
        while place not in self.lines:
            place = place[:-1]
        return self.lines[place]

    def error(self, message: str, *place: str | int) -> RuleError:
        """A RuleError at `place`."""
        return RuleError(self.path, self.line_of(*place), message)


class StatedRule(Struct, frozen=True, tag="rule"):
    """A single-event rule.

    Attributes:
        rule: as it is without filters, and without other rules that feed on it.
        unused: warnings of detections that its condition does not name.
    """

    origin: Origin
    rule: Rule
    condition: Piece
    unused: tuple[RuleError, ...]
    warnings: tuple[RuleError, ...] = ()


class StatedCorrelation(Struct, frozen=True, tag="correlation"):
    """A correlation, whose rules may stand in other files.

    Attributes:
        rule: without its correlation; its hash covers only what stands here.
        content: the document's data as `content_text` has it.
        section: the document's, as YAML has it.
        generate: what the document states beside the section.
    """

    origin: Origin
    rule: Rule
    content: str
    kind: CorrelationType
    timespan_s: int
    section: dict[str, Any]
    generate: Any
    warnings: tuple[RuleError, ...] = ()


class StatedFilter(Struct, frozen=True, tag="filter"):
    """A filter, whose rules may stand in other files.

    Attributes:
        references: what its `rules` states, each with its place; None for any rule.
        condition: what it asks of an event; fields have the one name that the filter gives them.
        hash: of what it asks for, so that a rule is the same when only other rules are added to the filter.
    """

    origin: Origin
    filter: Filter
    name: str | None
    logsource: LogSource
    references: tuple[tuple[Any, Place], ...] | None
    condition: Piece
    hash: str
    warnings: tuple[RuleError, ...] = ()


class Refused(Struct, frozen=True, tag="refused"):
    """A document that makes no rule, and why."""

    origin: Origin
    errors: tuple[RuleError, ...]
    warnings: tuple[RuleError, ...] = ()


Stated = StatedRule | StatedCorrelation | StatedFilter | Refused


class StatedFile(Struct, frozen=True):
    """What a file states.

    Attributes:
        documents: in the order of the file.
        errors: why others of its documents could not be read.
        placeholders: names of those that were met, whether they have values or not.
        unexpanded: warnings of placeholders that have values and stand where they are not filled in.
    """

    documents: tuple[Stated, ...] = ()
    errors: tuple[RuleError, ...] = ()
    placeholders: tuple[str, ...] = ()
    unexpanded: tuple[RuleError, ...] = ()


def content_text(data: Any) -> str:
    """A document's data, independent of comments and of the order of keys."""
    return json.dumps(data, sort_keys=True, default=str)


def content_hash(text: str, *more: str) -> str:
    """sha256 in hex of `content_text` and what else counts."""
    return hashlib.sha256(f"[{', '.join([text, *map(json.dumps, more)])}]".encode()).hexdigest()
