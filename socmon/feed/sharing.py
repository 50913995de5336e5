"""Which alerts a destination gets: by traffic light protocol, level, agency and rule (FIRST TLP 2.0)."""

from collections.abc import Sequence
from typing import Literal, get_args

from msgspec import Struct

from socmon.errors import HeldError
from socmon.event import LEVELS, Alert, Level
from socmon.feed.vocabulary import TEST_TAG

Tlp = Literal["CLEAR", "GREEN", "AMBER", "AMBER+STRICT"]
TLPS: tuple[Tlp, ...] = get_args(Tlp)
"""From the one that everybody may see on; RED is none of them, for what is RED does not leave."""

_PREFIX = "tlp."
_OF_TAG: dict[str, Tlp] = {
    "clear": "CLEAR",
    "white": "CLEAR",  # its name in TLP 1.0
    "green": "GREEN",
    "amber": "AMBER",
    "amber-strict": "AMBER+STRICT",
    "amber_strict": "AMBER+STRICT",
    "amber+strict": "AMBER+STRICT",
}


class Share(Struct, frozen=True):
    """What a destination gets at all; it can be narrowed, never widened.

    Attributes:
        level: the lowest level.
        agencies: ids of those whose alerts are shared; None means all. Alerts of no agency are then not shared.
        without_rules: ids of rules whose alerts are not.
    """

    level: Level = "informational"
    agencies: frozenset[str] | None = None
    without_rules: frozenset[str] = frozenset()

    def narrowed(self, other: "Share") -> "Share":
        """What both of them share."""
        named = [each for each in (self.agencies, other.agencies) if each is not None]
        return Share(
            level=max(self.level, other.level, key=LEVELS.index),
            agencies=frozenset.intersection(*named) if named else None,
            without_rules=self.without_rules | other.without_rules,
        )

    def refusal(self, alert: Alert) -> str:
        """Why `alert` is not shared; "" if it is. One that tests the way is, for it tells nothing."""
        if TEST_TAG in alert.tags:
            return ""
        if LEVELS.index(alert.level) < LEVELS.index(self.level):
            return f"level {alert.level} is below {self.level}"
        if alert.rule_id in self.without_rules:
            return "its rule is not shared"
        if self.agencies is not None:
            theirs = {alert.agency, *alert.entities.get("agency", [])} - {""}
            if not theirs:
                return "it is of no agency, and only named ones are shared"
            if foreign := sorted(theirs - self.agencies):
                return f"agency {foreign[0][:64]} is not shared"
        return ""


def tlp_of(tags: Sequence[str], default: Tlp) -> Tlp:
    """The strictest `tlp.…` of the tags; `default` where there is none.

    Raises:
        HeldError: it is RED, or not one of TLP 2.0: nobody may guess how far it may go.
    """
    named = [tag[len(_PREFIX) :].lower() for tag in tags if tag.lower().startswith(_PREFIX)]
    if "red" in named:
        raise HeldError("TLP:RED never leaves")
    if unknown := [name for name in named if name not in _OF_TAG]:
        raise HeldError(f"tag tlp.{unknown[0][:40]} is not of TLP 2.0; correct it in the rule")
    return max((_OF_TAG[name] for name in named), key=TLPS.index, default=default)


def must_be_shared(alert: Alert, share: Share) -> None:
    """Check an alert before its message is made.

    Raises:
        HeldError: it is not to leave.
    """
    if refusal := share.refusal(alert):
        raise HeldError(refusal)
