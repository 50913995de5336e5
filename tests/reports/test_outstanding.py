"""Alarms of deadlines out of a store: which come when, each once, and what ends them."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from store_kit import START_US, Place, S, alert

from socmon.reports.alarms import MISSED, NEAR
from socmon.reports.outstanding import Found, Outstanding, fields_of
from socmon.sections import ReportSettings

HOUR_US = 3600 * S
FINDING = alert(1).id
_COMMENT = f"""
insert into history (alert_id, time_us, actor, verb, status_before, status_after, reason, text, analyst_revision)
values ('{FINDING}', {START_US}, 'an', 'comment', 'open', 'open', '', 'first notice: fax', 0)
"""


def accepted_as(code: str) -> str:
    """The centre has answered for the finding, late, with this code."""
    return f"""
    insert into released (destination, stream, epoch, seq, alert_id, revision, state, code, settled_us)
    values ('ncsc', 'urgent', 'e', 1, '{FINDING}', 1, 'acknowledged', '{code}', {START_US + 30 * HOUR_US})
    """


class House:
    """A store, and what the daemon makes of what is found in it."""

    def __init__(self, root: Path) -> None:
        self.place = Place(root)
        self.place.put(alert(1, level="critical", received_us=START_US))
        self.raised: list[tuple[str, int]] = []
        self.restart()

    def restart(self) -> None:
        self.outstanding = Outstanding(ReportSettings(), ["ncsc"])

    def look(self, hours: float) -> Found:
        """A look so many hours after T0; the alarms that it finds become alerts, those that are over are closed."""
        now_us = START_US + round(hours * HOUR_US)
        with closing(sqlite3.connect(self.place.store)) as db, db:
            found = self.outstanding.look(db, now_us)
            for over in found.over:
                db.execute("update alert set status = 'closed', reason = 'tp' where id = ?", (over.id,))
        for due in found.due:
            fields = fields_of(due)
            group = {name: fields[name] for name in ("finding", "kind", "before_h", "due")}
            self.raised.append((due.alarm.kind, due.alarm.before_h))
            rule = NEAR if due.alarm.before_h else MISSED
            self.place.put(alert(100 + len(self.raised), rule_id=rule, group=group, tags=["socmon.report"]))
        return found

    def sql(self, statement: str) -> None:
        with closing(sqlite3.connect(self.place.store)) as db, db:
            db.execute(statement)

    @property
    def open(self) -> list[int]:
        """Hours before of the alarms that are open."""
        with closing(sqlite3.connect(self.place.store)) as db:
            query = "select grouped ->> 'before_h' from alert where rule_id in (?, ?) and status = 'open' order by 1"
            return [int(hours) for (hours,) in db.execute(query, (NEAR, MISSED))]


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


def test_each_alarm_comes_when_its_time_has_come_and_takes_the_place_of_the_one_before(house: House) -> None:
    for hours in (1, 19.9, 20, 20, 22, 23, 23.9):
        house.look(hours)
    assert house.raised == [("first", 4), ("first", 1)]

    house.look(24.01)
    found = house.look(24.02)

    assert house.raised == [("first", 4), ("first", 1), ("first", 0)]
    assert (house.open, found.missed, found.near) == ([0], 1, 0)


@given(hours=st.lists(st.tuples(st.floats(0, 100), st.booleans()), max_size=12))
@settings(max_examples=20, deadline=None)
def test_no_alarm_comes_twice_whenever_it_is_looked_or_restarted_and_wherever_the_clock_is_set(
    tmp_path_factory: pytest.TempPathFactory, hours: list[tuple[float, bool]]
) -> None:
    house = House(tmp_path_factory.mktemp("house"))
    for at, restarts in hours:
        if restarts:
            house.restart()
        house.look(at)

    assert len(set(house.raised)) == len(house.raised)
    latest = max((at for at, _ in hours), default=0)
    assert (("first", 0) in house.raised) is (latest > 24)
    assert (("detailed", 0) in house.raised) is (latest > 72)


def test_after_a_standstill_only_the_last_alarm_comes_and_none_after_seven_days(house: House) -> None:
    house.look(24 + 7 * 24 + 1)
    assert house.raised == [("detailed", 0)]

    house.restart()
    house.look(72 + 7 * 24 + 1)
    assert house.raised == [("detailed", 0)]


@pytest.mark.parametrize(
    "told",
    [
        accepted_as("accepted"),
        _COMMENT,
        f"update alert set status = 'closed', reason = 'fp' where id = '{FINDING}'",
        f"delete from alert where id = '{FINDING}'",
    ],
    ids=["the centre has it", "a person says so", "no incident", "gone"],
)
def test_an_alarm_ends_when_it_is_told_or_nothing_is_due_any_more(house: House, told: str) -> None:
    house.look(25)
    house.look(25)
    assert house.open == [0]

    house.sql(told)
    house.look(30)

    assert house.open == []
    house.restart()
    house.look(31)
    assert house.raised == [("first", 0)]


def test_an_alert_that_is_told_in_quarantine_is_not_told(house: House) -> None:
    house.sql(accepted_as("id_reuse"))
    house.look(25)

    assert house.raised == [("first", 0)]


def test_what_could_not_be_done_is_found_again(house: House) -> None:
    with closing(sqlite3.connect(house.place.store)) as db:
        (lost,) = house.outstanding.look(db, START_US + 25 * HOUR_US).due
        assert house.outstanding.look(db, START_US + 25 * HOUR_US).due == []
        house.outstanding.forget()
        assert house.outstanding.look(db, START_US + 25 * HOUR_US).due == [lost]


def test_many_alerts_are_read_in_steps_and_nothing_is_said_before_the_last(house: House) -> None:
    house.place.put(*(alert(number, level="critical", received_us=START_US) for number in range(1000, 1700)))

    assert house.look(25) == Found([], [], 0, 0, more=True)
    assert len(house.look(25).due) == 701
