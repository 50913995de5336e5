"""Capture files on the command line: `parse` and `replay --format pcap`, `show-packet`, `socmon-capture --read`."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from pcap_kit import capture_file
from store_kit import valid

from bench.capture.traffic import traffic, write
from socmon.capture.command import _report, command
from socmon.cli import main
from socmon.network import read_capture

HOSTILE = b"\x02\x00\x00\x00\x00\x02\x02\x00\x00\x00\x00\x01\x08\x06" + b"\x1b[31m\xe2\x80\xae" * 30


def socmon(*args: str) -> Result:
    return CliRunner(env={"SOCMON_CONFIG": None, "LC_ALL": "C"}).invoke(main, args)


def read(*args: str, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "socmon.capture", "--read", *args]
    return subprocess.run(command, input=given, capture_output=True, timeout=60, check=False)


def test_parse_shows_each_event_of_a_capture_file(tmp_path: Path) -> None:
    events = capture_file(tmp_path / "a.pcap")

    result = socmon("parse", "--format", "pcap", "-o", "ndjson", str(tmp_path / "a.pcap"))

    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert result.exit_code == 0
    assert [row["n"] for row in rows] == list(range(len(events)))
    assert [row["fields"]["uid"] for row in rows] == [json.loads(event)["uid"] for event in events]
    assert {row["format"] for row in rows} == {"zeek"}
    assert all(row["time"].startswith("2025-11-24T16:0") for row in rows)


def test_parse_and_replay_use_what_comes_before_the_damage_and_say_so(tmp_path: Path) -> None:
    capture_file(tmp_path / "a.pcap")
    (tmp_path / "bad.pcap").write_bytes((tmp_path / "a.pcap").read_bytes()[:9001])

    parsed = socmon("parse", "--format", "pcap", str(tmp_path / "bad.pcap"))
    replayed = socmon("replay", "--format", "pcap", str(tmp_path / "bad.pcap"), str(tmp_path / "a.pcap"))

    assert parsed.exit_code == replayed.exit_code == 1
    assert len(parsed.stdout.splitlines()) > 5
    assert "cannot read all of" in parsed.stderr
    assert "cannot read all of" in replayed.stderr


def test_replay_runs_the_events_of_capture_files_through_rules(tmp_path: Path) -> None:
    capture_file(tmp_path / "a.pcap")
    rule = tmp_path / "rule.yml"
    rule.write_text(
        "title: A name was asked for\nid: 9f2c1c52-4d0e-4b8e-9d1e-0c7c7c7b1a09\n"
        "logsource: {product: zeek, service: dns}\n"
        "detection:\n  selection: {query|endswith: .tinh.gov.vn}\n  condition: selection\nlevel: low\n"
    )
    asked = sum(each.startswith(b'{"_path":"dns"') for each in capture_file(tmp_path / "a.pcap"))

    args = ("replay", "--format", "pcap", "--matches", "-o", "ndjson", "--rules", str(rule), str(tmp_path / "a.pcap"))
    result = socmon(*args)

    assert result.exit_code == 0, result.stderr
    assert len(result.stdout.splitlines()) == asked > 5


def test_a_packet_is_taken_apart_in_every_form(tmp_path: Path) -> None:
    packets = traffic(10).packets
    write(tmp_path / "a.pcap", packets)
    number = next(n for n, (_, packet) in enumerate(packets, 1) if b"gov\x02vn" in packet)

    human = socmon("show-packet", str(tmp_path / "a.pcap"), str(number), "--tz", "UTC")
    told = json.loads(socmon("show-packet", str(tmp_path / "a.pcap"), str(number), "-o", "json").stdout)
    row = json.loads(socmon("show-packet", str(tmp_path / "a.pcap"), str(number), "-o", "ndjson").stdout)

    assert human.exit_code == 0
    assert "###[ DNS ]###" in human.stdout
    assert "0000  02 00 00 00 00 02 02 00 00 00 00 01 08 00 45 00  ..............E." in human.stdout
    assert valid(told, "show-packet.v1")
    assert {"schema": "socmon.show-packet/v1", **row} == told
    assert bytes.fromhex(told["hex"]) == packets[number - 1][1]
    assert "gói tin" in socmon("show-packet", str(tmp_path / "a.pcap"), "1", "--lang", "vi").stdout


@pytest.mark.parametrize("form", ["human", "json", "csv"])
def test_a_packet_cannot_steer_a_terminal(tmp_path: Path, form: str) -> None:
    write(tmp_path / "a.pcap", [(1.0, HOSTILE)])

    result = socmon("show-packet", str(tmp_path / "a.pcap"), "1", "-o", form)

    assert result.exit_code == 0
    assert not {"\x1b", "\u202e"} & set(result.stdout)


def test_a_packet_that_is_not_there_is_told(tmp_path: Path) -> None:
    write(tmp_path / "a.pcap", traffic(1).packets)
    count = len(traffic(1).packets)
    (tmp_path / "bad.pcap").write_bytes(b"nothing of the kind")

    missing = socmon("show-packet", str(tmp_path / "a.pcap"), "9999")
    damaged = socmon("show-packet", str(tmp_path / "bad.pcap"), "1")

    assert (missing.exit_code, damaged.exit_code) == (5, 1)
    assert f"the last one is {count}" in missing.stderr
    assert "up to packet 1" in damaged.stderr


def test_without_scapy_the_remedy_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "a.pcap", traffic(1).packets)
    for name in ("scapy", "scapy.all", "scapy.packet"):
        monkeypatch.setitem(sys.modules, name, None)

    result = socmon("show-packet", str(tmp_path / "a.pcap"), "1")

    assert result.exit_code == 1
    assert "pip install 'socmon[capture]'" in result.stderr


def test_capture_decodes_a_file_to_lines_and_counts_them(tmp_path: Path) -> None:
    events = capture_file(tmp_path / "a.pcap")
    data = (tmp_path / "a.pcap").read_bytes()
    with (tmp_path / "a.pcap").open("rb") as stream:
        packets = sum(1 for _ in read_capture(stream))

    done, counted = read("-", given=data), read(str(tmp_path / "a.pcap"), "--count")
    cut = read("-", given=data[:3001])

    assert done.stdout.splitlines() == events
    told = json.loads(counted.stdout)
    assert done.stderr == counted.stdout
    assert (told["packets"], told["events"], told["bad"], told["trouble"]) == (packets, len(events), 0, "")
    assert (done.returncode, counted.returncode, cut.returncode) == (0, 0, 1)
    assert "in the middle of" in json.loads(cut.stderr)["trouble"]


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ([], "say which interface (-i NAME) or which file (--read FILE)"),
        (["--read", "/nowhere"], "cannot read /nowhere: no such file"),
        (["--read", "/"], "is a directory"),
        (["-i", "lo", "--count"], "--count goes with --read"),
        (["-i", "lo", "--sensor", "../x"], "use 1 to 64 letters"),
        (["--buffer", "0"], "is not in the range"),
    ],
)
def test_capture_that_is_used_wrongly_exits_with_2(args: list[str], said: str) -> None:
    with pytest.raises(Exception, match=r".*") as caught:
        command.main(args, standalone_mode=False)

    assert _report(caught.value) == 2
    assert said in str(getattr(caught.value, "message", caught.value))
