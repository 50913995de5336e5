"""`socmon report incident` over real stores: what it says, what it keeps back, hostile text, both languages, paper."""

import json
import re
import sqlite3
import stat
import subprocess
import threading
import time
import unicodedata
from base64 import b64encode
from contextlib import closing
from hashlib import sha256
from html.parser import HTMLParser
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from chromium_kit import needs_chromium, pixels, printed, sheets, text_of
from control_kit import listening, socmon
from field import ORG, Field, field_in, wait_for
from store_kit import START_US, Place, S, alert, valid

from socmon.event import LEVELS, Evidence
from socmon.text import VISIBLE

HOUR_US = 3600 * S
ESCAPES = "\x1b[2J\x1b]52;c;cm0gLXJm\x07 \u202egpj.exe \x9b31m \x00 \u2028 \x7f"
MARKUP = """<script>alert(1)</script>"'><img src=x onerror=alert(1)></style></td></bdi><!-- {{ 7*7 }} {% raw %} &lt;"""
HOSTILE = MARKUP + ESCAPES
# All that a report is made of.
ELEMENTS = {
    "html", "head", "meta", "title", "style", "body", "header", "main", "section", "footer", "h1", "h2", "p", "div",
    "span", "strong", "table", "thead", "tbody", "tr", "th", "td", "bdi", "br", "code",
}  # fmt: skip
ATTRIBUTES = {
    "lang", "charset", "http-equiv", "content", "name", "id", "class", "scope", "colspan",
    "data-kind", "data-deadline", "data-state",
}  # fmt: skip
SECTIONS = [
    "reporter", "incident", "times", "deadlines", "affected", "history", "deliveries", "evidence", "signatures",
]  # fmt: skip
SENDER = """
state_dir: state
reports: {org_name: "UBND tỉnh Vĩnh Long", contact: "0270 3 000 000"}
forwarders:
  ncsc: {kind: ncsc, url: "https://127.0.0.1:1", ca: ca.pem, cert: c.pem, key: "file:c.key", org_id: 000.00.00.H07,
         org_path: [000.00.00.G01, 000.00.00.H07], system_id: ttdl, system_level: 3, tlp: AMBER+STRICT}
"""


class Page(HTMLParser):
    """A page as a browser takes it apart: elements, attributes, sections, text; open elements must be closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.style = ""
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in {"meta", "br"}:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open[-1:] == ["style"]:
            self.style += data
        else:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join("".join(self.words).split())

    def having(self, name: str) -> list[str | None]:
        return [attributes[name] for _, attributes in self.elements if name in attributes]

    def headings(self, html: str) -> list[str]:
        return re.findall(r"<(?:h1|h2|th)[^>]*>([^<]+)<", html)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def ago_us(hours: float) -> int:
    return time.time_ns() // 1000 - round(hours * HOUR_US)


def critical(number: int = 1, **changes: Any) -> Any:
    return alert(number, **({"level": "critical"} | changes))


def page(place: Place, *words: str, lang: str = "en") -> str:
    done = place.socmon("--lang", lang, "--tz", "Asia/Ho_Chi_Minh", "report", "incident", "00000001", *words)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def data(place: Place, *words: str) -> dict[str, Any]:
    done = place.socmon("report", "incident", "00000001", "--json", *words)
    assert done.returncode == 0, done.stderr
    report: dict[str, Any] = valid(json.loads(done.stdout), "report.incident.v1")["report"]
    return report


def write_down(place: Place, *texts: str, time_us: int = START_US) -> None:
    """Comments in the alert's history, as the daemon writes them."""
    with closing(sqlite3.connect(place.store)) as db, db:
        for number, text in enumerate(texts):
            db.execute(
                "insert into history (alert_id, time_us, actor, verb, status_before, status_after, reason, text,"
                " analyst_revision) values (?, ?, 'an', 'comment', 'open', 'open', '', ?, 0)",
                (alert(1).id, time_us + number, text),
            )


# ── what it says ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_it_says_who_reports_what_happened_and_what_is_due(place: Place) -> None:
    place.config.write_text(SENDER)
    place.put(critical(), now_us=ago_us(25))

    report = data(place)
    shown = Page(page(place))

    assert report["reporter"] == {
        "destination": "ncsc", "org_name": "UBND tỉnh Vĩnh Long", "contact": "0270 3 000 000",
        "org_id": "000.00.00.H07", "org_path": ["000.00.00.G01", "000.00.00.H07"], "system": "ttdl",
        "system_level": 3, "tlp": "AMBER+STRICT",
    }  # fmt: skip
    assert (report["kind"], report["alert"]["id"], report["alert"]["rsit"]) == (
        "first", alert(1).id, "intrusion-attempts/brute-force",
    )  # fmt: skip
    assert report["alert"]["attack"]["techniques"] == ["T1110.001"]
    assert [(each["kind"], each["hours"], each["state"]) for each in report["duty"]["deadlines"]] == [
        ("first", 24, "missed"), ("detailed", 72, "open"),
    ]  # fmt: skip
    assert report["duty"]["t0_known"] == "detected"
    assert shown.having("data-state") == ["missed", "open"]
    assert [each for each in shown.having("id") if each != "digest"] == SECTIONS
    for part in (
        "UBND tỉnh Vĩnh Long, 000.00.00.H07", "0270 3 000 000", "SSH brute force", "2026-09-21 21:13:21 +07:00",
        "T1110.001", "Brute force", "203.0.113.1", "NOT TOLD, OVERDUE", "ab" * 32,
        "its newest revision waits to be released since",
    ):  # fmt: skip
        assert part in shown.text, part


def test_the_system_of_the_alert_goes_before_that_of_the_sender(place: Place) -> None:
    place.config.write_text(SENDER)
    place.put(critical(system="dvc", system_level=4))

    assert [data(place)["reporter"][name] for name in ("system", "system_level")] == ["dvc", 4]


def test_deadlines_and_levels_are_settings(place: Place) -> None:
    place.config.write_text("state_dir: state\nreports: {first_h: 2, detailed_h: 30, levels: [high, critical]}\n")
    place.put(alert(1, level="high"), now_us=ago_us(3))

    states = [(each["hours"], each["state"]) for each in data(place)["duty"]["deadlines"]]

    assert states == [(2, "missed"), (30, "open")]
    place.config.write_text("state_dir: state\n")
    assert data(place)["duty"]["because"] == "level"


def test_raw_records_and_comments_of_this_house_stand_in_it_only_when_asked_for(place: Place) -> None:
    place.put(critical())
    write_down(place, "ask the Department first\ncause: a guessed password", "first notice: fax no. 12")

    plain, whole = data(place), data(place, "--with-evidence", "--with-comments")
    shown = page(place, "--kind", "detailed")

    assert [each["raw"] for each in plain["evidence"]["events"]] == [None]
    assert [each["raw"] for each in whole["evidence"]["events"]] == ["line 1"]
    assert [each["text"] for each in plain["history"]] == ["", "first: fax no. 12"]
    assert whole["history"][0]["text"] == "ask the Department first\ncause: a guessed password"
    assert [each["text"] for each in plain["parts"]["cause"]] == ["a guessed password"]
    assert plain["duty"]["deadlines"][0]["told"]["text"] == "fax no. 12"
    assert "a guessed password" in shown
    assert "ask the Department" not in shown
    assert "line 1" not in shown
    assert "line 1" in page(place, "--with-evidence")


def test_the_detailed_one_has_room_for_what_nobody_wrote_down(place: Place) -> None:
    place.put(critical())
    write_down(place, "nguyên nhân: mật khẩu bị dò")

    shown = Page(page(place, "--kind", "detailed"))

    assert [each for each in shown.having("id") if each in {"cause", "scope", "remedy"}] == ["cause", "scope", "remedy"]
    assert shown.having("class").count("blanks") == 2
    assert "mật khẩu bị dò" in shown.text


def test_a_mistake_in_the_configuration_keeps_nobody_from_reporting(place: Place) -> None:
    place.config.write_text("state_dir: state\nlog: {level: loud}\n")
    place.put(critical())

    done = place.socmon("report", "incident", "00000001")

    assert done.returncode == 0
    assert "the configuration has mistakes" in done.stderr
    assert "The configuration could not be read" in Page(done.stdout).text


# ── hostile text ─────────────────────────────────────────────────────────────────────────────────────────────────────


def hostile(place: Place) -> None:
    place.config.write_text(SENDER)
    raw = HOSTILE + "x" * 9000
    place.put(
        critical(
            title=HOSTILE, host=HOSTILE, agency=HOSTILE, group={HOSTILE: HOSTILE}, tags=[f"attack.{HOSTILE}"],
            entities={"user": [HOSTILE] * 80, HOSTILE: [HOSTILE]}, rule_id=HOSTILE,
            evidence=[Evidence(1, 1 * S, HOSTILE, HOSTILE, HOSTILE, raw, "ab" * 32, {HOSTILE: HOSTILE}, cut=True)],
        ),
        destinations=("ncsc", HOSTILE),
    )  # fmt: skip
    write_down(place, f"cause: {HOSTILE}\n{HOSTILE}", f"first notice: {HOSTILE}")


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


# ── the file ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("form", [(), ("--json",)])
def test_anybody_can_check_its_digest_with_the_usual_tools(place: Place, tmp_path: Path, form: tuple[str, ...]) -> None:
    hostile(place)
    file = tmp_path / "report"

    place.socmon("report", "incident", "00000001", "-o", str(file), *form)

    stated = re.findall(r'(?:id="digest">|"digest":")([0-9a-f]{64})', file.read_text())
    assert len(stated) == 1
    command = f"sed 's/{stated[0]}/{'0' * 64}/' {file} | sha256sum"
    counted = subprocess.run(command, shell=True, capture_output=True, text=True, check=True, timeout=30).stdout
    assert counted.split()[0] == stated[0]


def test_a_file_is_its_owners_alone_whole_and_never_overwritten_unasked(place: Place, tmp_path: Path) -> None:
    place.put(critical())
    folder = tmp_path / "out"
    folder.mkdir()
    file = folder / "báo cáo.html"
    words = ("report", "incident", "00000001", "-o", str(file))

    first = place.socmon(*words)
    again = place.socmon(*words)
    forced = place.socmon(*words, "--force", "--kind", "detailed")
    nowhere = place.socmon("report", "incident", "00000001", "-o", str(folder / "none" / "x.html"))
    into = place.socmon("report", "incident", "00000001", "--force", "-o", str(folder))

    assert (first.returncode, first.stdout, first.stderr) == (0, "", f"wrote {file}\n")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert again.returncode == 1
    assert "is there already" in again.stderr
    assert forced.returncode == 0
    assert 'data-kind="detailed"' in file.read_text()
    assert (nowhere.returncode, into.returncode) == (1, 1)
    assert "name a file in a folder that is there" in nowhere.stderr
    assert [*folder.iterdir()] == [file]


def test_used_wrongly_it_says_so(place: Place) -> None:
    assert place.socmon("report", "incident", "1").returncode == 5  # no store yet
    place.put(alert(0x10), alert(0x11))

    assert place.socmon("report", "incident", "ffff").returncode == 5
    assert place.socmon("report", "incident", "0000001").returncode == 2
    assert place.socmon("-o", "csv", "report", "incident", "00000010").returncode == 2
    unknown = place.socmon("report", "incident", "00000010", "--destination", "nobody")
    assert unknown.returncode == 5
    assert "no destination of kind ncsc is called 'nobody'; known: -" in unknown.stderr


# ── with a daemon and a centre ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.timeout(180)
def test_what_the_centre_accepted_was_told_and_while_it_is_down_the_report_says_what_was_not(tmp_path: Path) -> None:
    with field_in(tmp_path / "p") as field:
        field.start_centre()
        field.configure(["auth"], reports={"levels": [*LEVELS]})
        listening(field)
        field.write("auth", 0, 120)
        wait_for(lambda: field.settled() and len(field.findings()) > 3, "alerts at the centre")
        told = of_field(field, *field.findings())
        assert field.centre is not None
        field.centre.kill()
        field.centre.wait(30)
        field.write("auth", 600, 120)
        wait_for(lambda: len(field.reading().alerts) > len(told), "alerts that nobody is told of")
        late = next(each.id for each in field.reading().alerts if each.id not in told)
        noted = socmon(field, "alerts", "comment", late, "--text", "cause: mật khẩu yếu\nfirst notice: fax số 12")
        field.stop_daemon()

        untold = of_field(field, late)[late]

    for report in told.values():
        first, detailed = report["duty"]["deadlines"]
        assert (first["state"], first["told"]["way"], first["told"]["who"]) == ("met", "feed", "ncsc")
        assert (detailed["state"], detailed["told"]) == ("open", None)
        assert report["deliveries"][0]["releases"][-1]["state"] == "acknowledged"
    assert noted.returncode == 0
    assert untold["reporter"]["org_id"] == ORG
    assert [each["releases"][-1:] and each["releases"][-1]["state"] for each in untold["deliveries"]] in (
        [[]],
        ["waiting"],
    )
    assert [(each["state"], each["told"] and each["told"]["text"]) for each in untold["duty"]["deadlines"]] == [
        ("met", "fax số 12"), ("open", None),
    ]  # fmt: skip
    assert [each["text"] for each in untold["parts"]["cause"]] == ["mật khẩu yếu"]


def of_field(field: Field, *ids: str) -> dict[str, dict[str, Any]]:
    """Reports by the ids of alerts."""
    done = {each: socmon(field, "report", "incident", each, "--json").stdout for each in ids}
    return {each: valid(json.loads(text), "report.incident.v1")["report"] for each, text in done.items()}


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
