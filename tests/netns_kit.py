"""A network namespace of a test's own, with a cable in it; skips where there can be none."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from bench.capture import wire
from bench.capture.wire import RECEIVES, SENDS, Cable

__all__ = ["RECEIVES", "SENDS", "Cable", "cable", "needs_namespaces", "needs_tcpreplay"]


def needs_namespaces() -> None:
    """Skip where there can be none."""
    if why := wire.why_not():
        pytest.skip(why)


def needs_tcpreplay() -> None:
    """Skip where it is not installed."""
    if shutil.which("tcpreplay") is None:
        pytest.skip("tcpreplay is not installed")


@contextmanager
def cable() -> Iterator[Cable]:
    """A namespace of the test's own."""
    needs_namespaces()
    with wire.cable() as made:
        yield made
