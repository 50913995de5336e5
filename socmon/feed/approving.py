"""Whose word lets an alert leave: a rule of the destination's list decides, the first that fits (FEED protocol)."""

from collections.abc import Sequence
from typing import Literal

from msgspec import Struct

from socmon.event import Alert, Level
from socmon.feed.vocabulary import TEST_TAG
from socmon.outgoing import AUTOMATIC, Approval

Mode = Literal["auto", "person"]


class ApprovalRule(Struct, frozen=True):
    """Which alerts leave on whose word; what is None fits any.

    Attributes:
        name: as the message states it.
        agencies: ids. Of an alert of several agencies one is enough to ask a person, and all must be named to ask none.
        rules: ids.
    """

    mode: Mode
    name: str
    levels: frozenset[Level] | None = None
    agencies: frozenset[str] | None = None
    rules: frozenset[str] | None = None

    def fits(self, alert: Alert) -> bool:
        """Whether the rule is for `alert`."""
        if self.levels is not None and alert.level not in self.levels:
            return False
        if self.rules is not None and alert.rule_id not in self.rules:
            return False
        if self.agencies is None:
            return True
        theirs = {alert.agency, *alert.entities.get("agency", [])} - {""}
        return bool(theirs & self.agencies) if self.mode == "person" else bool(theirs) and theirs <= self.agencies


def approval_of(alert: Alert, rules: Sequence[ApprovalRule]) -> Approval:
    """On whose word it leaves; nobody's where no rule fits, or where it tests the way, for that tells nothing."""
    if TEST_TAG in alert.tags:
        return AUTOMATIC
    return next((Approval(rule.mode, rule.name) for rule in rules if rule.fits(alert)), AUTOMATIC)
