"""Messages of sudo (sudoers plugin, logging.c; PAM's lines under its tag).

    alice : TTY=pts/0 ; PWD=/home/alice ; USER=root ; COMMAND=/usr/bin/id
    bob : user NOT in sudoers ; TTY=pts/1 ; PWD=/tmp ; USER=root ; COMMAND=/usr/bin/id

The directory and the command are the user's words: of a key that stands twice the first counts, and the command is all
that follows its first key, so that nothing of it can be hidden.
"""

import re
from typing import Any

from socmon.parsers import pam

_FIELDS = {"TTY": "tty", "PWD": "pwd", "USER": "target_user"}
_NEXT_KEY = re.compile(r" ; (?=(?:HOST|TTY|CHROOT|PWD|USER|GROUP|TSID|ENV)=)")
_REFUSED = re.compile(
    r"(?:[0-9]{1,9} incorrect password attempts?|(?:user )?NOT (?:in sudoers|authorized on host)|command not allowed"
    r"|a password is required|no tty present.*|sorry, you must have a tty.*|account validation failure.*)",
)
_MODULE = r"pam_\w{1,32}\(sudo(?:-i)?:\w{1,32}\): "
_AUTHENTICATION = re.compile(
    _MODULE + r"authentication failure; logname=\S* uid=\S* euid=\S* tty=(?P<tty>\S*) ruser=(?P<user>\S*) rhost=.*",
    re.DOTALL,
)
_SESSION = re.compile(
    _MODULE + r"session (?:opened|closed) for user (?P<target_user>[^\s(]*)(?:\(uid=[0-9]{1,10}\))?"
    r"(?: by (?P<user>[^\s(]*)(?:\(uid=[0-9]{1,10}\))?)?",
)


def read(message: str) -> dict[str, Any]:
    """What `message` states of `user target_user tty pwd command`; `outcome` of a command that was run or refused."""
    if message.startswith("pam_"):
        stated = _AUTHENTICATION.fullmatch(message) or _SESSION.fullmatch(message)
        if stated is None:
            return pam.without_attempt(pam.read(message))
        return {name: value for name, value in stated.groupdict().items() if value}
    user, _, rest = message.partition(" : ")
    head, asked, command = rest.partition(" ; COMMAND=")
    parts = _NEXT_KEY.split(head)
    reason = "" if parts[0].startswith(("HOST=", "TTY=")) else parts.pop(0)
    if not parts:
        return {}
    fields = {"user": user}
    for part in parts:
        key, _, value = part.partition("=")
        if key in _FIELDS:
            fields.setdefault(_FIELDS[key], value)
    if asked:
        fields["command"] = command
        if not reason:
            fields["outcome"] = "success"
        elif _REFUSED.fullmatch(reason):
            fields["outcome"] = "failure"
    return fields
