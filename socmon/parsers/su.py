"""Messages of su: util-linux (su-common.c), shadow (su.c), and older Unixes; PAM's lines under its tag.

    (to root) alice on pts/0          FAILED SU (to root) alice on pts/0                       util-linux
    Successful su for root by alice   FAILED su for root by alice        + pts/0 alice:root    shadow

As with sudo, `user` is who asked and `target_user` who he wanted to be. Shadow's line with a sign repeats the answer
and has no outcome of its own.
"""

from typing import Any

from socmon.parsers import pam
from socmon.parsers.forms import Forms

_TARGET = r"(?P<target_user>[^\s()]{1,256})"
_USER = r"(?P<user>[^\s()]{1,256})"
_TTY = r"(?P<tty>\S{1,64})"
_FORMS = Forms(
    ("success", rf"\(to {_TARGET}\) {_USER} on {_TTY}"),
    ("failure", rf"FAILED SU \(to {_TARGET}\) {_USER} on {_TTY}(?:: .*)?"),
    ("success", rf"Successful su for {_TARGET} by {_USER}"),
    ("failure", rf"FAILED su for {_TARGET} by {_USER}"),
    ("failure", rf"BAD SU {_USER} to {_TARGET} on {_TTY}"),
    ("failure", rf"failed: {_TTY} changing from {_USER} to {_TARGET}"),
    ("success", rf"'su (?P<target_user>[^\s']{{1,256}})' succeeded for {_USER} on {_TTY}"),
    ("failure", rf"'su (?P<target_user>[^\s']{{1,256}})' failed for {_USER} on {_TTY}"),
    ("success", rf"{_USER} to {_TARGET} on {_TTY}"),
    ("", rf"[+-] {_TTY} (?P<user>[^\s:]{{1,256}})[:-](?P<target_user>[^\s:]{{1,256}})"),
)
_OTHERS = Forms(
    ("unknown_user", r"No passwd entry for user '(?P<target_user>.*)'"),
    ("not_allowed", rf"(?:Access|access) to {_TARGET} (?:denied|refused)(?: .*)?"),
)


def read(message: str) -> dict[str, Any]:
    """What `message` states of `user target_user tty`, and the `outcome` of a change of identity."""
    if pam.writes(message):
        return _asked(pam.without_attempt(pam.read(message)))
    found = _FORMS.read(message)
    if outcome := found.pop("action", None):
        found["outcome"] = outcome
    return found or _OTHERS.read(message)


def _asked(found: dict[str, Any]) -> dict[str, Any]:
    """PAM's names put as su's: its `user` is who was wanted."""
    asking, wanted = found.pop("ruser", None), found.pop("user", None)
    if wanted and wanted != asking:
        found["target_user"] = wanted
    if asking:
        found["user"] = asking
    return found
