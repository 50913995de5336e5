"""What the service manager hears, and that it can do the daemon no harm."""

import os
import time
from collections.abc import Iterator

import pytest
from notify_kit import FakeManager, manager_in

from socmon.notify import Manager


@pytest.fixture(params=[False, True], ids=["path", "abstract"])
def heard_by(request: pytest.FixtureRequest) -> Iterator[FakeManager]:
    with manager_in(watchdog_s=3, abstract=request.param) as manager:
        yield manager


def test_each_state_is_said_as_the_manual_has_it(heard_by: FakeManager) -> None:
    one = Manager(heard_by.environment)
    before_us = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000

    one.ready()
    one.reloading()
    one.ready()
    one.status("two\nlines \x1b[1m")
    one.alive("44 rules")
    one.stopping()
    one.close()

    ready, reloading, *others = heard_by.listen()
    assert ready == {"READY": "1"}
    after_us = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    assert before_us <= int(reloading.pop("MONOTONIC_USEC")) <= after_us
    assert reloading == {"RELOADING": "1"}
    assert others == [
        {"READY": "1"},
        {"STATUS": "two\\x0alines \\x1b[1m"},
        {"WATCHDOG": "1", "STATUS": "44 rules"},
        {"STOPPING": "1"},
    ]


def test_what_a_full_queue_does_not_take_goes_with_what_is_said_next(heard_by: FakeManager) -> None:
    one = Manager(heard_by.environment)
    said = 0
    while not one._unsent:  # until the kernel's queue is full
        one.status(str(said))
        said += 1
    one.reloading()
    one.ready()
    one.alive("lost with the ping")

    assert len(heard_by.listen()) == said - 1
    one.status("room again")

    assert heard_by.listen()[-1] == {"READY": "1", "STATUS": "room again"}
    one.close()


def test_a_manager_that_is_gone_is_told_of_once_and_harms_nobody(capsys: pytest.CaptureFixture[str]) -> None:
    with manager_in() as manager:
        one = Manager(manager.environment)
    too_long = Manager({"NOTIFY_SOCKET": "/" + "x" * 200})

    for each in (one, one, too_long):
        each.ready()
        each.alive("still here")
        each.close()
        each.stopping()

    assert capsys.readouterr().err.count("the service manager cannot be told how we are") == 2


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "3000000"}, 3.0),
        ({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": str(os.getpid())}, 3.0),
        ({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": str(os.getpid() + 1)}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "-1"}, None),
        ({"WATCHDOG_USEC": "٣"}, None),
        ({"WATCHDOG_USEC": "9" * 5000}, None),
    ],
)
def test_the_watchdog_is_for_whom_the_manager_says(environment: dict[str, str], expected: float | None) -> None:
    one = Manager({"NOTIFY_SOCKET": "@nobody", **environment})
    one.close()

    assert one.watchdog_s == expected


def test_nobody_is_told_where_no_manager_started_us() -> None:
    one = Manager({"WATCHDOG_USEC": "3000000"})

    one.ready()

    assert one.watchdog_s is None
    assert one._unsent == {}
