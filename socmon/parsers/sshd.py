"""Messages of the OpenSSH server (auth.c, auth2.c, packet.c, session.c, sshd.c; PAM's lines under its tag).

User names, method names, client banners and reasons are the words of attackers: `Failed password for invalid user root
from 1.2.3.4 port 22 ssh2 from 5.6.7.8 port 4000 ssh2` came from 5.6.7.8. So an address counts only where no word of
theirs can stand between it and an end of the message: forms whose free text comes first are anchored at the end, those
where it comes last at the start. A form with free text on both sides is read only where ` port ` stands in it once.

`outcome` stands for an attempt that was answered, by the line that sshd writes about each; every other line of a
connection has an `action` at most, so that an attempt counts once.
"""

import re
from typing import Any

from socmon.addresses import address
from socmon.parsers import pam
from socmon.parsers.forms import Forms, peer
from socmon.parsers.remembering import remembered

_PEER = r"(?P<src_ip>\S{1,64}) port (?P<src_port>[0-9]{1,5})"
_PEER_MAYBE_PORT = r"(?P<src_ip>\S{1,64})(?: port (?P<src_port>[0-9]{1,5}))?"
_FROM = rf" from {_PEER}(?: ssh[12])?"
_WHO = r"(?P<method>\S*) for (?:invalid user )?(?P<user>.*)"
_WHOM = r"(?:(?:authenticating|invalid) )?user (?P<user>.*) "
_KEY = r"(?:: [^\s\"]+ [^\s\"]+)?"  # type and fingerprint

# How an attempt to log in ended: "%s %s%s%s for %s%.100s from %.200s port %d ssh2%s%s" in auth.c.
_ANSWER = re.compile(rf"(Failed|Accepted) {_WHO}{_FROM}{_KEY}(?: \[preauth\])?", re.DOTALL)
_ANSWER_WITH_DETAIL = re.compile(rf"(Failed|Accepted) {_WHO}{_FROM}: .*", re.DOTALL)
_OUTCOMES = {"Failed": "failure", "Accepted": "success"}

_FORMS = Forms(
    ("postponed", rf"Postponed {_WHO}{_FROM}{_KEY}"),
    ("partial", rf"Partial {_WHO}{_FROM}{_KEY}"),
    # OpenSSH 2 states no port
    ("auth_failed", r"Failed (?P<method>\S*) for (?:invalid user )?(?P<user>.*) from (?P<src_ip>\S{1,64})"),
    ("invalid_user", rf"(?:Invalid|Illegal) user (?P<user>.*) from {_PEER_MAYBE_PORT}"),
    ("", r"input_userauth_request: invalid user (?P<user>.*)"),  # follows `Invalid user`
    ("max_attempts", rf"maximum authentication attempts exceeded for (?:invalid user )?(?P<user>.*){_FROM}"),
    ("max_attempts", r"Disconnecting: Too many authentication failures(?: for (?P<user>.*))?"),
    ("disconnecting", r"Disconnecting: .*"),
    ("not_allowed", r"User (?P<user>.*) from (?P<src_ip>\S{1,255}) not allowed because .*"),
    ("not_allowed", r"User (?P<user>\S*) not allowed because .*"),
    ("refused", rf"ROOT LOGIN REFUSED FROM {_PEER_MAYBE_PORT}"),
    ("auth_failed", r"PAM: [\w ]{1,80}? for (?:illegal user )?(?P<user>.*) from (?P<src_ip>\S{1,255})(?: via \S*)?"),
    ("disconnected_preauth", rf"Connection (?:closed|reset) by {_WHOM}{_PEER}"),
    ("disconnected", rf"Connection (?:closed|reset) by {_PEER_MAYBE_PORT}"),
    ("connected", rf"Connection from {_PEER}(?: on .*)?"),
    ("disconnected_preauth", rf"Disconnected from (?:authenticating|invalid) user (?P<user>.*) {_PEER}"),
    ("disconnected", rf"Disconnected from (?:user (?P<user>.*) )?{_PEER}"),
    ("disconnected", rf"Disconnected from {_PEER_MAYBE_PORT}"),
    # The peer's reason (RFC 4253, section 11.1): key exchange failed, or no method was left. Both come before a login.
    ("disconnected_preauth", rf"Received disconnect from {_PEER_MAYBE_PORT}: ?(?:3|14):.*"),
    ("disconnected", rf"Received disconnect from {_PEER_MAYBE_PORT}: ?[0-9]{{1,10}}:.*"),
    ("session_started", rf"Starting session: .* for (?P<user>\S*) from {_PEER} id [0-9]{{1,10}}"),
    ("session_closed", rf"Close session: user (?P<user>.*) from {_PEER} id [0-9]{{1,10}}"),
    ("no_identification", rf"Did not receive identification string from {_PEER_MAYBE_PORT}"),
    ("bad_protocol", rf"Bad protocol version identification .* from {_PEER}"),
    ("bad_protocol", rf"Protocol major versions differ for {_PEER_MAYBE_PORT}: .*"),
    ("bad_protocol", rf"banner exchange: Connection from {_PEER}: .*"),
    ("bad_protocol", r"kex_exchange_identification: (?:client sent invalid protocol|banner line).*"),
    ("no_identification", r"kex_exchange_identification: .*"),
    ("bad_protocol", r"Corrupted MAC on input\."),
    ("bad_protocol", r"Bad packet length [0-9]{1,10}\."),
    ("scanned", rf"scanned from {_PEER_MAYBE_PORT} with .*"),
    ("scanned", rf"probed from {_PEER_MAYBE_PORT} with .*"),
    ("negotiation_failed", rf"Unable to negotiate with {_PEER_MAYBE_PORT}: .*"),
    ("negotiation_failed", r"Unable to negotiate a key exchange method"),
    ("negotiation_failed", r"no (?:matching|kex alg|hostkey alg).*"),
    ("timeout", rf"Timeout before authentication for {_PEER_MAYBE_PORT}"),
    ("timeout", r"Timeout before authentication for connection from (?P<src_ip>\S{1,64}) to .*"),
    ("timeout", rf"Timeout, client not responding from (?:user \S* )?{_PEER}"),
    ("connection_lost", r"Read from socket failed: .*"),
    (
        "reverse_mapping_failed",
        (
            r"reverse mapping checking getaddrinfo for .* \[(?P<src_ip>[^\s\]]{1,64})\] failed"
            r"(?:\.| - POSSIBLE BREAK-IN .*)?"
        ),
    ),
    ("reverse_mapping_failed", r"Address (?P<src_ip>\S{1,64}) maps to .*"),
    ("reverse_mapping_failed", r"Nasty PTR record \"[^\s\"]*\" is set up for (?P<src_ip>\S{1,64}), ignoring"),
    ("refused", r"refused connect from .* \((?P<src_ip>[^\s()]{1,64})\)"),
    ("refused", r"drop connection #[0-9]{1,9} from \[(?P<src_ip>[^\s\]]{1,64})\]:(?P<src_port>[0-9]{1,5}) .*"),
    (
        "not_allowed",
        (
            r"Authentication tried for (?P<user>[^\s()]*) with (?:correct key|valid certificate) but not from a "
            r"permitted (?:host|source address) \((?:host=[^\s,]*, )?ip=(?P<src_ip>[^\s,()]{1,64})[,).].*"
        ),
    ),
    ("key_refused", r"Authentication refused: .*"),
)
# These have free text on both sides.
_ONE_PORT_FORMS = Forms(
    ("max_attempts", rf"Disconnecting {_WHOM}{_PEER}: Too many authentication failures.*"),
    ("disconnecting", rf"Disconnecting {_WHOM}{_PEER}: .*"),
    ("disconnecting", rf"Disconnecting {_PEER}: .*"),
    ("protocol_error", rf"ssh_dispatch_run_fatal: Connection from (?:{_WHOM})?{_PEER}: .*"),
)
_PREAUTH = " [preauth]"
_PREFIXES = ("error: ", "fatal: ")
_KEYS_FILE = re.compile(r"[^\s:]{1,255}:[0-9]{1,9}: (?=Authentication tried for )")


def read(message: str) -> dict[str, Any]:
    """What `message` states of `user`, `src_ip`, `src_port`, `method`; `outcome` of an attempt that was answered."""
    if message.startswith(("Failed ", "Accepted ")):
        answer = _ANSWER.fullmatch(message)
        if answer is None and message.count(" port ") == 1:
            answer = _ANSWER_WITH_DETAIL.fullmatch(message)
        if answer is not None:
            word, method, user, src_ip, src_port = answer.groups()
            fields = {"user": user, "method": method, "src_port": int(src_port), "outcome": _OUTCOMES[word]}
            if found := address(src_ip):
                fields["src_ip"] = found
            else:
                fields.update(peer(src_ip))
            return fields
    return _read_other(message)


@remembered
def _read_other(message: str) -> dict[str, Any]:
    """What is no answer to an attempt; most of it is said of an attacker again and again."""
    return _without_outcome(message) or pam.without_attempt(pam.read(message))


def _without_outcome(message: str) -> dict[str, Any]:
    told = message.removesuffix(_PREAUTH)
    if told.startswith(_PREFIXES):
        told = told[7:]
    elif told.startswith("/") and (place := _KEYS_FILE.match(told)):
        told = told[place.end() :]
    found = _FORMS.read(told)
    if not found and told.count(" port ") == 1:
        found = _ONE_PORT_FORMS.read(told)
    if len(told) < len(message) and found.get("action") == "disconnected" and message.endswith(_PREAUTH):
        found["action"] = "disconnected_preauth"
    return found
