"""`socmon feed show`: what became of one alert, from a real store without a daemon."""

import asyncio
import csv
import io
import json
from pathlib import Path
from typing import Any

import aggregating_kit
import pytest
from decision_kit import Destination, alert
from store_kit import Place, S, valid

from socmon.store import Store
from socmon.store.decisions import Saying, decide

HOSTILE = "x\x1b[2J\u202ey"


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """Alert `aa` was acknowledged, then withdrawn with a hostile reason and a closing revision; `ab` is untouched."""
    made = Place(tmp_path)
    made.config.write_text("state_dir: state\nforwarders: {up: {kind: ncsc}}\n")
    made.state.mkdir()

    async def work() -> None:
        store = Store(made.store, destinations=("up",))
        to = Destination(store)
        await to.put(alert("aa"))
        await to.gets()
        to.now_us += S
        saying = Saying("up", "lan", to.now_us, HOSTILE)
        await store.change(lambda db: decide(db, ["aa"], "withdraw", saying))
        await to.waits()
        to.refuses = {"tlp.red"}
        await to.put(alert("ab", tags=["tlp.red"]))
        await to.waits()
        await store.close()

    asyncio.run(work())
    return made


def told(place: Place, *words: str) -> Any:
    result = place.socmon("-o", "json", "feed", "show", *words)
    assert result.returncode == 0, result.stderr
    return valid(json.loads(result.stdout), "feed.show.v1")


def test_releases_and_decisions_are_told_with_the_last_message(place: Place) -> None:
    (up,) = told(place, "aa", "--message")["destinations"]

    shown = [(each["seq"], each["state"], each["closing"], each["receipt"]) for each in up["releases"]]
    assert shown == [(1, "acknowledged", False, False), (2, "waiting", True, False)]
    assert [(each["verb"], each["actor"], each["reason"]) for each in up["decisions"]] == [("withdraw", "lan", HOSTILE)]
    assert up["message"] == "aa withdrawn r2 s2"
    assert told(place, "aa", "--destination", "up")["destinations"] == [up | {"message": None}]


def test_what_holds_an_alert_is_told(place: Place) -> None:
    (up,) = told(place, "ab")["destinations"]

    assert (up["held"], up["releases"]) == ("not shared", [])
    assert up["pending_since"]


def test_people_read_it_in_both_languages_and_nothing_steers_their_terminal(place: Place) -> None:
    human = place.socmon("feed", "show", "aa", "--message").stdout
    vi = place.socmon("--lang", "vi", "feed", "show", "aa").stdout
    data = place.socmon("-o", "json", "feed", "show", "aa").stdout

    assert "withdrawn by lan at " in human
    assert "without a receipt" in human
    assert "do lan lúc" in vi
    assert "không có biên nhận" in vi
    assert not {"\x1b", "\u202e"} & set(human + vi + data)


def test_each_form_and_what_is_not_there_has_its_exit_code(place: Place) -> None:
    rows = [*csv.DictReader(io.StringIO(place.socmon("-o", "csv", "feed", "show", "aa").stdout))]
    (line,) = place.socmon("-o", "ndjson", "feed", "show", "aa").stdout.splitlines()

    assert [(row["seq"], row["state"]) for row in rows] == [("1", "acknowledged"), ("2", "waiting")]
    assert valid(json.loads(line), "feed.show.v1", row=True)["destination"] == "up"
    codes = [place.socmon("feed", "show", *words).returncode for words in (["a"], ["b"], ["aa", "--destination", "x"])]
    assert codes == [2, 5, 5]


def test_a_member_of_an_aggregate_has_its_place_and_its_message(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.state.mkdir()
    now_us = aggregating_kit.NOW_US

    async def work() -> None:
        store = Store(place.store, destinations=("up",))
        await store.commit([alert(f"m{number}") for number in range(4)], depends_on=1, now_us=now_us)
        await store.release(aggregating_kit.routing(), limit=100, now_us=now_us, interval_us=S)
        await store.close()

    asyncio.run(work())
    (up,) = told(place, "m1", "--message")["destinations"]
    (release,) = up["releases"]

    assert release["aggregate"] is not None
    assert release["seq"] == 1
    assert ["m1", 1] in up["message"]["members"]
    assert f"in aggregate {release['aggregate']}" in place.socmon("feed", "show", "m1").stdout
