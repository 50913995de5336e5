"""The centre's own page: whole in both languages; nothing that a sender wrote becomes markup or turns text round."""

import re
from base64 import b64encode
from collections.abc import Mapping
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
from feed_kit import ORG, OTHER, altered, centre_and_client, message
from hypothesis import given
from hypothesis import strategies as st
from ncsc_centre_kit import NOW_US, beat, post_beat, register_in
from ncsc_kit import keys_of

from socmon.ncsc.centre import Centre
from socmon.ncsc.page import Shown, asked_language, page, policy
from socmon.ncsc.reading import _titled
from socmon.ncsc.standing import heard_row
from socmon.text import VISIBLE

VOID = {"meta", "link", "br", "img", "input"}


class Reader(HTMLParser):
    """A page as a browser takes it in.

    Attributes:
        cells: text of each cell, by the id of its section.
        tags: every element that was met.
        open: elements that were opened and not closed; a page that is well formed leaves none.
    """

    def __init__(self, text: str) -> None:
        super().__init__()
        self.cells: dict[str, list[str]] = {}
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.open: list[str] = []
        self._section = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self._section = str(dict(attrs).get("aria-labelledby", self._section))
        if tag == "td":
            self.cells.setdefault(self._section, []).append("")
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "td" in self.open:
            self.cells[self._section][-1] += data


def standing(**changes: Any) -> dict[str, Any]:
    told: dict[str, Any] = {
        "name": "Province", "enrolled": True, "org_path": [ORG], "silent": False, "findings": 0, "aggregates": 0,
        "quarantined": 0, "lost": 0, "unknown_members": {}, "gaps": [], **heard_row(None),
    }  # fmt: skip
    return told | changes


def shown(**changes: Any) -> Shown:
    lists = ("newest", "levels", "quarantine", "voids", "audit")
    nothing: dict[str, Any] = {"standings": {}} | {name: [] for name in lists}
    return Shown(**(nothing | changes))


async def fetched(centre: Centre, query: str = "", **headers: str) -> tuple[Mapping[str, str], str]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{centre.admin_url}/{query}", headers=named) as response,
    ):
        assert response.status == 200
        return response.headers, await response.text()


async def test_the_page_shows_provinces_findings_gaps_quarantine_and_audit(tmp_path: Path) -> None:
    async with centre_and_client(tmp_path) as (centre, client):
        bad = altered(message(6), data={})
        await client.post([message(1), message(4), bad])
        await post_beat(centre, keys_of(tmp_path), beat())

        headers, text = await fetched(centre, "?lang=en")

        page = Reader(text)
        assert page.open == []
        row = page.cells["provinces"][page.cells["provinces"].index("Province") :]
        assert row[1:4] == [ORG, "–", "heard"]
        assert (row[5], row[6], row[9:14]) == (
            "45, the oldest 90 s", "portal", ["0123456789abcdef", "2", "3", "0", "1"],
        )  # fmt: skip
        assert page.cells["findings"][1:5] == [ORG, "medium", "SSH brute force", "5"]
        assert page.cells["gaps"][:7] == [ORG, "normal", "019ab4c0d1e2", "2", "3", "2", "waited for"]
        assert page.cells["quarantine"][1:5] == [ORG, "normal", "6", "schema"]
        assert page.cells["audit"][1:4] == ["start", "enrol", OTHER]
        assert "medium: 2" in text
        assert headers["Content-Security-Policy"].startswith("default-src 'none'; ")
        assert "script" not in page.tags | page.attributes


async def test_the_page_speaks_the_language_that_is_asked_for(tmp_path: Path) -> None:
    async with centre_and_client(tmp_path) as (centre, _):
        for query, accept, lang in (
            ("", "", "en"), ("", "vi-VN,vi;q=0.9,en;q=0.8", "vi"), ("?lang=vi", "en", "vi"), ("?lang=en", "vi", "en"),
        ):  # fmt: skip
            headers, text = await fetched(centre, query, Accept_Language=accept)

            assert headers["Content-Language"] == lang
            assert f'<html lang="{lang}">' in text
            assert ("Các tỉnh, thành phố" in text) == (lang == "vi")


async def test_who_was_revoked_stays_on_the_page(tmp_path: Path) -> None:
    async with centre_and_client(tmp_path) as (centre, _):
        register = register_in(tmp_path / "centre")
        register.revoke(ORG, actor="lan")
        register.close()

        cells = Reader((await fetched(centre, "?lang=en"))[1]).cells

        assert cells["provinces"][cells["provinces"].index(ORG) + 2] == "not enrolled any more, or not yet"
        assert cells["audit"][1:4] == ["lan", "revoke", ORG]


def test_a_skew_of_nothing_has_no_sign_of_its_own() -> None:
    beaten = standing(skew_s=-0.02, clock_off=False, last_heartbeat=None, certificate_expires=None, heartbeat=beat())

    cells = Reader(page(shown(standings={ORG: beaten}), "en", NOW_US)).cells["provinces"]

    assert "+0.0 s" in cells
    assert "-0.0 s" not in cells


def test_what_is_ours_is_said_in_the_readers_language() -> None:
    found = {
        "org": ORG, "level": "low", "title": "Withdrawn", "count": 0, "end_ms": 1, "received_us": 1, "revision": 2,
    }  # fmt: skip
    refused = {
        "org": ORG, "stream": "normal", "seq": 1, "code": "id_reuse", "received_us": 1,
        "reason": "the id was used for another content",
    }  # fmt: skip
    voided = refused | {"first": 1, "last": 2, "taken": 2, "reason": "withdrawn", "subject": ""}

    cells = Reader(page(shown(newest=[found], quarantine=[refused], voids=[voided]), "vi", NOW_US)).cells

    assert "Đã rút" in cells["findings"]
    assert "đã rút" in cells["voids"]
    assert "mã đã dùng cho nội dung khác" in cells["quarantine"]


HOSTILE = "<script>alert(1)</script>\u202egnp.exe\x1b[2J\u2028"


def test_what_senders_wrote_is_neither_markup_nor_direction() -> None:
    heard = beat(silent=[HOSTILE], rules="")
    told = standing(
        unknown_members={HOSTILE: 1},
        name=HOSTILE,
        org_path=[HOSTILE, ORG],
        heartbeat=heard,
        clock_off=False,
        skew_s=0.0,
    )
    found = {"org": ORG, "level": HOSTILE, "title": HOSTILE, "count": 1, "end_ms": 1, "received_us": 1, "revision": 1}
    refused = {"org": ORG, "stream": HOSTILE, "seq": 1, "code": HOSTILE, "reason": HOSTILE, "received_us": 1}
    voided = {"first": 1, "last": 2, "taken": 2, "reason": HOSTILE, "subject": HOSTILE}
    done = {"at_us": 1, "actor": HOSTILE, "action": "enrol", "org": ORG, "detail": HOSTILE}

    tables = {"newest": [found], "quarantine": [refused], "voids": [refused | voided], "audit": [done]}
    text = page(shown(standings={ORG: told}, **tables), "en", NOW_US)

    read = Reader(text)
    assert read.open == []
    assert "script" not in read.tags
    assert not {ord(char) for char in text.replace("\n", "")} & VISIBLE.keys()
    assert any("\\u202egnp.exe\\x1b[2J\\u2028" in cell for cell in read.cells["provinces"])


@given(text=st.text(max_size=60))
def test_every_text_is_shown_as_text(text: str) -> None:
    told = standing(name=text)

    read = Reader(page(shown(standings={ORG: told}), "vi", NOW_US))

    assert read.open == []
    assert read.cells["provinces"][0] == text.translate(VISIBLE)


def test_a_time_that_no_calendar_has_does_not_end_the_page() -> None:
    found = {"org": ORG, "level": "high", "title": "x", "count": 1, "end_ms": 10**18, "received_us": 1, "revision": 1}

    assert "high" in Reader(page(shown(newest=[found]), "en", NOW_US)).cells["findings"]


def test_the_style_is_the_one_that_the_policy_allows() -> None:

    (style,) = re.findall(r"<style>(.*?)</style>", page(shown(), "en", NOW_US), re.DOTALL)

    assert f"'sha256-{b64encode(sha256(style.encode()).digest()).decode()}'" in policy()


@pytest.mark.parametrize(
    ("chosen", "accept", "lang"),
    [
        ("", "", "en"), ("", "*", "en"), ("", "fr", "en"), ("", "vi", "vi"), ("", "en;q=0.5, vi;q=0.7", "vi"),
        ("", "vi;q=0", "en"), ("", "vi;q=x", "en"), ("xx", "vi", "vi"), ("en", "vi", "en"), ("", ";;;,,", "en"),
    ],
)  # fmt: skip
def test_a_language_is_chosen(chosen: str, accept: str, lang: str) -> None:
    assert asked_language(chosen, accept) == lang


def test_a_title_that_is_no_title_is_shown_as_none(tmp_path: Path) -> None:

    for body in ({}, {"data": None}, {"data": {"finding_info": 3}}):
        assert _titled({"body": msgspec.json.encode(body)}) == {"title": ""}
