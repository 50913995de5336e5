"""The SDK of CloudEvents (npm), as a validator of messages that is not ours; tests/needs fetches it."""

import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

PACKAGE = "cloudevents@10.0.0"
HOME = Path(__file__).parents[1] / ".venv" / "cloudevents"
SCRIPT = Path(__file__).parent / "cloudevents" / "validate.cjs"
MISSING = f"npm's {PACKAGE} is not here: tests/needs fetches it where node and npm are"


def is_here() -> bool:
    """Whether tests that need it can run."""
    return (HOME / "made").exists() and (HOME / "made").read_text() == PACKAGE and shutil.which("node") is not None


def problems(events: Sequence[object]) -> list[str]:
    """What it has against each of `events`, "" for nothing."""
    command = ["node", str(SCRIPT), str(HOME / "node_modules")]
    done = subprocess.run(command, input=json.dumps(events), capture_output=True, text=True, check=True, timeout=60)
    found: list[str] = json.loads(done.stdout)
    return found


def fetch() -> None:
    """Install the package and what it needs; nothing to do when that is done. No script of theirs is run."""
    if is_here():
        return
    shutil.rmtree(HOME, ignore_errors=True)
    HOME.mkdir(parents=True)
    command = ["npm", "install", "--prefix", str(HOME), "--no-save", "--no-package-lock", "--ignore-scripts"]
    subprocess.run([*command, "--no-audit", "--no-fund", "--silent", PACKAGE], check=True, timeout=300)
    (HOME / "made").write_text(PACKAGE)


if __name__ == "__main__":
    if shutil.which("node") and shutil.which("npm"):
        fetch()
    else:
        sys.exit("node or npm is missing")
