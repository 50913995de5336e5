"""SigmaHQ's rules match real events as an independent evaluation of the same rules says; skipped without the data.

All that the engine says matches is looked at, and of the rest every 32nd pair of event and rule. With SOCMON_EXAMPLES=8
all rules are loaded, and three million pairs looked at.
"""

import json
import lzma
import os
import re
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
import yaml
from sigma_reference import rule_matches
from sigmahq_kit import DATA, files_of

from socmon.sigma.loading import Loader
from socmon.sigma.logsources import LogSources, Table, shipped_table
from socmon.sigma.ruleset import rule_set

SAMPLES = DATA / "windows" / "evtx" / "events"
TABLE = Path(__file__).parents[2] / "rules" / "logsources.yml"
ALIASES = yaml.load(TABLE.read_bytes(), Loader=yaml.CSafeLoader)["aliases"]
MORE = int(os.environ.get("SOCMON_EXAMPLES", "1"))  # times as many pairs, and events
ACTIVE = ("rules", "rules-threat-hunting", "rules-emerging-threats", "rules-compliance", "rules-placeholder")
# Without routes: each rule is asked about every event, as one of the log source that it states.
SOURCES = LogSources([Table(covers=shipped_table().covers, aliases=shipped_table().aliases)])

pytestmark = [
    pytest.mark.skipif(not SAMPLES.exists(), reason=f"no {SAMPLES}; set SOCMON_DATA to the folder of real data"),
    pytest.mark.timeout(120 * MORE),
]


def sample() -> list[tuple[str, bytes]]:
    """Every fourth rule file, or all."""
    return sorted(files_of(*ACTIVE))[:: max(1, 4 // MORE)]


def events(count: int) -> list[dict[str, Any]]:
    """From all files in turn, as far apart in each as can be."""
    files = [lzma.decompress(file.read_bytes()).splitlines() for file in sorted(SAMPLES.iterdir())]
    each = -(-count // len(files))
    lines = [line for file in files for line in file[:: max(1, len(file) // each)][:each]]
    return [json.loads(line) for line in lines[:: max(1, len(lines) // count)][:count]]


def under_names_of(rule: dict[str, Any], event: dict[str, Any]) -> dict[str, Any]:
    """The event with the fields that it has under another name than the rules for this log source."""
    named = dict(event)
    for alias in ALIASES:
        if all(rule["logsource"].get(part) == value for part, value in alias.items() if part != "fields"):
            for name, others in alias["fields"].items():
                found = [event[other] for other in others if other in event and name not in event]
                named |= {name: one for one in found[:1]}  # noqa: B035  none, or the first
    return named


def test_sigmahq_rules_match_real_events_as_the_reference_says() -> None:
    files = sample()
    stated = [yaml.load(content, Loader=yaml.CSafeLoader) for _, content in files]
    used = {name.decode() for _, content in files for name in re.findall(rb"%(\w+)%", content)}
    placeholders = {name: ["*a*", "admin", "10.0.0.0/8"] for name in used}
    loader = Loader(SOURCES, placeholders)
    for path, content in files:
        loader.add(path, content)
    ruleset = rule_set(loader, SOURCES)
    by_source: dict[tuple[tuple[str, str], ...], list[dict[str, Any]]] = defaultdict(list)
    for rule in stated:
        stated_source = {part: value for part, value in rule["logsource"].items() if part != "definition"}
        if rule["id"] in ruleset.by_id:
            by_source[tuple(stated_source.items())].append(rule)

    matched, differing = 0, []
    for number, event in enumerate(events(200 * MORE)):
        for source, those in by_source.items():
            found = set(ruleset.match(event, dict(source)))
            for place, rule in enumerate(those, number):
                if rule["id"] in found or place % max(1, 32 // MORE) == 0:
                    matched += rule["id"] in found
                    same = rule_matches(rule, under_names_of(rule, event), placeholders=placeholders)
                    if same != (rule["id"] in found):
                        differing.append((rule["title"], same, event))
    assert differing == []
    assert matched > 100 * MORE
