"""Zeek's logs as JSON lines, and what socmon itself tells of packets and flows in that form (docs.zeek.org, "Logs").

    {"_path":"conn","ts":1764174645.123456,"uid":"C…","id.orig_h":"192.0.2.1","id.orig_p":50000,"id.resp_h":…}

The path names the log, and so the service of the log source. `_path` states it in what socmon and the package
json-streaming-logs write, `@stream` where Zeek's Kafka writer does; a log file of Zeek states none, and is known by its
fields. Logs with tabs between the fields (`#fields`) are not read: their heads stand apart from the lines.
"""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from socmon.addresses import address
from socmon.errors import ParseError
from socmon.event import SECOND_US, ZEEK, Event, LogSource, Record, TimeKnown
from socmon.parsers import json, json_time

_PATH = re.compile(r"[a-z][a-z0-9_]{0,63}")
_PATH_KEYS = ("_path", "@stream")
_SENSOR_KEYS = ("_system_name", "@system")
# What a line has at its beginning; all else about it is told by decoding it.
_HEAD = re.compile(rb'"(?:_path|@stream|ts)"\s*:')
_HEAD_BYTES = 512
_MOST_SECONDS = 100_000_000_000  # beyond it a number is in milliseconds (JSON::TS_MILLIS)
_MOST_DURATION_S = 366 * 86_400
_MOST_MESSAGE = 512

# A log's path → fields that lines of no other log have together; the first that fits counts.
_SIGNATURES: tuple[tuple[str, frozenset[str]], ...] = tuple(
    (path, frozenset(fields.split()))
    for path, fields in (
        ("conn", "uid proto conn_state"),
        ("dns", "uid proto trans_id"),
        ("http", "uid trans_depth request_body_len"),
        ("smtp", "uid trans_depth tls"),
        ("ssl", "uid established resumed"),
        ("quic", "uid client_initial_dcid"),
        ("x509", "certificate.serial"),
        ("x509", "certificate_serial"),
        ("ocsp", "certStatus hashAlgorithm"),
        ("files", "fuid source depth"),
        ("pe", "id machine is_exe"),
        ("smb_mapping", "uid share_type"),
        ("dce_rpc", "uid endpoint operation"),
        ("dce_rpc", "uid rtt named_pipe"),
        ("kerberos", "uid request_type"),
        ("ntlm", "uid server_nb_computer_name"),
        ("ntlm", "uid domainname username"),
        ("rdp", "uid cookie result"),
        ("rdp", "uid security_protocol"),
        ("ssh", "uid auth_attempts"),
        ("ftp", "uid command user"),
        ("irc", "uid command nick"),
        ("sip", "uid call_id"),
        ("snmp", "uid get_requests"),
        ("ntp", "uid stratum ref_id"),
        ("dhcp", "uids mac"),
        ("dhcp", "uids msg_types"),
        ("mysql", "uid cmd arg"),
        ("ldap", "uid message_id opcode"),
        ("tunnel", "tunnel_type action"),
        ("notice", "note actions"),
        ("intel", "seen.indicator"),
        ("software", "host software_type"),
        ("dpd", "uid analyzer failure_reason"),
        ("analyzer", "analyzer_kind analyzer_name"),
        ("weird", "name notice peer"),
        ("capture_loss", "ts_delta gaps acks"),
        ("stats", "pkts_proc bytes_recv"),
        ("packet_filter", "node filter init"),
    )
)
_SMB_ACTION = "SMB::"
_OF_ANY_LOG = frozenset({"ts", "uid", "id.orig_h"})  # where no more is known, the event has no service
_CATEGORIES: Mapping[str, str] = MappingProxyType({"dns": "dns", "http": "proxy"})  # see rules/logsources.yml
_ENDS = ("id.orig_h", "id.orig_p", "id.resp_h", "id.resp_p")
_OTHER_ENDS = tuple((name.replace(".", "_"), name) for name in _ENDS)  # Zeek's writers may join keys otherwise
_ADDRESSES = ("id.orig_h", "id.resp_h")
# What people see of an event besides its two ends, whichever of it there is.
_SHOWN = (
    *("proto", "service", "conn_state", "operation", "orig_l2_addr", "query", "qtype_name", "rcode_name"),
    *("method", "host", "uri", "status_code", "server_name", "version", "action", "path", "name", "note", "msg"),
)


def fits(data: bytes) -> bool:
    """Whether `data` is an object with the keys of a log of Zeek."""
    if _HEAD.search(data[:_HEAD_BYTES]) is None:
        return False
    try:
        fields = json.flat(data)
    except ParseError:
        return False
    return _path(fields) is not None and ("ts" in fields or "uid" in fields)


def parse(record: Record, *, year: int | None, undated: bool) -> Event:  # noqa: ARG001  the time is whole or absent
    """The event of one line, its fields as they stand; `message` is what Zeek says, or the main values in a row.

    Raises:
        ParseError: no JSON object, one nested deeper than 32 levels, or none of a log of Zeek.
    """
    fields = json.flat(record.data)
    for other, name in _OTHER_ENDS:
        if other in fields:
            fields.setdefault(name, fields.pop(other))
    path = _path(fields)
    if path is None and not fields.keys() >= _OF_ANY_LOG:
        raise ParseError(f"no log of Zeek: neither _path nor the fields of one that is known: {record.data[:80]!r}")
    for name in _ADDRESSES:
        value = fields.get(name)
        if type(value) is str and (found := address(value)):
            fields[name] = found
    stated_us = _time_us(fields.get("ts"), record.source.zone)
    if path == "conn" and stated_us is not None:
        stated_us += _duration_us(fields.get("duration"))
    time_us: int | None = stated_us
    time_known: TimeKnown = "stated"
    if stated_us is None:
        time_us, time_known = (None, "unknown") if undated else (record.dated_by_us, "received")
    if type(fields.get("message")) is not str:
        fields["message"] = _message(fields)
    logsource = LogSource(product=ZEEK, category=_CATEGORIES.get(path or ""), service=path)
    return Event(record, time_us, time_known, _sensor(fields), logsource, fields)


def _path(fields: Mapping[str, Any]) -> str | None:
    """The log that a line with these fields is of; None if it is of none."""
    for key in _PATH_KEYS:
        path = fields.get(key)
        if type(path) is str:
            return path if _PATH.fullmatch(path) else None
    if "ts" not in fields:
        return None
    names = fields.keys()
    for path, wanted in _SIGNATURES:
        if wanted <= names:
            return path
    return "smb_files" if "uid" in fields and str(fields.get("action")).startswith(_SMB_ACTION) else None


def _time_us(value: Any, zone: str) -> int | None:
    """Seconds since 1970 (JSON::TS_EPOCH), also few of them, as a capture may have; or as JSON states times."""
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < _MOST_SECONDS:
        return round(value * SECOND_US)
    return json_time.moment_us(value, zone)


def _duration_us(value: Any) -> int:
    """How long a connection lasted; 0 where it is not known.

    `ts` is its beginning, and the line is written at its end: by its beginning it would be late against what the same
    sensor has told since, and not be correlated.
    """
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return round(value * SECOND_US) if is_number and 0 <= value < _MOST_DURATION_S else 0


def _sensor(fields: Mapping[str, Any]) -> str:
    """The sensor that saw it, where it states its name; "" where not."""
    names = (fields.get(key) for key in _SENSOR_KEYS)
    return next((name[:255] for name in names if type(name) is str), "")


def _message(fields: Mapping[str, Any]) -> str:
    ends = (f"{fields[end]}:{fields[port]}" if port in fields else f"{fields[end]}" for end, port in _pairs(fields))
    shown = (str(value)[:_MOST_MESSAGE] for name in _SHOWN if type(value := fields.get(name)) in (str, int))
    return " ".join([" > ".join(ends), *shown])[:_MOST_MESSAGE].strip()


def _pairs(fields: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [(end, port) for end, port in (_ENDS[:2], _ENDS[2:]) if end in fields]
