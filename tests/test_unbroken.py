"""Work that is begun is done, whoever is cancelled."""

import asyncio

import pytest

from socmon.unbroken import to_its_end


async def test_a_cancellation_waits_for_the_work() -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()
    done = False

    async def work() -> None:
        nonlocal done
        begun.set()
        await go_on.wait()
        done = True

    doing = asyncio.create_task(to_its_end(work(), "work"))
    await begun.wait()
    for _ in range(2):  # whoever waits for a stop may lose patience
        doing.cancel()
        await asyncio.sleep(0)
    assert not doing.done()
    go_on.set()

    with pytest.raises(asyncio.CancelledError):
        await doing
    assert done


async def test_what_the_work_raises_is_raised() -> None:
    async def work() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await to_its_end(work(), "work")
