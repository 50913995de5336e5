"""Captures that others have read, through our analysis: flows and JA3 by nDPI, connections by Zeek, JA4 by FoxIO.

The captures and what others say of them lie in `net/` of SOCMON_DATA (licences in its MANIFEST.json). Each measure has
a trivial reader beside it, of a few lines: what one scores without understanding much.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct

from socmon.errors import ParseError
from socmon.network import Analysis, read_capture

FOLDER = Path("net")
_HELLO = re.compile(rb"\x16\x03.{3}\x01.{0,600}?\0\0\0.\0.\0\0.([\w.-]{4,255})", re.DOTALL)
_PROTOCOLS = {6: "tcp", 17: "udp", 1: "icmp", 58: "icmp"}
_RENAMED = {"src": "id.orig_h", "src_port": "id.orig_p", "dst": "id.resp_h", "dst_port": "id.resp_p"}

OTHER, DAMAGED, DIVIDED = "not classified", "damaged on purpose", "ended and begun again"
DATAGRAMS, TURNED, STATE = "QUIC and DTLS", "who began is not seen", "another state"
REASONS = {
    DIVIDED: "nDPI keeps one flow for two ends as long as it runs. Ours ends some seconds after its last FIN or RST, "
    "and after silence, as Zeek's does. All of ours together have as many packets.",
    DAMAGED: "Lengths inside its packets contradict each other. What cannot be told to be a flow is counted as bad.",
    DATAGRAMS: "Hellos in QUIC, which are encrypted, and in DTLS are not read.",
    TURNED: "Without a SYN, Zeek's originator is who sent first; ours is who has the port that nobody serves.",
    STATE: "The connection is there, with the same originator.",
    OTHER: "The reason is not known yet.",
}

End = tuple[str, int]
Key = tuple[str, frozenset[End]]
Row = Mapping[str, Any]


class Score(Struct):
    """One measure: rows of the oracle, those that we have and that the trivial reader has, and where we have them not.

    Attributes:
        captures: (ours, trivial), each a share of the rows of one capture; their means are the scores.
        missed: by reason, the captures with rows that we do not have, and how many.
    """

    rows: int = 0
    ours: int = 0
    trivial: int = 0
    captures: list[tuple[float, float]] = []
    missed: dict[str, Counter[str]] = {}

    def add(self, case: str, rows: int, ours: int, trivial: int, why: Mapping[str, int] | None = None) -> None:
        """Count one capture; `why` says of how many of the rows that we do not have the reason is known."""
        if rows:
            self.rows, self.ours, self.trivial = self.rows + rows, self.ours + ours, self.trivial + trivial
            self.captures.append((ours / rows, trivial / rows))
            known = Counter(why or {})
            known[OTHER if "fuzz" not in case else DAMAGED] += rows - ours - known.total()
            for reason, count in (+known).items():
                self.missed.setdefault(reason, Counter())[case] += count

    def mean(self, which: int) -> float:
        """Of the captures: of us (0) or of the trivial reader (1)."""
        return sum(each[which] for each in self.captures) / len(self.captures)


class Trivial(Struct):
    """What a naive reader finds: addresses and ports of every packet, and the first thing like a name in a hello."""

    flows: dict[Key, Counter[End]] = {}
    first: dict[Key, tuple[End, End]] = {}
    names: dict[Key, str] = {}

    def by_host(self, flow: Key) -> Counter[str]:
        """Packets of a flow by who sent them."""
        found: Counter[str] = Counter()
        for (host, _), number in self.flows.get(flow, Counter[End]()).items():
            found[host] += number
        return found


def lines_of(capture: Path) -> list[Row]:
    """Our events of one capture; of a damaged one those before the damage."""
    lines: list[bytes] = []
    analysis = Analysis(lines.append)
    for ts, link, frame in packets(capture):
        analysis.packet(frame, ts, link)
    analysis.finish()
    return [json.loads(line) for line in lines]


def packets(capture: Path) -> Iterator[tuple[float, int, bytes]]:
    """(time, link type, frame) up to the end or the damage."""
    with capture.open("rb") as stream:
        try:
            yield from read_capture(stream)
        except ParseError:
            return


def key(protocol: str, *ends: End) -> Key:
    """A flow whatever its direction; only TCP and UDP have ports that all count alike."""
    return protocol, frozenset(ends if protocol in ("tcp", "udp") else ((host, 0) for host, _ in ends))


def key_of(row: Row) -> Key:
    """Of a row of Zeek's or ours."""
    ends = [(row[f"id.{side}_h"], int(row[f"id.{side}_p"])) for side in ("orig", "resp")]
    return key(row["proto"], *ends)


def trivial(capture: Path) -> Trivial:
    """The trivial reader: Ethernet, IPv4 without options, TCP, UDP and ICMP."""
    found = Trivial()
    for _, link, frame in packets(capture):
        if link != 1 or frame[12:14] != b"\x08\0" or len(frame) < 38 or frame[14] != 0x45:
            continue
        name = _PROTOCOLS.get(frame[23], "unknown_transport")
        source, target = (".".join(map(str, frame[at : at + 4])) for at in (26, 30))
        sent, to = ((source, int.from_bytes(frame[34:36], "big")), (target, int.from_bytes(frame[36:38], "big")))
        flow = key(name, sent, to)
        found.first.setdefault(flow, (sent, to))
        found.flows.setdefault(flow, Counter())[sent] += 1
        if flow not in found.names and (hello := _HELLO.search(frame)):
            found.names[flow] = hello[1].decode()
    return found


# ── measures ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def ndpi(case: str, told: Row, events: list[Row], naive: Trivial, scores: dict[str, Score]) -> None:
    """Flows, and their packets in each direction; JA3 and names of TLS, over TCP and over UDP (QUIC, DTLS)."""
    ours: dict[Key, list[Counter[str]]] = {}
    for row in (each for each in events if each["_path"] == "conn"):
        count = Counter({row["id.orig_h"]: row["orig_pkts"]}) + Counter({row["id.resp_h"]: row["resp_pkts"]})
        ours.setdefault(key_of(row), []).append(count)
    flows = [(_key_of_ndpi(flow), flow) for flow in told.get("flows", [])]
    hits = sum(which in ours for which, _ in flows)
    scores["flows (nDPI)"].add(case, len(flows), hits, sum(which in naive.flows for which, _ in flows))
    wanted = [(which, _packets_of_ndpi(flow)) for which, flow in flows]
    counted = sum(count in ours.get(which, []) for which, count in wanted)
    naively = sum(count == naive.by_host(which) for which, count in wanted)
    divided = sum(
        count not in ours.get(which, []) and count == sum(ours.get(which, []), Counter[str]())
        for which, count in wanted
    )
    scores["packets of each direction (nDPI)"].add(case, len(flows), counted, naively, {DIVIDED: divided})
    for protocol, over in (("tcp", "TCP"), ("udp", "UDP")):
        said = [(which, flow) for which, flow in flows if which[0] == protocol and flow.get("ja3")]
        _tls(case, said, events, naive, (scores[f"JA3 over {over} (nDPI)"], scores[f"server name over {over} (nDPI)"]))


def _tls(case: str, said: list[tuple[Key, Row]], events: list[Row], naive: Trivial, into: tuple[Score, Score]) -> None:
    """The trivial reader always says the most frequent JA3 of the capture."""
    ours: dict[frozenset[End], list[Row]] = {}
    for row in (each for each in events if each["_path"] == "ssl"):
        ours.setdefault(key_of({**row, "proto": "tcp"})[1], []).append(row)
    usual = Counter(flow["ja3"] for _, flow in said).most_common(1)
    agree = sum(any(row.get("ja3") == flow["ja3"] for row in ours.get(which[1], [])) for which, flow in said)
    over_udp = bool(said) and said[0][0][0] == "udp"
    into[0].add(case, len(said), agree, usual[0][1] if usual else 0, {DATAGRAMS: (len(said) - agree) * over_udp})
    named = [(which, flow["host"]) for which, flow in said if flow.get("host")]
    agree = sum(any(row.get("server_name") == host for row in ours.get(which[1], [])) for which, host in named)
    naively = sum(naive.names.get(which) == host for which, host in named)
    into[1].add(case, len(named), agree, naively, {DATAGRAMS: (len(named) - agree) * over_udp})


def _key_of_ndpi(flow: Row) -> Key:
    name = flow["proto"].lower()
    protocol = "icmp" if name.startswith("icmp") else name if name in ("tcp", "udp") else "unknown_transport"
    return key(protocol, *((flow[f"{side}_ip"], int(flow.get(f"{side}_port") or 0)) for side in ("src", "dst")))


def _packets_of_ndpi(flow: Row) -> Counter[str]:
    sent, answered = flow["pkts"]
    return Counter({flow["src_ip"]: sent}) + Counter({flow["dst_ip"]: answered})


def zeek(case: str, told: Row, events: list[Row], naive: Trivial, scores: dict[str, Score]) -> None:
    """Connections with their direction and state, each once."""
    rows = [{_RENAMED.get(name, name): value for name, value in row.items()} for row in told.get("conn", [])]
    want = {
        (*_directed(row), row["conn_state"])
        for row in rows
        if "id.orig_h" in row and {"proto", "conn_state"} <= row.keys()
    }
    have = {(*_directed(row), row["conn_state"]) for row in events if row["_path"] == "conn"}
    naively = {
        (flow[0], *ends[0], *ends[1], "SF") for flow, ends in naive.first.items()
    }  # the first packet says who began, and every connection is well
    lacking, ends_of_ours = want - have, {each[:5] for each in have}
    turned = sum((each[0], *each[3:5], *each[1:3], each[5]) in have for each in lacking)
    why = {TURNED: turned, STATE: sum(each[:5] in ends_of_ours for each in lacking)}
    scores["connections and their state (Zeek)"].add(case, len(want), len(want & have), len(want & naively), why)


def _directed(row: Row) -> tuple[Any, ...]:
    return (row["proto"], row["id.orig_h"], int(row["id.orig_p"]), row["id.resp_h"], int(row["id.resp_p"]))


def ja4(case: str, told: Row, events: list[Row], _naive: Trivial, scores: dict[str, Score]) -> None:
    """JA4 of the client; the trivial reader always says the most frequent one."""
    have = {(*_directed({"proto": ""} | dict(row)), row.get("ja4")) for row in events if row["_path"] == "ssl"}
    for transport, name in (("tcp", "JA4 over TCP (FoxIO)"), ("udp", "JA4 over QUIC (FoxIO)")):
        want = {
            ("", row["src_ip"], int(row["src_port"]), row["dst_ip"], int(row["dst_port"]), row["ja4"])
            for row in told.get("tls_rust", [])
            if row["transport"] == transport
        }
        usual = Counter(each[-1] for each in want).most_common(1)
        why = {DATAGRAMS: len(want - have) * (transport == "udp")}
        scores[name].add(case, len(want), len(want & have), usual[0][1] if usual else 0, why)


MEASURES = {"ndpi": ndpi, "zeek": zeek, "ja4": ja4}
NAMES = (
    "flows (nDPI)",
    "packets of each direction (nDPI)",
    "JA3 over TCP (nDPI)",
    "JA3 over UDP (nDPI)",
    "server name over TCP (nDPI)",
    "server name over UDP (nDPI)",
    "connections and their state (Zeek)",
    "JA4 over TCP (FoxIO)",
    "JA4 over QUIC (FoxIO)",
)


def cases(data: Path) -> list[Row]:
    """What the manifest lists of the oracles that are scored."""
    listed = json.loads((data / FOLDER / "MANIFEST.json").read_text("utf-8"))["cases"]
    return [each for each in listed if each["case"].partition("/")[0] in MEASURES]


def scored(data: Path, listed: Iterable[Row]) -> dict[str, Score]:
    """By measure; each capture is read once."""
    scores = {name: Score(captures=[], missed={}) for name in NAMES}
    by_capture: dict[str, list[Row]] = {}
    for each in listed:
        by_capture.setdefault(each["pcap"], []).append(each)
    for name, told in sorted(by_capture.items()):
        capture = data / FOLDER / name
        events, naive = lines_of(capture), trivial(capture)
        for each in told:
            oracle = each["case"].partition("/")[0]
            expected = json.loads((data / FOLDER / each["expected"]).read_text("utf-8"))
            MEASURES[oracle](each["case"], expected, events, naive, scores)
    return scores


def rows(scores: Mapping[str, Score]) -> Iterator[tuple[str, ...]]:
    """A row a measure: the mean of the captures, and the sums; then the trivial reader's."""
    yield "measure", "captures", "rows", "ours, mean", "trivial, mean", "ours, rows", "trivial, rows"
    for name, score in scores.items():
        if score.rows:
            means = (f"{100 * score.mean(which):.1f} %" for which in (0, 1))
            shares = (f"{part}/{score.rows}" for part in (score.ours, score.trivial))
            yield name, str(len(score.captures)), str(score.rows), *means, *shares


def difference_rows(scores: Mapping[str, Score]) -> Iterator[tuple[str, ...]]:
    """A row a measure and reason: the captures with rows that we do not have, most first."""
    yield "measure", "class", "rows", "where", "why"
    for name, score in scores.items():
        for reason in (each for each in REASONS if each in score.missed):
            where = sorted(score.missed[reason].items(), key=lambda each: (-each[1], each[0]))
            listed = ", ".join(
                f"{case.partition('/')[2]}" + (f" ({count})" if count > 1 else "") for case, count in where
            )
            yield name, reason, str(score.missed[reason].total()), listed, REASONS[reason]
