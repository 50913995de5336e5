"""What tests of `socmon replay` build on: log lines made by hand, and the command as an operator runs it."""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from command_kit import run_here

START = datetime(2026, 3, 1, 12, tzinfo=UTC)


def stamped(second: float) -> str:
    return (START + timedelta(seconds=second)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def failed(second: float, address: str = "192.0.2.7", *, host: str = "web", stamp: str = "") -> str:
    message = f"Failed password for root from {address} port 4000 ssh2"
    return f"{stamp or stamped(second)} {host} sshd[7]: {message}\n"


def undated(second: int) -> str:
    return failed(0, stamp=(START + timedelta(seconds=second)).strftime("%b %e %H:%M:%S"))


def quiet(second: float, host: str = "web") -> str:
    return f"{stamped(second)} {host} CRON[1]: (root) CMD (true)\n"


def write(path: Path, *lines: str) -> str:
    path.write_text("".join(lines))
    return str(path)


def run(
    *arguments: str, stdin: bytes = b"", seed: str = "", before: tuple[str, ...] = ()
) -> "subprocess.CompletedProcess[bytes]":
    """Replay in this process; with a `seed` of hashes, in one of its own."""
    if not seed:
        return run_here(*before, "replay", *arguments, stdin=stdin)
    return subprocess.run(
        [sys.executable, "-m", "socmon", *before, "replay", *arguments],
        input=stdin, capture_output=True, check=False, timeout=60, env=os.environ | {"PYTHONHASHSEED": seed},
    )  # fmt: skip


def objects(output: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.splitlines()]
