"""A full disk behind the result is the operator's to know, and no bug."""

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize("lines", [1, 20, 2000])
def test_a_full_disk_behind_standard_output_is_told_as_such(tmp_path: Path, lines: int) -> None:
    log = tmp_path / "auth.log"
    log.write_text("Nov 23 10:00:00 web sshd[1]: Connection closed by 10.0.0.1 port 4 [preauth]\n" * lines)
    command = [sys.executable, "-m", "socmon", "-o", "ndjson", "parse", str(log)]

    with Path("/dev/full").open("w") as full:
        result = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False)

    assert result.returncode == 1
    assert "cannot write the result: no space left on device" in result.stderr
    assert "bug" not in result.stderr
    assert "Exception ignored" not in result.stderr
