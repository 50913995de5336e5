"""The sections of the configuration: every option with its unit, its default and what it means."""

import re
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, field_validator, model_validator

from socmon.component import Settings
from socmon.event import Level

MIB = 1024 * 1024
GIB = 1024 * MIB


# What a rule can state; socmon/sigma/placeholders.py, which reads it, takes long to load.
_PLACEHOLDER = re.compile(r"[^%\\*?]+")


def _is_comparable(value: object) -> object:
    if value == "" or isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError("must be a number, or a text that is not empty")
    return value


_PlaceholderValue = Annotated[str | int | float, BeforeValidator(_is_comparable)]
_Placeholders = dict[str, Annotated[list[_PlaceholderValue], Field(min_length=1)]]


class TopSettings(Settings):
    """What stands outside every section."""

    state_dir: Path = Field(
        default=Path("/var/lib/socmon"),
        description="Folder for journal, store and outbox; one socmon at a time may use it.",
    )


class RulesSettings(Settings):
    """Section `rules`."""

    paths: list[Path] = Field(default=[], description="More rule files, or folders of them.")
    shipped: bool = Field(default=True, description="Use the rules that come with socmon too.")


class AssetsSettings(Settings):
    """Section `assets`."""

    paths: list[Path] = Field(default=[], description="Inventories of agencies and what is theirs: files, or folders.")


class SourceSettings(Settings):
    """One source of section `sources`."""

    collector: str = Field(description="Name of the collector that its records come by.")
    peer: str | None = Field(
        default=None, min_length=1, description="Only records of this sender: an address, or the path of a file."
    )
    host: str | None = Field(
        default=None, min_length=1, description="Only records that name this host, in the same spelling."
    )
    silent_after_s: float = Field(
        default=900.0,
        gt=0,
        le=2_678_400,
        description="Seconds without a record after which it is silent, and an alert is raised.",
    )


class IntakeSettings(Settings):
    """Section `intake`."""

    buffer_records: int = Field(
        default=10_000,
        ge=1,
        le=10_000_000,
        description="Records that may wait for the journal before senders must wait.",
    )
    over_quota_bytes: int = Field(
        default=64 * MIB,
        ge=64 * 1024,
        le=16 * GIB,
        description="Memory for records of senders that cannot wait and are over quota_per_s, in bytes; what does not "
        "fit is dropped.",
    )
    tick_s: float = Field(
        default=10.0,
        gt=0,
        le=3600,
        description="Seconds without a record after which the passing of time is journalled.",
    )


class JournalSettings(Settings):
    """Section `journal`."""

    fsync: Literal["interval", "batch"] = Field(
        default="interval",
        description="When the journal is forced to disk: every so often, or before every acknowledgement.",
    )
    fsync_interval_s: float = Field(
        default=1.0, gt=0, le=60, description="Seconds between two forced writes; what a power cut may cost."
    )
    segment_bytes: int = Field(
        default=64 * MIB,
        ge=64 * 1024,
        le=4 * GIB,
        description="Size of one journal file, in bytes, allocated in advance.",
    )
    keep_bytes: int = Field(
        default=10 * GIB, ge=64 * 1024, description="Oldest journal files go when all together exceed this, in bytes."
    )
    keep_days: int = Field(default=30, ge=1, le=36_500, description="Journal files older than this go, in days.")

    @model_validator(mode="after")
    def _segments_fit(self) -> Self:
        if self.keep_bytes < self.segment_bytes:
            raise ValueError(
                f"keep_bytes ({self.keep_bytes}) is less than segment_bytes ({self.segment_bytes}); raise keep_bytes"
            )
        return self


class DetectionSettings(Settings):
    """Section `detection`."""

    suppress_s: int = Field(
        default=300, ge=0, le=86_400, description="Seconds around an alert's events in which further ones join it."
    )
    lateness_s: int = Field(
        default=300,
        ge=0,
        le=86_400,
        description="Seconds an event may be behind its own source and still be correlated.",
    )
    max_alert_h: int = Field(default=24, ge=1, le=720, description="Hours an alert may span; then a new one opens.")
    max_skew_h: int = Field(
        default=24, ge=1, le=720, description="Hours by which the clocks of two sources may differ in one correlation."
    )
    max_groups: int = Field(
        default=200_000,
        ge=1,
        le=100_000_000,
        description="Groups held by all correlations; the least recent one goes first.",
    )
    max_members: int = Field(
        default=1_000_000,
        ge=1,
        le=1_000_000_000,
        description="Events held by all groups; a full group drops its oldest.",
    )
    workers: int = Field(
        default=0,
        ge=0,
        le=64,
        description="Processes that parse and match beside the daemon; 0 is none, it matches itself. What they find is "
        "the same.",
    )
    placeholders: _Placeholders = Field(
        default={},
        description="What `%name%` stands for in values of rules and filters with the modifier `expand`: any of these, "
        "`*` and `?` in text are wildcards. A rule with a name that is not here is refused.",
    )

    @field_validator("placeholders")
    @classmethod
    def _rules_can_state(cls, values: _Placeholders) -> _Placeholders:
        for name in values:
            if not _PLACEHOLDER.fullmatch(name):
                raise ValueError(rf"{name[:60]!r} is no name of a placeholder; write it without %, \, * and ?")
        return values

    logsources: list[Path] = Field(
        default=[],
        description="Files in the form of rules/logsources.yml: what more there is of log sources and fields.",
    )


class StoreSettings(Settings):
    """Section `store`."""

    checkpoint_s: float = Field(
        default=1.0,
        gt=0,
        le=60,
        description="Seconds between checkpoints; a restart reads the journal from the last one.",
    )
    keep_days: int = Field(
        default=730,
        ge=1,
        le=36_500,
        description="Days after which closed alerts go that every destination has; not before they can grow no more.",
    )
    keep_bytes: int | None = Field(
        default=None,
        ge=MIB,
        description="The oldest of such alerts go as long as the store holds more than this, in bytes; null is no "
        "bound.",
    )


class DeliverySettings(Settings):
    """Section `delivery`."""

    release_interval_s: float = Field(
        default=30.0,
        ge=0,
        le=3600,
        description="Seconds until a growing alert is sent again; level or status go at once.",
    )
    drain_s: float = Field(default=5.0, ge=0, le=60, description="Seconds given to forwarders at the stop.")
    backoff_first_s: float = Field(
        default=0.5, gt=0, le=60, description="Seconds before the first retry; then doubled."
    )
    backoff_limit_s: float = Field(default=60.0, gt=0, le=3600, description="Seconds between two retries at most.")
    certificate_warn_days: int = Field(
        default=30, ge=1, le=3650, description="Days before a certificate's end from which on the log warns daily."
    )

    @model_validator(mode="after")
    def _backoff_grows(self) -> Self:
        if self.backoff_limit_s < self.backoff_first_s:
            first, limit = self.backoff_first_s, self.backoff_limit_s
            raise ValueError(
                f"backoff_limit_s ({limit:g}) is less than backoff_first_s ({first:g}); raise backoff_limit_s"
            )
        return self


class SeriousSettings(Settings):
    """Incidents that are serious: all that is named of one must fit, and any of what is named there is enough."""

    levels: list[Level] = Field(default=[], description="Levels of alerts.")
    tags: list[str] = Field(default=[], description="Tags of rules.")
    rsit: list[str] = Field(default=[], description="Incident classes (RSIT), as malicious-code or availability/ddos.")
    system_levels: list[Annotated[int, Field(ge=1, le=5)]] = Field(
        default=[], description="Security levels of systems, by the inventory."
    )
    at_once: bool = Field(default=False, description="To be told at once, not in so many hours.")

    @model_validator(mode="after")
    def _names_something(self) -> Self:
        if not (self.levels or self.tags or self.rsit or self.system_levels):
            raise ValueError("it names nothing, and every alert would fit; name levels, tags, rsit or system_levels")
        return self


class ReportSettings(Settings):
    """Section `reports`: what `socmon report` says, and by when an incident must be told (Decree 331/2026, 31.2.d)."""

    first_h: int = Field(
        default=24, ge=1, le=8760, description="Hours from detection (T0) until the first notice must have been given."
    )
    detailed_h: int = Field(
        default=72, ge=1, le=8760, description="Hours from T0 until cause, scope and remedy must have been reported."
    )
    final_h: int | None = Field(
        default=None, ge=1, le=87_600, description="Hours from T0 until the final report; null: no time is set for it."
    )
    at_once_minutes: int = Field(
        default=30, ge=1, le=1440, description="Minutes from T0 that are at once, where national security is harmed."
    )
    levels: list[Level] = Field(
        default=["critical"], description="Levels of alerts that are serious incidents; of others nothing is due."
    )
    also: list[SeriousSettings] = Field(
        default=[SeriousSettings(tags=["socmon.national-security"], at_once=True)],
        description="What is serious besides: a list of blocks of `levels`, `tags`, `rsit`, `system_levels` (all that "
        "a block names must fit) and `at_once`.",
    )
    alarm_h: list[Annotated[int, Field(ge=1, le=8760)]] = Field(
        default=[4, 1],
        max_length=8,
        description="Hours before a deadline at which socmon raises an alert; it does so too when one falls.",
    )
    org_name: str = Field(default="", max_length=200, description="Name of our organisation, as reports state it.")
    contact: str = Field(
        default="", max_length=200, description="Whom to ask about an incident: a name, a telephone, an address."
    )

    @model_validator(mode="after")
    def _detailed_is_not_before_first(self) -> Self:
        if self.detailed_h < self.first_h:
            raise ValueError(f"detailed_h ({self.detailed_h}) is less than first_h ({self.first_h}); raise detailed_h")
        if self.final_h is not None and self.final_h < self.detailed_h:
            raise ValueError(f"final_h ({self.final_h}) is less than detailed_h ({self.detailed_h}); raise final_h")
        return self


class HttpSettings(Settings):
    """Section `http`."""

    address: str = Field(default="127.0.0.1", description="IP address that /metrics, /healthz and /readyz listen on.")
    port: int = Field(default=9514, ge=0, le=65_535, description="Their TCP port; 0 takes any free one.")

    @field_validator("address")
    @classmethod
    def _is_address(cls, text: str) -> str:
        try:
            return str(ip_address(text))
        except ValueError:
            raise ValueError(f"{text[:60]!r} is no IP address; write one such as 127.0.0.1") from None


class LogSettings(Settings):
    """Section `log`."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Least level that is logged."
    )
    format: Literal["json", "logfmt"] = Field(default="json", description="Shape of a line on standard error.")
