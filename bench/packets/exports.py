"""Datagrams of flow exporters, for the speed of the decoder: 20 flows in each, as softflowd and routers fill them."""

import struct
import time

from socmon.network.netflow import Decoder

FLOWS = 20  # in a datagram
_V5 = struct.Struct("!4s4s4xHHIIIIHHxBBB8x")
_FLOW = struct.Struct("!4s4sHHBBBIIIIHH")
_LENGTHS = {8: 4, 12: 4, 7: 2, 11: 2, 4: 1, 6: 1, 5: 1, 2: 4, 1: 4, 22: 4, 21: 4, 10: 2, 14: 2}
_TEMPLATE = b"".join(struct.pack("!HH", *field) for field in _LENGTHS.items())
VERSIONS = (5, 9, 10)
_EXPORT_S, _UPTIME_MS = 1_764_151_200, 5_000_000


def datagrams(version: int, count: int) -> list[bytes]:
    """`count` of them; of v9 and IPFIX the first holds the template."""
    return [_datagram(version, number) for number in range(count)]


def _datagram(version: int, number: int) -> bytes:
    sequence = number if version == 9 else number * FLOWS
    values = [_flow(number * FLOWS + each) for each in range(FLOWS)]
    if version == 5:
        head = struct.pack("!HHIIIIHH", 5, FLOWS, _UPTIME_MS, _EXPORT_S, 0, sequence, 0, 0)
        return head + b"".join(
            _V5.pack(each[0], each[1], 1, 2, each[7], each[8], each[9], each[10], *each[2:4], each[5], each[4], each[6])
            for each in values
        )
    sets = b"".join(_FLOW.pack(*each) for each in values)
    sets = struct.pack("!HH", 256, 4 + len(sets)) + sets
    if not number:
        told = struct.pack("!HH", 256, len(_TEMPLATE) // 4) + _TEMPLATE
        sets = struct.pack("!HH", 0 if version == 9 else 2, 4 + len(told)) + told + sets
    if version == 9:
        return struct.pack("!HHIIII", 9, FLOWS, _UPTIME_MS, _EXPORT_S, sequence, 0) + sets
    return struct.pack("!HHIII", 10, 16 + len(sets), _EXPORT_S, sequence, 0) + sets


def _flow(number: int) -> tuple[bytes, bytes, int, int, int, int, int, int, int, int, int, int, int]:
    source, target = bytes((10, 20, number >> 8 & 255, number & 255)), bytes((198, 51, 100, number % 50))
    start = _UPTIME_MS - number % 60_000
    return (
        source,
        target,
        1024 + number % 60_000,
        443,
        6,
        27,
        0,
        1 + number % 90,
        60 + number % 9000,
        start,
        start + 9,
        1,
        2,
    )


def flows_per_cpu_s(version: int, count: int) -> float:
    """How many flows the decoder turns to lines in a second of this process.

    Raises:
        RuntimeError: it did not read all of them.
    """
    sent, decoder, read = datagrams(version, count), Decoder(), 0
    begun = time.process_time()
    for each in sent:
        read += len(decoder.lines(each, "192.0.2.1", 0.0))
    took_s = time.process_time() - begun
    if read != count * FLOWS:
        raise RuntimeError(f"{read} flows of {count * FLOWS} were read, of version {version}")
    return read / took_s
