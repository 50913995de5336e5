"""The benchmark of packets in small: our events name what tshark finds, and a wrong answer or a slow one is noticed."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from bench.packets import answers, exports, readers, report
from bench.packets.traffic import write_capture
from bench.ssh_bruteforce import children

GOOD = report.Found(
    packets=20_000,
    events=3000,
    differences=dict.fromkeys(answers.KINDS, 0),
    rates={
        "ours": [50_000.0, 60_000.0],
        "scapy": [2000.0, 2000.0],
        "scapy_with_layers": [1000.0, 1000.0],
        "tshark": [20_000.0, 20_000.0],
    },
    flows={5: [100_000.0]},
)


@pytest.mark.skipif(not shutil.which("tshark"), reason="tshark is not installed")
def test_our_events_name_what_tshark_finds(tmp_path: Path) -> None:
    capture = tmp_path / "traffic.pcap"
    write_capture(capture, flows=120, seed=2)
    for name in ("ours", "tshark"):
        children.run(readers.command(name, capture), tmp_path / f"{name}.out")

    ours, theirs = answers.of_events(tmp_path / "ours.out"), answers.of_tshark(tmp_path / "tshark.out")

    assert answers.differences(ours, theirs) == dict.fromkeys(answers.KINDS, 0)
    assert min(names.total() for names in ours.values()) > 10
    ours[answers.KINDS[1]]["www.example.com"] += 1
    assert answers.differences(ours, theirs)[answers.KINDS[1]] == 1


@pytest.mark.parametrize("version", exports.VERSIONS)
def test_every_flow_of_the_exports_is_read(version: int) -> None:
    assert exports.flows_per_cpu_s(version, 5) > 0


def test_what_is_not_as_required_is_named() -> None:
    assert GOOD.problems == []
    assert replace(GOOD, differences={"TLS server names": 2}).problems == ["2 TLS server names differ from tshark's"]
    slow = replace(GOOD, rates={**GOOD.rates, "scapy": [3000.0, 3000.0], "tshark": [30_000.0, 40_000.0]})
    assert [problem.partition(" times")[0] for problem in slow.problems] == ["only 18.3", "only 1.6"]


def test_the_page_shows_each_reader() -> None:
    page = report.as_markdown(GOOD)

    assert "| socmon | 50,000 | 55,000 | 60,000 |  |" in page
    assert "| scapy, without its TLS and HTTP layers | 2,000 | 2,000 | 2,000 | 27.5 |" in page
    assert "| scapy, with them, as we decode both | 1,000 | 1,000 | 1,000 | 55.0 |" in page
    assert "| NetFlow v5 | 100,000 | 100,000 | 100,000 |" in page
