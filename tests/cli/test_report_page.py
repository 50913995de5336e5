"""The page of a report: hostile text, both languages, and the paper that a real browser makes of it."""

import re
import threading
import unicodedata
from base64 import b64encode
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from chromium_kit import needs_chromium, pixels, printed, sheets, text_of
from report_kit import Page, critical, data, hostile, page, write_down
from store_kit import START_US, Place

from socmon.text import VISIBLE

# All that a report is made of.
ELEMENTS = {
    "html", "head", "meta", "title", "style", "body", "header", "main", "section", "footer", "h1", "h2", "p", "div",
    "span", "strong", "table", "thead", "tbody", "tr", "th", "td", "bdi", "br", "code",
}  # fmt: skip
ATTRIBUTES = {
    "lang", "charset", "http-equiv", "content", "name", "id", "class", "scope", "colspan",
    "data-kind", "data-deadline", "data-state",
}  # fmt: skip


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


# ── hostile text ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("lang", ["en", "vi"])
def test_nothing_that_an_attacker_writes_becomes_markup_or_steers_anything(place: Place, lang: str) -> None:
    hostile(place)

    html = page(place, "--kind", "detailed", "--with-evidence", "--with-comments", lang=lang)
    shown = Page(html)

    assert {tag for tag, _ in shown.elements} == ELEMENTS
    assert {name for _, attributes in shown.elements for name in attributes} <= ATTRIBUTES
    assert [hex(ord(char)) for char in html if ord(char) in VISIBLE and char != "\n"] == []
    for part in ("<script>alert(1)</script>", "\\x1b[2J", "\\u202egpj.exe", "{{ 7*7 }}"):
        assert part in shown.text
    # Of what is long, so much as paper holds.
    assert "x" * 2001 not in html
    assert html.count("and 30 more" if lang == "en" else "và 30 giá trị khác") == 1


def test_its_policy_allows_its_own_style_and_nothing_else(place: Place) -> None:
    place.put(critical())

    shown = Page(page(place))

    policy = next(attributes["content"] for _, attributes in shown.elements if "http-equiv" in attributes)
    digest = b64encode(sha256(shown.style.encode()).digest()).decode()
    assert policy == f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    assert "url(" not in shown.style
    assert "@import" not in shown.style


# ── languages ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_every_label_is_in_the_readers_language_and_the_rest_is_the_same(place: Place) -> None:
    place.put(critical())
    html = {lang: page(place, "--kind", "detailed", lang=lang) for lang in ("en", "vi")}
    english, vietnamese = (Page(html[lang]).headings(html[lang]) for lang in ("en", "vi"))

    assert len(english) == len(vietnamese) > 30
    assert {one for one, other in zip(english, vietnamese, strict=True) if one == other} == {"sha256", "src_ip"}
    assert Page(html["vi"]).having("lang") == ["vi"]
    for part in (
        "Dò quét mật khẩu SSH",
        "Nghiêm trọng",
        "CỘNG HÒA XÃ HỘI CHỦ NGHĨA VIỆT NAM",
        "Thời điểm phát hiện (T0)",
    ):
        assert part in Page(html["vi"]).text


def test_composed_and_decomposed_letters_look_the_same_and_stay_as_they_are_in_json(tmp_path: Path) -> None:
    name = "Nguyễn Thị Hồng Ánh"
    seen, kept = [], []
    for form in ("NFC", "NFD"):
        place = Place(tmp_path / form)
        typed = unicodedata.normalize(form, name)
        place.put(critical(group={"user": typed}, title=typed), now_us=START_US)
        write_down(place, f"{unicodedata.normalize(form, 'nguyên nhân')}: {typed}")
        shown = Page(page(place, "--kind", "detailed", lang="vi")).text
        seen.append(re.sub(r"Số liệu đến\S+ \S+", "", shown).partition("Mã băm (sha256) của tệp")[0])
        kept.append(data(place)["alert"]["group"]["user"])
        assert kept[-1] == typed

    assert seen[0] == seen[1]
    assert name in seen[0]
    assert kept[0] != kept[1]


# ── paper ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@needs_chromium
@pytest.mark.parametrize("lang", ["en", "vi"])
def test_a_real_browser_prints_it_on_a4_in_black_and_fetches_nothing(place: Place, tmp_path: Path, lang: str) -> None:
    asked: list[str] = []

    class Trap(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(404)

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Trap) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        bait = f"<img src={address}/i><link rel=stylesheet href={address}/l><script src={address}/s></script>"
        place.put(critical(title=f"{bait}\u202eexe.txt", group={"user": "Trần Thị Ánh Tuyết"}))
        file = tmp_path / "report.html"
        place.socmon("--lang", lang, "report", "incident", "00000001", "--kind", "detailed", "-o", str(file))

        paper = printed(file)

        server.shutdown()
    count, size = sheets(paper)
    text = text_of(paper)
    colours = pixels(paper)
    assert asked == []
    assert count <= 5
    assert size.endswith("(A4)")
    assert f"<img src={address}/i>" in text
    assert "\\u202eexe.txt" in text
    assert "Trần Thị Ánh Tuyết" in text
    assert f"1 / {count}" in text
    assert len(colours) > 300_000
    assert colours[::3] == colours[1::3] == colours[2::3]
