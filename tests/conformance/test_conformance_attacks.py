"""Attacks that others have captured, through our analysis and the shipped rules: each raises its alert."""

import json
from pathlib import Path

import pytest

from bench.conformance import network, run
from socmon.network import Analysis
from socmon.replaying import Replay
from socmon.resources import shipped
from socmon.sigma import load_rules

MANIFEST = run.data_folder() / network.FOLDER / "MANIFEST.json"
ATTACKS = {
    "ndpi/synscan.pcap": {"Port scan on the network"},
    "ndpi/dns2tcp_tunnel.pcap": {
        "DNS past the resolver"
    },  # one exchange: too little for a tunnel, and not by the resolver
    "ndpi/dns-tunnel-iodine.pcap": {"DNS tunnel"},
}


@pytest.mark.skipif(not MANIFEST.is_file(), reason=f"{MANIFEST} is not here; set SOCMON_DATA")
def test_each_attack_alerts_and_nothing_else_does(tmp_path: Path) -> None:
    rules = load_rules([shipped("rules")])
    found: dict[str, set[str]] = {}
    for case in json.loads(MANIFEST.read_text("utf-8"))["cases"]:
        if case["case"] in ATTACKS:
            lines: list[bytes] = []
            analysis = Analysis(lines.append)
            for ts, link, frame in network.packets(MANIFEST.parent / case["pcap"]):
                analysis.packet(frame, ts, link)
            analysis.finish()
            log = tmp_path / "events.json"
            log.write_bytes(b"\n".join(lines) + b"\n")
            found[case["case"]] = {each.alert.title for each in Replay([str(log)], rules).alerts()}

    assert found == ATTACKS
