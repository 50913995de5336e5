"""What tests of all collectors that listen have in common."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import pytest
from harness import FakeContext, running, until

from socmon.component import Collector

CollectorT = TypeVar("CollectorT", bound=Collector[Any])

# Listening on `address`, a sender at `source` that sends to `target` is known as `peer`.
each_spelling = pytest.mark.parametrize(
    ("address", "source", "target", "peer"),
    [
        ("::1", "::1", "::1", "::1"),
        ("::", "::1", "::1", "::1"),
        ("::", "127.0.0.1", "127.0.0.1", "127.0.0.1"),
        ("0.0.0.0", "127.0.0.2", "127.0.0.1", "127.0.0.2"),
    ],
)


def where(context: FakeContext[Any]) -> tuple[str, int]:
    """Where the collector says that it listens."""
    entry = next(entry for entry in reversed(context.logged) if entry["event"] == "listening")
    return entry["address"], entry["port"]


@asynccontextmanager
async def listens(collector: CollectorT, context: FakeContext[Any]) -> AsyncIterator[CollectorT]:
    """`collector`, which runs and listens while the body does."""
    async with running(collector):
        await until(lambda: any(entry["event"] == "listening" for entry in context.logged))
        yield collector
