"""SigmaHQ's rules on thousands of real events in a row, as the naive matcher says; skipped without the data.

The events come twice, and once more with what is unique in each, so that what was remembered is used, and thrown away.
With SOCMON_EXAMPLES=4 all rules are loaded, and eight times as many events looked at.
"""

import json
import os
from typing import Any

import pytest
from sigma_naive import Naive
from sigmahq_kit import ARCHIVE, real_events, some_rules

from socmon.parsers import windows_json
from socmon.sigma.logsources import shipped_log_sources

MORE = int(os.environ.get("SOCMON_EXAMPLES", "1"))

pytestmark = [
    pytest.mark.skipif(not ARCHIVE.exists(), reason=f"no {ARCHIVE}; set SOCMON_DATA to the folder of real data"),
    pytest.mark.timeout(120 * MORE),
]


def made_unique(fields: dict[str, Any], number: int) -> dict[str, Any]:
    """The event with something of its own in each text that does not say which rules look at it."""
    return {
        name: f"{value[: len(value) // 2]}~{number}~{value[len(value) // 2 :]}"
        if isinstance(value, str) and name not in {"Channel", "EventID"}
        else value
        for name, value in fields.items()
    }


def test_sigmahq_rules_match_real_events_as_the_naive_matcher_says() -> None:
    rules = some_rules(max(1, 4 // MORE))
    naive = Naive(rules, shipped_log_sources())
    real = real_events(2000 * MORE * MORE)
    unique = [json.dumps(made_unique(json.loads(line), number)).encode() for number, line in enumerate(real)]

    matched, differing = 0, []
    for place, line in enumerate([*real, *real, *unique]):
        fields = windows_json.fields_of(line)
        source = windows_json.logsource(fields)
        given: list[Any] = [line] if place % 2 else []
        ours, theirs = list(rules.match(fields, source, *given)), naive.match(fields, source)
        matched += len(ours)
        if ours != theirs:
            differing.append((place, sorted({*ours} ^ {*theirs}), json.dumps(fields)[:300]))

    assert differing == []
    assert matched > 50 * MORE  # no list of nothing was compared with another
