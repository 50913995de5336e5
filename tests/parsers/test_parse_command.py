"""`socmon parse` as an operator runs it."""

import csv
import io
import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from store_kit import valid

FAILED = b"Dec 10 06:55:48 web01 sshd[7]: Failed password for invalid user \x1b[31mx from 192.0.2.7 port 4000 ssh2\n"
REPEATED = (
    b"Dec 10 06:55:49 web01 sshd[7]: message repeated 3 times: [ Failed none for a from 192.0.2.7 port 4 ssh2]\r\n"
)
STATED = "2026-12-10T06:55:50.25+07:00 máy-1 su: \u202elà hoà".encode()
TEXT = FAILED + b"\n" + REPEATED + b"not a log line\n" + STATED


def run(*arguments: str, stdin: bytes = b"") -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run(
        [sys.executable, "-m", "socmon", "parse", *arguments], input=stdin, capture_output=True, check=False, timeout=60
    )


def objects(output: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.splitlines()]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """TEXT in a file that was last written on 1 January 2027."""
    path = tmp_path / "auth.log"
    path.write_bytes(TEXT)
    written_s = datetime(2027, 1, 1, tzinfo=UTC).timestamp()
    os.utime(path, (written_s, written_s))
    return path


def test_each_line_becomes_an_object_dated_by_the_file(log: Path) -> None:
    done = run(str(log), "-o", "ndjson")
    failed, repeated, bad, stated = objects(done.stdout)

    assert done.returncode == 1
    assert failed == {
        "n": 0,
        "format": "rfc3164",
        "time": "2026-12-10T06:55:48Z",
        "host": "web01",
        "logsource": {"product": "linux", "service": "sshd"},
        "fields": failed["fields"],
        "entities": {"host": ["web01"], "ip": ["192.0.2.7"], "user": ["\x1b[31mx"]},
    }
    assert failed["fields"]["outcome"] == "failure"
    assert (repeated["n"], repeated["repeat"]) == (2, 3)
    assert set(bad) == {"n", "error"}
    assert (stated["n"], stated["host"], stated["time"]) == (4, "máy-1", "2026-12-09T23:55:50.25Z")


def test_standard_input_has_no_time_without_a_year() -> None:
    undated = run("-", "-o", "ndjson", stdin=FAILED)
    dated = run("-", "-o", "ndjson", "--year", "2015", stdin=FAILED)

    assert (undated.returncode, objects(undated.stdout)[0]["time"]) == (0, None)
    assert (dated.returncode, objects(dated.stdout)[0]["time"]) == (0, "2015-12-10T06:55:48Z")


def test_timezone_is_that_of_the_stamps(log: Path) -> None:
    done = run(str(log), "-o", "ndjson", "--timezone", "Asia/Ho_Chi_Minh")

    assert objects(done.stdout)[0]["time"] == "2026-12-09T23:55:48Z"


def test_json_is_one_object_and_csv_one_table(log: Path) -> None:
    whole = json.loads(run(str(log), "-o", "json").stdout)
    table = list(csv.DictReader(io.StringIO(run(str(log), "-o", "csv").stdout.decode(), newline="")))

    assert valid(whole, "parse.v1")["schema"] == "socmon.parse/v1"
    assert [valid(row, "parse.v1", row=True) for row in objects(run(str(log), "-o", "ndjson").stdout)] == whole["lines"]
    assert [row["n"] for row in whole["lines"]] == [0, 2, 3, 4]
    assert [row["n"] for row in table] == ["0", "2", "3", "4"]
    assert json.loads(table[0]["fields"]) == whole["lines"][0]["fields"]


def test_people_see_no_control_that_a_log_line_holds(log: Path) -> None:
    shown = run(str(log)).stdout.decode()

    assert "\x1b" not in shown
    assert "\u202e" not in shown
    assert r"\x1b[31mx" in shown
    assert len(shown.splitlines()) == 4


def test_empty_input_is_an_empty_result() -> None:
    done = run("-", "-o", "json")

    assert (done.returncode, json.loads(done.stdout)["lines"]) == (0, [])


def test_line_that_is_too_long_is_cut_and_the_next_is_read() -> None:
    long = b"Dec 10 06:55:48 web01 app: ".ljust(3_000_000, b"x") + b"\n"

    done = run("-", "-o", "ndjson", "--year", "2026", stdin=long + FAILED)
    cut, failed = objects(done.stdout)

    assert len(cut["fields"]["message"]) == 65_536 - 27
    assert (failed["n"], failed["host"], done.returncode) == (1, "web01", 0)
    assert done.stderr == b"-: 1 line longer than 65536 bytes; only that much of each was read\n"


def test_byte_order_mark_before_the_first_line_is_left_out() -> None:
    done = run("-", "-o", "ndjson", "--year", "2026", stdin=b"\xef\xbb\xbf" + FAILED)

    assert [line["host"] for line in objects(done.stdout)] == ["web01"]


def test_help_says_that_an_empty_line_has_its_number() -> None:
    assert b"an empty one has its number" in b" ".join(run("--help").stdout.split())


def test_line_of_64_kib_is_read() -> None:
    line = b"Dec 10 06:55:48 web01 app: ".ljust(65_536, b"x") + b"\n"

    assert len(objects(run("-", "-o", "ndjson", stdin=line).stdout)[0]["fields"]["message"]) == 65_536 - 27


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["/nowhere/auth.log"], "does not exist"),
        ([], "Missing argument"),
        (["-", "--format", "cobol"], "cobol"),
        (["-", "--timezone", "Mars/Olympus"], "Asia/Ho_Chi_Minh"),
        (["-", "--year", "20"], "20"),
    ],
)
def test_wrong_use_is_said_clearly_with_status_2(arguments: list[str], reason: str) -> None:
    done = run(*arguments)

    assert done.returncode == 2
    assert reason in done.stderr.decode()
    assert not done.stdout


def test_reader_that_leaves_early_causes_no_noise(tmp_path: Path) -> None:
    path = tmp_path / "auth.log"
    path.write_bytes(FAILED * 20_000)
    command = [sys.executable, "-m", "socmon", "parse", str(path), "-o", "ndjson"]

    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        noise = process.stderr.read()
        process.wait(timeout=60)

    assert noise == b""
