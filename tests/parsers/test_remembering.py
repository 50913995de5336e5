"""Readers that remember answer as if they did not, whatever was done with an earlier answer."""

from typing import Any

from socmon.parsers.remembering import remembered


def test_short_message_is_read_once_and_each_answer_is_the_askers_own() -> None:
    asked: list[str] = []
    read = remembered(lambda message: _noted(message, asked))

    first = read("twice")
    first.pop("said")
    second = read("twice")

    assert (asked, first, second) == (["twice"], {}, {"said": "twice"})


def test_long_message_is_not_kept() -> None:
    asked: list[str] = []
    read = remembered(lambda message: _noted(message, asked))

    answers = [read("x" * 257), read("x" * 257)]

    assert (len(asked), answers[0] == answers[1]) == (2, True)


def _noted(message: str, asked: list[str]) -> dict[str, Any]:
    asked.append(message)
    return {"said": message}
