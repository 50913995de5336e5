r"""Regular expressions in linear time, by RE2: rules come from many hands and values from attackers.

The flavour is the specification's subset of PCRE, so `$` also matches before a newline that ends the value, and `\w` is
ASCII. What RE2 refuses (look-around, back-references) is a load error.
"""

import re
from collections.abc import Callable, Mapping

import re2
from sigma.policy import SigmaPolicy
from sigma.policy.regex_engine import RegexEngine, RegexPattern

_INLINE: Mapping[re.RegexFlag, str] = {re.IGNORECASE: "i", re.MULTILINE: "m", re.DOTALL: "s"}


class _QuietRe2(RegexEngine):
    """RE2 for pySigma's own checks, without RE2's messages on stderr."""

    def compile(self, pattern: str, flags: int = 0) -> RegexPattern:
        letters = "".join(letter for flag, letter in _INLINE.items() if flags & flag)
        try:
            compiled: RegexPattern = re2.compile(f"(?{letters}){pattern}" if letters else pattern, _options())
        except re2.error as error:
            raise re2.error(_reason(error)) from None  # pySigma prints it
        return compiled

    @property
    def error(self) -> type[Exception]:
        error: type[Exception] = re2.error
        return error


def _options() -> re2.Options:
    options = re2.Options()
    options.log_errors = False
    return options


def _reason(error: Exception) -> str:
    reason = error.args[0] if error.args else error
    return reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)


POLICY = SigmaPolicy(regex_engine=_QuietRe2())


def searcher(pattern: str) -> Callable[[str], bool]:
    """Whether `pattern` is found anywhere in a text.

    Raises:
        ValueError: RE2 refuses the pattern.
    """
    try:
        # Bytes in, so that a lone surrogate in a value is replaced instead of raising.
        search = re2.compile(pattern.encode(), _options()).search
    except re2.error as error:
        raise ValueError(f"regular expression {pattern[:80]!r}: {_reason(error)}; rules use the RE2 syntax") from error

    def found(text: str) -> bool:
        return search(text.encode(errors="replace")) is not None

    def found_with_dollar(text: str) -> bool:
        data = text.encode(errors="replace")
        return search(data) is not None or (data.endswith(b"\n") and search(data[:-1]) is not None)

    return found_with_dollar if "$" in pattern else found
