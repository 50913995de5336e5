"""What pySigma compiles names with wildcards by, and checks a rule's expressions with: what we match by."""

import re
from collections.abc import Mapping
from typing import cast

from sigma.policy import SigmaPolicy
from sigma.policy.regex_engine import RegexEngine, RegexPattern

from socmon.sigma.regex import RefusedRegexError, checked

_INLINE: Mapping[re.RegexFlag, str] = {re.IGNORECASE: "i", re.MULTILINE: "m", re.DOTALL: "s"}


class _Engine(RegexEngine):
    def compile(self, pattern: str, flags: int = 0) -> RegexPattern:
        letters = "".join(letter for flag, letter in _INLINE.items() if flags & flag)
        # Where RE2 refuses it, it is only checked.
        return cast(RegexPattern, checked(f"(?{letters}){pattern}" if letters else pattern))

    @property
    def error(self) -> type[Exception]:
        return RefusedRegexError


POLICY = SigmaPolicy(regex_engine=_Engine())
