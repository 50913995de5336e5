"""A real socmon-capture in a namespace of its own: every packet is accounted for, and every right given up."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from harness import until
from netns_kit import RECEIVES, SENDS, Cable, cable, needs_namespaces, needs_tcpreplay
from packets_kit import hearing, packets_context, socket_path

from bench.capture.traffic import traffic, write
from socmon.capture import bpf, privileges
from socmon.capture.command import NO_PRIVILEGE, PROBLEMS
from socmon.capture.ring import Ring
from socmon.errors import ComponentError, ConfigError

PROBE = str(Path(__file__).parents[1] / "ring_probe.py")
HEAD = "020000000002" + "020000000001"
DNS, HTTP = (
    HEAD + "0800" + "4500002c00004000401100000a0000010a000002" + ports + "00180000" + "00" * 16
    for ports in ("04000035", "04000050")
)
TAGGED = DNS.replace(HEAD, HEAD + "81000064", 1)


@pytest.fixture(scope="module")
def wire() -> Iterator[Cable]:
    with cable() as made:
        yield made


def probed(wire: Cable, *frames: str, expression: str = "", snaplen: int = 2000) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(
        wire.run(sys.executable, PROBE, SENDS, RECEIVES, expression, str(snaplen), *frames)
    )
    return told


def status(process: subprocess.Popen[bytes]) -> dict[str, str]:
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def said(log: Path, event: str) -> list[dict[str, Any]]:
    whole = [line for line in log.read_text().splitlines(keepends=True) if line[-1] == "\n"]
    entries = [json.loads(line) for line in whole if line.startswith("{")]
    return [entry for entry in entries if entry["event"] == event]


async def test_every_packet_of_a_burst_is_read_or_counted_and_every_flow_is_told(wire: Cable, tmp_path: Path) -> None:
    needs_tcpreplay()
    made = traffic(500)
    write(tmp_path / "burst.pcap", made.packets)
    before = wire.received()
    with socket_path() as path:
        context = packets_context(path)
        async with hearing(context) as collector:
            capture = wire.capture(path, log=tmp_path / "capture.log")
            try:
                await until(lambda: collector._connected)
                rights = status(capture)
                await asyncio.to_thread(wire.replay, tmp_path / "burst.pcap", "--preload-pcap", "--pps=20000")
                capture.send_signal(signal.SIGTERM)
                code = await asyncio.to_thread(capture.wait, 30)
            finally:
                capture.kill()
                await asyncio.to_thread(capture.wait, 30)
            await until(lambda: not collector._connected)  # and so has all that was sent
            told = collector._heard["net1"]

    assert code == 0
    assert told.packets + told.kernel_dropped == told.kernel_packets == wire.received() - before == len(made.packets)
    assert len(context.lines) == told.events - told.events_dropped == told.next
    if not told.kernel_dropped:  # on a machine that is busy enough, some may be
        paths = [json.loads(line)["_path"] for line in context.lines]
        assert (paths.count("conn"), paths.count("dns")) == (sum(made.flows.values()), made.flows["dns"])
    assert {rights[name] for name in ("CapPrm", "CapEff", "CapInh", "CapBnd", "CapAmb")} == {"0" * 16}
    assert rights["NoNewPrivs"] == "1"


def test_only_what_the_filter_takes_comes_out_and_nothing_from_before(wire: Cable) -> None:
    told = probed(wire, HTTP, DNS, HTTP, DNS, expression="udp port 53")

    assert told == {"link": 1, "seen": 2, "frames": [DNS, DNS]}


def test_a_tag_that_the_kernel_took_off_is_put_back_and_packets_are_cut(wire: Cable) -> None:
    assert probed(wire, TAGGED, HTTP)["frames"] == [TAGGED, HTTP]
    assert probed(wire, HTTP, snaplen=64)["frames"] == [HTTP[:128]]
    assert probed(wire, HTTP, snaplen=64, expression="udp")["frames"] == [HTTP[:128]]


def test_a_tunnel_has_packets_without_a_link_layer(wire: Cable) -> None:
    wire.run("ip", "tuntap", "add", "socmon-tun", "mode", "tun")
    wire.run("ip", "link", "set", "socmon-tun", "up")
    script = "from socmon.capture.ring import Ring; print(Ring('socmon-tun', buffer_mib=1).link)"

    assert wire.run(sys.executable, "-c", script) == "101\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can open an interface")
def test_what_cannot_be_captured_is_told() -> None:
    with pytest.raises(ComponentError, match="there is no interface 'no-such'"):
        Ring("no-such")
    with pytest.raises(ConfigError, match=r"--filter: .*syntax error"):
        Ring("lo", compiled=partial(bpf.compiled, "udp prt 53"))
    with pytest.raises(LookupError):
        privileges.drop("no-such-user")


def test_without_the_right_to_open_an_interface_it_says_so() -> None:
    needs_namespaces()
    script = (
        "import sys; from socmon.capture import privileges, main; privileges.drop('root');"
        "sys.argv[1:] = ['-i', 'lo']; main()"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=60)

    assert done.returncode == NO_PRIVILEGE
    assert "run as root, or give it CAP_NET_RAW" in done.stderr


def test_an_interface_that_goes_down_is_told_and_one_that_is_gone_ends_it(wire: Cable, tmp_path: Path) -> None:
    log = tmp_path / "capture.log"
    wire.run("ip", "link", "add", "socmon-d0", "type", "veth", "peer", "name", "socmon-d1")
    wire.run("ip", "link", "set", "socmon-d0", "up")
    command = [sys.executable, "-m", "socmon.capture", "-i", "socmon-d0", "--user", "nobody", "--socket", "/nowhere"]
    with log.open("wb") as out:
        capture = subprocess.Popen(wire.inside(*command), stdout=out, stderr=out)
    try:
        asyncio.run(until(lambda: said(log, "capturing")))
        user = status(capture)["Uid"]
        wire.run("ip", "link", "set", "socmon-d0", "down")
        asyncio.run(until(lambda: said(log, "the interface is down, nothing is captured until it is up")))
        wire.run("ip", "link", "del", "socmon-d0")
        code = capture.wait(30)
    finally:
        capture.kill()
        capture.wait(30)

    assert user.split() == ["65534"] * 4
    assert code == PROBLEMS
    assert "interface socmon-d0 is gone" in log.read_text()
