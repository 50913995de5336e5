"""Sends frames into an interface, and says what a ring on another gives: `ring_probe.py TX RX FILTER SNAPLEN HEX…`."""

import json
import socket
import sys
import time
from functools import partial

from socmon.capture import bpf
from socmon.capture.ring import Ring


def main() -> None:
    sends, receives, expression, snaplen = sys.argv[1:5]
    compiled = partial(bpf.compiled, expression) if expression else None
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as sender:
        sender.bind((sends, 0))
        early = bytes.fromhex(sys.argv[5])
        sender.send(early)  # before the ring is there: it must never come out of it
        ring = Ring(receives, compiled=compiled, snaplen=int(snaplen), buffer_mib=1, promiscuous=True)
        for frame in sys.argv[5:]:
            sender.send(bytes.fromhex(frame))
    packets: list[tuple[float, bytes]] = []
    seen = dropped = 0
    end_s = time.monotonic() + 10
    # The last block is given out by the kernel's timer.
    while time.monotonic() < end_s and (not seen or len(packets) + dropped < seen):
        more, lost = ring.statistics()
        seen, dropped = seen + more, dropped + lost
        packets += ring.read(1000)
        time.sleep(0.01)
    ring.close()
    print(json.dumps({"link": ring.link, "seen": seen, "frames": [frame.hex() for _, frame in packets]}))


if __name__ == "__main__":
    main()
