"""The readers that are compared, each a process of its own that reads one capture.

Those in Python say on standard error what the reading took, without their start; of tshark the start is measured apart.
"""

import json
import sys
import time
from pathlib import Path

FIELDS = (
    "frame.time_epoch", "ip.src", "ip.dst", "tcp.dstport", "udp.dstport", "dns.qry.name",
    "tls.handshake.extensions_server_name", "http.host",
)  # fmt: skip


def command(name: str, capture: Path) -> list[str]:
    """What is run for a reader."""
    if name == "tshark":
        return ["tshark", "-r", str(capture), "-T", "fields", *(part for field in FIELDS for part in ("-e", field))]
    return [sys.executable, "-m", "bench.packets.readers", name, str(capture)]


def ours(capture: Path) -> float:
    """Every packet analysed; every event of every protocol goes to standard output."""
    from socmon.network import Analysis, read_capture  # noqa: PLC0415  each reader pays for its own imports only

    def tell(line: bytes) -> None:
        sys.stdout.buffer.write(line + b"\n")

    analysis = Analysis(tell)
    begun_s = time.process_time()
    with capture.open("rb") as stream:
        for ts, link, frame in read_capture(stream):
            analysis.packet(frame, ts, link)
    analysis.finish()
    return time.process_time() - begun_s


def scapy(capture: Path) -> float:
    """Every packet dissected, and nothing made of it; what TLS and HTTP carry stays raw, as scapy has it by itself."""
    from scapy.all import PcapReader  # noqa: PLC0415  the same

    begun_s = time.process_time()
    with PcapReader(str(capture)) as reader:
        for _ in reader:
            pass
    return time.process_time() - begun_s


def scapy_with_layers(capture: Path) -> float:
    """As `scapy`, with its layers of TLS and HTTP, which we decode too."""
    from scapy.all import load_layer  # noqa: PLC0415  the same

    load_layer("tls")
    load_layer("http")
    return scapy(capture)


if __name__ == "__main__":
    took_s = {"ours": ours, "scapy": scapy, "scapy_with_layers": scapy_with_layers}[sys.argv[1]](Path(sys.argv[2]))
    print(json.dumps({"cpu_s": took_s}), file=sys.stderr)
