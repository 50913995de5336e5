"""Installs a distribution with a kind of its own, the way a third-party package would be there."""

import sys
from pathlib import Path

import pytest

COLLECTOR = """
from pathlib import Path
from pydantic import Field
from socmon.component import Collector, CollectorSettings
from socmon.secrets import SecretRef

class PigeonSettings(CollectorSettings):
    loft: Path = Field(description="Where the pigeons live.")
    more: list[Path] = []
    key: SecretRef | None = None
    birds: int = Field(default=3, ge=1, le=9)
    homing: bool = True
    label: str = ""

class PigeonCollector(Collector[PigeonSettings]):
    settings_type = PigeonSettings

    async def run(self) -> None: ...
"""


def install(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    module: str = "pigeons",
    source: str = COLLECTOR,
    entry: str = "pigeon = pigeons:PigeonCollector",
    group: str = "socmon.collectors",
) -> None:
    """Make `module` importable from `folder`, its distribution `{module}-dist` registering `entry` in `group`."""
    info = folder / f"{module}_dist-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}-dist\nVersion: 1.0\n")
    (info / "RECORD").write_text(f"{module}.py,,\n")
    (info / "entry_points.txt").write_text(f"[{group}]\n{entry}\n")
    (folder / f"{module}.py").write_text(source)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, module, raising=False)
