"""`socmon report incident` over real stores: what it says and keeps back, its file, and with a daemon and a centre."""

import json
import re
import stat
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from control_kit import listening, socmon
from field import ORG, Field, field_in, wait_for
from report_kit import SENDER, Page, accept, critical, data, hostile, page, write_down
from store_kit import Place, S, alert, valid

from socmon.event import LEVELS, Evidence

HOUR_US = 3600 * S
SECTIONS = [
    "reporter", "incident", "times", "deadlines", "affected", "history", "deliveries", "evidence", "signatures",
]  # fmt: skip


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def ago_us(hours: float) -> int:
    return time.time_ns() // 1000 - round(hours * HOUR_US)


# ── what it says ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("tag", "tlp"), [("tlp.red", "RED"), ("tlp.green", "GREEN"), ("tlp.odd", "RED"), ("attack.t1110", "AMBER+STRICT")]
)
def test_how_far_it_may_go_is_what_the_rule_says_of_it(place: Place, tag: str, tlp: str) -> None:
    place.config.write_text(SENDER)
    place.put(critical(tags=[tag]), now_us=ago_us(25))

    assert data(place)["reporter"]["tlp"] == tlp


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
        "T1110.001", "Brute force", "203.0.113.1", "NOT TOLD, OVERDUE", alert(1).evidence[0].sha256,
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
    assert [each["text"] for each in plain["history"]] == ["", "first notice: fax no. 12"]
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


@pytest.mark.parametrize("words", [(), ("--with-evidence",), ("--kind", "detailed")])
def test_secrets_in_what_events_say_do_not_stand_in_it(place: Place, words: tuple[str, ...]) -> None:
    secret = "Tinh2026xyz"
    line = f"mysql -u root -p{secret} -h db"
    one = Evidence(1, 1 * S, "web-01", "auth", "/var/log/auth.log", line, "ab" * 32, {"CommandLine": line})
    place.put(critical(group={"CommandLine": line, "password": secret}, entities={"user": [line]}, evidence=[one]))

    shown, told = page(place, *words), json.dumps(data(place, *words))

    assert secret not in shown + told
    assert "mysql -u root -p[secret] -h db" in shown
    assert "ab" * 32 in shown


@pytest.mark.parametrize(
    ("destinations", "level", "state"),
    [(("ncsc",), "critical", "unknown"), ((), "critical", "missed"), (("ncsc",), "high", "unknown")],
    ids=["accepted by somebody", "accepted by nobody", "of another level"],
)
def test_with_a_broken_configuration_it_says_what_it_could_not_look_up(
    place: Place, destinations: tuple[str, ...], level: str, state: str
) -> None:
    place.put(critical(level=level), now_us=ago_us(25), destinations=destinations)
    accept(place, *destinations)
    place.config.write_text("state_dir: state\nlog: {level: loud}\n")

    report = data(place)
    done = place.socmon("report", "incident", "00000001")

    assert report["duty"]["deadlines"][0]["state"] == state
    assert report["duty"]["because"] == ("unknown" if level == "high" else "")
    text = Page(done.stdout).text
    assert ("COULD NOT BE LOOKED UP" in text, "NOT TOLD" in text) == (state == "unknown", state == "missed")
    assert ("whether anything is due for an alert of this level could not be looked up" in text) == (level == "high")


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
