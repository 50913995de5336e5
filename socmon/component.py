"""What a collector or forwarder is, and all that it may touch: its Context."""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import ClassVar, Generic, Protocol, TypeVar
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field, field_validator
from structlog.typing import FilteringBoundLogger

from socmon.event import OWN, Alert, Record, Source
from socmon.outgoing import AUTOMATIC, Aggregate, Approval, Outcome, Place, Quota, Release, Released, Step, Vitals, Void

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

    @property
    def quota(self) -> Quota | None:
        """How much of a stream is released within a minute; None where that has no bound."""
        return None

    def aggregate(self, aggregate: Aggregate, release: Release) -> bytes:
        """The message that stands for several alerts; pure, as `render`. Asked for only where there is a `quota`.

        Raises:
            HeldError: one of them is not to leave.
        """
        raise NotImplementedError

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
