"""The thread of one's own: calls in order, nothing shared, nothing waited for at the exit."""

import asyncio
import subprocess
import sys
import threading

import pytest
from harness import until

from socmon.worker import Worker


async def test_calls_return_and_raise_in_one_thread_that_ends_when_closed() -> None:
    worker = Worker("test")
    thread = await worker.run(threading.current_thread)
    with pytest.raises(ZeroDivisionError):
        await worker.run(lambda: 1 // 0)
    assert await worker.run(threading.current_thread) is thread
    assert thread is not threading.current_thread()
    worker.close()
    await until(lambda: not thread.is_alive())


async def test_a_call_that_hangs_is_busy_until_it_ends_and_the_one_after_it_still_runs() -> None:
    worker, answer = Worker("test"), threading.Event()
    hung = asyncio.create_task(worker.run(answer.wait))
    await asyncio.sleep(0)
    hung.cancel()
    await asyncio.wait([hung])
    assert hung.cancelled()
    assert worker.busy
    after = asyncio.create_task(worker.run(answer.is_set))
    await asyncio.sleep(0)
    with pytest.raises(RuntimeError, match="has a call waiting already"):
        await worker.run(answer.is_set)
    answer.set()
    assert await after
    assert not worker.busy
    worker.close()


async def test_a_waiting_call_that_is_cancelled_never_begins() -> None:
    worker, answer, begun = Worker("test"), threading.Event(), threading.Event()
    first = asyncio.create_task(worker.run(answer.wait))
    second = asyncio.create_task(worker.run(begun.set))
    await asyncio.sleep(0)
    second.cancel()
    await asyncio.wait([second])
    answer.set()
    await first
    await worker.run(answer.is_set)
    assert not begun.is_set()
    worker.close()


async def test_a_closed_worker_takes_no_calls() -> None:
    worker = Worker("test")
    worker.close()
    with pytest.raises(RuntimeError, match="is closed"):
        await worker.run(threading.current_thread)


def test_a_hung_call_does_not_keep_the_interpreter_from_ending() -> None:
    program = (
        "import asyncio, threading\n"
        "from socmon.worker import Worker\n"
        "async def main():\n"
        "    async with asyncio.timeout(0.05):\n"
        "        await Worker('test').run(threading.Event().wait)\n"
        "try:\n"
        "    asyncio.run(main())\n"
        "except TimeoutError:\n"
        "    print('given up')\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=100, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, b"given up\n", b"")
