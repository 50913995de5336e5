"""What goes to a destination and what comes back of it: the words that outbox and forwarders share."""

from collections.abc import Mapping
from typing import Literal

from msgspec import Struct

from socmon.errors import BlockedError
from socmon.event import Alert


class Approval(Struct, frozen=True):
    """By what an alert may leave for a destination.

    Attributes:
        mode: auto, or person: somebody has to say so.
        rule: the name of the rule that asks for this mode; "" where there are no rules.
        by: who said so; "" for nobody, or nobody yet.
        at_us: when.
    """

    mode: Literal["auto", "person"]
    rule: str = ""
    by: str = ""
    at_us: int = 0


AUTOMATIC = Approval("auto")


class Release(Struct, frozen=True):
    """The place in its destination's stream that an alert was given; decided once, never changed.

    Attributes:
        destination: the forwarder's name in the configuration.
        stream: what `Forwarder.stream` answered.
        epoch: names one unbroken numbering; a later epoch sorts after an earlier one.
        seq: from 1, without holes within (destination, stream, epoch).
        revision: `Alert.revision + Alert.analyst_revision` at release.
        released_us: when it was released.
        approval: by what it was let go; known at its release only.
    """

    destination: str
    stream: str
    epoch: str
    seq: int
    revision: int
    released_us: int
    approval: Approval = AUTOMATIC


VoidReason = Literal["withdrawn", "dropped", "refused", "oversize", "replaced", "superseded", "expired", "lost_local"]


class Void(Struct, frozen=True):
    """Sequences of a stream in which no alert comes, so that its destination waits for none of them.

    Attributes:
        release: its first sequence, and when it was made; `revision` says nothing.
        to_seq: the last one.
        reason: withdrawn; dropped by a person; refused (a dead letter); oversize; replaced (sent anew under another
            sequence); superseded (a newer revision was sent); expired (deleted here, a loss); lost_local (damaged here,
            a loss).
        alert_id: the alert that it was; "" for more than one, or none that is known.
    """

    release: Release
    to_seq: int
    reason: VoidReason
    alert_id: str = ""


class Member(Struct, frozen=True):
    """An alert as part of an aggregate, at the revision that is told by it."""

    alert: Alert
    revision: int


class Aggregate(Struct, frozen=True):
    """Alerts of one rule and agency that one message stands for.

    Attributes:
        id: made from its members, so that the same ones always have the same.
        members: two at least, by their first events.
    """

    id: str
    members: tuple[Member, ...]


class Quota(Struct, frozen=True):
    """How many messages of a stream are released within a minute; of more, alerts are joined, or wait.

    Attributes:
        per_minute: of each stream.
        exempt: streams that have no quota.
        most: how many alerts one message stands for at most.
    """

    per_minute: int
    exempt: frozenset[str] = frozenset()
    most: int = 500


class Released(Struct, frozen=True):
    """An alert on its way: rendered once, immutable, sent until the destination has answered for it.

    Attributes:
        sha256: of `body` when it was rendered, in hexadecimal; "" where nobody wrote it down.
        void: it stands for these sequences, in which no alert comes; None for an alert.
    """

    id: int
    alert_id: str
    release: Release
    body: bytes
    sha256: str = ""
    void: Void | None = None


class Place(Struct, frozen=True, order=True):
    """How far a destination has a stream.

    Attributes:
        epoch: the newest that it knows; "" if none.
        seq: the last sequence of that epoch before which it misses none.
        last: the last sequence of that epoch that it has.
        beyond: how many sequences it has after `seq`.
    """

    epoch: str
    seq: int
    last: int = 0
    beyond: int = 0


OutcomeStatus = Literal["accepted", "duplicate", "stale", "retry", "held", "replaced", "rejected"]


class Outcome(Struct, frozen=True):
    """What the destination said about one released alert.

    Attributes:
        id: `Released.id`.
        status: accepted, duplicate (had it already) and stale (has a newer revision) settle it; retry sends it again,
            held an hour later and without keeping others waiting; replaced releases its alert anew, under another
            sequence; rejected keeps it as a dead letter.
        code: the destination's own word for the reason; "" if none.
        wait_s: with retry, the least wait before the next try, in seconds, when the destination asked for one.
        receipt: what the destination signed for it, kept with the release; "" if nothing.
        revision: with stale, the one that the destination has, where it says so.
        keeps_seq: with rejected, the destination keeps its sequence all the same, so that nothing need fill it.
        blocked: with retry, what a person must do before it can go.
    """

    id: int
    status: OutcomeStatus
    code: str = ""
    wait_s: float = 0.0
    receipt: str = ""
    revision: int | None = None
    keeps_seq: bool = False
    blocked: BlockedError | None = None


class Vitals(Struct, frozen=True):
    """How the daemon is, for a destination that is told so.

    Attributes:
        backlog: released alerts without an answer from this destination, by stream.
        pending: alerts that are not released to it yet.
        oldest_us: when the oldest of both came in; None where nothing waits.
        silent: names of expected sources that are silent, sorted.
        rules: version of the rule set, sixteen hexadecimal digits that differ when the rules do.
    """

    backlog: Mapping[str, int]
    pending: int
    oldest_us: int | None
    silent: tuple[str, ...]
    rules: str


class Step(Struct, frozen=True):
    """One step on the way to a destination, tried without delivering anything.

    Attributes:
        name: own: our certificate; name: the look-up of the host; clock: the other side's, less ours; centre: what it
            answers to who we are.
        values: what was found, by names that are fixed for each step.
        error: what is wrong, and what helps; "" if nothing.
    """

    name: Literal["own", "name", "tcp", "tls", "clock", "centre"]
    values: Mapping[str, str | int | float] = {}
    error: str = ""
