"""`socmon feed verify` over a store that a daemon and a centre have filled, and what is changed in it afterwards."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from control_kit import socmon
from field import wait_for
from province_kit import Province, province_in
from store_kit import valid

pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Province]:
    """A province that is stopped, whose alerts the centre has, some in several revisions."""
    with province_in(tmp_path_factory.mktemp("verified")) as place:
        place.start_centre()
        place.more(120)
        place.start_daemon()
        place.wait_until_settled()
        first = place.reading().alerts[0].id
        before = place.findings()[first]
        closed = socmon(place, "alerts", "close", first, "--reason", "fp")
        assert closed.returncode == 0, closed.stderr
        wait_for(lambda: place.findings()[first] > before, "closed there too")
        place.wait_until_settled()
        place.stop_daemon()
        place.stop_centre()
        yield place


@pytest.fixture
def place(filled: Province) -> Iterator[Province]:
    """The same, put back after the test."""
    path = filled.state / "socmon.db"
    before = path.read_bytes()
    yield filled
    path.write_bytes(before)


def changed(place: Province, statement: str) -> None:
    with closing(sqlite3.connect(place.state / "socmon.db", isolation_level=None)) as db:
        db.execute(statement)
        db.execute("pragma wal_checkpoint(truncate)")


def rows(place: Province, query: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(f"file:{place.state}/socmon.db?mode=ro", uri=True)) as db:
        return db.execute(query).fetchall()


def several(place: Province) -> str:
    """An alert that was sent in several revisions."""
    ((found, _), *_) = rows(place, "select alert_id, count(*) from released group by 1 order by 2 desc")
    return str(found)


def verified(place: Province, *words: str) -> tuple[int, Any]:
    done = socmon(place, "feed", "verify", "--json", *words)
    return done.returncode, valid(json.loads(done.stdout), "feed.verify.v1")


def broken(found: Any) -> set[tuple[int, str]]:
    """(release, link) of what is broken; 0 of the lines."""
    lines = {(0, each["link"]) for each in found["lines"] if each["state"] == "failed"}
    return lines | {
        (row["id"], each["link"]) for row in found["releases"] for each in row["links"] if each["state"] == "failed"
    }


def test_every_alert_is_proved_from_its_lines_to_the_centres_receipt(place: Province) -> None:
    for (alert_id,) in rows(place, "select id from alert limit 5"):
        code, found = verified(place, alert_id)
        assert (code, found["broken"], broken(found)) == (0, 0, set())
        assert {each["state"] for each in found["lines"]} == {"ok"}
        last = found["releases"][-1]
        assert {each["link"]: each["state"] for each in last["links"]} == dict.fromkeys(
            ("message", "finding", "signature", "receipt"), "ok"
        )


def test_a_revision_that_a_newer_one_holds_says_so(place: Province) -> None:
    _, found = verified(place, several(place))

    first = {each["link"]: each for each in found["releases"][0]["links"]}
    assert first["message"]["state"] == "absent"
    assert "a newer revision holds it" in first["message"]["why"]
    assert first["receipt"]["state"] == "ok"  # it names the bytes that are gone by their hash


@pytest.mark.parametrize(
    ("statement", "links"),
    [
        ("update evidence set raw = raw || ' ' where alert_id = '{id}'", {"line"}),
        ("update released set body = x'00' || substr(body, 2) where id = {row}",
         {"message", "finding", "signature", "receipt"}),
        ("update released set sha256 = 'x' where id = {row}", {"message", "finding", "signature"}),
        ("update alert set count = count + 1 where id = '{id}'", {"finding"}),
        ("update receipt set content = replace(content, '\"stored\"', '\"stale\"')", {"receipt"}),
    ],
)  # fmt: skip
def test_what_is_changed_in_the_store_is_a_broken_link_and_exit_code_1(
    place: Province, statement: str, links: set[str]
) -> None:
    alert_id = several(place)
    ((row,),) = rows(place, f"select max(id) from released where alert_id = '{alert_id}'")
    changed(place, statement.format(id=alert_id, row=row))

    code, found = verified(place, alert_id)

    assert code == 1
    assert {name.split()[0] for _, name in broken(found)} == links
    assert found["broken"] == len(broken(found))


def test_a_lost_receipt_is_absent_and_other_keys_prove_nothing(place: Province, tmp_path: Path) -> None:
    alert_id = several(place)
    changed(place, "update released set receipt_id = null")
    code, found = verified(place, alert_id)
    assert code == 0
    assert {each["state"] for row in found["releases"] for each in row["links"] if each["link"] == "receipt"} == {
        "absent"
    }
    made = socmon(place, "keys", "rotate", str(tmp_path / "other.jwks"))
    assert made.returncode == 0, made.stderr
    code, found = verified(place, alert_id, "--key", str(tmp_path / "other.pub.jwks"))
    assert code == 1
    assert {name for _, name in broken(found)} == {"signature"}


def test_it_speaks_to_people_in_both_languages_and_to_programs_as_rows(place: Province) -> None:
    alert_id = several(place)

    english = socmon(place, "feed", "verify", alert_id[:13])
    vietnamese = socmon(place, "--lang", "vi", "feed", "verify", alert_id)
    csv = socmon(place, "-o", "csv", "feed", "verify", alert_id)

    assert english.returncode == vietnamese.returncode == csv.returncode == 0
    assert english.stdout.splitlines()[-1] == "no link is broken"
    assert "a newer revision holds it" in english.stdout
    assert vietnamese.stdout.splitlines()[-1] == "không mắt xích nào bị đứt"
    assert "newer" not in vietnamese.stdout
    assert csv.stdout.splitlines()[0] == "destination,id,stream,seq,revision,link,state,why"


def test_an_alert_that_is_not_there_is_not_found(place: Province) -> None:
    assert socmon(place, "feed", "verify", "ffffffff-ffff").returncode == 5
