"""A flow record as a line of Zeek's conn log (docs.zeek.org, logs/conn): one direction, so one side of it."""

from ipaddress import IPv6Address, ip_address

from msgspec import Struct

from socmon.network.flow_template import Template, Values

_PROTOCOLS = {1: "icmp", 6: "tcp", 17: "udp", 58: "icmp"}
_MAX_ADDRESSES = 65_536
_NTP_S = 2_208_988_800  # from 1900 to 1970
_NONE4 = bytes(4)
_DAY_10000_US = 253_402_300_800_000_000
_FIN, _SYN, _RST, _ACK = 1, 2, 4, 16
_TCP = 6
_ICMP = (1, 58)

_texts: dict[bytes, str] = {}  # spelling an address takes as long as all the rest of a line


class Moment(Struct):
    """What the values of a record are to be read by.

    Attributes:
        export_us: the exporter's clock when it sent.
        uptime_ms: how long it ran then; None where it does not say.
        exporter: what a line says of the exporter.
        sampling: one packet in so many is counted; 0 where it does not say.
        samplers: the same by the number of the sampler that a record names.
    """

    export_us: int
    uptime_ms: int | None
    exporter: str
    sampling: int
    samplers: dict[int, int]


def exporter_fields(exporter: str, version: int, domain: int) -> str:
    """What every line of a datagram says of its origin."""
    return f',"netflow.exporter":"{exporter}","netflow.version":{version},"netflow.domain":{domain}'


def line(uid: str, values: Values, moment: Moment, template: Template) -> bytes:
    """The line of one record; `values` are in the order of ELEMENTS, with both addresses of one family."""
    source, target, source6, target6, source_port, target_port, protocol, flags, start, end, icmp = values[:11]
    if source is None or target is None or (source6 and target6 and source == target == _NONE4):
        source, target = source6, target6
    if protocol in _ICMP:  # Zeek's ports of ICMP are type and code
        source_port, target_port = divmod((icmp if icmp is not None else target_port or 0) & 0xFFFF, 256)
    start_us, end_us = to_us(template.start, start, moment), to_us(template.end, end, moment)
    duration = f',"duration":{(end_us - start_us) / 1e6:.6f}' if start_us and end_us >= start_us else ""
    sampling = _sampling(values, moment)
    # With packets left out, or answers counted too, the flags of one side do not tell its part.
    state = conn_state(flags) if flags and protocol == _TCP and sampling <= 1 and not template.both_ways else ""
    said = f',"conn_state":"{state}"' if state else ""
    counted = f',"netflow.sampling":{sampling}' if sampling else ""
    return (
        f'{{"_path":"conn","ts":{(start_us or end_us or moment.export_us) / 1e6:.6f},"uid":"{uid}",'
        f'"id.orig_h":"{_texts.get(source) or _text(source)}","id.orig_p":{source_port or 0},'
        f'"id.resp_h":"{_texts.get(target) or _text(target)}","id.resp_p":{target_port or 0},'
        f'"proto":"{_PROTOCOLS.get(protocol, "unknown_transport")}","ip_proto":{protocol or 0}{duration}'
        f"{said}{template.form % template.as_told(values)}{moment.exporter}{counted}}}"
    ).encode()


def _sampling(values: Values, moment: Moment) -> int:
    sampling: int | None
    sampling, sampler = values[11:13]
    if sampling is None:
        return moment.samplers.get(sampler, moment.sampling)
    return sampling


def conn_state(flags: int) -> str:
    """What the flags of all packets of one direction say, in Zeek's words; "" where they say nothing.

    SF and REJ need the other direction. A reset alone is mostly an answer to somebody's scan, and its sender no client.
    """
    if not flags & _SYN:
        return "OTH" if flags else ""
    if flags & _ACK:
        return "RSTO" if flags & _RST else "S2" if flags & _FIN else "S1"
    return "RSTOS0" if flags & _RST else "SH" if flags & _FIN else "S0"


def to_us(element: int, value: int | None, moment: Moment) -> int:
    """Microseconds since 1970 of an IPFIX or NetFlow time (RFC 7011, section 6.1.7 to 6.1.10); 0 of nonsense."""
    if value is None:
        return 0
    if element in (21, 22):
        if moment.uptime_ms is None:
            return 0
        ago_ms = (moment.uptime_ms - value) & 0xFFFFFFFF  # the counter begins anew after 49.7 days
        found_us = moment.export_us - 1000 * (ago_ms - (1 << 32) if ago_ms >> 31 else ago_ms)
    elif element in (152, 153, 323):
        found_us = value * 1000
    elif element in (150, 151):
        found_us = value * 1_000_000
    elif element in (158, 159):
        found_us = moment.export_us - value
    else:  # NTP's 64 bits; of microseconds the last 11 mean nothing
        fraction = value & (0xFFFFF800 if element in (154, 155) else 0xFFFFFFFF)
        found_us = ((value >> 32) - _NTP_S) * 1_000_000 + (fraction * 1_000_000 + (1 << 31) >> 32)
    return found_us if 0 < found_us < _DAY_10000_US else 0


def _text(address: bytes) -> str:
    if len(_texts) >= _MAX_ADDRESSES:
        _texts.clear()
    parsed = ip_address(address)
    mapped = parsed.ipv4_mapped if isinstance(parsed, IPv6Address) else None
    found = _texts[address] = str(mapped or parsed)
    return found
