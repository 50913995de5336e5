"""Whose word lets an alert leave, and what its message says of that."""

import json
from typing import Any

import pytest
from feed_kit import ORG, alert, release
from msgspec import structs
from pydantic import ValidationError

from forwarders._ncsc_detail import ApprovalSettings
from socmon.feed.approving import ApprovalRule, approval_of
from socmon.feed.message import Sender, render
from socmon.feed.privacy import Policy, PseudonymKey
from socmon.feed.vocabulary import TEST_TAG
from socmon.outgoing import AUTOMATIC, Approval

PERSON = ApprovalRule("person", "asks")


def said(approval: Approval, policy: Policy | None = None) -> dict[str, Any]:
    given = structs.replace(release(), approval=approval)
    message = json.loads(render(alert(), given, Sender(ORG, privacy=policy or Policy())))
    told: dict[str, Any] = message["data"]["unmapped"]["vn_soc"]["approval"]
    return told


@pytest.mark.parametrize(
    ("rule", "fits"),
    [
        (PERSON, True),
        (structs.replace(PERSON, levels=frozenset({"high"})), True),
        (structs.replace(PERSON, levels=frozenset({"critical"})), False),
        (structs.replace(PERSON, rules=frozenset({"another"})), False),
        (structs.replace(PERSON, agencies=frozenset({"so-y-te"})), True),
        (structs.replace(PERSON, agencies=frozenset({"so-noi-vu"})), False),
        (ApprovalRule("auto", "lets", agencies=frozenset({"so-y-te"})), False),  # not all of them are named
        (ApprovalRule("auto", "lets", agencies=frozenset({"so-y-te", "so-tai-chinh"})), True),
    ],
)
def test_a_rule_fits_what_it_names(rule: ApprovalRule, *, fits: bool) -> None:
    entities = {"agency": ["so-tai-chinh"]}

    assert rule.fits(alert(level="high", agency="so-y-te", entities=entities)) is fits


def test_the_first_rule_that_fits_decides() -> None:
    lets = ApprovalRule("auto", "lets", levels=frozenset({"low"}))

    assert approval_of(alert(level="low"), [lets, PERSON]) == Approval("auto", "lets")
    assert approval_of(alert(level="high"), [lets, PERSON]) == Approval("person", "asks")
    assert approval_of(alert(level="high"), [lets]) == AUTOMATIC
    assert approval_of(alert(tags=[TEST_TAG]), [PERSON]) == AUTOMATIC  # it tells nothing


def test_the_message_says_who_let_it_go_as_user_names_are_said() -> None:
    approval = Approval("person", "asks", "lan", 1_795_366_682_000_000)
    key = PseudonymKey(b"k" * 16, ORG)

    assert said(AUTOMATIC) == {"mode": "auto"}
    assert said(Approval("auto", "lets")) == {"mode": "auto", "rule": "lets"}
    without = {"mode": "person", "at": "2026-11-22T16:58:02Z", "rule": "asks"}
    assert said(approval) == without
    assert said(approval, Policy(users="keep")) == without | {"by": "lan"}
    assert said(approval, Policy(key=key)) == without | {"by": key.pseudonym("u", "lan")}


@pytest.mark.parametrize(
    "wrong", [{}, {"mode": "perhaps"}, {"mode": "person", "levels": []}, {"mode": "auto", "name": "\n"}]
)
def test_a_rule_that_says_nothing_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ApprovalSettings(**wrong)
