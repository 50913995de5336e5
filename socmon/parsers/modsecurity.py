"""Messages of ModSecurity 2 and 3 in the error logs of Apache and nginx (apache2_util.c, rule_message.cc).

ModSecurity: Access denied with code 403 (phase 2). … [id "942100"] [msg "SQL Injection"] [severity "CRITICAL"] …
"""

import re
from typing import Any

_KEPT = {"id", "msg", "severity", "uri"}
_TAG = re.compile(r'\[(\w{1,32}) "([^"\\]*(?:\\.[^"\\]*)*)"\]')
_MOST_TAGS = 64


def read(message: str) -> dict[str, Any]:
    """`action` modsecurity; `modsecurity.action` denied or warning; `modsecurity.id` `.msg` `.severity` `.uri`.

    Of a tag that stands twice the first counts: what the client sent stands in later ones.
    """
    fields: dict[str, Any] = {"action": "modsecurity"}
    if message.startswith("ModSecurity: Access denied"):
        fields["modsecurity.action"] = "denied"
    elif message.startswith("ModSecurity: Warning"):
        fields["modsecurity.action"] = "warning"
    for n, tag in enumerate(_TAG.finditer(message)):
        if n == _MOST_TAGS:
            break
        if tag[1] in _KEPT:
            fields.setdefault(f"modsecurity.{tag[1]}", tag[2])
    return fields
