"""Which alerts leave: by traffic light protocol, level, agency and rule; a policy is only ever narrowed."""

import pytest
from feed_kit import ORG, alert, release
from hypothesis import given
from hypothesis import strategies as st

from socmon.errors import HeldError
from socmon.event import LEVELS
from socmon.feed.message import Sender, render
from socmon.feed.sharing import TLPS, Share, tlp_of

AGENCIES = ["000.01", "000.02", "000.03"]
shares = st.builds(
    Share,
    level=st.sampled_from(LEVELS),
    agencies=st.none() | st.frozensets(st.sampled_from(AGENCIES)),
    without_rules=st.frozensets(st.sampled_from(["r1", "r2"])),
)
alerts = st.builds(
    alert,
    level=st.sampled_from(LEVELS),
    rule_id=st.sampled_from(["r1", "r2", "r3"]),
    agency=st.sampled_from(["", *AGENCIES]),
    entities=st.builds(lambda ids: {"agency": ids}, st.lists(st.sampled_from(AGENCIES), max_size=2)),
)


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ([], "AMBER"),
        (["attack.t1110"], "AMBER"),
        (["tlp.clear"], "CLEAR"),
        (["tlp.white"], "CLEAR"),
        (["TLP.Green"], "GREEN"),
        (["tlp.amber-strict"], "AMBER+STRICT"),
        (["tlp.amber+strict"], "AMBER+STRICT"),
        (["tlp.clear", "tlp.amber"], "AMBER"),
    ],
)
def test_the_strictest_tag_counts(tags: list[str], expected: str) -> None:
    assert tlp_of(tags, "AMBER") == expected


@pytest.mark.parametrize(
    ("tags", "reason"),
    [
        (["tlp.red"], "TLP:RED never leaves"),
        (["tlp.clear", "TLP.RED"], "TLP:RED never leaves"),
        (["tlp.purple"], "tag tlp.purple is not of TLP 2.0"),
    ],
)
@pytest.mark.parametrize("default", TLPS)
def test_what_is_red_or_unknown_has_no_message(tags: list[str], reason: str, default: str) -> None:
    sender = Sender(ORG, tlp=default)  # type: ignore[arg-type]  # one of TLPS

    with pytest.raises(HeldError, match=reason):
        render(alert(tags=tags), release(), sender)


@pytest.mark.parametrize(
    ("share", "reason"),
    [
        (Share(level="high"), "level medium is below high"),
        (Share(without_rules=frozenset([alert().rule_id])), "its rule is not shared"),
        (Share(agencies=frozenset()), "it is of no agency, and only named ones are shared"),
    ],
)
def test_what_is_not_shared_has_no_message(share: Share, reason: str) -> None:
    with pytest.raises(HeldError, match=reason):
        render(alert(), release(), Sender(ORG, share=share))


def test_an_alert_of_several_agencies_leaves_only_where_all_of_them_are_shared() -> None:
    both = alert(agency="000.01", entities={"agency": ["000.01", "000.02"]})

    assert Share(agencies=frozenset(["000.01"])).refusal(both) == "agency 000.02 is not shared"
    assert not Share(agencies=frozenset(["000.01", "000.02"])).refusal(both)


def test_an_alert_that_tests_the_way_is_shared_always() -> None:
    assert not Share(level="critical", agencies=frozenset()).refusal(alert(tags=["socmon.test"]))


@given(shares, shares, alerts)
def test_what_two_policies_share_is_what_each_of_them_shares(one: Share, other: Share, made: object) -> None:
    both = one.narrowed(other)

    assert (not both.refusal(made)) == (not one.refusal(made) and not other.refusal(made))  # type: ignore[arg-type]  # an alert
    assert both.narrowed(one) == both == other.narrowed(one)
