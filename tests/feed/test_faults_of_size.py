"""Fault 13 with real processes: batches larger than the centre takes, and one event that is so by itself."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from control_kit import socmon
from field import ORG, failure_line, wait_for
from pages_kit import metrics
from province_kit import Province, province_in

LARGE = "The user"
# Each address is an alert of one line; the user is one of all lines, so its message has much evidence.
_RULES = """
title: Each failure by itself
id: 00000000-0000-4000-8000-0000000000d1
level: medium
logsource: {product: linux, service: sshd}
detection: {s: {'|contains': Failed publickey}, condition: s}
---
title: Each address
id: 00000000-0000-4000-8000-0000000000d2
level: medium
correlation:
  type: event_count
  rules: [00000000-0000-4000-8000-0000000000d1]
  group-by: [src_ip]
  timespan: 1h
  condition: {gte: 1}
---
title: The user
id: 00000000-0000-4000-8000-0000000000d3
level: medium
correlation:
  type: value_count
  rules: [00000000-0000-4000-8000-0000000000d1]
  group-by: [user]
  timespan: 1h
  condition: {gte: 50, field: src_ip}
"""
LINES = 100
CENTRE_BYTES = 8_000  # four messages of one line

pytestmark = pytest.mark.timeout(240)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Province]:
    with province_in(tmp_path) as made:
        rules = made.root / "rules.yml"
        rules.write_text(_RULES)
        made.configure(["auth"], rules={"paths": [str(rules)], "shipped": False})
        change(made, privacy={"raw": "masked"})
        line = failure_line(0).replace("password", "publickey") + ": RSA SHA256:" + "8ZVqyVqf" * 8
        lines = [line.replace("203.0.113.1 ", f"45.7.7.{number + 1} ") for number in range(LINES)]
        (made.root / "auth").write_text("".join(f"{each}\n" for each in lines))
        made.sent["auth"] = lines
        yield made


def change(place: Province, **options: Any) -> None:
    """Change options of the forwarder."""
    config = json.loads((place.root / "config.yaml").read_text())
    config["forwarders"]["ncsc"] |= options
    (place.root / "config.yaml").write_text(json.dumps(config))


def test_fault_13_batch_too_large(place: Province) -> None:
    backlog(place)
    place.start_centre(options=["--max-batch-bytes", str(CENTRE_BYTES)])
    place.wait_until_settled()

    refused = [each["code"] for each in place.events("centre.log", "request refused")]
    assert len(refused) > 2  # it is halved, and halved again
    assert set(refused) == {"too_large"}
    all_but_the_large_one_are_there(place, "too_large")


def test_fault_13_one_event_is_larger_than_the_sender_may_send(place: Province) -> None:
    change(place, max_bytes=10_000)
    backlog(place)
    place.start_centre()
    place.wait_until_settled()

    assert not place.events("centre.log", "request refused")
    all_but_the_large_one_are_there(place, "oversize")


def backlog(place: Province) -> None:
    place.start_daemon()
    wait_for(lambda: place.backlog() >= LINES, "alerts wait", timeout_s=30)
    wait_for(lambda: LARGE in {alert.title for alert in place.reading().alerts}, "the large one too")


def all_but_the_large_one_are_there(place: Province, code: str) -> None:
    alerts = place.reading().alerts
    (large,) = [alert for alert in alerts if alert.title == LARGE]
    held = {alert.id: alert.revision for alert in alerts}
    at_the_centre = place.findings()
    assert at_the_centre.pop(large.id, 0) < held.pop(large.id)
    assert at_the_centre == held
    assert (place.of_all("quarantined"), place.of_all("rows_stored_twice")) == (0, 0)
    letters = dead(place)
    assert {(each["alert_id"], each["code"]) for each in letters} == {(large.id, code)}
    shown = metrics(place)['socmon_forwarder_rejected_alerts_total{forwarder="ncsc"}']
    assert shown == len(letters) == place.dead()
    said = place.events("daemon.log", "alert refused, kept as a dead letter")
    assert {(each["alert"], each["code"]) for each in said} == {(large.id, code)}
    seen = socmon(place, "-o", "json", "status")
    assert "dead_letters" in {each["code"] for each in json.loads(seen.stdout)["warnings"]}
    assert ORG in place.stats()["organisations"]


def dead(place: Province) -> list[dict[str, Any]]:
    shown = socmon(place, "-o", "json", "feed", "queue", "--state", "dead")
    assert shown.returncode == 0
    rows: list[dict[str, Any]] = json.loads(shown.stdout)["rows"]
    return rows
