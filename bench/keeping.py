"""What all benchmarks write: when and on what it was measured, as JSON for machines and a Markdown page for people.

No name of a host and no path stands in it.
"""

import json
import os
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).with_name("results")


def machine() -> dict[str, Any]:
    """What the figures were measured on, in words."""
    cpus = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    models = {line.partition(":")[2].strip() for line in cpus if line.startswith("model name")}
    return {
        "cpu": ", ".join(sorted(models)) or platform.machine(),
        "cores": os.cpu_count(),
        "system": platform.system(),
        "python": platform.python_version(),
    }


def heading(name: str) -> dict[str, Any]:
    """What the JSON of a benchmark begins with."""
    return {
        "schema": f"socmon.bench.{name}/v1",
        "measured": datetime.now(UTC).strftime("%Y-%m-%d"),
        "machine": machine(),
    }


def keep(name: str, results: Mapping[str, Any], page: str) -> None:
    """Write both into the folder of results."""
    RESULTS.mkdir(exist_ok=True)
    text = json.dumps(results, indent=1, ensure_ascii=False)
    (RESULTS / f"{name}.json").write_text(f"{text}\n", encoding="utf-8")
    (RESULTS / f"{name}.md").write_text(page, encoding="utf-8")
