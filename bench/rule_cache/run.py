"""A start with all active rules of SigmaHQ: read from their files, from the cache, and from the cache but for one file.

    .venv/bin/python -m bench.rule_cache.run [--rounds 7]

Ends with 1 if the three do not come to the same rules, or if a start from the cache takes more than a second beyond
imports. Results are written from seven rounds on. The archive of rules is looked for below SOCMON_DATA.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.conformance.run import data_folder
from bench.keeping import heading, keep, machine
from bench.ssh_bruteforce.speed import spread

ROOT = Path(__file__).parents[2]
MOST_S = 1.0
FULL = 7
LABELS = {"files": "from the files", "kept": "from the cache", "edited": "from the cache, one file edited since"}
_FIGURES = ("cpu_s", "wall_s", "rule_set_cpu_s", "imports_cpu_s")
_Starts = Mapping[str, list[dict[str, Any]]]


def measure(archive: Path, rounds: int) -> _Starts:
    """Start in each of the three ways, in turns."""
    starts: dict[str, list[dict[str, Any]]] = {name: [] for name in LABELS}
    with tempfile.TemporaryDirectory() as work, tarfile.open(archive) as packed:
        rules, cache = Path(work) / "sigmahq", Path(work) / "cache"
        packed.extractall(rules, filter="data")
        edited = min(rules.glob("rules/**/*.yml"))
        _start(rules, cache)  # fills it, and the caches of bytecode and files
        for turn in range(rounds):
            starts["files"].append(_start(rules, None))
            starts["kept"].append(_start(rules, cache))
            with edited.open("a", encoding="utf-8") as file:
                file.write(f"# edited {turn}\n")
            starts["edited"].append(_start(rules, cache))
            print(json.dumps({name: round(each[-1]["cpu_s"], 2) for name, each in starts.items()}), flush=True)
    return starts


def _start(rules: Path, cache: Path | None) -> dict[str, Any]:
    command = [sys.executable, "-m", "bench.rule_cache.start", str(rules), str(cache or "-")]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, check=True, timeout=600)
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def problems(starts: _Starts) -> list[str]:
    """What is not as required."""
    told = []
    if len({each["hash"] for every in starts.values() for each in every}) > 1:
        told.append("the rules are not the same in all starts")
    if any(each["pysigma"] for each in starts["kept"]):
        told.append("pySigma is imported though all is kept")
    least_s = statistics.median(each["cpu_s"] for each in starts["kept"])
    if least_s > MOST_S:
        told.append(f"a start from the cache takes {least_s:.2f} s of a processor beyond imports, not {MOST_S:g}")
    return told


def as_json(starts: _Starts) -> dict[str, Any]:
    return {
        **heading("rule_cache"),
        "rules": starts["kept"][0]["rules"],
        "rounds": len(starts["kept"]),
        "starts": {
            name: {figure: spread([each[figure] for each in every], 3)._asdict() for figure in _FIGURES}
            for name, every in starts.items()
        },
        "problems": problems(starts),
    }


def as_markdown(starts: _Starts) -> str:
    on = machine()
    rows = "".join(_row(name, every) for name, every in starts.items())
    found = "; ".join(problems(starts)) or "All starts came to the same rules"
    return f"""# A start with all rules of SigmaHQ

{starts["kept"][0]["rules"]:,} active rules, until they can be asked. {found}.
Measured on {on["cores"]} cores of {on["cpu"]}, {on["system"]}, Python {on["python"]}, shared with others:
trust the processor's seconds, and ratios of them.

Median of {len(starts["kept"])} interleaved rounds, least and most in brackets, in seconds; imports are not in the first
three:

| | of a processor | on the wall | of these, making the rule set | besides, imports of socmon.sigma |
|---|---|---|---|---|
{rows}
Imports of pySigma are in the first row and the last, where a rule had to be read.
"""


def _row(name: str, every: list[dict[str, Any]]) -> str:
    spreads = [spread([each[figure] for each in every], 2) for figure in _FIGURES]
    cells = " | ".join(f"{each.median:.2f} ({each.least:.2f} to {each.most:.2f})" for each in spreads)
    return f"| {LABELS[name]} | {cells} |\n"


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rounds", type=int, default=FULL)
    rounds = options.parse_args().rounds
    starts = measure(data_folder() / "logs" / "sigma" / "sigmahq_rules.tar.xz", rounds)
    print(as_markdown(starts))
    if rounds >= FULL:
        keep("rule_cache", as_json(starts), as_markdown(starts))
    sys.exit(1 if problems(starts) else 0)


if __name__ == "__main__":
    main()
