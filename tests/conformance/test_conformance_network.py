"""The scores of captures: computed as the page says, on a capture of ours and on those of others where they are."""

import json
from pathlib import Path
from typing import Any

import pytest

from bench.conformance import network, run
from bench.packets.traffic import packets, write_capture

MANIFEST = run.data_folder() / network.FOLDER / "MANIFEST.json"
SEEN = 337  # cases of the three oracles, of which the page was written


def folder_with(tmp_path: Path, **expected: dict[str, Any]) -> Path:
    """A folder laid out as SOCMON_DATA with one capture of ours, and what each oracle says of it."""
    place = tmp_path / network.FOLDER
    place.mkdir()
    write_capture(place / "one.pcap", flows=40)
    cases = []
    for oracle, told in expected.items():
        (place / f"{oracle}.json").write_text(json.dumps(told))
        cases.append({"case": f"{oracle}/one.pcap", "pcap": "one.pcap", "expected": f"{oracle}.json"})
    (place / "MANIFEST.json").write_text(json.dumps({"cases": [*cases, {"case": "suricata/one", "pcap": "none"}]}))
    return tmp_path


def events(tmp_path: Path, path: str) -> list[network.Row]:
    capture = tmp_path / "look.pcap"
    write_capture(capture, flows=40)
    return [row for row in network.lines_of(capture) if row["_path"] == path]


def scored(folder: Path) -> dict[str, network.Score]:
    return network.scored(folder, network.cases(folder))


def test_flows_and_their_packets_are_found_whichever_end_is_named_first(tmp_path: Path) -> None:
    conn = events(tmp_path, "conn")[:4]
    flows = [
        {
            "proto": row["proto"].upper(), "src_ip": row["id.resp_h"], "src_port": row["id.resp_p"],
            "dst_ip": row["id.orig_h"], "dst_port": row["id.orig_p"], "pkts": [row["resp_pkts"], row["orig_pkts"]],
        }
        for row in conn
    ]  # fmt: skip
    flows[0]["pkts"][0] += 1
    flows[1]["src_ip"] = "203.0.113.99"

    scores = scored(folder_with(tmp_path, ndpi={"flows": flows}))

    assert (scores["flows (nDPI)"].rows, scores["flows (nDPI)"].ours) == (4, 3)
    assert scores["packets of each direction (nDPI)"].ours == 2
    assert scores["packets of each direction (nDPI)"].missed == {network.OTHER: {"ndpi/one.pcap": 2}}


def test_flows_of_ours_that_are_one_of_ndpis_are_said_to_be_so() -> None:
    ours: list[network.Row] = [
        {"_path": "conn", "proto": "udp", "id.orig_h": "192.0.2.1", "id.orig_p": 1, "id.resp_h": "192.0.2.2",
         "id.resp_p": 2, "orig_pkts": count, "resp_pkts": 1}
        for count in (2, 3)
    ]  # fmt: skip
    ends = {"src_ip": "192.0.2.1", "src_port": 1, "dst_ip": "192.0.2.2", "dst_port": 2}
    told = {"flows": [{"proto": "UDP", **ends, "pkts": [5, 2]}]}
    scores = {name: network.Score(captures=[], missed={}) for name in network.NAMES}

    network.ndpi("ndpi/x", told, ours, network.Trivial(flows={}, first={}, names={}), scores)

    assert scores["packets of each direction (nDPI)"].missed == {network.DIVIDED: {"ndpi/x": 1}}


def test_fingerprints_and_names_must_be_those_of_the_flow(tmp_path: Path) -> None:
    ssl = events(tmp_path, "ssl")[:3]
    flows = [
        {
            "proto": "TCP", "src_ip": row["id.orig_h"], "src_port": row["id.orig_p"], "dst_ip": row["id.resp_h"],
            "dst_port": row["id.resp_p"], "pkts": [1, 1], "ja3": row["ja3"], "host": row["server_name"],
        }
        for row in ssl
    ]  # fmt: skip
    flows[0] |= {"ja3": "0" * 32, "host": "other.example"}
    rust = [
        {"transport": transport, "ja4": row["ja4"]} | {key: flow[key] for key in flow if key[:3] in ("src", "dst")}
        for row, flow, transport in zip(ssl, flows, ("tcp", "tcp", "udp"), strict=True)
    ]  # fmt: skip
    rust[1]["ja4"] = "t00d000000_000000000000_000000000000"

    scores = scored(folder_with(tmp_path, ndpi={"flows": flows}, ja4={"tls_rust": rust}))

    assert (scores["JA3 over TCP (nDPI)"].rows, scores["JA3 over TCP (nDPI)"].ours) == (3, 2)
    name = scores["server name over TCP (nDPI)"]
    assert (name.rows, name.ours, name.trivial) == (3, 2, 2)
    assert (scores["JA4 over TCP (FoxIO)"].rows, scores["JA4 over TCP (FoxIO)"].ours) == (2, 1)


def test_connections_count_once_with_direction_and_state_and_the_difference_has_its_class(tmp_path: Path) -> None:
    conn = [{name: str(value) for name, value in row.items()} for row in events(tmp_path, "conn")]
    (sf, *_), (other, *_) = ([row for row in conn if (row["conn_state"] == "SF") is well] for well in (True, False))
    turned = other | {
        f"id.{a}_{x}": other[f"id.{b}_{x}"] for a, b in (("orig", "resp"), ("resp", "orig")) for x in "hp"
    }
    renamed = {name: sf[f"id.{side}_{x}"] for name, side, x in (("src", "orig", "h"), ("src_port", "orig", "p"))}
    renamed |= {"dst": sf["id.resp_h"], "dst_port": sf["id.resp_p"], "proto": sf["proto"], "conn_state": "REJ"}

    (score,) = (
        each
        for name, each in scored(
            folder_with(tmp_path, zeek={"conn": [sf, sf, other, turned, renamed, {"uid": "C"}]})
        ).items()
        if "Zeek" in name
    )

    assert (score.rows, score.ours) == (4, 2)
    assert score.missed == {network.TURNED: {"zeek/one.pcap": 1}, network.STATE: {"zeek/one.pcap": 1}}


def test_the_score_is_the_mean_of_the_captures() -> None:
    score = network.Score(captures=[], missed={})
    score.add("a", 1000, 1000, 1000)
    score.add("b", 1, 0, 1)
    score.add("of no row", 0, 0, 0)

    (_, row) = network.rows({"flows": score})

    assert row == ("flows", "2", "1001", "50.0 %", "100.0 %", "1000/1001", "1001/1001")


def test_the_traffic_of_a_seed_is_always_the_same() -> None:
    assert packets(30, seed=5) == packets(30, seed=5) != packets(30, seed=6)


@pytest.mark.skipif(not MANIFEST.is_file(), reason=f"{MANIFEST} is not here; set SOCMON_DATA")
def test_the_page_says_what_all_captures_score_today() -> None:
    data = run.data_folder()
    cases = network.cases(data)
    if len(cases) != SEEN:
        pytest.skip("SOCMON_DATA names other data than the page was written from")

    scores = network.scored(data, cases)

    part = run.PAGE.read_text("utf-8").split(run.BEGIN)[3].partition(run.END)[0].strip()
    assert part == run.network_report(scores)
    datagrams = ("JA3 over UDP (nDPI)", "server name over UDP (nDPI)", "JA4 over QUIC (FoxIO)")
    assert [name for name, each in scores.items() if name not in datagrams and each.mean(0) < each.mean(1)] == []
    least = {"flows (nDPI)": 0.97, "packets of each direction (nDPI)": 0.93, "JA3 over TCP (nDPI)": 0.95}
    least |= {
        "server name over TCP (nDPI)": 0.95,
        "connections and their state (Zeek)": 0.92,
        "JA4 over TCP (FoxIO)": 1.0,
    }
    assert {name: scores[name].mean(0) for name, mean in least.items() if scores[name].mean(0) < mean} == {}
