"""What others say of real captures (`SOCMON_DATA`): Zeek of connections, FoxIO of TLS clients."""

import json
from pathlib import Path
from typing import Any

import pytest

from bench.conformance.run import data_folder
from socmon.network import Analysis, read_capture

NET = data_folder() / "net"
pytestmark = pytest.mark.skipif(not (NET / "MANIFEST.json").is_file(), reason=f"{NET} is not here; set SOCMON_DATA")

_ROW = ("id.orig_h", "id.orig_p", "id.resp_h", "id.resp_p", "proto", "conn_state")


def cases(source: str) -> list[tuple[Path, dict[str, Any]]]:
    manifest = json.loads((NET / "MANIFEST.json").read_text())
    told = [
        (NET / case["pcap"], NET / case["expected"])
        for case in manifest["cases"]
        if case["case"].startswith(f"{source}/")
    ]
    return [(capture, json.loads(expected.read_text())) for capture, expected in told]


def lines_of(capture: Path, path: str) -> list[dict[str, Any]]:
    lines: list[dict[str, Any]] = []
    analysis = Analysis(lambda line: lines.append(json.loads(line)))
    with capture.open("rb") as stream:
        for ts, link, frame in read_capture(stream):
            analysis.packet(frame, ts, link)
    analysis.finish()
    return [line for line in lines if line["_path"] == path]


def row(line: dict[str, Any]) -> tuple[str, ...]:
    return tuple(str(line[name]) for name in _ROW)


def test_connections_are_those_that_zeek_sees() -> None:
    agree = total = histories = 0
    for capture, expected in cases("zeek"):
        theirs = {row(line): line.get("history") for line in expected.get("conn", ()) if "id.orig_h" in line}
        if not theirs:
            continue
        ours: dict[tuple[str, ...], set[str | None]] = {}
        for line in lines_of(capture, "conn"):
            ours.setdefault(row(line), set()).add(line.get("history"))
        total += len(theirs)
        agree += len(theirs.keys() & ours.keys())
        histories += sum(theirs[key] in ours[key] for key in theirs.keys() & ours.keys())

    assert total > 300
    assert agree / total > 0.95
    assert histories / agree > 0.98


def test_clients_are_told_as_foxio_tells_them() -> None:
    checked = 0
    for capture, expected in cases("ja4"):
        ours = {(line["id.orig_h"], line["id.orig_p"], line["id.resp_h"]): line for line in lines_of(capture, "ssl")}
        for client in expected.get("tls_python", ()):
            if client.get("ja4", [""])[0].startswith("t"):
                line = ours[client["src_ip"], int(client["src_port"]), client["dst_ip"]]
                assert line["ja4"] in client["ja4"]
                checked += 1

    assert checked > 60
