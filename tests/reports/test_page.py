"""Whatever text stands in a report, the page has the same elements, and nothing in it steers whoever reads it."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_kit import Page, critical, data
from store_kit import START_US, Place

from socmon.i18n import translator
from socmon.reports.page import MAX_TEXT_CHARS, render
from socmon.text import VISIBLE

_TEXT = st.text(min_size=1, max_size=60) | st.text("<>&\"'{}%#`/!-[]= \u202e\x1b\u0301", min_size=1, max_size=60)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    place = Place(Path(tmp_path_factory.mktemp("report")))
    place.put(critical(), now_us=START_US)
    return data(place, "--with-evidence")


def shown(report: dict[str, Any], text: str) -> str:
    alert = report["alert"] | {"title": text, "group": {"user": text}, "entities": {"user": [text]}}
    (event,) = report["evidence"]["events"]
    evidence = report["evidence"] | {"events": [event | {"raw": text, "peer": text}]}
    return render(report | {"alert": alert, "evidence": evidence}, "0" * 64, translator("vi"), None)


@given(text=_TEXT)
def test_no_text_changes_what_the_page_is_made_of(report: dict[str, Any], text: str) -> None:
    html = shown(report, text)

    assert Page(html).elements == Page(shown(report, "x")).elements
    assert [char for char in html if ord(char) in VISIBLE and char != "\n"] == []
    html.encode()


def test_markup_in_what_was_logged_is_text(report: dict[str, Any]) -> None:
    html = shown(report, "<script>alert(1)</script><img src=x onerror=alert(1)>")

    assert "<script" not in html
    assert "<img" not in html
    assert "&lt;script&gt;alert(1)" in html


def test_a_text_without_end_is_cut(report: dict[str, Any]) -> None:
    html = shown(report, "é" * 50_000)

    assert "é" * MAX_TEXT_CHARS + " …" in html
    assert "é" * (MAX_TEXT_CHARS + 1) not in html
