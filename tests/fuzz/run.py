"""Every fuzz target of a folder in turn, for so many seconds in all; a row for each, exit status 1 if one has findings.

A target is `fuzz_X.py` with `one_input`, and beside it `test_fuzz_X.py` with the strategies of its inputs. What it
fails on is kept in `findings/`, which `make test` replays. Usage: `run.py [--seconds S] [--folder FOLDER] [NAME…]`.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parent
_GRACE_S = 120.0  # for start, shrinking, and inputs that hang


class Row(NamedTuple):
    """What came of one target."""

    target: str
    inputs: int
    seconds: float
    findings: list[str]
    trouble: str = ""


def targets(folder: Path, names: Sequence[str]) -> list[str]:
    """Names of the targets of `folder`; of those asked for, if any are."""
    found = [path.stem for path in sorted(folder.glob("fuzz_*.py"))]
    wanted = {f"fuzz_{name.removeprefix('fuzz_')}" for name in names} or {*found}
    if missing := wanted - {*found}:
        raise SystemExit(f"no such target: {', '.join(sorted(missing))}; there are: {', '.join(found)}")
    return [name for name in found if name in wanted]


def explore(folder: Path, target: str, seconds: float) -> Row:
    """Run one target in a process of its own, which may hang or die."""
    with tempfile.TemporaryDirectory() as work:
        command = [sys.executable, "-m", "fuzz.exploring", f"{folder.name}.{target}", "--seconds", f"{seconds:g}"]
        command += ["--findings", str(folder / "findings"), "--work", work]
        paths = os.pathsep.join([str(folder.parent), str(HERE.parent), str(HERE.parents[1])])
        environment = os.environ | {"PYTHONPATH": paths}
        try:
            done = subprocess.run(
                command, env=environment, capture_output=True, text=True, errors="replace", timeout=seconds + _GRACE_S,
                check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return Row(target, 0, seconds + _GRACE_S, [], "it hangs where no signal reaches it")
    if done.returncode:
        return Row(target, 0, 0.0, [], f"status {done.returncode}: {done.stderr[-600:]}")
    result = json.loads(done.stdout.splitlines()[-1])
    return Row(target, result["inputs"], result["seconds"], result["found"])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0, help="of all targets together")
    parser.add_argument("--folder", type=Path, default=HERE)
    parser.add_argument("names", nargs="*", help="targets; all if none is named")
    given = parser.parse_args()
    folder = given.folder.resolve()
    found = targets(folder, given.names)
    print(f"{'target':<28}{'inputs':>12}{'seconds':>10}{'findings':>10}", flush=True)
    bad = False
    for target in found:
        row = explore(folder, target, given.seconds / len(found))
        print(f"{row.target:<28}{row.inputs:>12,}{row.seconds:>10.0f}{len(row.findings):>10}", flush=True)
        for line in [*row.findings, *filter(None, [row.trouble])]:
            print(f"  {line}", flush=True)
        bad = bad or bool(row.findings or row.trouble)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
