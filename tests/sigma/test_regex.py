"""Regular expressions by RE2, and by Hyperscan where RE2 refuses: one meaning, whichever looks."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from sigma_kit import FIRST_LINE, fires, loaded, refused, rule_text

from socmon.sigma.hyperscan_search import hyperscan_searcher
from socmon.sigma.regex import searcher


def test_a_rule_with_an_expression_that_only_hyperscan_takes_matches() -> None:
    rules = loaded(rule_text("sel:\n  F|re|i: '-enc [a-z0-9+/=]{1500,2000}'\ncondition: sel"))

    assert fires(rules, {"F": f"powershell -ENC {'A' * 1500}"})
    assert not fires(rules, {"F": f"powershell -enc {'A' * 1499}"})


@pytest.mark.parametrize(
    ("pattern", "hits", "misses"),
    [
        ("^.{1001}$", ["x" * 1001, "é" * 1001, "\U0001f600" * 1001, "x" * 1001 + "\n"], ["é" * 1000, "é" * 1002]),
        ("^[^a]{1001}$", ["\ud800" * 1001, "\0" * 1001, "\x80" * 1001], ["\ud800" * 1000 + "a", ""]),
        (r"^\w{1001}$", ["a_1" * 333 + "xx"], ["é" * 1001]),
        (r"^\d{1001}$", ["7" * 1001], ["\u0661" * 1001]),
        (r"^\W{1001}$", ["é" * 1001], ["e" * 1001]),
        (r"a\hb", ["xa b", "a\tb"], ["ab", "a\nb", "a\u2003b"]),
        (r"ab\Z", ["xab", "ab\n"], ["ab\n\n", "abc"]),
        ("(?#why)a.c", ["abc"], ["a\nc", "ABC"]),
        ("(?x) a b ", ["xaby"], ["a b"]),
        ("(?m)^b(?#why)$", ["a\nb\nc"], ["ab"]),
        ("(?s)a.c(?#why)", ["a\nc"], ["ac"]),
        ("(?i)a(?#why)B", ["Ab"], ["ac"]),
    ],
)
def test_what_re2_refuses_means_what_it_means_in_pcre(pattern: str, hits: list[str], misses: list[str]) -> None:
    found = searcher(pattern)

    assert [text for text in hits if not found(text)] == []
    assert [text for text in misses if found(text)] == []


@pytest.mark.parametrize("pattern", ["^a$", r"\w+\d", "a.c", "[^b]c", "x*", "(?i)AB|cd", "(?m)^b$", r"\bword\b", "é?a"])
@pytest.mark.parametrize("text", ["", "a", "a\n", "a\nb\nc", "a\n\n", "AB", "éc", "é1", "a\ud800c", "x word.", "wordé"])
def test_both_find_the_same(pattern: str, text: str) -> None:
    assert searcher(pattern)(text) is hyperscan_searcher(pattern.replace("é", "e"))(text.replace("é", "\u00ea"))


@pytest.mark.parametrize(
    ("pattern", "re2", "hyperscan"),
    [
        ("(?=a)b", "invalid perl operator: (?=", "Zero-width assertions are not supported"),
        (r"(a)\1", r"invalid escape sequence: \1", "Back-references are unsupported"),
        ("a++", "bad repetition operator: ++", "Possessive quantifiers are not supported"),
        ("(", "missing ): (", "Missing close parenthesis"),
        ("x{40000}", "invalid repetition size: {40000}", "takes counts that come to 5000 at most here"),
        ("é{1,2000}", "invalid repetition size: {1,2000}", "takes ASCII only here"),
        (r"\x{e9}{1,2000}", "invalid repetition size", "takes ASCII only here"),
        (r"\xe9\Z", r"invalid escape sequence: \Z", "takes ASCII only here"),
        (r"(*UTF8)a\Z", "", "takes ASCII only here"),
    ],
)
def test_what_both_refuse_is_refused_at_its_line_with_both_reasons(pattern: str, re2: str, hyperscan: str) -> None:
    (error,) = refused(rule_text(f"sel:\n  A: 1\n  F|re: '{pattern}'\ncondition: sel"))

    assert error.startswith(f"{FIRST_LINE + 2}: ")
    assert f"RE2 says: {re2}" in error
    assert f"Hyperscan: {hyperscan}" in error


def test_an_expression_after_one_that_was_refused_works() -> None:
    with pytest.raises(ValueError, match="Missing close parenthesis"):
        searcher("((?#one)")

    assert searcher(r"(?#two)a\Z")("a")


def test_threads_may_search_at_the_same_time() -> None:
    found = searcher(r"b{1,2000}c\Z")
    texts = ["b" * 50_000 + "c", "b" * 50_000] * 50

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(found, texts)) == [True, False] * 50


def test_hyperscan_is_loaded_by_the_first_rule_that_needs_it() -> None:
    code = """
import sys
from socmon.sigma.regex import searcher
searcher("a.c")
print("hyperscan" in sys.modules)
searcher("a{1,2000}c")
print("hyperscan" in sys.modules)
"""

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, timeout=60, text=True)

    assert done.stdout.split() == ["False", "True"]
