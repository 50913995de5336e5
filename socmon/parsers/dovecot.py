"""Messages of Dovecot's login processes and of its auth process (1.2 to 2.4).

    imap-login: Disconnected (auth failed, 1 attempts in 2 secs): user=<lan>, method=PLAIN, rip=192.0.2.1, lip=…
    auth: pam(lan,192.0.2.1,<…>): pam_authenticate() failed: Authentication failure (password mismatch?)
    auth(lan,192.0.2.1,sasl:plain)<…>: sql: Password mismatch                                       2.4

src/login-common/client-common.c, src/auth/auth-request.c. The user is the client's word and may hold `>, rip=6.6.6.6`;
behind the real `rip=` is no word of his, so the last one counts. A login process writes a line for each connection,
and its `outcome` is that connection's; what the auth process adds (with `auth_verbose`) has an `action` only.
"""

import re
from typing import Any

from socmon.parsers import pam
from socmon.parsers.forms import Forms, fields, peer

_PROCESS = re.compile(
    r"(?:dovecot: )?(?P<process>[a-z][a-z0-9-]{1,40})"
    r"(?:\((?P<inside>[^()]{0,400})\))?(?:<[^<>\s]{0,80}>){0,2}: (?:(?:Debug|Info|Warning|Error|Fatal|Panic): )?"
)
# What `login_log_format_elements` gives, behind the reason.
_CONNECTION = re.compile(
    r"(?:user=<(?P<user>.*)>, )?(?:method=(?P<method>[\w-]{1,32}), )?rip=(?P<src_ip>[^\s,]{1,64})(?:, .*)?", re.DOTALL
)
_ELEMENT = re.compile(r": (?=user=<|method=|rip=)")
_EVENT_REASON = re.compile(r" \([a-z_]{1,40}\)\Z")  # 2.4 adds it
_ATTEMPTS = re.compile(r"\((?:auth|authorization) failed, ([0-9]{1,9}) attempts(?: in [0-9]{1,9} secs)?\)$")
_REFUSED = re.compile(
    r"\((?:tried to use (?:disabled|disallowed|unsupported) .*|user disabled|password expired"
    r"|login disabled|sent invalid base64 in response|cert required, .*|client .* cert)\)$"
)
_UNFINISHED = re.compile(r"\((?:no auth attempts|disconnected |client didn't finish |aborted authentication)[^()]*\)$")

# The auth process. `pam(user,192.0.2.1,<session>): …`, behind what its worker puts before it.
_WORKER = re.compile(r"conn unix:\S{1,64}(?: \([\w=,]{1,64}\))?: auth-worker<[0-9]{1,10}>: ")
_SUBJECT = re.compile(r"[a-z][a-z0-9_-]{1,31}\((?P<user>[^(),]*),(?P<src_ip>[^\s(),]{1,64})(?:,[^()\s]{0,120})?\): ")
_INSIDE = re.compile(r"(?P<user>[^(),]*),(?P<src_ip>[^\s(),]{1,64})(?:,[^()\s]{0,120})?")
_DRIVER = re.compile(r"[a-z][a-z0-9_-]{1,31}: ")
_VERDICTS = Forms(
    ("unknown_user", r"[Uu]nknown user.*"),
    ("password_mismatch", r"(?:[Pp]assword mismatch|CRYPT\(\) |LAYER ).*"),
    ("unknown_user", r"pam_authenticate\(\) failed: User not known.*"),
    ("auth_failed", r"pam_authenticate\(\) failed: .*"),
    ("not_allowed", r"pam_acct_mgmt\(\) failed: .*"),
    ("auth_failed", r"(?:[Ii]nvalid|[Aa]uthentication failed|[Cc]redentials).*"),
    ("not_allowed", r"(?:[Uu]ser is disabled|[Ll]ogin disabled|allow_nets check failed|user not found from userdb).*"),
    ("not_allowed", r"Username (?:character disallowed|contains) .*"),
)
_MAIL = Forms(
    ("logged_out", r"(?:Disconnected: )?Logged out.*"),
    ("disconnected", r"(?:Disconnected|Connection closed).*"),
)
_STARTED = re.compile(r"(?:dovecot: )?(?:master: )?(?:Info: )?Dovecot v.{1,80}? starting up.*", re.DOTALL)


def read(message: str) -> dict[str, Any]:
    """What `message` states of `user src_ip method`, `attempts`, and the `outcome` or `action`."""
    if pam.writes(message):
        return pam.read(message)
    if _STARTED.fullmatch(message):
        return {"action": "started"}
    process = _PROCESS.match(message)
    return of_process(process["process"], process["inside"], message[process.end() :]) if process else {}


def of_process(process: str, inside: str | None, told: str) -> dict[str, Any]:
    """What `told` states, a message of `process`, which wrote `inside` in brackets behind its name."""
    if process.endswith("-login"):
        return _login(told)
    if process in {"auth", "auth-worker", "dovecot-auth"}:
        return pam.read(told) if pam.writes(told) else _auth(inside or "", told)
    if process in {"imap", "pop3", "lmtp", "submission", "managesieve", "lda"}:
        found = _MAIL.read(told)
        return found | {"user": inside} if found and inside else found
    return {}


def _login(told: str) -> dict[str, Any]:
    first = _ELEMENT.search(told)
    connection = _CONNECTION.fullmatch(told, first.end()) if first else None
    if first is None or connection is None:
        return {}
    return fields(connection) | _end(_EVENT_REASON.sub("", told[: first.start()]), told[connection.end("src_ip") :])


def _end(reason: str, rest: str) -> dict[str, Any]:
    """How a connection ended: `reason` is before the user's name, `rest` behind the address."""
    if reason in {"Login", "Logged in"}:
        return {"outcome": "success"}
    if attempts := _ATTEMPTS.search(reason):
        return {"outcome": "failure", "attempts": int(attempts[1])}
    if reason.endswith("(proxy dest auth failed)"):
        return {"outcome": "failure"}
    if _REFUSED.search(reason):
        return {"action": "refused"}
    if "SSL_accept() " in reason or "TLS handshaking: SSL_accept() " in rest:
        return {"action": "tls_failed"}
    return {"action": "no_auth_attempt" if _UNFINISHED.search(reason) else "disconnected"}


def _auth(inside: str, told: str) -> dict[str, Any]:
    """Where the user's name could hold the end of what it stands in, nothing is believed."""
    if worker := _WORKER.match(told):
        told = told[worker.end() :]
    if subject := _INSIDE.fullmatch(inside):
        verdict = _VERDICTS.read(told[driver.end() :] if (driver := _DRIVER.match(told)) else told)
        sure = ">: " not in told
    elif subject := _SUBJECT.match(told):
        verdict = _VERDICTS.read(told[subject.end() :])
        sure = told.count("): ") == 1
    else:
        return {}
    if not verdict or not sure:
        return verdict
    return {"user": subject["user"], **peer(subject["src_ip"]), **verdict}
