"""The benchmark of regular expressions in small: texts are hostile to the expression, and the slowest one is named."""

import re

import pytest
from sigma_kit import loaded, rule_text

from bench.regex import report
from bench.regex.slowest import Slowest, expressions, slowest, through_all_rules
from bench.regex.values import BYTES, hostile, literals


@pytest.mark.parametrize(
    ("pattern", "parts"),
    [
        ("whoami", ["whoami"]),
        (r"(?i)net\s+use .*\\\\[a-z]{2}\.com$", ["net ", "use ", r"\\a", ".com"]),
        (r"[^x]+|\d{3}[\w-]", ["~", "1", "a"]),
        ("(?s)\\A.*ab(?:i\u0307|.)cd.*\\z", ["ab", "cd"]),
        (".*", []),
    ],
)
def test_literals_are_what_stands_between_wildcards(pattern: str, parts: list[str]) -> None:
    assert literals(pattern) == parts


def test_hostile_texts_are_64_kb_and_hold_what_the_expression_has() -> None:
    texts = dict(hostile(r"foo.*bar\d"))

    assert all(BYTES - 64 <= len(text.encode()) <= BYTES for text in texts.values())
    assert len(set(texts.values())) > 20
    assert texts["'bar1' again and again"].startswith("bar1bar1")
    nearly = texts["nothing, then all its parts but for the last character"]
    assert nearly.endswith("fooxbar")
    assert not re.search(r"foo.*bar\d", nearly)
    assert any(not text.isascii() for text in texts.values())


def test_every_expression_of_the_rules_is_looked_at_and_the_page_shows_the_slowest() -> None:
    detection = "a:\n  F|re: ['x.*y', 'z{3}']\n  G: 'p*q'\n  H|endswith: '.exe'\ncondition: a"
    rules = loaded(rule_text(detection))

    looked_at = expressions(rules)
    found = sorted((slowest(*key, count) for key, count in looked_at.items()), key=lambda one: -one.ms)
    told = report.Found(1, found, through_all_rules(rules, [found[0].text]))

    assert sorted(looked_at) == [("glob", r"(?s)\Ap.*q\z"), ("re", "x.*y"), ("re", "z{3}")]
    assert all(one.ms > 0 and one.text for one in found)
    assert set(told.whole_ms) == {"CommandLine", "ScriptBlockText"}
    assert [one["pattern"] for one in report.as_json(told)["expressions"]] == [one.pattern for one in found]
    page = report.as_markdown(told)
    assert "3 different expressions of 1 rules, 2 as rules have them" in page
    assert all(f"`{one.pattern}`" in page for one in found)


def test_bars_and_backquotes_do_not_break_the_table() -> None:
    row = report.as_markdown(report.Found(1, [Slowest("re", "a|`b", "'`' again", 2.0, 1, "`")], {})).splitlines()[-1]

    assert row == "| 2.00 | 1 | `a¦'b` | `''' again` |"
