"""What quotas cost: the daemon reads one large file with a quota and without, in interleaved rounds.

Catching up is the dear case: every batch is over the quota, and is journalled only when the one before is detected.

    .venv/bin/python bench/quotas.py [LINES] [ROUNDS]
"""

import json
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

SAMPLE = Path(__file__).with_name("ssh_bruteforce") / "sample.log"
PATIENCE_S = 600.0
_LISTENING = re.compile(r"http://127\.0\.0\.1:[0-9]+")
_SEEN = re.compile(r"^socmon_matching_(?:evaluated|unparsed)_records_total\{.*\} (\S+)$", re.MULTILINE)


def measured(log: Path, lines: int, quota_per_s: int) -> tuple[float, float]:
    """Seconds on the wall until all of `log` is detected, and CPU seconds of the daemon from start to end."""
    with tempfile.TemporaryDirectory() as directory:
        place = Path(directory)
        collector = {"kind": "file", "paths": [str(log)], "start": "beginning", "quota_per_s": quota_per_s}
        config = {"state_dir": str(place / "state"), "collectors": {"auth": collector}, "http": {"port": 0}}
        (place / "config.yaml").write_text(json.dumps(config))
        said = place / "daemon.log"
        start_s = time.monotonic()
        with said.open("wb") as err:
            daemon = subprocess.Popen(
                [sys.executable, "-m", "socmon", "-c", str(place / "config.yaml"), "run"], stderr=err
            )
        while seen(said) < lines:
            assert time.monotonic() - start_s < PATIENCE_S, said.read_text()
            assert daemon.poll() is None, said.read_text()
            time.sleep(0.05)
        wall_s = time.monotonic() - start_s
        daemon.send_signal(signal.SIGTERM)
        _, status, used = os.wait4(daemon.pid, 0)
        daemon.returncode = os.waitstatus_to_exitcode(status)
        assert daemon.returncode == 0, said.read_text()
        return wall_s, used.ru_utime + used.ru_stime


def seen(said: Path) -> int:
    address = _LISTENING.search(said.read_text())
    if address is None:
        return 0
    with urllib.request.urlopen(f"{address[0]}/metrics", timeout=10) as page:
        return sum(int(float(number)) for number in _SEEN.findall(page.read().decode()))


def main(lines: int = 100_000, rounds: int = 5) -> None:
    sample = SAMPLE.read_bytes().splitlines(keepends=True)
    with tempfile.TemporaryDirectory() as directory:
        log = Path(directory) / "auth.log"
        log.write_bytes(b"".join(sample[n % len(sample)] for n in range(lines)))
        ratios: list[tuple[float, float]] = []
        for number in range(rounds + 1):  # the first warms the caches and does not count
            order = (0, 2000) if number % 2 else (2000, 0)
            found = {quota: measured(log, lines, quota) for quota in order}
            (wall_without_s, cpu_without_s), (wall_s, cpu_s) = found[0], found[2000]
            print(
                f"without: {wall_without_s:.2f} s, CPU {cpu_without_s:.2f} s; with: {wall_s:.2f} s, CPU {cpu_s:.2f} s",
                flush=True,
            )
            if number:
                ratios.append((wall_s / wall_without_s, cpu_s / cpu_without_s))
    walls, cpus = zip(*ratios, strict=True)
    print(f"with / without, median of {rounds}: wall {statistics.median(walls):.3f}, CPU {statistics.median(cpus):.3f}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
