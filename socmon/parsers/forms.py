"""Tables of message forms: each a regular expression for a whole message, with the word for what happened."""

import re
from typing import Any

from socmon.addresses import address

_FIRST_WORD = re.compile(r"(?:\(\?:((?:[\w:-]+\|)*[\w:-]+)\)|([\w:,'-]++))(?= |$)")
_NUMBERS = frozenset({"src_port", "dst_port", "uid", "gid", "exit_status", "restarts", "attempts", "size"})
_NO_NAME = frozenset({"UNKNOWN", "unknown", "?", "-"})


class Forms:
    """Forms of one program's messages, found by their first word; the first that fits counts.

    A form is (action, pattern). The pattern must fit the whole message, and its named groups become fields: `src_ip`
    only if it is an address, else it is a `src_host`; numbers as numbers. An empty action adds none.
    """

    def __init__(self, *forms: tuple[str, str]) -> None:
        self._anywhere: list[tuple[str, re.Pattern[str]]] = []
        self._by_word: dict[str, list[tuple[str, re.Pattern[str]]]] = {}
        for action, pattern in forms:
            form = (action, re.compile(pattern, re.DOTALL))
            if words := _FIRST_WORD.match(pattern):
                for word in (words[1] or words[2]).split("|"):
                    self._by_word.setdefault(word, []).append(form)
            else:
                self._anywhere.append(form)
        for found in self._by_word.values():
            found.extend(self._anywhere)
        self.actions = frozenset(action for action, _ in forms if action)

    def read(self, message: str) -> dict[str, Any]:
        """What `message` states and the `action` it stands for; {} where no form fits."""
        for action, form in self._by_word.get(message.partition(" ")[0], self._anywhere):
            if stated := form.fullmatch(message):
                found = fields(stated)
                if action:
                    found["action"] = action
                return found
        return {}


def fields(stated: re.Match[str]) -> dict[str, Any]:
    """The named groups that took part, as fields; empty ones but `user` are left out."""
    found: dict[str, Any] = {}
    for name, value in stated.groupdict().items():
        if not value:
            if name == "user" and value is not None:
                found[name] = value
        elif name == "src_ip":
            found.update(peer(value))
        else:
            found[name] = int(value) if name in _NUMBERS else value
    return found


def peer(source: str) -> dict[str, str]:
    """`src_ip`, or `src_host` of what is no address: a name, or an address as nobody should write it."""
    if found := address(source):
        return {"src_ip": found}
    return {} if source in _NO_NAME else {"src_host": source}
