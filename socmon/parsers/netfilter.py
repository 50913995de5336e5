"""Log lines of the kernel's packet filter: iptables LOG, nftables, UFW, firewalld, Shorewall; also ulogd.

    [12345.678901] [UFW BLOCK] IN=eth0 OUT= MAC=… SRC=192.0.2.1 DST=198.51.100.1 LEN=40 … PROTO=TCP SPT=1 DPT=22 …

Linux: net/netfilter/nf_log_syslog.c. Only the administrator's prefix says what became of the packet. An ICMP error
carries the packet that it is about in square brackets; its addresses are not the sender's.
"""

import re
from typing import Any

from socmon.addresses import address

_LINE = re.compile(
    r"(?:\[ {0,12}[0-9]{1,10}\.[0-9]{1,9}\] ?)?(?P<prefix>[^\n]{0,160}?)"
    r"IN=(?P<in>\S{0,64}) OUT=(?P<out>\S{0,64}) (?P<rest>.*)",
    re.DOTALL,
)
_BLOCKED = re.compile(r"BLOCK|DROP|REJECT|DENY|DENIED|REFUSE|\bBAN(?:NED)?\b")
_ALLOWED = re.compile(r"ALLOW|ACCEPT|PASS")
_WANTED = {"SRC": "src_ip", "DST": "dst_ip", "SPT": "src_port", "DPT": "dst_port", "PROTO": "protocol"}
_GREATEST_PORT = 65_535


def read(message: str) -> dict[str, Any]:
    """What `message` states of `src_ip src_port dst_ip dst_port protocol interface`, and the `action` of its prefix.

    `action` is blocked, allowed, or logged where the prefix tells neither; `rule` is the prefix. {} if it is another
    message of the kernel.
    """
    line = _LINE.match(message) if "IN=" in message else None
    packet = _packet(line["rest"]) if line else {}
    if line is None or not packet:
        return {}
    found: dict[str, Any] = packet | {"action": _action(line["prefix"])}
    if interface := line["in"] or line["out"]:
        found["interface"] = interface
    if rule := line["prefix"].strip(" :[]"):
        found["rule"] = rule
    return found


def _packet(rest: str) -> dict[str, Any]:
    """What the first header of the packet states."""
    found: dict[str, Any] = {}
    for part in rest.partition(" [")[0].split():
        key, _, value = part.partition("=")
        name = _WANTED.get(key)
        if name is None or not value or name in found:
            continue
        if name.endswith("_ip"):
            if known := address(value):
                found[name] = known
        elif name == "protocol":
            found[name] = value.lower()[:16]
        elif value.isascii() and value.isdecimal() and len(value) <= 5 and int(value) <= _GREATEST_PORT:
            found[name] = int(value)
    return found


def _action(prefix: str) -> str:
    told = prefix.upper()
    if "UFW AUDIT" in told:  # logged before it is decided on
        return "logged"
    if _BLOCKED.search(told):
        return "blocked"
    return "allowed" if _ALLOWED.search(told) else "logged"
