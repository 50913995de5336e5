"""`socmon sources list`, and what `socmon status` says of sources: from the store, without a daemon."""

import csv
import io
import json
import time
from pathlib import Path

import pytest
from store_kit import Place, S, valid
from test_alerts_command import on_terminal

from socmon.cli.output import width_of
from socmon.cli.shown import skew
from socmon.i18n import translator
from socmon.ledger import Ledger
from socmon.seen import Clock, Seen, Silence
from socmon.store import Checkpoint

NOW_US = time.time_ns() // 1000
HOUR_US = 3600 * S
WEB: Clock = ("network", "192.0.2.1", "web-01")
CONFIG = """\
state_dir: state
sources:
  web: {collector: network, host: web-01, silent_after_s: 60}
  mail: {collector: network, host: mail-01}
  files: {collector: files, peer: /var/log/none}
  broken: {host: x}
"""


def seen(clock: Clock, skew_us: int | None = 0, *, age_us: int = 180 * S, authenticated: bool = True) -> Seen:
    at_us = NOW_US - age_us
    event_us = None if skew_us is None else at_us - skew_us
    return Seen(*clock, "rfc3164", authenticated, 12, at_us - 5, at_us, event_us, 7, 1, skew_us)


ROWS = [
    seen(WEB, 2_100_000),
    seen(("network", "192.0.2.1", "web-02"), -3 * HOUR_US),
    seen(("network", "192.0.2.9", ""), None, authenticated=False),
    seen(("network", "192.0.2.7", "mail-01"), 301 * S, age_us=30 * HOUR_US),
]
SILENT = Silence("mail", "silent", NOW_US - 30 * HOUR_US, 900, 9)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    made = Place(tmp_path)
    made.config.write_text(CONFIG)
    return made


def filled(place: Place, *rows: Seen, silence: Silence = SILENT) -> None:
    saved = Checkpoint("i", 9, Ledger(), {}, {row.clock: row for row in rows}, {silence.name: silence})
    place.put(now_us=NOW_US, checkpoint=saved)


def test_every_source_is_listed_with_its_clock_and_the_expected_ones_with_their_state(place: Place) -> None:
    filled(place, *ROWS)

    told = valid(json.loads(place.socmon("-o", "json", "sources", "list").stdout), "sources.list.v1")

    assert {(each["host"], each["peer"]): (each["skew_s"], each["clock_off"]) for each in told["sources"]} == {
        ("web-01", "192.0.2.1"): (2.1, False),
        ("web-02", "192.0.2.1"): (-10800.0, True),
        ("", "192.0.2.9"): (None, False),
        ("mail-01", "192.0.2.7"): (301.0, True),
    }
    assert [each["authenticated"] for each in told["sources"] if not each["host"]] == [False]
    expected = {each["name"]: each for each in told["expected"]}
    assert {name: each["state"] for name, each in expected.items()} == {"web": "ok", "mail": "silent", "files": "never"}
    assert (expected["web"]["silent_after_s"], expected["web"]["records"]) == (60, 12)
    assert expected["mail"]["silent_since"]
    assert expected["files"]["last_heard"] is None


def test_every_form_tells_the_same_sources(place: Place) -> None:
    filled(place, *ROWS)

    told = json.loads(place.socmon("-o", "json", "sources", "list").stdout)
    lines = [json.loads(line) for line in place.socmon("-o", "ndjson", "sources", "list").stdout.splitlines()]
    table = list(csv.DictReader(io.StringIO(place.socmon("-o", "csv", "sources", "list").stdout)))

    both = [{"section": "expected", **each} for each in told["expected"]]
    both += [{"section": "seen", **each} for each in told["sources"]]
    assert lines == both
    assert [(row["section"], row["name"], row["host"]) for row in table] == [
        (each["section"], each.get("name", ""), each["host"] or "") for each in both
    ]


@pytest.mark.parametrize("lang", ["en", "vi"])
def test_a_narrow_terminal_shows_every_column_of_sources(place: Place, lang: str) -> None:
    long = seen(("a-collector-with-a-long-name", "/var/log/a/very/long/path/to/a/file.log", "máy-chủ-có-tên-rất-dài"))
    filled(place, *ROWS, long)

    shown = on_terminal(place.command("--lang", lang, "--color", "never", "sources", "list"), 80)

    lines = shown.replace("\r", "").splitlines()
    assert all(width_of(line) <= 80 for line in lines[:11]), shown
    assert ("+2.1 s" if lang == "en" else "+2.1 giây") in shown
    assert ("−3 h !" if lang == "en" else "−3 giờ !") in shown
    assert ("silent" if lang == "en" else "im lặng") in shown


def test_hostile_names_steer_no_terminal(place: Place) -> None:
    filled(place, seen(("network", "192.0.2.1", "\x1b[31m\u202e\x9b")))

    for form in ("human", "json", "ndjson", "csv"):
        assert not {"\u202e", "\x1b", "\x9b"} & set(place.socmon("-o", form, "sources", "list").stdout)


def test_a_store_without_sources_says_so(place: Place) -> None:
    place.config.write_text("state_dir: state\n")
    place.put()

    assert place.socmon("sources", "list").stdout == "no source was heard yet\n"
    assert place.socmon("--lang", "vi", "sources", "list").stdout == "chưa nhận được nhật ký từ nguồn nào\n"


def test_no_store_is_not_found(place: Place) -> None:
    assert place.socmon("sources", "list").returncode == 5


@pytest.mark.parametrize(
    ("skew_us", "text"),
    [(0, "+0.0 s"), (2_100_000, "+2.1 s"), (-119 * S, "−119.0 s"), (-3 * HOUR_US, "−3 h"), (300 * S, "+5 min")],
)
def test_a_skew_is_shown_with_its_sign_in_its_greatest_unit(skew_us: int, text: str) -> None:
    assert skew(skew_us, translator("en")) == text


def warnings(place: Place) -> list[dict[str, object]]:
    told = valid(json.loads(place.socmon("-o", "json", "status").stdout), "status.v1")
    return [each for each in told["warnings"] if each["code"] != "daemon_down"]


def test_status_warns_of_silence_first_and_of_clocks_that_are_far_off(place: Place) -> None:
    filled(place, *ROWS)

    silent, off = warnings(place)

    age = silent.pop("age")
    assert silent == {"code": "source_silent", "name": "mail"}
    assert isinstance(age, int)
    assert age >= 1800  # minutes; the test itself takes its time
    assert off == {"code": "clock_off", "count": 1, "name": "web-02", "skew_s": -10800}  # mail-01 was not heard today


def test_status_says_nothing_of_silences_that_are_over_or_not_expected_and_of_small_skews(place: Place) -> None:
    filled(place, seen(WEB, 299 * S), silence=Silence("mail", "heard", 1, 2, 3))
    assert warnings(place) == []

    filled(place, silence=Silence("gone", "silent", 1, 2, 3))
    assert warnings(place) == []
