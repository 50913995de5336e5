"""A minute of the soak: a real daemon and a real centre under every kind of fault, and both sets compared."""

import os
from collections import Counter
from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest

from bench.feed_soak import report
from bench.feed_soak.place import FAKETIME
from bench.feed_soak.plan import KINDS, strikes
from bench.feed_soak.soak import Found, soak
from bench.feed_soak.writing import lines

GOOD = Found(
    seed=1, took_s=60.0, drain_s=2.0, struck=dict.fromkeys(KINDS, 1), lines=1000, alerts=70, messages=150,
    duplicates=9, twice=0, dead=0, drained=True, missing=[], foreign=[], other={}, alone=[],
)  # fmt: skip


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")
@pytest.mark.skipif(FAKETIME is None, reason="libfaketime is not installed")
@pytest.mark.timeout(900)
def test_a_minute_of_faults_loses_nothing_and_doubles_nothing(tmp_path: Path) -> None:
    found = soak(tmp_path, 60, seed=1, rate=20, show=print)

    assert found.problems == []
    assert found.alerts > 0
    assert found.messages > found.alerts  # revisions, and what was sent again
    assert "equal, each once" in report.as_text(found)


def test_the_seed_alone_decides_what_strikes_and_what_is_logged() -> None:
    first = list(islice(strikes(7), 40))

    assert first == list(islice(strikes(7), 40)) != list(islice(strikes(8), 40))
    assert Counter(each.kind for each in first[: len(KINDS)]) == Counter(KINDS)
    assert [each.kind for each in first[: len(KINDS)]] != [each.kind for each in first[len(KINDS) : 2 * len(KINDS)]]
    assert list(islice(lines(7, 0), 500)) == list(islice(lines(7, 0), 500)) != list(islice(lines(8, 0), 500))


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        (replace(GOOD, struck=GOOD.struck | {"sender killed": 0}), "sender killed: never struck"),
        (replace(GOOD, drained=False), "not all is answered for"),
        (replace(GOOD, missing=["a1"]), "only in the province: a1"),
        (replace(GOOD, foreign=["a1"]), "only at the centre: a1"),
        (replace(GOOD, other={"a1": (4, 3)}), "a1: revision 4 here, 3 there"),
        (replace(GOOD, twice=2), "2 stored twice"),
        (replace(GOOD, alerts=0), "no alert at all"),
        (replace(GOOD, alone=["sender ended by itself with 1"]), "sender ended by itself with 1"),
    ],
)
def test_what_is_not_as_required_is_named(changed: Found, problem: str) -> None:
    assert GOOD.problems == []
    assert changed.problems == [problem]
    assert f"NOT AS REQUIRED: {problem}" in report.as_text(changed)
