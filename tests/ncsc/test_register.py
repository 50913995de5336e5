"""The centre's register: who may send from when to when, under whom; and its audit."""

import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from feed_kit import ORG, OTHER
from hypothesis import given
from hypothesis import strategies as st
from ncsc_centre_kit import NOW_US, Clock, register_in

from socmon.errors import NotFoundError, StoreError
from socmon.ncsc.register import FILE_NAME, RefusedChangeError, Register
from socmon.ncsc.roll import MAX_DEPTH, Period, Roll, serial

TOP = "000.00.00.G01"
DAY_US = 86_400_000_000


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def register(tmp_path: Path, clock: Clock) -> Iterator[Register]:
    opened = register_in(tmp_path, clock)
    yield opened
    opened.close()


def test_who_is_enrolled_may_send_from_then_on(register: Register) -> None:
    register.enrol(ORG, "Province", actor="lan")

    assert register.roll().at(ORG, NOW_US) == Period(ORG, "Province", "", NOW_US, None)
    assert register.roll().at(ORG, NOW_US - 1) is None
    assert [(row["actor"], row["action"], row["org"]) for row in register.audit(9)] == [("lan", "enrol", ORG)]


def test_who_is_revoked_may_not_and_what_was_stays(register: Register, clock: Clock) -> None:
    register.enrol(ORG, "Province", actor="lan")
    clock.now_s += 60

    register.revoke(ORG, actor="lan")

    assert register.roll().at(ORG, clock.now_us()) is None
    assert register.roll().at(ORG, clock.now_us() - 1) is not None
    with pytest.raises(NotFoundError, match="is not enrolled"):
        register.revoke(ORG, actor="lan")


def test_what_was_to_begin_is_revoked_too(register: Register) -> None:
    register.enrol(ORG, "Province", from_us=NOW_US + DAY_US, actor="lan")

    register.revoke(ORG, actor="lan")

    assert register.roll().at(ORG, NOW_US + 2 * DAY_US) is None
    register.begin_with({ORG: "Province"})
    assert register.roll().at(ORG, NOW_US + 2 * DAY_US) is None


def test_a_start_enrols_the_unknown_and_brings_no_revoked_one_back(register: Register, clock: Clock) -> None:
    register.begin_with({ORG: "Province"})
    clock.now_s += 1
    register.revoke(ORG, actor="lan")
    clock.now_s += 1

    register.begin_with({ORG: "Province", OTHER: "Another"})

    assert [period.org_id for period in register.roll().enrolled(clock.now_us())] == [OTHER]


def test_a_revoked_organisation_can_be_enrolled_again(register: Register, clock: Clock) -> None:
    for action in (
        lambda: register.enrol(ORG, "Province", actor="lan"),
        lambda: register.revoke(ORG, actor="lan"),
        lambda: register.enrol(ORG, "Province, renewed", actor="lan"),
    ):
        action()
        clock.now_s += 1

    period = register.roll().at(ORG, clock.now_us())
    assert period is not None
    assert period.name == "Province, renewed"


def test_the_tree_is_that_of_the_day_that_is_asked_for(register: Register, clock: Clock) -> None:
    register.enrol(TOP, "Nation", actor="lan")
    register.enrol(OTHER, "Vĩnh Long", parent=TOP, actor="lan")
    register.enrol(ORG, "Bến Tre", parent=TOP, actor="lan")
    clock.now_s += 60
    register.enrol(ORG, "Bến Tre", parent=OTHER, from_us=NOW_US + DAY_US, actor="lan")

    assert register.roll().path(ORG, clock.now_us()) == [TOP, ORG]
    assert register.roll().path(ORG, NOW_US + DAY_US) == [TOP, OTHER, ORG]


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"org_id": "a b"}, "letters, digits"),
        ({"org_id": ORG, "parent": "a b"}, "letters, digits"),
        ({"org_id": ORG, "name": "x" * 201}, "201 characters"),
        ({"org_id": ORG, "from_us": NOW_US - 1}, "in the past"),
        ({"org_id": ORG, "parent": ORG}, "stands below"),
        ({"org_id": TOP, "parent": OTHER}, "stands below"),
    ],
)
def test_what_contradicts_the_register_is_refused_whole(
    register: Register, clock: Clock, changes: dict[str, object], complaint: str
) -> None:
    register.enrol(TOP, "Nation", actor="lan")
    register.enrol(OTHER, "Another", parent=TOP, actor="lan")
    before = [*register.roll().enrolled(NOW_US)], register.audit(99)
    clock.now_s += 1

    with pytest.raises(RefusedChangeError, match=complaint):
        register.enrol(**({"name": "", "actor": "lan"} | changes))  # type: ignore[arg-type]  # of several types

    assert ([*register.roll().enrolled(NOW_US)], register.audit(99)) == before


def test_an_entry_that_begins_later_must_go_before_another_is_made(register: Register) -> None:
    register.enrol(ORG, "Province", from_us=NOW_US + DAY_US, actor="lan")

    with pytest.raises(RefusedChangeError, match="revoke it first"):
        register.enrol(ORG, "Province", actor="lan")


def test_the_tree_ends_somewhere(register: Register) -> None:
    above = ""
    for number in range(MAX_DEPTH):
        register.enrol(f"org-{number}", "", parent=above, actor="lan")
        above = f"org-{number}"

    with pytest.raises(RefusedChangeError, match="16 deep"):
        register.enrol(ORG, "", parent=above, actor="lan")


def test_another_process_s_change_is_seen_at_the_next_look(tmp_path: Path, register: Register, clock: Clock) -> None:
    before = register.roll()
    other = register_in(tmp_path, clock)
    other.enrol(ORG, "Province", actor="lan")
    other.revoke_certificate("1F", actor="lan")
    other.close()

    assert register.roll() is not before
    assert ORG in register.roll().known
    assert register.roll().revoked == {"1F"}
    assert register.roll() is register.roll()


def test_two_commands_that_make_the_register_at_once_both_find_it(tmp_path: Path) -> None:
    made: list[Register] = []
    threads = [threading.Thread(target=lambda: made.append(register_in(tmp_path))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert len(made) == 4
    for each in made:
        each.close()


def test_refusals_are_kept_in_the_audit_up_to_a_bound_and_what_people_did_stays(
    register: Register, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("socmon.ncsc.register._AUDIT_KEPT", 3)
    register.enrol(ORG, "Province", actor="lan")

    for _ in range(9):
        register.refused(OTHER, "revoked")

    assert [row["action"] for row in register.audit(99)] == ["refuse", "refuse", "refuse", "enrol"]
    assert [row["action"] for row in register.audit(99, ORG)] == ["enrol"]


def test_a_register_of_another_version_is_refused(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / FILE_NAME) as db:
        db.execute("PRAGMA user_version = 99")
    db.close()

    with pytest.raises(StoreError, match="version 99"):
        register_in(tmp_path)


@pytest.mark.parametrize(("text", "plain"), [("00:1f:a0", "1FA0"), ("1FA0", "1FA0"), ("0" * 50 + "a", "A")])
def test_a_serial_number_is_read_in_every_form(text: str, plain: str) -> None:
    assert serial(text) == plain


@pytest.mark.parametrize("text", ["", "00", "xyz", "1" * 41])
def test_what_is_no_serial_number_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no serial number"):
        serial(text)


@given(
    parents=st.dictionaries(st.integers(0, 9), st.integers(0, 9), max_size=10),
    asked=st.integers(0, 9),
)
def test_a_path_ends_in_whom_it_is_of_and_names_nobody_twice(parents: dict[int, int], asked: int) -> None:
    # Also circles, which the register refuses: a file may be damaged.
    roll = Roll(Period(str(org), "", str(parent), 0, None) for org, parent in parents.items())

    path = roll.path(str(asked), 1)

    assert path[-1] == str(asked)
    assert len(path) == len(set(path)) <= MAX_DEPTH


def test_whom_a_start_enrols_is_in_force_though_the_clock_was_ahead_then(register: Register, clock: Clock) -> None:
    clock.now_s += 10 * 365 * 86_400
    register.begin_with({ORG: "Province"})

    clock.now_s -= 10 * 365 * 86_400

    assert [period.org_id for period in register.roll().enrolled(clock.now_us())] == [ORG]
    register.revoke(ORG, actor="lan")
    assert list(register.roll().enrolled(clock.now_us())) == []
