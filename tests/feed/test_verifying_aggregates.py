"""`socmon feed verify` of alerts that went out with others, some of which were taken back or withdrawn since."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from control_kit import socmon
from field import BASE_S, wait_for
from province_kit import Province, province_in
from store_kit import valid

pytestmark = pytest.mark.timeout(240)
ALERTS = 12
_RULES = """
title: A failure
id: 00000000-0000-4000-8000-0000000000a1
level: low
logsource: {product: linux, service: sshd}
detection: {s: {'|contains': Failed password}, condition: s}
---
title: Each address by itself
id: 00000000-0000-4000-8000-0000000000a2
level: medium
correlation:
  type: event_count
  rules: [00000000-0000-4000-8000-0000000000a1]
  group-by: [src_ip]
  timespan: 1h
  condition: {gte: 1}
"""


def configure(place: Province) -> None:
    path = place.root / "rules.yml"
    path.write_text(_RULES)
    place.configure(["auth"], rules={"paths": [str(path)], "shipped": False})
    config = json.loads((place.root / "config.yaml").read_text())
    config["forwarders"]["ncsc"]["quota_per_minute"] = 2
    (place.root / "config.yaml").write_text(json.dumps(config))


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Province]:
    """A province whose alerts waited for the centre, which has them in few messages."""
    with province_in(tmp_path) as made:
        configure(made)
        stamp = datetime.fromtimestamp(BASE_S, UTC).strftime("%b %e %H:%M:%S")
        lines = [
            f"{stamp} web sshd[7]: Failed password for root from 198.18.0.{number} port 40022 ssh2"
            for number in range(1, ALERTS + 1)
        ]
        with (made.root / "auth").open("a") as log:
            log.write("".join(f"{each}\n" for each in lines))
        made.sent.setdefault("auth", []).extend(lines)
        made.start_daemon()
        wait_for(lambda: made.backlog() >= ALERTS, "all wait")
        made.start_centre()
        made.wait_until_settled()
        yield made


def members(place: Province) -> list[str]:
    query = "select alert_id from released where seq is null and state = 'acknowledged' order by id"
    with closing(sqlite3.connect(f"file:{place.state}/socmon.db?mode=ro", uri=True)) as db:
        return [str(alert_id) for (alert_id,) in db.execute(query)]


def verified(place: Province, alert_id: str) -> list[dict[str, Any]]:
    done = socmon(place, "feed", "verify", "--json", alert_id)
    found = valid(json.loads(done.stdout), "feed.verify.v1")
    assert (done.returncode, found["broken"]) == (0, 0), found
    releases: list[dict[str, Any]] = found["releases"]
    return releases


def test_a_member_is_followed_into_its_aggregate_and_a_withdrawal_to_its_closing_revision(place: Province) -> None:
    first, *_ = told = members(place)
    assert len(told) > 2

    (release,) = verified(place, told[1])
    assert release["aggregate"]
    assert release["seq"] >= 1
    assert {each["state"] for each in release["links"]} == {"ok"}
    csv = socmon(place, "-o", "csv", "feed", "verify", told[1])
    assert ",normal,," not in csv.stdout
    page = socmon(place, "--lang", "vi", "feed", "verify", told[1]).stdout
    assert "đã ký: đã lưu" in page

    done = socmon(place, "feed", "withdraw", "ncsc", first, "--reason", "a test", "--yes")
    assert done.returncode == 0, done.stderr
    wait_for(lambda: len(verified(place, first)) == 2, "the closing revision is released")
    place.wait_until_settled()
    within, closed = verified(place, first)
    assert (within["aggregate"] != "", closed["aggregate"]) == (True, "")
    assert "closing revision" in closed["links"][1]["why"]
    assert {each["state"] for each in closed["links"]} == {"ok"}
