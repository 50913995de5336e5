"""Ports at which servers listen: a flow whose first packet comes from one was seen late, as Zeek has it."""

# fmt: off
_TCP = frozenset({
    21, 22, 23, 25, 53, 80, 81, 88, 102, 110, 135, 139, 143, 389, 443, 445, 502, 514, 563, 585, 587, 614, 631, 636,
    989, 990, 992, 993, 995, 1080, 1433, 1434, 1521, 1883, 2404, 3128, 3268, 3306, 3389, 4840, 5060, 5222, 5223, 5269,
    5432, 5900, 5901, 6379, 6666, 6667, 6668, 6669, 8000, 8080, 8443, 8883, 8888, 9092, 20000, 44818,
})
_UDP = frozenset({
    53, 67, 69, 88, 123, 137, 138, 161, 162, 389, 443, 500, 514, 1194, 1812, 1813, 2123, 2152, 3389, 3544, 4500,
    4789, 5060, 5072, 5353, 5355, 6081, 20000,
})
# fmt: on


def is_server_port(protocol: int, port: int) -> bool:
    """Whether servers of a protocol (6 TCP, 17 UDP) are known to listen there."""
    return port in (_TCP if protocol == 6 else _UDP)
