"""The shipped rules over captures: alerts where an attack is, and none over what is ordinary."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from socmon.demo.capture import capture, events
from socmon.errors import ParseError
from socmon.network import Analysis, read_capture
from socmon.replaying import Replay
from socmon.resources import shipped
from socmon.sigma import RuleSet, load_rules

DATA = Path(os.environ.get("SOCMON_DATA", Path(__file__).parents[3] / "shared" / "data")) / "net"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason=f"{DATA} is not here; set SOCMON_DATA")
# Case → titles of alerts. All other captures are ordinary, some of them hostile to decoders.
EXPECTED = {
    "ndpi/dns-tunnel-iodine.pcap": {"DNS tunnel"},
    "ndpi/bad-dns-traffic.pcap": {"DNS tunnel"},
    "ndpi/synscan.pcap": {"Port scan on the network"},
    # A tunnel inside HTTPS, and a telephone: that they ask a public resolver is all that can be seen.
    "ndpi/dns2tcp_tunnel.pcap": {"DNS past the resolver"},
    "ndpi/googledns_android10.pcap": {"DNS past the resolver"},
    # Bytes of a capture that were changed at random: of network cards too.
    "ndpi/fuzz-2006-06-26-2594.pcap": {"Address claimed by two network cards"},
}


@pytest.fixture(scope="module")
def rules() -> RuleSet:
    return load_rules([shipped("rules")])


def alerts(rules: RuleSet, lines: list[bytes], folder: Path) -> set[str]:
    log = folder / "events.ndjson"
    log.write_bytes(b"".join(line + b"\n" for line in lines))
    replay = Replay([str(log)], rules)
    titles = {found.alert.title for found in replay.alerts()}
    assert replay.unparsed == 0
    return titles


def decoded(path: Path) -> list[bytes]:
    lines: list[bytes] = []
    analysis = Analysis(lines.append)
    with path.open("rb") as file:
        try:
            for ts, link, frame in read_capture(file):
                analysis.packet(frame, ts, link)
        except ParseError:
            pass  # damaged on purpose: what came before counts
    analysis.finish()
    return lines


def captures() -> Iterator[tuple[str, Path]]:
    """Each capture once, under the first case that it is of."""
    seen: set[str] = set()
    for case in json.loads((DATA / "MANIFEST.json").read_text("utf-8"))["cases"]:
        path = DATA / case["pcap"]
        if case["pcap"] not in seen:
            seen.add(case["pcap"])
            yield case["case"], path


def test_what_the_demonstrations_sensor_sees_ends_in_its_two_attacks(rules: RuleSet, tmp_path: Path) -> None:
    lines = events(capture(0, 1_795_402_800_000_000))

    assert alerts(rules, lines, tmp_path) == {"Port scan on the network", "DNS tunnel"}


@needs_data
def test_real_captures_alert_where_an_attack_is_and_nowhere_else(rules: RuleSet, tmp_path: Path) -> None:
    found, count = {}, 0
    for case, path in captures():
        count += 1
        if lines := decoded(path):
            found[case] = alerts(rules, lines, tmp_path)

    assert count > 400
    assert {case: titles for case, titles in found.items() if titles} == EXPECTED
