"""What fuzzing once found stays mended; and the runner finds what is planted."""

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
from fuzz.findings import FINDINGS, arguments_of, keep, kept
from fuzz.run import HERE, targets
from watchdog import watchdog

TARGET = """
def one_input(data: bytes) -> None:
    if len(data) > 3:
        {failure}
"""
TESTS = """
from hypothesis import given
from hypothesis import strategies as st
from planted.fuzz_{name} import one_input

@given(st.binary(max_size=20))
def test_any_bytes(data: bytes) -> None:
    one_input(data)
"""


@pytest.mark.parametrize("target", targets(HERE, []))
def test_what_was_found_stays_mended(target: str) -> None:
    one_input = importlib.import_module(f"fuzz.{target}").one_input
    for path in sorted((FINDINGS / target).glob("*.json")):
        with watchdog(str(path)):
            one_input(*arguments_of(path))


def test_every_finding_is_of_a_target() -> None:
    assert {target for target, _ in kept()} <= {*targets(HERE, [])}


@pytest.mark.parametrize("arguments", [[b"\0\xff"], [[b"a", b""], 3], [("a", None), True, 1.5]])
def test_an_input_comes_back_from_its_file(tmp_path: Path, arguments: list[object]) -> None:
    path = keep(tmp_path, "fuzz_x", arguments, "said")

    assert arguments_of(path) == arguments
    assert list(kept(tmp_path)) == [("fuzz_x", path)]
    assert keep(tmp_path, "fuzz_x", arguments, "said otherwise") == path


def test_a_planted_bug_and_a_hang_are_found_and_kept_and_a_sound_target_passes(tmp_path: Path) -> None:
    folder = tmp_path / "planted"
    folder.mkdir()
    for name, failure in (("bug", "raise KeyError('planted')"), ("hang", "while True: pass"), ("sound", "pass")):
        (folder / f"fuzz_{name}.py").write_text(TARGET.format(failure=failure))
        (folder / f"test_fuzz_{name}.py").write_text(TESTS.format(name=name))

    command = [sys.executable, str(HERE / "run.py"), "--folder", str(folder), "--seconds", "0.9"]
    environment = os.environ | {"SOCMON_FUZZ_HANG_S": "0.05"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=100, check=False)

    rows = {line.split()[0]: line.split()[-1] for line in done.stdout.splitlines() if line.startswith("fuzz_")}
    found: dict[str, list[Path]] = {}
    for target, path in kept(folder / "findings"):
        found.setdefault(target, []).append(path)
    assert (done.returncode, rows["fuzz_sound"]) == (1, "0"), done.stdout + done.stderr
    assert {target: str(len(found.get(target, []))) for target in rows} == rows
    assert b"\0" * 4 in [arguments_of(path)[0] for path in found["fuzz_bug"]]  # as small as it can be
    assert all("KeyError: 'planted'" in path.read_text() for path in found["fuzz_bug"])
    assert all("HangError" in path.read_text() for path in found["fuzz_hang"])
