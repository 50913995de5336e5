"""Faults 32, not approved, and 33, approval withdrawn: a real daemon and centre, and commands as people type them."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from control_kit import listening, socmon
from field import wait_for
from province_kit import FILES, Province, province_in
from store_kit import valid

pytestmark = pytest.mark.timeout(240)

SOME = 6  # failures: they are an alert, and as many more are of the same address and join it
TO_ASK = [{"mode": "person", "name": "all"}]


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Province]:
    with province_in(tmp_path) as made:
        yield made


def asking(place: Province, **changes: Any) -> None:
    """Configure the daemon so that a person must approve whatever goes up."""
    place.configure(FILES)
    config = json.loads((place.root / "config.yaml").read_text())
    (place.root / "pseudonym.key").write_text("0123456789abcdef" * 2)
    key = {"pseudonym_key": f"file:{place.root / 'pseudonym.key'}"}
    config["forwarders"]["ncsc"] |= {"approval": TO_ASK, "privacy": key} | changes
    (place.root / "config.yaml").write_text(json.dumps(config))


def told(place: Province, *words: str, schema: str) -> dict[str, Any]:
    result = socmon(place, "-o", "json", "feed", *words)
    assert result.returncode == 0, result.stderr
    answer: dict[str, Any] = valid(json.loads(result.stdout), schema)
    return answer


def held(place: Province) -> list[tuple[str, str]]:
    queue = told(place, "queue", "--state", "held", schema="feed.queue.v1")
    return [(row["alert_id"], row["code"]) for row in queue["rows"]]


def messages(place: Province) -> list[dict[str, Any]]:
    """The bodies of the alerts of our rules that were ever made, in their order."""
    with closing(sqlite3.connect(f"file:{place.state}/socmon.db?mode=ro", uri=True)) as db:
        made = [json.loads(body) for (body,) in db.execute("select body from released order by id") if body]
    return [each for each in made if not each["data"]["unmapped"]["vn_soc"].get("test")]


def waiting(place: Province) -> int:
    """Alerts that are released and have no answer."""
    backlog = place.reading().backlogs.get("ncsc")
    return backlog.waiting if backlog else 0


def the_way_is_open(place: Province) -> None:
    """A test alert needs nobody's word: it passes what is held."""
    assert socmon(place, "alerts", "test", "--timeout", "60s").returncode == 0


def alert_ids(place: Province) -> list[str]:
    return sorted(each.id for each in place.reading().alerts if "socmon.test" not in each.tags)


def ours(place: Province) -> dict[str, int]:
    """What the centre has of the alerts of our rules."""
    known = alert_ids(place)
    return {uid: revision for uid, revision in place.findings().items() if uid in known}


def released_in_vain(place: Province) -> str:
    """Start the daemon, and let an alert be released while the centre is down; its id."""
    place.start_centre()
    listening(place)
    the_way_is_open(place)  # without the centre's word on where its streams stand nothing is released
    place.stop_centre()
    place.more(SOME)
    wait_for(lambda: waiting(place), "the alert is released")
    (alert,) = alert_ids(place)
    return alert


def test_fault_32_what_nobody_has_approved_never_leaves(place: Province) -> None:
    asking(place)
    place.start_centre()
    listening(place)
    place.more(SOME)
    wait_for(lambda: held(place), "the alert is held")
    the_way_is_open(place)
    (alert,) = alert_ids(place)
    before = (held(place), ours(place), messages(place))
    status = valid(json.loads(socmon(place, "-o", "json", "status").stdout), "status.v1")

    approved = told(place, "approve", "ncsc", alert[:8], "--reason", "verified", "--yes", schema="feed.decide.v1")
    wait_for(lambda: ours(place), "the alert at the centre")

    assert before == ([(alert, "waits for approval")], {}, [])
    assert {"code": "unapproved", "name": "ncsc", "count": 1} in status["warnings"]
    assert [(each["outcome"], each["then"]) for each in approved["alerts"]] == [("changed", "released")]
    (message,) = messages(place)
    approval = message["data"]["unmapped"]["vn_soc"]["approval"]
    assert (approval["mode"], approval["rule"], approval["at"]) == ("person", "all", approved["time"])
    assert approval["by"].startswith("u-")  # who it was is a user name as any other
    assert approved["actor"] not in approval["by"]
    place.more(SOME)
    wait_for(lambda: ours(place)[alert] == place.reading().alerts[0].revision > 1, "a later revision too")


def test_fault_33_withdrawn_while_queued_it_is_not_sent(place: Province) -> None:
    asking(place, approval=[])
    alert = released_in_vain(place)

    done = told(place, "withdraw", "ncsc", alert, "--reason", "a drill", "--yes", schema="feed.decide.v1")
    again = told(place, "withdraw", "ncsc", alert, "--reason", "a drill", schema="feed.decide.v1")
    place.start_centre()
    place.more(SOME)
    wait_for(lambda: held(place), "its next revision is held")
    the_way_is_open(place)

    assert [(each["outcome"], each["then"]) for each in done["alerts"]] == [("changed", "void")]
    assert [each["outcome"] for each in again["alerts"]] == ["unchanged"]
    assert held(place) == [(alert, "withdrawn")]
    assert ours(place) == {}
    assert (place.of_all("findings"), place.of_all("quarantined")) == (2, 0)  # the test alerts


def test_fault_33_withdrawn_after_it_was_sent_a_closing_revision_is_sent(place: Province) -> None:
    asking(place, approval=[])
    place.start_centre()
    listening(place)
    place.more(SOME)
    wait_for(lambda: ours(place) and place.settled(), "the alert at the centre")
    ((alert, first),) = ours(place).items()

    done = told(place, "withdraw", "ncsc", alert, "--reason", "a drill", "--yes", schema="feed.decide.v1")
    wait_for(lambda: ours(place)[alert] > first, "the closing revision")
    wait_for(place.settled, "its answer")
    closing = messages(place)[-1]
    place.more(SOME)
    wait_for(lambda: held(place), "its next revision is held")
    the_way_is_open(place)

    assert [(each["outcome"], each["then"]) for each in done["alerts"]] == [("changed", "closing")]
    data = closing["data"]
    assert (data["activity_id"], data["status_id"], closing["socrev"]) == (3, 4, first + 1)
    assert data["unmapped"]["vn_soc"]["disposition"] == "withdrawn"
    assert {"evidences", "observables"}.isdisjoint(data)
    assert ours(place) == {alert: first + 1}
    assert held(place) == [(alert, "withdrawn")]
    told(place, "approve", "ncsc", alert, "--yes", schema="feed.decide.v1")
    wait_for(lambda: ours(place)[alert] > first + 1, "the alert again, behind the closing revision")
    assert (place.of_all("quarantined"), place.dead()) == (0, 0)


def test_fault_33_withdrawn_in_flight_the_answer_to_its_void_brings_a_closing_revision(place: Province) -> None:
    asking(place, approval=[])
    place.start_centre()
    place.fault(fault="cut_after_commit", times=1_000_000)
    listening(place)
    place.more(SOME)
    wait_for(lambda: ours(place), "the alert at the centre, and no answer here")
    ((alert, first),) = ours(place).items()
    place.stop_centre()

    done = told(place, "withdraw", "ncsc", alert, "--reason", "a drill", "--yes", schema="feed.decide.v1")
    place.start_centre()
    wait_for(lambda: ours(place)[alert] > first, "the closing revision")
    wait_for(place.settled, "its answer")

    assert [(each["outcome"], each["then"]) for each in done["alerts"]] == [("changed", "void")]
    assert messages(place)[-1]["data"]["unmapped"]["vn_soc"]["disposition"] == "withdrawn"
    assert ours(place) == {alert: first + 1}
    assert (place.of_all("quarantined"), place.dead()) == (0, 0)


def test_fault_33_approval_that_is_asked_for_since_takes_back_what_waits(place: Province) -> None:
    asking(place, approval=[])
    alert = released_in_vain(place)
    place.stop_daemon()
    asking(place)

    place.start_centre()
    listening(place)
    the_way_is_open(place)
    place.more(SOME)
    wait_for(lambda: held(place), "its next revision is held")

    assert held(place) == [(alert, "waits for approval")]
    assert ours(place) == {}
