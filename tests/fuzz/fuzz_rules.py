"""Hostile rule files: whatever the bytes, loading returns, and what it loaded can be matched."""

from typing import Any

from socmon.sigma.ruleset import parse_rules

EVENTS: list[dict[str, Any]] = [
    {},
    {"F": "x", "G": ["a", None, 5], "message": "evil"},
    {"F": None, "G": {"deep": ["\ud800", 10**30]}, "message": True},
]
PLACEHOLDERS: dict[str, list[str | int | float]] = {"a": ["x*", "\\", 5], "b": [2.5, "(", "10.0.0.0/8"]}
SOURCES: list[dict[str, str | None]] = [{"product": "test"}, {"product": "linux", "service": "sshd"}, {}]


def one_input(data: bytes) -> None:
    """Raises only on bugs."""
    rules = parse_rules("fuzz.yml", data, placeholders=PLACEHOLDERS)
    for error in rules.errors:
        assert error.line >= 1
        assert error.message
        assert error.message.isprintable()
    for rule in rules.rules:
        assert rules.by_id[rule.id] is rule
        rules.fields_of(rule.id)
    for event in EVENTS:
        for source in SOURCES:
            assert set(rules.match(event, source)) <= rules.by_id.keys()
