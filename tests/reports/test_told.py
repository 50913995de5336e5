"""Parts of comments: what begins one, what belongs to it, and that no comment breaks it."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socmon.reports.told import WORDS, Part, kept, parts, parts_of
from socmon.store.triage import Entry

# A text of one line that begins no part.
_LINE = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Zl", "Zp", "Cs"]), min_size=1, max_size=40)
_PLAIN = _LINE.filter(lambda text: ":" not in text and text.strip())


def test_a_line_that_begins_with_a_word_begins_a_part_and_what_follows_belongs_to_it() -> None:
    text = "we called\nCause: a password\nthat was guessed\n\nPhạm vi ảnh hưởng: 2 máy chủ\nremedy :  rotated  "

    assert parts(text) == [
        ("cause", "a password\nthat was guessed"),
        ("scope", "2 máy chủ"),
        ("remedy", "rotated"),
    ]


@pytest.mark.parametrize("text", ["", "because: x", "root cause: x", "cause", "cause: \n \n", "x" * 4000 + ":"])
def test_what_begins_no_part_is_of_this_house(text: str) -> None:
    assert parts(text) == []


@pytest.mark.parametrize("form", ["NFC", "NFD", "NFKD"])
@pytest.mark.parametrize(("word", "part"), WORDS.items())
def test_a_word_is_known_however_its_letters_are_composed(word: str, part: Part, form: str) -> None:
    typed = unicodedata.normalize(form, word.upper())  # type: ignore[arg-type]  # the forms are literals to mypy

    assert parts(f"{typed}: x") == [(part, "x")]


def test_what_is_kept_of_a_comment_is_as_it_was_written() -> None:
    text = "for us\ncause: a\nThông báo ban đầu : fax\nsố 12\nscope: b"

    assert kept(text, ("first", "detailed")) == "Thông báo ban đầu : fax\nsố 12"
    assert kept("for us", ["first"]) == ""


def test_parts_of_several_comments_stand_in_the_order_in_which_they_were_written() -> None:
    def entry(time_us: int, actor: str, text: str) -> Entry:
        return Entry(time_us, actor, "comment", "open", "open", "", text, 0)

    found = parts_of([entry(1, "an", "cause: a\nscope: b"), entry(2, "bình", "x"), entry(3, "chi", "nguyên nhân: c")])

    assert [(each.time_us, each.actor, each.text) for each in found["cause"]] == [(1, "an", "a"), (3, "chi", "c")]
    assert [each.text for each in found["scope"]] == ["b"]
    assert found.keys() == {"cause", "scope"}


@given(st.lists(st.tuples(st.sampled_from([*WORDS]), st.lists(_PLAIN, min_size=1, max_size=3)), max_size=4))
def test_what_is_written_as_parts_is_read_as_these(written: list[tuple[str, list[str]]]) -> None:
    text = "\n".join(f"{word}: " + "\n".join(lines) for word, lines in written)

    assert parts(text) == [(WORDS[word], "\n".join(lines).strip()) for word, lines in written]


@given(st.text(max_size=200))
def test_whatever_is_written_nothing_is_made_up(text: str) -> None:
    for _, told in parts(text):
        assert told
        for line in told.split("\n"):
            assert line in text
