"""What softflowd exports of captures, as nfdump (nfcapd) reads it and as we do: the same flows, the same totals."""

import json
import shutil
import signal
import socket
import subprocess
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from field import wait_for
from netflow_kit import decoded, ends

from bench.conformance.run import data_folder
from bench.packets.traffic import write_capture
from socmon.network.netflow import Decoder

pytestmark = pytest.mark.skipif(
    not all(map(shutil.which, ("softflowd", "nfcapd", "nfdump"))), reason="softflowd and nfdump are not installed"
)

# A SYN scan, a DNS tunnel, IPv6 with fragments, and ICMP of both families.
OF_OTHERS = (
    "synscan.pcap",
    "dns-tunnel-iodine.pcap",
    "fuzz-2006-06-26-2594.pcap",
    "icmp-tunnel.pcap",
    "ipv6_in_gtp.pcap",
)
SHORTER_THAN = 50  # so many fit any receive buffer
_WRAP_MS = 1 << 32  # of a capture that is older than softflowd's clock of uptimes only so much is told


def captures(folder: Path) -> list[Path]:
    """One of ours, and those of others that are here."""
    ours = folder / "ours.pcap"
    write_capture(ours, flows=800, seed=3)
    manifest = data_folder() / "net" / "MANIFEST.json"
    cases = json.loads(manifest.read_text("utf-8"))["cases"] if manifest.is_file() else []
    found = {each["case"]: manifest.parent / each["pcap"] for each in cases}
    return [ours, *(found[f"ndpi/{name}"] for name in OF_OTHERS if f"ndpi/{name}" in found)]


def exported(capture: Path, version: str) -> list[bytes]:
    """The datagrams that softflowd sends of `capture`."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.setsockopt(socket.SOL_SOCKET, 33, 64 * 1024 * 1024)  # SO_RCVBUFFORCE
        target = f"127.0.0.1:{receiver.getsockname()[1]}"
        subprocess.run(
            ["softflowd", "-r", str(capture), "-n", target, "-v", version], check=True, capture_output=True, timeout=60
        )
        receiver.settimeout(0)
        found: list[bytes] = []
        while True:
            try:
                found.append(receiver.recv(65_535))
            except BlockingIOError:
                return found


def waiting_bytes(port: int) -> int | None:
    """What waits in the socket on `port` of loopback; None where there is none."""
    rows = [line.split() for line in Path("/proc/net/udp").read_text().splitlines()[1:]]
    return next((int(row[4].partition(":")[2], 16) for row in rows if row[1] == f"0100007F:{port:04X}"), None)


@contextmanager
def nfcapd(folder: Path) -> Iterator[int]:
    """One that writes to `folder` what is sent to the port while the body runs."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = ["nfcapd", "-w", str(folder), "-b", "127.0.0.1", "-p", str(port), "-t", "3600"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: waiting_bytes(port) is not None, "nfcapd listens")
        yield port
        wait_for(lambda: waiting_bytes(port) == 0, "nfcapd has read all")
        process.send_signal(signal.SIGTERM)
        process.wait(20)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait(10)


def read_by_nfdump(folder: Path, datagrams: Sequence[bytes]) -> list[dict[str, Any]]:
    folder.mkdir()
    with nfcapd(folder) as port, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for first in range(0, len(datagrams), SHORTER_THAN):
            for each in datagrams[first : first + SHORTER_THAN]:
                sender.sendto(each, ("127.0.0.1", port))
            wait_for(lambda: waiting_bytes(port) == 0, "nfcapd has read them")
    told = subprocess.run(
        ["nfdump", "-R", str(folder), "-o", "json"],
        check=True,
        capture_output=True,
        timeout=60,
        env={"TZ": "UTC"},
    )
    flows: list[dict[str, Any]] = json.loads(told.stdout)
    return flows


def theirs(row: dict[str, Any]) -> tuple[Any, ...]:
    """A flow of nfdump's: ends, protocol, packets, bytes, flags, start and duration in ms."""
    source, target = (row.get(f"{side}4_addr") or row.get(f"{side}6_addr") for side in ("src", "dst"))
    ports = (row.get("icmp_type", row.get("src_port", 0)), row.get("icmp_code", row.get("dst_port", 0)))
    # nfdump 1.7.1 takes one for the other in IPFIX; of v9, where the same numbers mean the same, it does not.
    first, last = sorted(datetime.fromisoformat(row[key]).replace(tzinfo=UTC).timestamp() for key in ("first", "last"))
    times = (round(first * 1000) % _WRAP_MS, round((last - first) * 1000))
    flags = sum(1 << bit for bit, letter in enumerate("FSRPAUEC") if letter in row.get("tcp_flags", ""))
    return (source, ports[0], target, ports[1], row["proto"], row["in_packets"], row["in_bytes"], flags, *times)


def ours(line: dict[str, Any]) -> tuple[Any, ...]:
    source, source_port, target, target_port, _ = ends(line)
    times = (round(line["ts"] * 1_000_000) // 1000 % _WRAP_MS, round(line["duration"] * 1000))
    counts = (line["orig_pkts"], line["orig_ip_bytes"], line.get("netflow.tcp_flags", 0))
    return (source, source_port, target, target_port, line["ip_proto"], *counts, *times)


@pytest.mark.parametrize("version", ["5", "9", "10"])
def test_flows_and_totals_are_nfdumps(tmp_path: Path, version: str) -> None:
    datagrams = [each for capture in captures(tmp_path) for each in exported(capture, version)]
    decoder = Decoder()

    found = Counter(map(ours, decoded(decoder, *datagrams)))

    expected = Counter(map(theirs, read_by_nfdump(tmp_path / "nfdump", datagrams)))
    totals = [tuple(sum(flow[place] for flow in each.elements()) for place in (5, 6)) for each in (found, expected)]
    print(f"v{version}: {found.total()} flows, {totals[0]} packets and bytes; {decoder.counts}")
    assert found.total() > 1000
    assert (totals[0], found.total()) == (totals[1], expected.total())
    assert [*(found - expected)] == [*(expected - found)] == []
    assert (decoder.counts.malformed, decoder.counts.lost, decoder.counts.held) == (0, 0, 0)
    # softflowd's numbers of IPFIX jump, although nothing is lost: it is told, and no alert.
    assert (decoder.counts.gaps > 0) is (version == "10")
