"""Messages of cron and crontab: Vixie's, Debian's, cronie (log_it() in misc.c: `(user) EVENT (detail)`), and BusyBox.

    (root) CMD (cd / && run-parts --report /etc/cron.hourly)      (alice) BEGIN EDIT (bob)

The command is the user's word: it is all that stands in the last pair of brackets.
"""

import re
from typing import Any

from socmon.parsers import pam
from socmon.parsers.remembering import remembered

_EVENT = re.compile(r"\((?P<user>[^()]{1,256})\) (?P<event>[A-Z][A-Z ]{1,40}[A-Z])(?: \((?P<detail>.*)\))?", re.DOTALL)
_BUSYBOX = re.compile(r"(?:crond: )?USER (?P<user>\S{1,256}) pid +[0-9]{1,10} cmd (?P<command>.*)", re.DOTALL)
_PAM = re.compile(r"\((?P<user>[^()]{1,256})\) FAILED to (?:authorize|open|set|authenticate) .*", re.DOTALL)
_ACTIONS = {
    "CMD": "run",
    "CMDOUT": "output",
    "CMDEND": "finished",
    "LIST": "list",
    "REPLACE": "replace",
    "DELETE": "delete",
    "BEGIN EDIT": "edit",
    "END EDIT": "edit_ended",
    "AUTH": "not_allowed",
    "RELOAD": "reload",
    "STARTUP": "started",
    "SHUTDOWN": "stopped",
    "MAIL": "mail",
    "ERROR": "error",
    "ORPHAN": "orphan",
    "WRONG FILE OWNER": "error",
    "BAD FILE MODE": "error",
}
_OF_SOMEONE = frozenset({"LIST", "REPLACE", "DELETE", "BEGIN EDIT", "END EDIT"})


@remembered
def read(message: str) -> dict[str, Any]:
    """What `message` states of `user` `command` and, of a table that was touched, `target_user`; its `action`."""
    if pam.writes(message):
        return pam.read(message)
    if stated := _EVENT.fullmatch(message):
        user, event, detail = stated.groups()
        if action := _ACTIONS.get(event):
            return {"user": user, "action": action} | _detail(event, detail or "")
        return {}
    if refused := _PAM.fullmatch(message):
        return {"user": refused["user"], "action": "not_allowed"}
    if ran := _BUSYBOX.fullmatch(message):
        return {"user": ran["user"], "command": ran["command"], "action": "run"}
    return {}


def _detail(event: str, detail: str) -> dict[str, str]:
    if event == "CMD":
        return {"command": detail.strip()}
    return {"target_user": detail} if event in _OF_SOMEONE and detail else {}
