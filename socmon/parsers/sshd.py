"""Messages of the OpenSSH server (auth.c, auth2.c, packet.c, session.c; PAM's lines under its tag).

User names, method names, client banners and reasons are the words of attackers: `Failed password for invalid user root
from 1.2.3.4 port 22 ssh2 from 5.6.7.8 port 4000 ssh2` came from 5.6.7.8. So an address counts only where no word of
theirs can stand between it and an end of the message: forms whose free text comes first are anchored at the end, those
where it comes last at the start. A form with free text on both sides is read only where ` port ` stands in it once.
"""

import re
from typing import Any

from socmon.parsers.addresses import address

_PEER = r"(?P<src_ip>\S{1,64}) port (?P<src_port>[0-9]{1,5})"
_PEER_MAYBE_PORT = r"(?P<src_ip>\S{1,64})(?: port (?P<src_port>[0-9]{1,5}))?"
_FROM = rf" from {_PEER}(?: ssh[12])?"
_WHO = r"(?P<method>\S*) for (?:invalid user )?(?P<user>.*)"
_WHOM = r"(?:(?:authenticating|invalid) )?user (?P<user>.*) "
_KEY = r"(?:: [^\s\"]+ [^\s\"]+)?"  # type and fingerprint
_PAM = r"logname=\S* uid=\S* euid=\S* tty=\S* ruser=\S* rhost=(?P<src_ip>\S*)(?: +user=(?P<user>.*))?"

# How an attempt to log in ended: "%s %s%s%s for %s%.100s from %.200s port %d ssh2%s%s" in auth.c.
_ANSWER = re.compile(rf"(Failed|Accepted) {_WHO}{_FROM}{_KEY}(?: \[preauth\])?", re.DOTALL)
_ANSWER_WITH_DETAIL = re.compile(rf"(Failed|Accepted) {_WHO}{_FROM}: .*", re.DOTALL)
_OUTCOMES = {"Failed": "failure", "Accepted": "success"}

# The forms of messages that tell of no outcome, each a whole message; the first that fits counts.
_FORMS = (
    rf"(?:Postponed|Partial) {_WHO}{_FROM}{_KEY}",
    r"Failed (?P<method>\S*) for (?:invalid user )?(?P<user>.*) from (?P<src_ip>\S{1,64})",  # OpenSSH 2 states no port
    rf"(?:Invalid|Illegal) user (?P<user>.*) from {_PEER_MAYBE_PORT}",
    r"input_userauth_request: invalid user (?P<user>.*)",
    rf"maximum authentication attempts exceeded for (?:invalid user )?(?P<user>.*){_FROM}",
    r"User (?P<user>.*) from (?P<src_ip>\S{1,255}) not allowed because .*",
    r"User (?P<user>\S*) not allowed because .*",
    rf"ROOT LOGIN REFUSED FROM {_PEER_MAYBE_PORT}",
    r"PAM: [\w ]{1,80}? for (?:illegal user )?(?P<user>.*) from (?P<src_ip>\S{1,255})(?: via \S*)?",
    rf"PAM [0-9]{{1,9}} more authentication failures?; {_PAM}",
    rf"authentication failure; {_PAM}",
    r"session (?:opened|closed) for user (?P<user>[^\s(]*)(?:\(uid=[0-9]{1,10}\))?(?: by .*)?",
    rf"Connection (?:closed|reset) by {_WHOM}{_PEER}",
    rf"Connection (?:closed|reset) by {_PEER_MAYBE_PORT}",
    rf"Connection from {_PEER}(?: on .*)?",
    rf"Disconnected from {_WHOM}{_PEER}",
    rf"Disconnected from {_PEER_MAYBE_PORT}",
    rf"Received disconnect from {_PEER_MAYBE_PORT}: ?[0-9]{{1,10}}:.*",
    rf"Starting session: .* for (?P<user>\S*) from {_PEER} id [0-9]{{1,10}}",
    rf"Close session: user (?P<user>.*) from {_PEER} id [0-9]{{1,10}}",
    rf"Did not receive identification string from {_PEER_MAYBE_PORT}",
    rf"Bad protocol version identification .* from {_PEER}",
    rf"Unable to negotiate with {_PEER}: .*",
    rf"Timeout before authentication for {_PEER}",
    r"Timeout before authentication for connection from (?P<src_ip>\S{1,64}) to .*",
    rf"banner exchange: Connection from {_PEER}: .*",
    r"reverse mapping checking getaddrinfo for .* \[(?P<src_ip>[^\s\]]{1,64})\] failed(?: - POSSIBLE BREAK-IN .*)?",
    r"Address (?P<src_ip>\S{1,64}) maps to .*",
    r"refused connect from .* \((?P<src_ip>[^\s()]{1,64})\)",
)
_ONE_PORT_FORMS = (
    rf"Disconnecting {_WHOM}{_PEER}: .*",
    rf"ssh_dispatch_run_fatal: Connection from (?:{_WHOM})?{_PEER}: .*",
)
_PREFIX = re.compile(r"error: |fatal: |pam_\w{1,32}\(\w{1,32}:\w{1,32}\): ")


def _by_first_word(forms: tuple[str, ...]) -> dict[str, list[re.Pattern[str]]]:
    """The forms compiled, found by the first word of a message."""
    found: dict[str, list[re.Pattern[str]]] = {}
    for form in forms:
        words = re.match(r"\(\?:([\w|]+)\)|([\w:]+)", form)
        for word in (words[1] or words[2]).split("|") if words else ():
            found.setdefault(word, []).append(re.compile(form, re.DOTALL))
    return found


_FORMS_OF = _by_first_word(_FORMS)
_ONE_PORT_FORMS_OF = _by_first_word(_ONE_PORT_FORMS)


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
            return fields
    return _without_outcome(message.removesuffix(" [preauth]"))


def _without_outcome(told: str) -> dict[str, Any]:
    if prefix := _PREFIX.match(told):
        told = told[prefix.end() :]
    word = told.partition(" ")[0]
    forms = _FORMS_OF.get(word, [])
    if told.count(" port ") == 1:
        forms = forms + _ONE_PORT_FORMS_OF.get(word, [])
    for form in forms:
        if stated := form.fullmatch(told):
            return _fields(stated.groupdict())
    return {}


def _fields(stated: dict[str, str | None]) -> dict[str, Any]:
    fields: dict[str, Any] = {name: value for name, value in stated.items() if value is not None}
    if port := fields.get("src_port"):
        fields["src_port"] = int(port)
    src_ip = address(fields.pop("src_ip", ""))
    if src_ip:
        fields["src_ip"] = src_ip
    return fields
