"""Secrets in log lines: passwords on command lines, tokens in URLs and headers, keys. A table of what is masked.

By RE2, in a time that grows with the line's length alone: lines are written by attackers.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

import re2
from msgspec import Struct, structs

from socmon.event import Alert
from socmon.feed.folding import Folded, fold
from socmon.feed.personal import replaced

MASK = "[secret]"
_SET_BYTES = 64 * 1024 * 1024  # for states of the set's automaton: where there is no room for two, RE2 finds nothing

# A word as a shell takes it: quoted parts and others, up to a blank. A quote that nothing closes goes on to the end.
_QUOTED = r"""(?:"(?:\\.|[^"\\\n])*"?|'[^'\n]*'?)"""
_WORD = rf"""(?:{_QUOTED}|[^\s"'&,;]|[,;]+[^\s"'&,;])+"""
_NAMES = (
    r"(?:pass(?:word|wd|phrase|code)|passwd|mat[ _-]?khau|secret|credential|token|"
    r"(?:api|access|secret|private|auth|account|shared|storage|encryption)[_-]?key(?:[_-]?id)?|session[_-]?(?:id|key))s?"
)
_SHORT = r"(?:\b|_)(?:pass|pw|mk|otp|pin|sid|sig|signature|jsessionid|phpsessid)"
_CONTENT = r"(?:<!\[CDATA\[.*?(?:\]\]>|\z)|[^<])+"
_ON_COMMAND_LINES = (
    r"\b(?:mysql\w*|mariadb\w*|sshpass|7z\w*|rar|unrar|docker|podman|smbclient|psexec\w*|schtasks|kinit|htpasswd|svn|"
    r"useradd|usermod|mosquitto_\w+|ncat|plink|pscp|wmic|winexe|crackmapexec|evil-winrm|mongo\w*|redis-cli)\b"
)


class Secret(Struct, frozen=True):
    """A kind of secret: `pattern`, in RE2's syntax, has one group, which is what is masked."""

    name: str
    pattern: str


SECRETS: Sequence[Secret] = (
    Secret("private key", r"(?s)-----BEGIN [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----(.*?)(?:-----END|\z)"),
    Secret("JSON web token", r"\b(eyJ[\w-]+\.[\w-]+(?:\.[\w-]*){0,3})"),
    Secret("authorization", r"""(?i)\bauthorization\\*["']?\s*[:=]\s*\\*["']?([^"'\r\n]+)"""),
    Secret("bearer", r"(?i)\bbearer\s+([A-Za-z0-9+/=._~-]{8,})"),
    Secret("cookie", r"""(?i)\bcookie2?\\*["']?\s*:\s*\\*["']?([^"'\r\n]+)"""),
    Secret("user information of a URL", r"(?i)\b[a-z][a-z0-9+.-]*://([^/\s\"'<>?#]*)@"),
    Secret("named value", rf"""(?i){_NAMES}\\*["'\]]?\s*(?:[=:]>?|%3d)\s*\\*({_WORD})"""),
    Secret("shortly named value", rf"""(?i){_SHORT}\\*["'\]]?\s*(?:[=:]>?|%3d)\s*\\*({_WORD})"""),
    # A path is where a shell is: sudo and shells write PWD=/root.
    Secret("pwd", rf"""(?i)pwd\\*["'\]]?\s*(?:[=:]>?|%3d)\s*\\*((?:{_QUOTED}|[^\s"'&/~])(?:{_WORD})?)"""),
    Secret("long option", rf"(?i)(?:^|[\s\"'])(?:--?|/)(?:[\w-]*{_NAMES}|pass|pwd?)\s+({_WORD})"),
    Secret("option -p", rf"(?i:{_ON_COMMAND_LINES})(?:[^\n|]*?\s)??-p[ \t]*({_WORD})"),
    Secret("option -a of redis-cli", rf"(?i:\bredis-cli\b)[^\n|]*?\s-a[ \t]*({_WORD})"),
    Secret("option -P of archives", rf"(?i:\b(?:un)?zip\b)[^\n|]*?\s-P[ \t]*({_WORD})"),
    # A port or path is what many tools take by it; so is a pattern by some, which is masked though it is no secret.
    Secret("option -P", rf"(?:^|\s)-P[ \t]+([0-9]*(?:{_QUOTED}|[^\s\"'&,;/.~0-9-])(?:{_WORD})?)"),
    Secret(
        "option -P of tools for databases and devices",
        rf"(?i:\b(?:sqlcmd|osql|isql|tsql|fisql|bcp|ipmitool|mosquitto_\w+)(?:\.exe)?\b)[^\n|]*?\s-P[ \t]*({_WORD})",
    ),
    Secret(
        "element of XML",
        rf"(?is)<(?:[\w.:-]*{_NAMES}[\w.-]*|(?:\w+:)?(?:pass|pwd?|pw|mk|otp|pin))(?:\s[^<>]*)?>({_CONTENT})",
    ),
    # What holds a blank or a quote stands in hexadecimal there, which nobody reads and everybody can.
    Secret("hexadecimal text of auditd", r"\b(?:proctitle|a[0-9]{1,3}|cmd|acct|data)=([0-9A-F]{6,})\b"),
    Secret("option -w of LDAP's tools", rf"(?i:\bldap\w+)[^\n|]*?\s-w[ \t]*({_WORD})"),
    Secret("option /rp of schtasks", rf"(?i)\s/r?p\s+({_WORD})"),
    Secret(
        "user and password",
        rf"(?i:\b(?:curl|wget|https?|xh)\b)[^\n|]*?\s(?:-[A-Za-z]*u|--(?:proxy-)?user|-U)[ \t=]*({_WORD})",
    ),
    Secret("net user", rf"(?i)\bnet1?(?:\.exe)?[\"']?\s+user\s+(?:{_WORD})\s+([^\s/]\S*)"),
    Secret("net use", r"(?i)\bnet1?(?:\.exe)?[\"']?\s+use\s+(?:\S+\s+)?\\\\\S+\s+([^\s/]\S*)"),
    Secret(
        "piped password",
        rf"(?i)\b(?:echo|printf)\s+(?:-\w+\s+)*({_WORD}(?:\s+{_WORD})*?)\s*\|\s*"
        r"(?:sudo|su|passwd|chpasswd|openssl|kinit|cryptsetup|docker|gpg)\b",
    ),
    Secret("password of htpasswd", rf"(?i)\bhtpasswd\s+(?:-\w+\s+)*-\w*b\w*\s+(?:-\w+\s+)*\S+\s+\S+\s+({_WORD})"),
    Secret("secure string", rf"(?i)ConvertTo-SecureString\s+(?:-String\s+)?({_WORD})"),
    Secret("key of AWS", r"\b((?:AKIA|ASIA|AGPA|AIDA|AROA|ABIA|ACCA)[A-Z0-9]{16})\b"),
    Secret(
        "token of a service",
        r"\b(gh[pousr]_\w{20,}|github_pat_\w{20,}|glpat-[\w-]{16,}|xox[a-z]-[\w-]{10,}|AIza[\w-]{30,}|"
        r"[sr]k_(?:live|test)_\w{10,})",
    ),
)


def masked(text: str) -> tuple[str, int]:
    """`text` with `[secret]` in the place of each secret, and how many places that were."""
    places = secret_places(text, fold(text))
    return (replaced(text, [(*place, MASK) for place in places]), len(places)) if places else (text, 0)


def secret_places(text: str, folded: Folded) -> list[tuple[int, int]]:
    """[start, end) of each secret in `text`, in order; found as it stands there, and as it is read.

    Both count: a name may be escaped, and undone an escape may end the word that it stands in.
    """
    places = {*_places(text)}
    if folded.text != text:
        places |= {folded.span(*place) for place in _places(folded.text)}
    return sorted(places)


def _places(text: str) -> Iterator[tuple[int, int]]:
    some, each = _compiled()
    for number in some.Match(text) or ():  # most lines hold none, which one look at all patterns tells
        for match in each[number].finditer(text):
            start, end = match.span(1)
            if end > start:
                yield start, end


def masked_alert(alert: Alert) -> Alert:
    """A copy of `alert` for eyes that are not to see secrets: its group, entities and evidence are masked.

    `sha256` stays that of the record, so a line can still be found by it.
    """
    evidence = [
        structs.replace(each, raw=masked(each.raw)[0], fields=_masked_values(each.fields)) for each in alert.evidence
    ]
    entities = {kind: [masked(name)[0] for name in names] for kind, names in alert.entities.items()}
    return structs.replace(alert, group=_masked_values(alert.group), entities=entities, evidence=evidence)


def _masked_values(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _masked_value(name, value) for name, value in fields.items()}


def _masked_value(name: str, value: Any) -> Any:
    """A field's value, text or a list; one that is a secret by its name alone is masked whole."""
    if isinstance(value, list):
        return [_masked_value(name, held) for held in value]
    if not isinstance(value, str):
        return value
    return MASK if masked(f"{name}=x")[1] else masked(value)[0]


@cache
def _compiled() -> tuple[Any, list[Any]]:
    """All patterns as one set that tells which of them match, and each by itself."""
    options = re2.Options()
    options.log_errors = False
    each = [re2.compile(secret.pattern, options) for secret in SECRETS]
    options.max_mem = _SET_BYTES
    some = re2.Set.SearchSet(options)
    for secret in SECRETS:
        some.Add(secret.pattern)
    some.Compile()
    return some, each
