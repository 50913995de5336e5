"""Messages of Postfix's daemons (2.10 to 3.10: src/smtpd, postscreen, anvil, cleanup, qmgr, smtp, local, master).

    NOQUEUE: reject: RCPT from host[192.0.2.1]: 554 5.7.1 <x@y>: Relay access denied; from=<…> to=<…> proto=ESMTP …
    warning: unknown[192.0.2.1]: SASL LOGIN authentication failed: UGFzc3dvcmQ6
    disconnect from unknown[192.0.2.1] ehlo=1 auth=0/1 quit=1 commands=2/3

Senders, recipients, HELO names and headers are the words of the client and may hold anything; a client's own name does
not (valid_hostname()). So an address counts only where everything before it is Postfix's own: each form that has one is
anchored at its start, and where a header stands first (cleanup's rejects) none is read.
"""

import re
from typing import Any

from socmon.parsers import pam
from socmon.parsers.forms import Forms, fields, peer

_CLIENT = r"(?P<client>[^\s\[\]]{0,255})\[(?P<src_ip>[^\s\[\]]{1,64})\](?::(?P<src_port>[0-9]{1,5}))?"
_SENDER = r"\[(?P<src_ip>[^\s\[\]]{1,64})\]:(?P<src_port>[0-9]{1,5})"  # as postscreen writes it
_SERVER = r"[^\s\[\]]{1,255}\[(?P<dst_ip>[^\s\[\]]{1,64})\](?::(?P<dst_port>[0-9]{1,5}))?"
_STATE = r"[A-Za-z-]{1,32}(?: \([0-9]{1,19} bytes\))?(?: \(approximately [0-9]{1,19} bytes\))?"
_LIMIT = (
    r"(?:Connection (?:rate|concurrency)|Message delivery request rate|Recipient address rate|New TLS session rate"
    r"|AUTH (?:command|request) rate) limit exceeded: [0-9]{1,10}"
)

_FORMS = Forms(
    ("connect", rf"connect from {_CLIENT}"),
    ("disconnect", rf"disconnect from {_CLIENT}(?P<commands>(?: [a-z]{{1,16}}=[0-9/]{{1,21}})*)"),
    ("lost_connection", rf"lost connection (?:after|while) {_STATE} from {_CLIENT}(?: .*)?"),
    ("timeout", rf"timeout (?:after|while) {_STATE} from {_CLIENT}(?: .*)?"),
    ("too_many_errors", rf"too many errors after {_STATE} from {_CLIENT}(?: .*)?"),
    ("pipelining", rf"improper command pipelining after {_STATE} from {_CLIENT}(?:: .*)?"),
    ("non_smtp_command", rf"non-SMTP command from {_CLIENT}: .*"),
    ("illegal_address", rf"Illegal address syntax from {_CLIENT} in .*"),
    ("non_smtp_command", rf"{_CLIENT} sent (?:non-SMTP command|message header) instead of SMTP command: .*"),
    (
        "hostname_mismatch",
        (
            r"hostname (?P<client>\S{1,255}) does not resolve to address (?P<src_ip>[^\s:]{2,4}:\S{1,60}|"
            r"[^\s:]{1,64})(?:: .*)?"
        ),
    ),
    (
        "hostname_mismatch",
        (
            r"(?P<src_ip>\S{1,64}): (?:hostname (?P<client>\S{1,255}) verification failed|address not "
            r"listed for hostname (?P<listed>\S{1,255}))(?:: .*)?"
        ),
    ),
    ("rate_limited", rf"{_LIMIT} from {_CLIENT} for service \S{{1,64}}"),
    ("tls_failed", rf"SSL_accept error from {_CLIENT}: .*"),
    ("tls_established", rf"(?:Anonymous|Untrusted|Trusted|Verified) TLS connection established from {_CLIENT}: .*"),
    ("connect", rf"CONNECT from {_SENDER} to .*"),
    ("disconnect", rf"DISCONNECT {_SENDER}"),
    ("passed", rf"PASS (?:NEW|OLD) {_SENDER}"),
    ("allowlisted", rf"(?:ALLOWLISTED|WHITELISTED) {_SENDER}"),
    ("denylisted", rf"(?:DENYLISTED|BLACKLISTED) {_SENDER}"),
    ("veto", rf"(?:ALLOWLIST|WHITELIST) VETO {_SENDER}"),
    ("pregreet", rf"PREGREET [0-9]{{1,10}} after [0-9.]{{1,16}} from {_SENDER}: .*"),
    ("hangup", rf"HANGUP after [0-9.]{{1,16}} from {_SENDER} in .*"),
    ("dnsbl_listed", rf"DNSBL rank [0-9-]{{1,10}} for {_SENDER}"),
    ("dnsbl_listed", r"addr (?P<src_ip>\S{1,64}) listed by domain \S{1,255} as \S{1,64}"),
    ("non_smtp_command", rf"NON-SMTP COMMAND from {_SENDER} .*"),
    ("pipelining", rf"COMMAND PIPELINING from {_SENDER} .*"),
    ("bare_newline", rf"BARE NEWLINE from {_SENDER} .*"),
    ("limit_exceeded", rf"COMMAND (?:TIME|COUNT|LENGTH) LIMIT from {_SENDER} .*"),
    ("connect_failed", rf"connect to {_SERVER}: .*"),
    ("started", r"daemon started -- version .*"),
    ("reloaded", r"reload -- version .*"),
    ("stopped", r"terminating on signal [0-9]{1,3}"),
    ("stopped", r"stopping the Postfix mail system"),
)
# Behind a queue id, or NOQUEUE.
_VERDICTS = {
    "reject": "reject",
    "milter-reject": "reject",
    "milter-discard": "discard",
    "milter-hold": "hold",
    "discard": "discard",
    "hold": "hold",
    "reject_warning": "reject_warning",
}
_VERDICT = re.compile(
    rf"(?P<verdict>{'|'.join(_VERDICTS)}): {_STATE} from {_CLIENT}: "
    r"(?:(?P<reply_code>[245][0-9]{2}) )?(?:(?P<reply_status>[245]\.[0-9]{1,3}\.[0-9]{1,3}) )?(?P<reason>.*)",
    re.DOTALL,
)
_HEADER_VERDICT = re.compile(r"(reject|milter-reject|discard|hold): ")
_QUEUED = Forms(
    (
        "accepted",
        (
            rf"client={_CLIENT}(?:, sasl_method=(?P<method>[\w-]{{1,32}}))?(?:, sasl_username=(?P<user>.*?))?"
            r"(?:, sasl_sender=.*|, orig_queue_id=.*|, orig_client=.*)?"
        ),
    ),
    ("queued", r"from=<(?P<sender>[^<>]*)>, size=(?P<size>[0-9]{1,18}), nrcpt=[0-9]{1,9} \(queue active\)"),
    ("expired", r"from=<(?P<sender>[^<>]*)>, status=expired, returned to sender"),
    ("submitted", r"uid=(?P<uid>[0-9]{1,10}) from=<(?P<sender>[^<>]*)>.*"),
    ("removed", r"removed"),
    ("refused", rf"host {_SERVER} refused to talk to me: .*"),
    ("refused", rf"host {_SERVER} said: .*"),
    ("lost_connection", rf"lost connection with {_SERVER} while .*"),
)
_DELIVERY = re.compile(
    r"to=<(?P<recipient>[^<>]*)>, (?:orig_to=<[^<>]*>, )?relay=(?P<relay>[^\s,]{1,320}), .{0,200}?dsn=[0-9.]{1,12}, "
    r"status=(?P<status>sent|deferred|bounced|expired|undeliverable|deliverable) \((?P<reason>.*)\)",
    re.DOTALL,
)
_QUEUE_ID = re.compile(r"(?:NOQUEUE|[0-9A-F]{5,20}|[0-9B-DF-HJ-NP-TV-Zb-df-hj-np-tv-z]{10,24}): ")
_SASL = re.compile(
    rf"{_CLIENT}: SASL (?P<method>[\w-]{{1,32}}) authentication (?:failed|aborted)(?::(?: (?P<reason>.*))?)?", re.DOTALL
)
_SASL_USER = re.compile(r"(.*), sasl_username=(.*)", re.DOTALL)
_TRIED = re.compile(r" auth=(?:0|([0-9]{1,9})/([0-9]{1,9}))(?: |$)")


def read(message: str) -> dict[str, Any]:
    """What `message` states of the client (`src_ip src_port src_host`), of the mail, and the `action`.

    `outcome` is that of an attempt to authenticate, with `method`, and `user` where it is told.
    """
    if pam.writes(message):
        return pam.read(message)
    if mark := _QUEUE_ID.match(message):
        return _queued(message[mark.end() :])
    told = message.removeprefix("warning: ")
    if " SASL " in told and (attempt := _SASL.fullmatch(told)):
        return _attempt(attempt)
    if told.startswith("SASL authentication failure: "):
        return {"action": "auth_failed"}  # libsasl's reason, beside the line with the client
    if told.startswith(("fatal: ", "panic: ")):
        return {"action": "fatal"}
    found = _named(_FORMS.read(told))
    commands = _TRIED.search(found.pop("commands", "") or "")
    if commands and commands[1] != commands[2]:
        found["action"] = "disconnect_auth_failed"
    return found


def _queued(told: str) -> dict[str, Any]:
    if verdict := _VERDICT.fullmatch(told):
        found = _named(fields(verdict))
        found["action"] = _VERDICTS[found.pop("verdict")]
        return found
    if header := _HEADER_VERDICT.match(told):
        return {"action": _VERDICTS[header[1]]}
    if told.startswith("to=<"):
        delivery = _DELIVERY.fullmatch(told) if told.count(", status=") == 1 else None
        if delivery is None:
            return {}
        found = fields(delivery)
        found["action"] = found.pop("status")
        return found
    found = _named(_QUEUED.read(told))
    if found.get("action") == "accepted" and "user" in found:
        found["outcome"] = "success"
    return found


def _attempt(attempt: re.Match[str]) -> dict[str, Any]:
    found = _named(fields(attempt))
    found["outcome"] = "failure"
    if named := _SASL_USER.fullmatch(found.get("reason", "")):
        found["reason"], found["user"] = named.groups()
    return found


def _named(found: dict[str, Any]) -> dict[str, Any]:
    """`found` with the client's name as `src_host`; `unknown` is none."""
    name = found.pop("client", "") or found.get("listed", "")
    found.pop("listed", None)
    if name and "src_host" in (told := peer(name)):
        found.update(told)
    return found
