"""Options of `kind: kafka`, the collector."""

from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from collectors._kafka_positions import partition_of, stream_of
from socmon.component import CollectorSettings
from socmon.kafka import TOPIC, Cluster


class KafkaSettings(Cluster, CollectorSettings):
    """Options of `kind: kafka`."""

    topics: list[str] = Field(
        min_length=1, max_length=100, description="Topics to read, by name; they must be there already."
    )
    group: str = Field(
        default="socmon",
        min_length=1,
        max_length=249,
        description="Consumer group. Several socmon of one group share the partitions; other readers need a group of "
        "their own.",
    )
    member: str | None = Field(
        default=None,
        pattern=f"^{TOPIC}$",
        description="Name of this socmon in the group, another one for each: after a restart it has its partitions "
        "back at once. `null` for none: others take them, or it waits up to session_timeout_s for its former self.",
    )
    start: Literal["beginning", "end"] = Field(
        default="end",
        description="Where to begin in a topic of which neither the journal nor the group knows a position. Partitions "
        "that are added to a known topic are read from the beginning.",
    )
    max_bytes: int = Field(
        default=65_536,
        ge=256,
        le=1_048_576,
        description="Longest message, in bytes. The rest of a longer one is cut off and the cut counted as too_long.",
    )
    session_timeout_s: float = Field(
        default=10.0,
        ge=0.5,
        le=300,
        description="Seconds without a sign of life after which the brokers give the partitions to others; they may "
        "allow no less than 6.",
    )
    timeout_s: float = Field(
        default=30.0,
        ge=1,
        le=600,
        description="Seconds until a request that is not answered ends the connection; more than session_timeout_s.",
    )

    @field_validator("topics")
    @classmethod
    def _are_topics(cls, topics: list[str]) -> list[str]:
        for topic in topics:
            if partition_of(stream_of(topic, 0)) is None or topic in {".", ".."}:
                raise ValueError(f"{topic[:60]!r} is no topic; write letters, digits, full stop, _ and - only")
        return topics

    @model_validator(mode="after")
    def _outlasts_a_session(self) -> Self:
        if self.timeout_s <= self.session_timeout_s:
            raise ValueError(
                f"timeout_s is {self.timeout_s:g} and session_timeout_s {self.session_timeout_s:g}; make it longer, "
                "for a member that is gone keeps the others waiting so long"
            )
        return self
