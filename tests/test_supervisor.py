"""Supervision: restart with growing waits, give up when told to, never take the daemon down."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from socmon import log, supervisor
from socmon.errors import ComponentError, StoreError
from socmon.supervisor import Backoff, supervise

LOG = log.get("test")


def failing(*errors: BaseException | None) -> tuple[Callable[[], Awaitable[None]], list[int]]:
    """A run that meets each of `errors` in turn, None being a good end; and the list of runs so far."""
    runs: list[int] = []

    async def run() -> None:
        runs.append(len(runs))
        await asyncio.sleep(0)
        if (error := errors[len(runs) - 1]) is not None:
            raise error

    return run, runs


async def test_a_failed_component_is_restarted_until_it_ends() -> None:
    run, runs = failing(ComponentError("down"), ValueError("a bug"), None)

    await supervise("one", run, backoff=Backoff(0.001, 0.002), log=LOG)

    assert len(runs) == 3


async def test_why_it_fails_is_told_until_a_run_goes_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "_WELL_S", 0.001)
    told: list[str] = []
    runs = iter([ComponentError("down"), ValueError("a bug")])

    async def run() -> None:
        if error := next(runs, None):
            raise error
        while told[-1]:
            await asyncio.sleep(0.001)

    await supervise("one", run, backoff=Backoff(0.001, 0.002), log=LOG, told=told.append)

    assert [each for each in told if each] == ["down", "ValueError('a bug')"]
    assert told[-1] == ""


async def test_a_component_that_only_a_person_can_help_is_given_up() -> None:
    run, runs = failing(ComponentError("key refused", retry=False))

    await supervise("one", run, backoff=Backoff(0.001, 0.002), log=LOG)

    assert len(runs) == 1


async def test_a_full_disk_is_no_bug(monkeypatch: pytest.MonkeyPatch) -> None:
    run, _ = failing(StoreError("disk full"), None)
    told: list[str] = []
    monkeypatch.setattr(LOG, "exception", told.append)

    await supervise("one", run, backoff=Backoff(0.001, 0.002), log=LOG)

    assert told == []


async def test_a_component_that_was_cancelled_from_inside_is_restarted() -> None:
    """A task group takes a cancelled task for one that was to end: it would be gone without a word."""
    run, runs = failing(asyncio.CancelledError(), None)
    told: list[str] = []

    await supervise("one", run, backoff=Backoff(0.001, 0.002), log=LOG, told=told.append)

    assert (len(runs), told) == (2, ["cancelled from inside"])


async def test_cancelling_ends_supervision() -> None:
    run, _ = failing(*[ComponentError("down")] * 5)
    task = asyncio.create_task(supervise("one", run, backoff=Backoff(60, 60), log=LOG))
    await asyncio.sleep(0)

    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task


def test_waits_double_up_to_their_limit_and_start_over_after_a_success() -> None:
    backoff = Backoff(1, 8)

    waits = [backoff.take() for _ in range(6)]
    backoff.reset()

    assert all(full / 2 <= wait <= full for wait, full in zip(waits, (1, 2, 4, 8, 8, 8), strict=True))
    assert backoff.take() <= 1


def test_a_wait_that_was_asked_for_is_never_undercut() -> None:
    backoff = Backoff(0.5, 60)

    assert 30 < backoff.take(at_least_s=30) <= 30.5


async def test_a_wait_ends_when_a_person_hurries() -> None:
    backoff = Backoff(3600, 3600)
    waiting = asyncio.create_task(backoff.rest(3600))
    await asyncio.sleep(0)

    backoff.hurry()

    await asyncio.wait_for(waiting, 30)


async def test_nobody_hurries_what_the_other_side_asked_for() -> None:
    backoff = Backoff(3600, 3600)
    waiting = asyncio.create_task(backoff.rest(3600, at_least_s=0.05))
    began_s = asyncio.get_running_loop().time()
    await asyncio.sleep(0)

    backoff.hurry()

    await asyncio.wait_for(waiting, 30)
    assert asyncio.get_running_loop().time() - began_s >= 0.05
