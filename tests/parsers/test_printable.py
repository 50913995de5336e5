"""Nothing that others wrote reaches a terminal as a control."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from socmon.text import printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred\x07", r"\x1b[31mred\x07"),
        ("a\r\n\tb\x00\x7f\x9b", r"a\x0d\x0a\x09b\x00\x7f\x9b"),
        ("safe\u202egnp.exe\u2066\u061c\u200f", r"safe\u202egnp.exe\u2066\u061c\u200f"),
        ("line\u2028break", r"line\u2028break"),
        ("\ud800", r"\ud800"),
        ("Nguyễn Thị Hoà — 日本", "Nguyễn Thị Hoà — 日本"),
    ],
)
def test_controls_become_visible_and_the_rest_stays(text: str, shown: str) -> None:
    assert printable(text) == shown


@settings(max_examples=200, deadline=None)
@given(st.text())
def test_what_is_printable_is_one_line_that_can_be_encoded(text: str) -> None:
    shown = printable(text)

    assert len(shown.splitlines()) <= 1
    assert "\x1b" not in shown
    assert shown.encode().decode() == shown
    assert printable(shown) == shown
