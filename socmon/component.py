"""What a collector or forwarder is, and all that it may touch: its Context."""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import ClassVar, Generic, Literal, Protocol, TypeVar
from zoneinfo import ZoneInfo

from msgspec import Struct
from pydantic import BaseModel, ConfigDict, Field, field_validator
from structlog.typing import FilteringBoundLogger

from socmon.errors import BlockedError
from socmon.event import OWN, Alert, Record, Source

BEAT_S = 1.0  # a collector whose last beat is much older than this hangs


class Settings(BaseModel):
    """Base of every component's configuration: unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class CollectorSettings(Settings):
    """What every collector can be told."""

    format: str = Field(
        default="auto", description="How to read a record: a parser's name, or auto to find out from the first ones."
    )
    timezone: str = Field(default="UTC", description="IANA zone of time stamps that state none.")

    quota_per_s: int = Field(
        default=2000,
        ge=0,
        le=10_000_000,
        description="Records a second of one file or sender that go before others; what is over waits until nothing "
        "else does. 0 is no quota, as for a relay of many hosts.",
    )

    @field_validator("format")
    @classmethod
    def _format_is_not_ours(cls, name: str) -> str:
        if name == OWN:
            raise ValueError(f"{name!r} is the format of socmon's own records; no source can have it, write auto")
        return name

    @field_validator("timezone")
    @classmethod
    def _zone_exists(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (KeyError, ValueError, OSError) as error:
            raise ValueError(f"no time zone is called {name!r}; use an IANA name such as Asia/Ho_Chi_Minh") from error
        return name


class ForwarderSettings(Settings):
    """What every forwarder can be told."""

    max_events: int = Field(default=500, ge=1, le=10_000, description="Alerts in one batch, at most.")
    timeout_s: float = Field(default=30.0, gt=0, le=600, description="Seconds until an unanswered batch is sent again.")


SettingsT = TypeVar("SettingsT", bound=Settings)


class Counters(Protocol):
    """Counters of one component; the core binds its name and exports them."""

    def received(self, records: int, size_bytes: int) -> None:
        """Add records and bytes taken from the source."""

    def dropped(self, records: int, reason: str) -> None:
        """Add records lost before the journal, `reason` from a fixed list; they enter the ledger."""

    def error(self, reason: str) -> None:
        """Add one failure that did not end the component, `reason` from a fixed list."""


class Context(Protocol[SettingsT]):
    """The only door from a component to the rest of socmon.

    Attributes:
        name: the component's key in the configuration.
        settings: validated settings of the component's class.
        log: logger with the component's name bound.
        counters: see Counters.
    """

    name: str
    settings: SettingsT
    log: FilteringBoundLogger
    counters: Counters

    async def emit(self, batch: Sequence[Record]) -> None:
        """Return when every record of `batch` is in the journal; may wait. For senders that can wait too.

        It waits for the source of `batch` that is furthest over its quota; `over_quota` tells whom to emit apart.
        """

    def offer(self, batch: Sequence[Record]) -> int:
        """Never wait: take those records of `batch` that there is room for, and return how many.

        Of each source these are the first; the rest is dropped and counted. For senders that cannot be slowed (UDP,
        capture).
        """

    def free_room(self) -> int:
        """How many records of senders within their quota `offer` has room for now; what is not read yet can wait."""

    def over_quota(self, source: Source, records: int) -> bool:
        """Whether `records` more of `source`, emitted now, would have to wait until nobody else's do."""

    def position(self, stream: str) -> bytes | None:
        """The last position journalled for `stream` by this component, ever; None if there is none."""

    def saved(self) -> AsyncIterator[tuple[str, bytes]]:
        """(stream, position), each after the fsync that made it safe; the newest of a stream when it falls behind."""

    def beat(self) -> None:
        """Say that the component moves: at least every `BEAT_S` while it runs, also when nothing comes in."""


class Component(ABC, Generic[SettingsT]):
    """Common to collectors and forwarders. One file, one kind, one class."""

    settings_type: ClassVar[type[Settings]]

    def __init__(self, context: Context[SettingsT]) -> None:
        self.context = context
        self.settings: SettingsT = context.settings


class Collector(Component[SettingsT]):
    """Receives records until cancelled."""

    @abstractmethod
    async def run(self) -> None:
        """Receive until cancelled, passing batches to `context.emit` or `context.offer`.

        Raises:
            ComponentError: the source cannot be read. Never retry inside: the supervisor restarts with backoff.
        """

    def source(self, peer: str, *, authenticated: bool = True) -> Source:
        """The Source of records from `peer`, with the format and zone of this collector's settings."""
        settings = self.settings
        if not isinstance(settings, CollectorSettings):
            return Source(collector=self.context.name, peer=peer, authenticated=authenticated)
        return Source(
            collector=self.context.name,
            peer=peer,
            format=settings.format,
            zone=settings.timezone,
            authenticated=authenticated,
        )


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


class Heart(ABC):
    """Tells one destination how we are, whatever becomes of what is delivered to it.

    Attributes:
        every_s: seconds between two heartbeats.
    """

    every_s: float

    @abstractmethod
    async def beat(self, vitals: Vitals) -> None:
        """Tell it once, in less than `every_s`.

        Raises:
            ComponentError: it was not told; the next heartbeat is another try, so never retry inside.
        """


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


class Forwarder(Component[SettingsT]):
    """Delivers alerts to one destination."""

    @classmethod
    def heart(cls, context: Context[SettingsT]) -> Heart | None:  # noqa: ARG003  for those that have one
        """What tells the destination how we are; None where it does not want to know."""
        return None

    @classmethod
    async def trial(cls, name: str, settings: SettingsT, timeout_s: float) -> Sequence[Step] | None:  # noqa: ARG003  as above
        """Go all the way to the destination and deliver nothing, in `timeout_s`; None where that cannot be tried.

        The last step holds the error if there is one; those behind it were not tried.
        """
        return None

    @abstractmethod
    def stream(self, alert: Alert) -> str:
        """Name of the ordered stream that `alert` travels in."""

    @abstractmethod
    def render(self, alert: Alert, release: Release) -> bytes:
        """The message for `alert`; pure, and stored with the released row."""

    @property
    def policy(self) -> str | None:
        """What decides which alerts may leave, as a text that differs when it does.

        None where that is not known: then what is held is looked at again at each start.
        """
        return None

    def admit(self, alert: Alert) -> Approval:  # noqa: ARG002  for those that ask
        """On whose word `alert` may leave, `by` left open; pure.

        Raises:
            HeldError: it is not to leave, whoever says so.
        """
        return AUTOMATIC

    def closing(self, alert: Alert, release: Release) -> bytes | None:  # noqa: ARG002  for those that can
        """The message that an alert which the destination has is withdrawn; None where there is none. Pure."""
        return None

    def void(self, void: Void) -> bytes | None:  # noqa: ARG002  for those whose destination looks at sequences
        """The message for sequences that stay empty; None where the destination looks at none. Pure, as `render`."""
        return None

    async def places(self) -> Mapping[str, Place] | None:
        """How far the destination has each stream that it knows; None where it cannot say. Called after `open`.

        Raises:
            ComponentError: it was not to be asked.
        """
        return None

    @property
    def has_gap(self) -> bool:
        """Whether the last batch left sequences missing at the destination, so that `places` is worth a look."""
        return False

    @abstractmethod
    async def send(self, released: Sequence[Released]) -> Sequence[Outcome]:
        """Deliver one batch of one stream, in order, and return an outcome for each.

        Raises:
            ComponentError: nothing is known about any of them; all are sent again later. Never retry inside.
        """

    async def open(self) -> None:
        """Make ready to send; called once before the first batch, so that what is missing shows before an alert comes.

        Raises:
            ComponentError: the destination cannot be used as configured.
        """

    async def close(self) -> None:
        """Let go of connections and files; called once, at the stop or before a restart."""
