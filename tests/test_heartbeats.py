"""Heartbeats of the daemon: what they tell, and that nothing which goes wrong with them ends them."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from harness import FakeContext, until
from sigma_kit import ONE, TWO, loaded, together
from store_kit import START_US, Place, alert

from socmon.component import ForwarderSettings, Heart
from socmon.errors import ComponentError
from socmon.heartbeats import Beating, version
from socmon.outgoing import Vitals
from socmon.registry import find

RULES = loaded(together(ONE, TWO))


class FakeHeart(Heart):
    """Takes what it is told, or fails as often as it is said."""

    every_s = 0.0

    def __init__(self, failures: int = 0, error: Exception | None = None) -> None:
        self.told: list[Vitals] = []
        self.failures = failures
        self.error = error or ComponentError("nobody there")

    async def beat(self, vitals: Vitals) -> None:
        if self.failures:
            self.failures -= 1
            raise self.error
        self.told.append(vitals)


def silences(**states: str) -> Any:
    named = {name: SimpleNamespace(name=name, state=state) for name, state in states.items()}
    return SimpleNamespace(sources=SimpleNamespace(silences=named), detection=SimpleNamespace(rules=RULES))


@asynccontextmanager
async def beating(
    heart: FakeHeart, store: Path, correlating: Any, until_: Callable[[], object]
) -> AsyncIterator[FakeContext[ForwarderSettings]]:
    """Beats until `until_` holds."""
    context = FakeContext(ForwarderSettings(), name="ncsc")
    task = asyncio.create_task(Beating(heart, context, store, correlating).run())
    await until(until_)
    task.cancel()
    await asyncio.wait([task])
    yield context


async def test_a_heartbeat_tells_backlog_silent_sources_and_rules(tmp_path: Path) -> None:
    place = Place(tmp_path)
    await asyncio.to_thread(place.put, alert(1), alert(2), alert(3))
    with closing(sqlite3.connect(place.store, isolation_level=None)) as db:
        db.execute("update pending set error = 'held: TLP:RED never leaves' where alert_id = ?", (alert(3).id,))
    heart = FakeHeart()

    async with beating(heart, place.store, silences(web="silent", mail="heard", dns="silent"), lambda: heart.told):
        assert heart.told[0] == Vitals({}, 2, START_US, ("dns", "web"), version(RULES))


@pytest.mark.parametrize("error", [ComponentError("no"), UnicodeError("label too long"), RuntimeError("no thread")])
async def test_what_fails_is_told_once_counted_each_time_and_ends_nothing(tmp_path: Path, error: Exception) -> None:
    place = Place(tmp_path)
    await asyncio.to_thread(place.put, alert(1))
    heart = FakeHeart(failures=3, error=error)

    async with beating(heart, place.store, silences(), lambda: heart.told) as context:
        told = [(entry["log_level"], entry["event"]) for entry in context.logged]
        assert told == [
            ("warning", "heartbeat not delivered, the next one is tried"),
            ("info", "heartbeats are delivered again"),
        ]
        assert context.counts["error.heartbeat"] == 3


async def test_a_store_that_is_not_there_yet_is_waited_for(tmp_path: Path) -> None:
    heart, seen = FakeHeart(), []

    def looked() -> bool:
        seen.append(1)
        return len(seen) > 3

    async with beating(heart, tmp_path / "none.db", silences(), looked) as context:
        assert heart.told == []
        assert context.counts["error.heartbeat"]


def test_the_version_is_that_of_the_rules_in_whatever_order() -> None:
    other = loaded(together(TWO, ONE))

    assert version(RULES) == version(other)
    assert version(RULES) != version(loaded(ONE))
    assert version(RULES) != version(loaded(together(ONE, TWO.replace("F: y", "F: z"))))


@pytest.mark.parametrize("kind", ["file", "ncsc"])
def test_only_those_that_want_to_know_have_a_heart(kind: str) -> None:
    cls: Any = find("socmon.forwarders", kind)

    assert ("heart" in vars(cls)) == (kind == "ncsc")
