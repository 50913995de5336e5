"""Fixtures of the collectors' tests."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def unprivileged() -> Iterator[Path]:
    """A directory everyone can read, and a process that root's rights do not help."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        directory.chmod(0o755)
        is_root = os.geteuid() == 0
        if is_root:
            os.seteuid(65534)
        try:
            yield directory
        finally:
            if is_root:
                os.seteuid(0)
