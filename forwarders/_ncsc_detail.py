"""What the settings of a destination say of the detail that leaves, and of the alerts that leave at all."""

from collections.abc import Iterator
from typing import Self

from pydantic import Field, model_validator

from socmon.component import Settings
from socmon.errors import ComponentError, ConfigError
from socmon.event import Level
from socmon.feed.approving import ApprovalRule, Mode
from socmon.feed.privacy import Policy, PseudonymKey, RawTreatment, Treatment
from socmon.feed.sharing import Share
from socmon.secrets import SecretRef, unreadable


class PrivacySettings(Settings):
    """What leaves of an alert's detail. E-mail addresses, telephone, citizen and card numbers never do."""

    internal_ips: Treatment = Field(
        default="drop",
        description="Addresses of internal networks: leave them out, replace each by a pseudonym, or send.",
    )
    users: Treatment = Field(
        default="pseudonymise", description="User names: likewise. Without pseudonym_key they are left out."
    )
    hosts: Treatment = Field(
        default="pseudonymise", description="Host names: likewise. Without pseudonym_key they are left out."
    )
    raw: RawTreatment = Field(
        default="drop", description="Log lines: leave them out, or send them with secrets, names and numbers masked."
    )
    pseudonym_key: SecretRef | None = Field(
        default=None,
        description="The province's key for pseudonyms, 16 random bytes or more: file: or credential:.",
    )

    def policy(self, organisation: str) -> Policy:
        """The policy for messages of `organisation`; reads the key.

        Raises:
            BlockedError: the key cannot be read.
            ConfigError: it is too short.
        """
        key = None
        if self.pseudonym_key:
            try:
                content = self.pseudonym_key.read()
            except ConfigError as error:
                raise unreadable(error) from error
            try:
                key = PseudonymKey(content, organisation)
            except ValueError as error:
                raise ConfigError([f"{self.pseudonym_key}: {error}"]) from error
        return Policy(self.internal_ips, self.users, self.hosts, self.raw, key)

    def careful(self, organisation: str) -> Policy:
        """As `policy`; without its key where that cannot be used, so that less leaves."""
        try:
            return self.policy(organisation)
        except (ComponentError, ConfigError):
            return Policy(self.internal_ips, self.users, self.hosts, self.raw, None)

    def warnings(self) -> Iterator[str]:
        """What is not done as it is set, for want of a key."""
        treated = {"internal_ips": self.internal_ips, "users": self.users, "hosts": self.hosts}
        names = [name for name, treatment in treated.items() if treatment == "pseudonymise"]
        if names and self.pseudonym_key is None:
            yield (
                f"privacy: {' and '.join(names)} cannot be pseudonymised without a key, and are left out; "
                "set pseudonym_key, or drop"
            )


class ShareSettings(Settings):
    """Which alerts leave; what is tagged tlp.red never does."""

    min_level: Level = Field(default="informational", description="The lowest level that is sent.")
    agencies: tuple[str, ...] | None = Field(
        default=None, description="Ids of the agencies whose alerts are sent; `null` for all, and for alerts of none."
    )
    exclude_rules: tuple[str, ...] = Field(default=(), description="Ids of rules whose alerts are not sent.")

    def share(self) -> Share:
        """As the feed takes it."""
        agencies = None if self.agencies is None else frozenset(self.agencies)
        return Share(self.min_level, agencies, frozenset(self.exclude_rules))


class ApprovalSettings(Settings):
    """One rule of the list that says whose word lets an alert leave; what is not named fits any."""

    mode: Mode = Field(description="auto: it leaves by itself; person: it is held until somebody approves it.")
    name: str = Field(
        default="", max_length=64, pattern=r"^[0-9A-Za-z][0-9A-Za-z ._-]*$|^$", description="Name that messages state."
    )
    levels: tuple[Level, ...] | None = Field(default=None, description="Levels of alerts.")
    agencies: tuple[str, ...] | None = Field(default=None, description="Ids of agencies.")
    rules: tuple[str, ...] | None = Field(default=None, description="Ids of rules.")

    @model_validator(mode="after")
    def _lists_something(self) -> Self:
        for name in ("levels", "agencies", "rules"):
            if getattr(self, name) == ():
                raise ValueError(f"{name} is empty, so that the rule fits nothing; name some, or leave it out")
        return self

    def rule(self, number: int) -> ApprovalRule:
        """As the feed takes it; `number` in the list, from 1, names one without a name."""
        return ApprovalRule(
            self.mode,
            self.name or f"rule {number}",
            levels=None if self.levels is None else frozenset(self.levels),
            agencies=None if self.agencies is None else frozenset(self.agencies),
            rules=None if self.rules is None else frozenset(self.rules),
        )
