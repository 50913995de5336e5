"""`socmon replay` as an operator runs it: what it prints, how it exits, and files that are not as they should be."""

import csv
import gzip
import io
import json
import os
import random
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from replay_kit import failed, objects, quiet, run, undated, write
from store_kit import valid

KEYS = [
    "rule_id", "title", "level", "group", "agency", "system", "system_level", "first_seen", "last_seen", "count",
    "events",
]  # fmt: skip
BRUTE_FORCE = "0f2a6c1d-5c0e-4b5b-8f0a-2d6b0f6a9e41"
FAILURE = "6b8b4a8e-0a3c-4c39-9d3f-6d5d7d2b1f10"
OTHER_RULE = """
title: Anything from sshd
id: 77777777-7777-4777-8777-777777777777
status: test
level: low
logsource: {product: linux, service: sshd}
detection: {any: {program: sshd}, condition: any}
"""


@pytest.fixture
def attack(tmp_path: Path) -> str:
    """A log with one brute force of five."""
    return write(tmp_path / "auth.log", quiet(0), "\n", *(failed(second) for second in range(5)))


# ── standard input, pipes, odd files ─────────────────────────────────────────────────────────────────────────────────


def test_standard_input_without_a_year_says_what_it_could_not_do() -> None:
    lines = "".join(undated(second) for second in range(5)).encode()

    alone, dated, matched = (
        run("-", *more, "-o", "ndjson", stdin=lines) for more in ([], ["--year", "2026"], ["--matches"])
    )

    told = b"5 events have no time (standard input without --year); they are matched, not correlated\n"
    assert (alone.returncode, alone.stdout, alone.stderr) == (1, b"", told)
    assert (dated.returncode, objects(dated.stdout)[0]["first_seen"]) == (0, "2026-03-01T12:00:00Z")
    assert (matched.returncode, len(objects(matched.stdout)), matched.stderr) == (0, 5, b"")


def test_standard_input_that_states_years_needs_none() -> None:
    done = run("-", "-o", "ndjson", stdin="".join(failed(second) for second in range(5)).encode())

    assert (done.returncode, done.stderr) == (0, b"")
    assert objects(done.stdout)[0]["count"] == 5


def test_standard_input_and_a_file_are_correlated(tmp_path: Path) -> None:
    log = write(tmp_path / "log", *(failed(second) for second in (0, 2, 4)))

    done = run(log, "-", "-o", "ndjson", stdin="".join(failed(second) for second in (1, 3)).encode())

    assert [event["file"] for event in objects(done.stdout)[0]["events"]] == [log] * 3 + ["-"] * 2


def test_pipe_is_a_file_and_is_dated_by_itself(attack: str) -> None:
    lines = b"".join(failed(0, stamp=f"Mar  1 12:00:0{n}").encode() for n in range(5))
    readable, writable = os.pipe()
    os.write(writable, lines)
    os.close(writable)
    command = [sys.executable, "-m", "socmon", "replay", f"/dev/fd/{readable}", "-o", "ndjson"]

    done = subprocess.run(command, capture_output=True, check=False, timeout=60, pass_fds=[readable])
    os.close(readable)

    [alert] = objects(done.stdout)
    assert datetime.fromisoformat(alert["last_seen"]) < datetime.now(UTC) + timedelta(days=1)
    assert (done.returncode, alert["count"]) == (0, 5)


@pytest.mark.parametrize(
    ("damage", "reason", "kept"),
    [
        (lambda _data: b"plain text, not gzip", b"not a gzipped file", False),
        (lambda data: data[:-2000], b"end-of-stream marker", True),
        (lambda data: data + data[:10] + b"\x07" * 100, b"invalid block type", True),
        (lambda data: data[:-8] + bytes(8), b"crc check failed", True),
    ],
    ids=["not gzip", "truncated", "corrupt second member", "wrong checksum"],
)
def test_damaged_gz_is_named_and_the_rest_is_used(
    tmp_path: Path, attack: str, damage: Any, reason: bytes, *, kept: bool
) -> None:
    noise = random.Random(0)
    lines = [failed(second, "198.51.100.1") for second in range(5)]
    lines += [quiet(10 + n, host=noise.randbytes(12).hex()) for n in range(20_000)]
    bad = tmp_path / "bad.gz"
    bad.write_bytes(damage(gzip.compress("".join(lines).encode())))

    done = run(str(bad), attack, "-o", "ndjson")

    found = {alert["group"]["src_ip"] for alert in objects(done.stdout)}
    assert found == {"192.0.2.7"} | ({"198.51.100.1"} if kept else set())
    assert done.returncode == 1
    told = done.stderr.splitlines()[0]  # a damaged part may have given lines that are none
    assert told.startswith(b"cannot read all of " + str(bad).encode() + b": ")
    assert reason in told.lower()


def test_gz_is_read_as_what_is_in_it(tmp_path: Path, attack: str) -> None:
    packed = tmp_path / "auth.log.gz"
    packed.write_bytes(gzip.compress(Path(attack).read_bytes()))

    done = run(str(packed), "-o", "ndjson")

    assert (done.returncode, done.stderr) == (0, b"")
    assert objects(done.stdout)[0]["count"] == 5


def test_long_line_is_cut_as_elsewhere_and_told_of_once(tmp_path: Path) -> None:
    long = [failed(second).rstrip() + "x" * 100_000 + "\n" for second in range(2)]
    log = write(tmp_path / "log", *long, *(failed(second) for second in range(5)))

    done = run(log, "-o", "ndjson")

    assert done.stderr.decode() == f"{log}: 2 lines longer than 65536 bytes; only that much of each was read\n"
    assert [event["n"] for event in objects(done.stdout)[0]["events"]] == [2, 3, 4, 5, 6]


def test_byte_order_mark_costs_no_line(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"\xef\xbb\xbf" + "".join(failed(second) for second in range(5)).encode())

    done = run(str(log), "-o", "ndjson")

    assert (objects(done.stdout)[0]["count"], done.stderr) == (5, b"")


def test_lines_that_cannot_be_read_are_counted_by_file(tmp_path: Path, attack: str) -> None:
    bad = write(tmp_path / "bad.log", "what\n", "\n", "is this\n")

    unknown, named = run(bad, attack, "-o", "ndjson"), run(bad, attack, "-o", "ndjson", "--format", "rfc3164")

    assert unknown.stderr.decode() == f"{bad}: 2 of 2 lines could not be read in any known format\n"
    assert named.stderr.decode() == f"{bad}: 2 of 2 lines could not be read as rfc3164\n"
    assert len(objects(unknown.stdout)) == 1


def test_name_that_is_not_utf8_can_be_shown(tmp_path: Path, attack: str) -> None:
    odd = os.fsencode(tmp_path) + b"/\xff.log"
    with open(odd, "wb") as stream:  # noqa: PTH123  pathlib takes no bytes
        stream.write(Path(attack).read_bytes())

    done = run(os.fsdecode(odd), "-o", "ndjson")

    assert objects(done.stdout)[0]["events"][0]["file"] == f"{tmp_path}/\\xff.log"


# ── doors ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_alert_is_one_object_with_these_keys(attack: str) -> None:
    done = run(attack, "-o", "ndjson")

    [alert] = objects(done.stdout)
    assert list(alert) == KEYS
    assert alert == {
        "rule_id": BRUTE_FORCE,
        "title": "SSH brute force",
        "level": "high",
        "group": {"src_ip": "192.0.2.7"},
        "agency": "",
        "system": "",
        "system_level": None,
        "first_seen": "2026-03-01T12:00:00Z",
        "last_seen": "2026-03-01T12:00:04Z",
        "count": 5,
        "events": [{"file": attack, "n": n} for n in range(2, 7)],
    }
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_match_is_one_object_with_its_line_and_rules(attack: str) -> None:
    done = run(attack, "--matches", "-o", "ndjson")

    assert objects(done.stdout) == [{"file": attack, "n": n, "rules": [FAILURE]} for n in range(2, 7)]
    assert done.stdout.endswith(b"}\n")


@pytest.mark.parametrize("form", ["human", "json", "ndjson", "csv"])
def test_form_may_stand_before_and_after_the_command(attack: str, form: str) -> None:
    before, after = run(attack, before=("-o", form)), run(attack, "-o", form)

    assert before.stdout == after.stdout != b""


@pytest.mark.parametrize(
    ("arguments", "schema", "key"),
    [([], "socmon.replay/v1", "alerts"), (["--matches"], "socmon.replay.matches/v1", "matches")],
)
def test_json_holds_the_same_rows_in_one_object(attack: str, arguments: list[str], schema: str, key: str) -> None:
    whole = json.loads(run(attack, *arguments, "-o", "json").stdout)

    name = schema.removeprefix("socmon.").replace("/", ".")
    rows = [valid(row, name, row=True) for row in objects(run(attack, *arguments, "-o", "ndjson").stdout)]
    assert valid(whole, name) == {"schema": schema, key: rows}


def table(output: bytes) -> list[Mapping[str, str]]:
    return list(csv.DictReader(io.StringIO(output.decode(), newline="")))


def test_csv_is_one_table_with_a_header(attack: str) -> None:
    [alert] = table(run(attack, "-o", "csv").stdout)
    rows = table(run(attack, "--matches", "-o", "csv").stdout)

    assert list(alert) == KEYS[:-1]
    assert (alert["count"], json.loads(alert["group"])) == ("5", {"src_ip": "192.0.2.7"})
    assert [(row["file"], row["n"], json.loads(row["rules"])) for row in rows] == [
        (attack, str(n), [FAILURE]) for n in range(2, 7)
    ]


def test_csv_of_nothing_is_its_header(tmp_path: Path) -> None:
    log = write(tmp_path / "log", quiet(0))

    assert run(log, "-o", "csv").stdout.decode().split("\r\n") == [",".join(KEYS[:-1]), ""]


def test_people_get_a_line_each_and_a_sum_unless_quiet(attack: str) -> None:
    shown, hushed = run(attack), run(attack, "-q")

    assert shown.stdout == hushed.stdout
    assert b"SSH brute force  src_ip=192.0.2.7" in shown.stdout
    assert shown.stderr.startswith(b"6 lines, 6 evaluated, 0 unparsed, 5 matched by a rule\n")
    assert b"\n1 alert: 1 high\n" in shown.stderr
    assert hushed.stderr == b""


def test_rules_stand_instead_of_the_shipped_ones_and_may_be_several(tmp_path: Path, attack: str) -> None:
    rules = [tmp_path / "one.yml", tmp_path / "two.yml"]
    rules[0].write_text(OTHER_RULE)
    rules[1].write_text(OTHER_RULE.replace("7777-", "8888-"))

    def ids(*paths: Path) -> set[str]:
        options = [argument for path in paths for argument in ("--rules", str(path))]
        return {alert["rule_id"] for alert in objects(run(attack, *options, "-o", "ndjson").stdout)}

    seven, eight = (OTHER_RULE.split("id: ")[1][:36].replace("7777-", digit * 4 + "-") for digit in "78")
    assert ids(rules[0]) == {seven}
    assert ids(*rules) == {seven, eight}
    assert ids() == {BRUTE_FORCE}


def test_year_and_timezone_date_what_states_none(tmp_path: Path) -> None:
    log = write(tmp_path / "log", *(undated(second) for second in range(5)))

    [alert] = objects(run(log, "--year", "2019", "--timezone", "Asia/Ho_Chi_Minh", "-o", "ndjson").stdout)

    assert alert["first_seen"] == "2019-03-01T05:00:00Z"


def test_file_dates_its_lines_by_when_it_was_written(tmp_path: Path) -> None:
    log = write(tmp_path / "log", *(undated(second) for second in range(5)))
    written_s = datetime(2022, 2, 1, tzinfo=UTC).timestamp()
    os.utime(log, (written_s, written_s))

    assert objects(run(log, "-o", "ndjson").stdout)[0]["first_seen"] == "2021-03-01T12:00:00Z"


def test_output_is_the_same_bytes_whatever_the_hash_seed(tmp_path: Path) -> None:
    chance = random.Random(5)
    files = [
        write(
            tmp_path / f"log{part}",
            *(failed(n, f"192.0.2.{chance.randrange(40)}", host=f"h{chance.randrange(9)}") for n in range(1500)),
        )
        for part in range(3)
    ]

    outputs = {run(*files, "-o", "ndjson", seed=seed).stdout for seed in "12"}
    matches = {run(*files, "--matches", "-o", "ndjson", seed=seed).stdout for seed in "12"}

    assert (len(outputs), len(matches)) == (1, 1)
    assert outputs.pop().count(b"\n") >= 40


@pytest.mark.parametrize(
    ("arguments", "code", "reason"),
    [
        ([], 2, "Missing argument"),
        (["nowhere.log"], 2, "cannot read nowhere.log: no such file"),
        (["."], 2, "cannot read .: is a directory"),
        (["auth.log", "-o", "xml"], 2, "xml"),
        (["auth.log", "--year", "20"], 2, "20"),
        (["auth.log", "--rules", "empty"], 78, "no rule could be loaded"),
        (["auth.log", "--rules", "half"], 1, "rule refused: half/bad.yml"),
        (["auth.log"], 0, ""),
    ],
)
def test_exit_code_says_what_happened(
    tmp_path: Path, attack: str, arguments: list[str], code: int, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / "bad.yml").write_text("title: no more than that\n")
    (tmp_path / "half" / "good.yml").write_text(OTHER_RULE)
    monkeypatch.chdir(tmp_path)

    done = run(*arguments, "-o", "ndjson") if "-o" not in arguments else run(*arguments)

    assert done.returncode == code
    assert reason in done.stderr.decode()
    assert len(objects(done.stdout)) == (code < 2)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_file_that_may_not_be_read_is_a_missing_privilege(attack: str) -> None:
    Path(attack).chmod(0)

    assert run(attack).returncode == 77
