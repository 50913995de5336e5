"""A flow that is over, as a line of Zeek's conn.log."""

from socmon.network.flows import ICMP, ICMP6, TCP, UDP, Flow
from socmon.network.tcp import conn_state
from socmon.network.zeek import Conn, stamp

_PROTOCOLS = {TCP: "tcp", UDP: "udp", ICMP: "icmp", ICMP6: "icmp"}


def conn_line(flow: Flow) -> Conn:
    """Like Zeek, duration and payload are left out when all there was is one packet."""
    orig, resp = flow.orig, flow.resp
    orig_h, orig_p, resp_h, resp_p = flow.ends
    lasted = flow.last > flow.start
    return Conn(
        ts=stamp(flow.start),
        uid=flow.uid,
        id_orig_h=orig_h,
        id_orig_p=orig_p,
        id_resp_h=resp_h,
        id_resp_p=resp_p,
        proto=_PROTOCOLS.get(flow.protocol, "unknown_transport"),
        service=flow.service,
        duration=stamp(flow.last - flow.start) if lasted else None,
        orig_bytes=orig.bytes if lasted else None,
        resp_bytes=resp.bytes if lasted else None,
        conn_state=conn_state(flow),
        missed_bytes=orig.missed + resp.missed,
        history=flow.history or None,
        orig_pkts=orig.packets,
        orig_ip_bytes=orig.ip_bytes,
        resp_pkts=resp.packets,
        resp_ip_bytes=resp.ip_bytes,
        ip_proto=flow.protocol,
    )
