"""Whoever sends logs cannot make the page of metrics grow: no hosts, peers, programs, users; rules are capped."""

import json
import socket
import urllib.request
from pathlib import Path

import pytest
from field import Field, field_in, wait_for
from prometheus_client.parser import text_string_to_metric_families

from socmon.metrics import RULES_COUNTED

RULES = RULES_COUNTED + 60
RULE = """\
title: Sees word {number}
id: 00000000-0000-4000-8000-{number:012d}
logsource: {{product: linux, service: tag{tag}}}
detection:
  selection: {{message|contains: word{number}x}}
  condition: selection
level: low
"""
PEERS = 40
TAGS = 50  # so that a record is looked at by few of the rules


def series(place: Field) -> dict[str, float]:
    """What stands on the page of the running daemon."""
    started = place.events("daemon.log", "started")
    with urllib.request.urlopen(f"{started[0]['http']}/metrics", timeout=10) as answer:
        page = answer.read().decode()
    return {
        f"{sample.name} {json.dumps(sample.labels)}": sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    }


def flood(place: Field, words: range, evil: str) -> None:
    """Send a line for each of `words` and one that no parser reads, from a host of its own, over many peers."""
    port = place.port("edge")
    assert port is not None
    stamp = "<38>Nov 22 10:00:00"
    lines = [
        f"{stamp} {evil}-host{number} tag{number % TAGS}[1]: user {evil}{number} said word{number}x\n{evil} {number}\n"
        for number in words
    ]
    for peer in range(PEERS):
        address = f"127.{len(evil)}.{peer}.9"
        with socket.create_connection(("127.0.0.1", port), timeout=10, source_address=(address, 0)) as sender:
            sender.sendall("".join(lines[peer::PEERS]).encode())


def matched(place: Field) -> float:
    return sum(value for name, value in series(place).items() if name.startswith("socmon_matching_matches_total"))


@pytest.mark.timeout(120)
def test_a_second_flood_from_other_places_adds_no_series(tmp_path: Path) -> None:
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "many.yml").write_text(
        "---\n".join(RULE.format(number=number, tag=number % TAGS) for number in range(RULES))
    )
    with field_in(tmp_path / "province") as place:
        own = {"paths": [str(tmp_path / "rules")], "shipped": False}
        place.configure([], tcp=["edge"], forwarders={}, rules=own)
        place.start_daemon()
        wait_for(lambda: place.port("edge"), "start", timeout_s=90)

        flood(place, range(RULES_COUNTED + 10), "one")
        wait_for(lambda: matched(place) == RULES_COUNTED + 10, "the first flood matched", timeout_s=60)
        first = series(place)
        flood(place, range(RULES_COUNTED + 10, RULES), "other")
        wait_for(lambda: matched(place) == RULES, "the second flood matched", timeout_s=60)
        second = series(place)
        place.stop_daemon()

    by_rule = [name for name in second if name.startswith("socmon_matching_matches_total")]
    assert len(by_rule) == RULES_COUNTED + 1
    assert second['socmon_matching_matches_total {"rule": "_other"}'] == 60
    assert second.keys() == first.keys()
    assert len(second) - len(by_rule) < 400
    assert not [name for name in second if "-host" in name or "127." in name]
