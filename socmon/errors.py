"""Every error socmon raises on purpose, classed by what the caller should do.

SocmonError
├── ConfigError       the operator must edit a file; holds every problem found; exit status 78
├── ComponentError    a collector or forwarder cannot go on; `retry` says whether to restart it
│   └── BlockedError  it is tried again, and fails until a person acts, here or at the other side
├── HeldError         an alert must not go to a destination: it is kept, and shown with the reason
├── ParseError        one record is malformed: count it and go on
├── JournalError      the journal cannot be opened or written
├── StoreError        the store cannot be opened or written
└── NotFoundError     what was asked for is not there; exit status 5
Anything else is a bug.
"""


class SocmonError(Exception):
    """Base of all expected errors."""


class ConfigError(SocmonError):
    """The configuration is wrong.

    Attributes:
        problems: one line each, `path:line: what is wrong; the remedy`.
    """

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("\n".join(problems))


class ComponentError(SocmonError):
    """A collector or forwarder cannot go on.

    Attributes:
        retry: False when only a person can help; the supervisor then gives up on it.
        wait_s: the least wait before the next try, in seconds, when the other side asked for one (`Retry-After`).
        refused: the other side is there, and will not take it as it is.
    """

    def __init__(self, message: str, *, retry: bool = True, wait_s: float = 0.0, refused: bool = False) -> None:
        self.retry = retry
        self.wait_s = wait_s
        self.refused = refused
        super().__init__(message)


class BlockedError(ComponentError):
    """A destination refuses us, or is not who it should be, until a person acts.

    It is tried again all the same: what is mended elsewhere is not told to us. Nothing that waits is given up for it.

    Attributes:
        what: the failure, without the remedy.
        reason: one word of a fixed list (docs/operations.md).
        remedy: what a person can do.
    """

    def __init__(self, what: str, *, reason: str, remedy: str, wait_s: float = 0.0) -> None:
        self.what = what
        self.reason = reason
        self.remedy = remedy
        super().__init__(f"{what}; {remedy}", wait_s=wait_s, refused=True)


class HeldError(SocmonError):
    """An alert is not for this destination; the text says why, without a remedy, for mostly none is needed."""


class ParseError(SocmonError):
    """One record cannot be parsed."""


class JournalError(SocmonError):
    """The journal cannot be opened, read or written."""


class StoreError(SocmonError):
    """The store cannot be opened, read or written."""


class NotFoundError(SocmonError):
    """What was asked for is not there."""
