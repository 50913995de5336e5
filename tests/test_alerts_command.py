"""`socmon alerts list` and `show` as processes over real stores: forms, languages, exit codes, hostile text."""

import csv
import fcntl
import io
import json
import os
import pty
import re
import sqlite3
import struct
import subprocess
import termios
import time
from pathlib import Path
from typing import Any

import pytest
from store_kit import START_US, Place, S, alert, clean, valid
from wcwidth import wcswidth

from socmon import config
from socmon.cli import place as places
from socmon.cli.output import as_json
from socmon.errors import ConfigError
from socmon.event import Evidence
from socmon.resources import shipped

HOSTILE = "\x1b[2J\x1b]52;c;cm0gLXJm\x07 \u202egpj.exe \x9b31m \x00 \u2028 \x7f"


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def on_terminal(command: list[str], columns: int, **environment: str) -> str:
    """What a terminal of so many columns gets."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    with subprocess.Popen(command, stdout=slave, stderr=slave, stdin=slave, env=clean() | environment):
        os.close(slave)
        got = b""
        try:
            while part := os.read(master, 65536):
                got += part
        except OSError:  # the other side is closed
            pass
    os.close(master)
    return got.decode()


# ── list ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_every_form_tells_the_same_alerts(place: Place) -> None:
    place.put(alert(1), alert(2, level="critical", agency="so-yte"), alert(3, level="low"))
    args = ("alerts", "list", "--level", "high+")

    as_json = valid(json.loads(place.socmon("-o", "json", *args).stdout), "alerts.list.v1")
    told = place.socmon("-o", "ndjson", *args).stdout.splitlines()
    lines = [valid(json.loads(line), "alerts.list.v1", row=True) for line in told]
    table = list(csv.DictReader(io.StringIO(place.socmon("-o", "csv", *args).stdout)))
    human = place.socmon("--tz", "Asia/Ho_Chi_Minh", *args)

    assert (as_json["schema"], as_json["total"]) == ("socmon.alerts.list/v1", 2)
    assert [each["id"] for each in as_json["alerts"]] == [alert(1).id, alert(2).id]
    assert lines == as_json["alerts"]
    assert [row["id"] for row in table] == [alert(1).id, alert(2).id]
    assert json.loads(table[0]["group"]) == {"src_ip": "203.0.113.1"}
    assert [re.split(r" {2,}", line) for line in human.stdout.splitlines()[1:]] == [
        [number, f"2026-09-21 21:13:{second} +07:00", level, "open", "5", "SSH brute force", about]
        for number, second, level, about in (
            ("00000001", 26, "high", "src_ip=203.0.113.1 @dvc-web-01"),
            ("00000002", 27, "critical", "src_ip=203.0.113.2 @dvc-web-01 (so-yte)"),
        )
    ]
    assert (human.returncode, human.stderr) == (0, "")


def test_programs_get_the_same_in_every_language_and_zone(place: Place) -> None:
    place.put(alert(1))

    for form in ("json", "ndjson", "csv"):
        english = place.socmon("-o", form, "alerts", "list")
        vietnamese = place.socmon(
            "-o", form, "--lang", "vi", "--tz", "Asia/Ho_Chi_Minh", "alerts", "list", TZ="America/Lima"
        )
        assert english.stdout == vietnamese.stdout
        assert "2026-09-21T14:13:26Z" in english.stdout


def test_people_read_their_language_and_their_clock(place: Place) -> None:
    place.put(alert(1))

    shown = place.socmon("alerts", "list", LC_ALL="vi_VN.UTF-8", TZ="Asia/Ho_Chi_Minh").stdout.splitlines()

    assert shown[0].split("  ")[0] == "MÃ"
    assert "TRẠNG THÁI" in shown[0]
    for part in ("2026-09-21 21:13:26 +07:00", "Cao", "Mới", "Dò quét mật khẩu SSH"):
        assert part in shown[1]


@pytest.mark.parametrize("lang", ["en", "vi"])
@pytest.mark.parametrize("part", ["DÒ QUÉT", "ssh brute"])
def test_a_title_is_found_in_either_language_whatever_is_spoken(place: Place, lang: str, part: str) -> None:
    place.put(alert(1), alert(2, title="Another one"))

    found = place.socmon("--lang", lang, "-o", "ndjson", "alerts", "list", "--rule", part)

    assert json.loads(found.stdout)["title"] == "SSH brute force"


def test_a_table_fits_a_terminal_of_80_columns_whatever_stands_in_it(place: Place) -> None:
    wide = {"user": "東京都庁" * 20, "path": "Đường dẫn rất dài " * 10}
    combining = {"user": "Nguye\u0302\u0303n " * 30}
    place.put(alert(1, group=wide), alert(2, group=combining, title="Luật dài " * 30), alert(3, level="informational"))

    for lang in ("en", "vi"):
        shown = on_terminal(place.command("--lang", lang, "--color", "never", "alerts", "list"), 80)
        lines = shown.replace("\r\n", "\n").splitlines()
        assert len(lines) == 4
        assert all(wcswidth(line) <= 80 for line in lines), lines
        assert lines[1].endswith("…")


def test_colours_and_cuts_are_for_terminals_only(place: Place) -> None:
    place.put(alert(1, group={"user": "x" * 200}))

    terminal = on_terminal(place.command("alerts", "list"), 80)
    plain = on_terminal(place.command("alerts", "list"), 80, NO_COLOR="1")
    pipe = place.socmon("alerts", "list").stdout

    assert "\x1b[31m" in terminal
    assert "\x1b" not in plain
    assert "\x1b" not in pipe
    assert "x" * 200 not in plain
    assert "x" * 200 in pipe


def test_more_alerts_than_shown_is_said_beside_the_result(place: Place) -> None:
    place.put(*(alert(number) for number in range(1, 8)))

    result = place.socmon("alerts", "list", "--limit", "2")

    assert len(result.stdout.splitlines()) == 3
    assert result.stderr == "2 of 7 alerts; --limit shows more\n"
    assert place.socmon("-q", "alerts", "list", "--limit", "2").stderr == ""
    assert place.socmon("alerts", "list", "--host", "none").stderr == "no alerts\n"


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (["list", "--level", "loud"], 2, "'loud' is no level"),
        (["list", "--status", "loud"], 2, "'loud' is no status; one of: open, acknowledged, closed, recurring"),
        (["tail", "--status", "loud"], 2, "'loud' is no status"),
        (["list", "--since", "yesterday"], 2, "'yesterday' is no time"),
        (["list", "--since", "99999999999999d"], 2, "is no time"),
        (["list", "--limit", "0"], 2, "0 is not in the range"),
        (["list", "--limit", "9" * 30], 2, "is not in the range"),
        (["tail", "--lines", "9" * 30], 2, "is not in the range"),
        (["list", "--host", "\udcff"], 2, "it is not UTF-8"),
        (["list", "--rule", "\udcff"], 2, "it is not UTF-8"),
        (["show", "\udcff"], 5, "no alert has an id that begins with '\\udcff'"),
        (["list", "--tz", "Mars/Olympus"], 2, "no time zone is called 'Mars/Olympus'"),
        (["list", "--lang", "fr"], 2, "'fr' is not one of"),
        (["show", "ffff"], 5, "no alert has an id that begins with 'ffff'"),
        (["show", ""], 5, "no alert has an id"),
        (["show", "0000000"], 2, "several alerts begin with '0000000'"),
        (["tail", "-f", "-o", "json"], 2, "use -o ndjson"),
    ],
)
def test_what_cannot_be_done_has_its_exit_code(place: Place, args: list[str], code: int, said: str) -> None:
    place.put(alert(1), alert(2))

    result = place.socmon("alerts", *args)

    assert (result.returncode, result.stdout) == (code, "")
    assert said in result.stderr


def test_errors_are_told_in_vietnamese(place: Place) -> None:
    assert "chưa có kho tại" in place.socmon("--lang", "vi", "alerts", "list").stderr
    place.put(alert(1))
    assert "không có cảnh báo nào có mã" in place.socmon("--lang", "vi", "alerts", "show", "ffff").stderr
    assert "không phải mức độ" in place.socmon("--lang", "vi", "alerts", "list", "--level", "x").stderr


def test_times_are_asked_for_in_the_zone_that_is_shown(place: Place) -> None:
    place.put(alert(1), alert(2), alert(3))

    def numbers(*args: str) -> list[int]:
        rows = place.socmon("-o", "ndjson", "alerts", "list", *args).stdout.splitlines()
        return [int(json.loads(row)["id"][:8], 16) for row in rows]

    assert numbers("--since", "2026-09-21T21:13:27", "--tz", "Asia/Ho_Chi_Minh") == [2, 3]
    assert numbers("--until", "2026-09-21T14:13:27Z") == [1, 2]
    assert numbers("--since", f"{int(time.time()) - START_US // S + 3600}s") == [1, 2, 3]
    assert numbers("--since", "1m") == []


# ── the configuration ────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_mistake_in_a_component_keeps_nobody_from_the_alerts(place: Place) -> None:
    place.put(alert(1))
    place.config.write_text("state_dir: state\ncollectors: {a: {kind: nonsense, x: [1}}\n".replace("[1", "1"))

    assert place.socmon("check").returncode == 78
    assert place.socmon("alerts", "list").returncode == 0


def test_a_configuration_that_cannot_be_read_is_no_reason_to_show_another_state(place: Place) -> None:
    place.put(alert(1))
    place.config.write_text("state_dir: state\ncollectors: {a: [}\n")

    result = place.socmon("alerts", "list")

    assert (result.returncode, result.stdout) == (78, "")
    assert f"{place.config}:2" in result.stderr


def test_the_state_is_where_the_daemon_has_it(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    (tmp_path / "conf.d").mkdir()
    for text, part in (("", ""), ("state_dir: a/b\n", ""), ("state_dir: /abs\n", ""), ("", "state_dir: in/part\n")):
        path.write_text(text)
        (tmp_path / "conf.d" / "x.yaml").write_text(part)
        assert places.find(path).state_dir == config.load(path).state_dir
    path.write_text("state_dir: 5\n")
    with pytest.raises(ConfigError, match=r"config\.yaml:1"):
        places.find(path)


def test_no_store_yet_is_not_found(place: Place) -> None:
    for args in (("alerts", "list"), ("alerts", "show", "a"), ("alerts", "tail"), ("-o", "json", "alerts", "list")):
        result = place.socmon(*args)
        assert (result.returncode, result.stdout) == (5, "")
        assert "there is no store at" in result.stderr


# ── show ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_show_tells_why_it_fired_what_it_saw_and_whom_it_was_told(place: Place) -> None:
    place.put(alert(1, approximate=True, agency="so-yte"), destinations=["ncsc", "file"])

    page = valid(json.loads(place.socmon("-o", "json", "alerts", "show", "00000001").stdout), "alerts.show.v1")
    english = place.socmon("--tz", "UTC", "alerts", "show", "00000001").stdout
    vietnamese = place.socmon("--lang", "vi", "alerts", "show", "00000001").stdout

    assert page["alert"]["evidence"][0]["raw"] == "line 1"
    assert [each["destination"] for each in page["alert"]["deliveries"]] == ["file", "ncsc"]
    assert page["alert"]["rule"]["path"] == str(shipped("rules") / "linux" / "ssh_brute_force.yml")
    for part in (
        "T1110.001", "at least 5", "so-yte", "One address had five or more", "line 1", "sha256 e828", "outcome=failure",
        "2026-09-21 14:13:21 +00:00  dvc-web-01  auth:/var/log/auth.log", "waits to be released",
    ):  # fmt: skip
        assert part in english
    for part in ("ít nhất 5", "Một địa chỉ bị từ chối", "Chứng cứ: 1 sự kiện", "Kịch bản", "chờ phát hành"):
        assert part in vietnamese
    assert "One address" not in vietnamese
    assert "Một địa chỉ" not in english


def test_masked_shows_no_secret_in_any_form(place: Place) -> None:
    line = "net user bao S3cret+hunter2 /add"
    held = Evidence(1, 1, "h", "auth", "p", line, "ab" * 32, {"CommandLine": line})
    place.put(alert(1, evidence=[held]))

    shown = [place.socmon("-o", form, "alerts", "show", "00000001", "--masked").stdout for form in ("human", "json")]
    whole = place.socmon("alerts", "show", "00000001").stdout

    assert all("net user bao [secret] /add" in text and "S3cret" not in text for text in shown)
    assert line in whole


def test_a_rule_that_is_gone_is_said_to_be(place: Place) -> None:
    place.put(alert(1, rule_id="11111111-0000-4000-8000-000000000000", title="Gone"))

    assert "not among the rules" in place.socmon("alerts", "show", "00000001").stdout
    assert json.loads(place.socmon("-o", "json", "alerts", "show", "00000001").stdout)["alert"]["rule"] is None


# ── hostile text ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def hostile(place: Place) -> Place:
    evidence = [Evidence(1, START_US, HOSTILE, "auth", HOSTILE, HOSTILE, "00", {"user": HOSTILE})]
    place.put(
        alert(1, title=HOSTILE, host=HOSTILE, agency=HOSTILE, group={"user": HOSTILE}, entities={"user": [HOSTILE]},
              rule_id=HOSTILE, evidence=evidence)
    )  # fmt: skip
    return place


@pytest.mark.parametrize("args", [("list",), ("tail",), ("show", "0000")])
@pytest.mark.parametrize("form", ["human", "json", "ndjson", "csv"])
def test_nothing_that_others_wrote_steers_the_terminal(hostile: Place, args: tuple[str, ...], form: str) -> None:
    result = hostile.socmon("-o", form, "alerts", *args)

    assert result.returncode == 0
    assert "52;c" in result.stdout
    steering = [char for char in result.stdout if char not in "\r\n" and (char < " " or "\x7f" <= char < "\xa0")]
    assert steering == []
    assert not {"\u202e", "\u2028"} & set(result.stdout)
    if form in {"json", "ndjson"}:
        assert HOSTILE in json.dumps(json.loads(result.stdout), ensure_ascii=False) or HOSTILE in str(
            json.loads(result.stdout)
        ) or _holds(json.loads(result.stdout), HOSTILE)  # fmt: skip


def _holds(value: Any, text: str) -> bool:
    if isinstance(value, dict):
        return any(_holds(each, text) for each in value.values())
    return any(_holds(each, text) for each in value) if isinstance(value, list) else value == text


def test_a_host_that_is_no_utf_8_in_the_store_is_shown_all_the_same(place: Place) -> None:
    """As a lone surrogate would be stored; nothing of ours writes one."""
    place.put(alert(1))
    with sqlite3.connect(place.store) as db:
        db.execute("update alert set host = cast(x'eda0bd41' as text)")
    db.close()

    for form in ("human", "json"):
        result = place.socmon("-o", form, "alerts", "list")
        assert result.returncode == 0
        assert "\ufffdA" in result.stdout


def test_a_lone_surrogate_stays_an_escape_in_json() -> None:
    assert as_json({"a": "\ud83d\u202e\x1b\x9b é"}) == '{"a":"\\ud83d\\u202e\\u001b\\u009b é"}'


def test_a_terminal_that_knows_latin_1_only_gets_escapes(place: Place) -> None:
    place.put(alert(1))

    result = place.socmon("--lang", "vi", "alerts", "list", PYTHONIOENCODING="latin-1")

    assert result.returncode == 0
    assert "m\\u1eadt kh\\u1ea9u" in result.stdout
