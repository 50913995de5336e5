"""Messages of PAM's modules, which stand under the tag of the program that called them.

    pam_unix(login:auth): authentication failure; logname= uid=0 euid=0 tty=tty1 ruser= rhost=192.0.2.1  user=root
    (pam_unix) authentication failure; …     pam_unix: authentication failure; …     as old versions wrote it

Linux-PAM: libpam/pam_syslog.c, modules/pam_unix/support.c and their like; also pam_sss, pam_krb5, pam_winbind. `ruser`
is what the client calls itself, and some modules write any name after `user=`: where either could hold the other's
`rhost=`, neither is read.
"""

import re
from functools import lru_cache
from typing import Any

from socmon.parsers.forms import Forms, fields
from socmon.parsers.remembering import remembered

_MODULE = re.compile(
    r"(?P<pam_module>pam_\w{1,32})(?:\((?:(?P<pam_service>[^\s:()]{1,64}):)?(?P<pam_type>\w{1,32})\))?(?:\[[0-9]{1,10}\])?"
)
_OLD_MODULE = re.compile(r"\((pam_\w{1,32})\):? ")
_FAILURE = re.compile(
    r"(?:authentication (?P<word>failure|success)|(?P<attempts>[0-9]{1,6}) more authentication failures?);"
    r"(?: logname=\S* uid=\S* euid=\S* tty=(?P<tty>\S*))?(?: ruser=(?P<ruser>.*))?"
    r" rhost=(?P<src_ip>\S*)(?: +user=(?P<user>.*)| +msg=.*)?",
    re.DOTALL,
)
_USER = r"(?P<user>.*)"
_ACCOUNT = r"(?P<user>[^\s(]*)(?:\(uid=[0-9]{1,10}\))?"
_FORMS = Forms(
    ("session_opened", rf"session opened for user {_ACCOUNT}(?: by .*)?"),
    ("session_closed", rf"session closed for user {_ACCOUNT}(?: by .*)?"),
    ("unknown_user", r"check pass; user unknown"),
    ("unknown_user", r"bad username \[(?P<user>.*)\]"),
    ("unknown_user", r"User unknown"),
    ("unknown_user", r"could not identify user \(from getpwnam\((?P<user>.*)\)\)"),
    ("account_expired", r"account (?P<user>\S*) has expired.*"),
    ("password_expired", r"expired password for user (?P<user>\S*)(?: .*)?"),
    ("password_expired", r"password for user (?P<user>\S*) will expire in .*"),
    ("password_changed", r"password changed for (?P<target_user>\S*)"),
    ("locked_out", r"Consecutive login failures for user (?P<user>.*) account temporarily locked"),
    ("locked_out", r"user (?P<user>.*) \([0-9]{1,10}\) tally [0-9]{1,9}, deny [0-9]{1,9}"),
    ("not_allowed", rf"requirement \".*\" not met by user \"{_USER}\""),
    ("not_allowed", rf"Refused user {_USER} for service \S*"),
    ("not_allowed", r"access denied for user `(?P<user>.*)' from `(?P<src_ip>[^\s`']{1,255})'"),
    ("not_allowed", r"access denied: tty .*"),
    ("not_allowed", rf"user '{_USER}' denied access.*"),
    ("not_allowed", rf"Access denied for user {_USER}: [0-9]{{1,4}} \([\w ]*\)"),
    ("granted", rf"user '{_USER}' granted access"),
    ("auth_failed", rf"received for user {_USER}: [0-9]{{1,4}} \([\w ]*\)"),
    ("auth_failed", rf"authentication fails for '{_USER}' \(.*\): .*"),
    ("auth_failed", r"error trying to bind as user \".*\" \(Invalid credentials\)"),
    ("max_attempts", r"service\(\S{1,64}\) ignoring max retries; .*"),
)


def writes(message: str) -> bool:
    """Whether `message` is one of a module, or of the library, and not of the program whose tag it has."""
    return message.startswith(("pam_", "PAM ", "(pam_", "authentication failure; ", "check pass; ",
                               "session opened for user ", "session closed for user "))  # fmt: skip


def read(message: str) -> dict[str, Any]:
    """What `message` states of `user src_ip tty pam_module pam_service pam_type`, its `action`, and `outcome`.

    `outcome` is that of an attempt to authenticate. `attempts` are those of a message that stands for several.
    """
    return _read_module(message) if writes(message) else {}


@remembered
def _read_module(message: str) -> dict[str, Any]:
    found, told = _module(message)
    if attempt := _FAILURE.fullmatch(told.rstrip()):
        return found | _attempt(attempt)
    if told.startswith("authentication failure;"):
        return found | {"outcome": "failure"}
    return found | _FORMS.read(told)


def _module(message: str) -> tuple[dict[str, Any], str]:
    """The module that wrote `message`, and what it wrote."""
    if message.startswith("pam_"):
        name, _, told = message.partition(": ")
        return dict(_named(name[:128])), told
    if old := _OLD_MODULE.match(message):
        return {"pam_module": old[1]}, message[old.end() :]
    return {}, message.removeprefix("PAM ")


@lru_cache(maxsize=256)
def _named(name: str) -> dict[str, Any]:
    module = _MODULE.fullmatch(name)
    return fields(module) if module else {}


def without_attempt(found: dict[str, Any]) -> dict[str, Any]:
    """`found` under a program that says itself how an attempt ended: it counts once."""
    if "outcome" in found or found.get("action") == "auth_failed":
        found.pop("outcome", None)
        found.pop("action", None)
    return found


def _attempt(stated: re.Match[str]) -> dict[str, Any]:
    """An attempt; without `user` and `src_ip` where there is more than one way to read them.

    `ruser=A rhost=X user=B rhost=Y` is either a B that lies or an A that does.
    """
    found = fields(stated)
    found["outcome"] = found.pop("word", "failure")
    if stated.string.count(" rhost=") > 1 and " user=" in stated.string:
        return {name: found[name] for name in ("outcome", "attempts", "tty") if name in found}
    if not found.get("user"):
        found.pop("user", None)
        if "ruser" in found:
            found["user"] = found["ruser"]
    return found


_VSFTPD = Forms(
    ("", r"\[(?P<user>.*)\] OK LOGIN: Client \"(?P<src_ip>[^\s\"]{1,64})\"(?:, anon password .*)?"),
    ("auth_failed", r"\[(?P<user>.*)\] FAIL LOGIN: Client \"(?P<src_ip>[^\s\"]{1,64})\""),
    ("connected", r"CONNECT: Client \"(?P<src_ip>[^\s\"]{1,64})\"(?:, \"Connection refused: .*\")?"),
)


def read_vsftpd(message: str) -> dict[str, Any]:
    """Messages of vsftpd (logging.c) and PAM's under its tag; of a failure PAM's has the outcome."""
    if found := read(message):
        return found
    found = _VSFTPD.read(message)
    if found and "action" not in found:
        found["outcome"] = "success"
    return found
