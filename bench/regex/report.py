"""Writes the results: JSON for machines, a Markdown page for people; no name of a host and no path stands in them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.keeping import heading, keep, machine
from bench.regex.slowest import Slowest
from bench.regex.values import BYTES

NAME = "regex"
_SHOWN = 20
_SHOWN_CHARS = 90


@dataclass(frozen=True)
class Found:
    """What one run found.

    Attributes:
        slowest: of each expression, the slowest one first.
        whole_ms: by field, the slowest event that has one of these texts there, through all rules.
    """

    rules: int
    slowest: Sequence[Slowest]
    whole_ms: Mapping[str, float]


def as_json(found: Found) -> dict[str, Any]:
    return {
        **heading("regex"),
        "rules": found.rules,
        "value_bytes": BYTES,
        "worst_ms": round(found.slowest[0].ms, 3),
        "through_all_rules_ms": {field: round(ms, 1) for field, ms in found.whole_ms.items()},
        "expressions": [
            {
                "kind": one.kind,
                "pattern": one.pattern,
                "slowest_value": one.value,
                "ms": round(one.ms, 3),
                "rules": one.rules,
            }
            for one in found.slowest
        ],
    }


def as_markdown(found: Found) -> str:
    on, kinds = machine(), [one.kind for one in found.slowest]
    whole = ", ".join(f"{ms:,.1f} ms in {field}" for field, ms in found.whole_ms.items())
    return f"""# Regular expressions: the slowest text of 64 KB for each

{len(kinds)} different expressions of {found.rules:,} rules, {kinds.count("re")} as rules have them and
{kinds.count("glob")} made of their wildcards. Each is given texts of 64 KB: its own literals again and again, nearly
what it looks for, single characters, random ones, characters beyond ASCII.
Measured on {on["cores"]} cores of {on["cpu"]}, {on["system"]}, Python {on["python"]}, shared with others; milliseconds
of the processor, the least of three.

The slowest takes {found.slowest[0].ms:.2f} ms. An event with one of these texts takes all rules together at most
{whole}.

| ms | rules | expression | its slowest text |
|---|---|---|---|
{"".join(map(_row, found.slowest[:_SHOWN]))}"""


def _row(one: Slowest) -> str:
    return f"| {one.ms:.2f} | {one.rules} | {_cell(one.pattern)} | {_cell(one.value)} |\n"


def _cell(text: str) -> str:
    """As code in a cell of a table: neither bar nor backquote can stand there."""
    shown = text.encode("unicode_escape").decode().replace("\\\\", "\\")
    shown = shown if len(shown) <= _SHOWN_CHARS else shown[:_SHOWN_CHARS] + "…"
    return "`" + shown.replace("|", "¦").replace("`", "'") + "`"


def write(found: Found) -> None:
    keep("regex", as_json(found), as_markdown(found))
