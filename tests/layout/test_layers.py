"""The layers hold, and a violation of each kind is caught."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def lint(root: Path) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    environment = {"PYTHONPATH": str(root)}
    return subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, timeout=110, check=False)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    for name in ("socmon", "collectors", "forwarders"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_the_layers_hold(copy: Path) -> None:
    result = lint(copy)

    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize(
    ("planted", "broken"),
    [
        ({"socmon/config.py": "import socmon.daemon"}, "the rooms of socmon"),
        (
            {"socmon/store/rows.py": "import socmon.feed.batch", "socmon/feed/batch.py": "import socmon.store.rows"},
            "rooms of one floor",
        ),
        ({"forwarders/file.py": "import socmon.store"}, "plug-ins see"),
        ({"collectors/file.py": "import socmon.intake"}, "plug-ins see"),
        ({"socmon/daemon.py": "import collectors.file"}, "the core names no plug-in"),
        ({"socmon/attic.py": '"""A room nobody has placed."""'}, "the rooms of socmon"),
    ],
)
def test_a_planted_violation_is_caught(copy: Path, planted: dict[str, str], broken: str) -> None:
    for name, text in planted.items():
        with (copy / name).open("a") as file:
            file.write(f"\n{text}\n")

    result = lint(copy)

    assert result.returncode != 0
    lines = result.stdout.splitlines()
    assert any(line.startswith(broken) and line.endswith("BROKEN") for line in lines), result.stdout
