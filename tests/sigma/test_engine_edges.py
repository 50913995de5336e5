"""Where libraries read a rule or a value otherwise than we do, nothing is missed and nothing invented."""

from typing import Any

import pytest
from sigma_kit import loaded, rule_text

from socmon.sigma import RuleSet, scanner
from socmon.sigma.signatures import Memory

WINDOWS = {"product": "windows"}


@pytest.fixture(autouse=True, params=[0, 32], ids=["automaton", "one by one"])
def _literals_are_looked_for_both_ways(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scanner, "_FEW", request.param)


def one(key: str, value: str) -> RuleSet:
    quoted = value.replace("\\", "\\\\").replace('"', '\\"').replace("\0", "\\0").replace("\uffff", "\\uffff")
    return loaded(rule_text(f'selection:\n  {key}: "{quoted}"\ncondition: selection'))


def fires(rules: RuleSet, value: Any) -> bool:
    return bool(rules.match({"F": value}, {"product": "test"}))


LONG = "p" * 600


@pytest.mark.parametrize(
    ("key", "asked", "matching", "other"),
    [
        ("F|contains", "w" * 20_000, LONG + "w" * 20_000, LONG + "w" * 19_999),
        ("F|contains", "a\0b", LONG + "a\0b", LONG + "a"),
        ("F|startswith", "\0b", "\0b" + LONG, LONG + "\0b"),
        ("F|re", "x\0|y", "y", "x"),
        ("F|re", r"a[^\v]b", "a\nb", "a\vb"),
        ("F|re", r"^*zz", "zz", "z"),
        ("F|contains", "\uffff", "x\uffff", "x\ud800"),
        ("F|contains", "ab", "\ud800ab" + LONG, "\ud800a" + LONG),
    ],
)
def test_a_rule_means_the_same_to_all_libraries(key: str, asked: str, matching: str, other: str) -> None:
    rules = one(key, asked)

    assert fires(rules, matching)
    assert not fires(rules, other)


def test_no_event_number_passes_for_one_that_a_rule_names() -> None:
    text = rule_text('selection:\n  EventID: "\\uffff"\ncondition: selection').replace(
        "product: test", "product: windows"
    )
    rules = loaded(text)

    assert not rules.match({"Channel": "x", "EventID": 77}, WINDOWS)


@pytest.mark.parametrize("value", [10**5000, int("dead" * 700, 16), -(10**5000)], ids=["long", "hex", "negative"])
def test_keywords_are_looked_for_in_the_text_of_numbers_of_any_length(value: int) -> None:
    rules = loaded(rule_text("words: ['deadde', '0x']\ncondition: words"))

    assert fires(rules, value)


def test_texts_of_a_kind_of_their_own_are_texts() -> None:
    class Text(str):
        __slots__ = ()

    assert fires(one("F|contains", "ab"), Text("xabx"))


def test_combinations_are_accounted_with_the_atoms_that_they_keep() -> None:
    words = [f"word{number:03}x" for number in range(200)]
    listed = "\n".join(f"      - {word}" for word in words)
    rules = loaded(rule_text(f"selection:\n  G: 'no'\n  F|contains:\n{listed}\ncondition: selection"))
    rules.memory.limit = 1 << 20

    for number in range(3_000):
        chosen = [
            word
            for place, word in enumerate(words)
            if (number * 2_654_435_761 >> place % 31) & 1 or place == number % 200
        ]
        fires(rules, " ".join(chosen))

    (route,) = rules._plans.routes.values()
    (match,) = route.matches.values()
    plan: Any = match
    kept = {signature for combination in plan.__self__.combinations for signature in combination}
    assert 8 * sum(len(signature.atoms) for signature in kept) < rules.memory.limit


class Held:
    """A memo that holds so many bytes."""

    def __init__(self, memory: Memory, size: int) -> None:
        self.held = 0
        memory.add(self)
        memory.take(self, size)

    def forget(self) -> None:
        pass


def test_the_largest_memo_is_emptied_first() -> None:
    memory = Memory(80_000)
    large = Held(memory, 20_000)
    small = [Held(memory, 10) for _ in range(6_000)]

    memory.take(small[0], 1)

    assert large.held == 0
    assert all(memo.held for memo in small)


def test_of_many_small_memos_an_eighth_is_emptied_at_once() -> None:
    memory = Memory(80_000)
    small = [Held(memory, 10) for _ in range(8_000)]

    memory.take(small[0], 1)

    assert memory.held == sum(memo.held for memo in small) <= memory.limit * 7 // 8 + 1
