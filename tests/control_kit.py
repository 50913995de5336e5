"""Commands that ask a daemon of tests/field.py."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from command_kit import text_here
from field import Field, lines_of, wait_for

NOBODY = 65534


def command(place: Field, *words: str) -> list[str]:
    return [sys.executable, "-m", "socmon", "-c", str(place.root / "config.yaml"), *words]


def socmon(place: Field, *words: str) -> subprocess.CompletedProcess[str]:
    return text_here("-c", str(place.root / "config.yaml"), *words)


def to_file(path: Path) -> dict[str, Any]:
    return {"kind": "file", "path": str(path)}


def to_centre(place: Field, **changes: Any) -> dict[str, Any]:
    """The forwarder `ncsc` of the field's configuration."""
    forwarder: dict[str, Any] = json.loads((place.root / "config.yaml").read_text())["forwarders"]["ncsc"]
    return forwarder | changes


def listening(place: Field, failpoint: str = "") -> None:
    """Start the daemon, and wait until its control socket answers."""
    log = place.root / "daemon.log"
    size = log.stat().st_size if log.exists() else 0
    place.start_daemon(failpoint)
    wait_for(lambda: place.events("daemon.log", "started", size), "start")


def logged(place: Field) -> list[dict[str, Any]]:
    """The lines of the daemon's log."""
    return lines_of(place.root / "daemon.log")


@contextmanager
def someone_else(group: int) -> Iterator[None]:
    """As user nobody in `group` alone."""
    groups, mine = os.getgroups(), os.getegid()
    os.setgroups([])
    os.setegid(group)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(mine)
        os.setgroups(groups)
