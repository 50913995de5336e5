"""An alert storm, with real processes: what is over the quota goes together or waits, and nothing is lost by either."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from field import BASE_S, ORG, wait_for
from province_kit import Province, province_in

FAKETIME = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)
QUOTA = 30
BATCH = 5
STORM = 10 * QUOTA
SPAN_S = 700  # between two hordes: more than findings of one aggregate may lie apart
MINUTE_US = 60_000_000

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
---
title: Somebody is in
id: 00000000-0000-4000-8000-0000000000a3
level: low
logsource: {product: linux, service: sshd}
detection: {s: {'|contains': Accepted password}, condition: s}
---
title: Each who is in by itself
id: 00000000-0000-4000-8000-0000000000a4
level: critical
correlation:
  type: event_count
  rules: [00000000-0000-4000-8000-0000000000a3]
  group-by: [src_ip]
  timespan: 1h
  condition: {gte: 1}
"""
_RULE = """
title: A user of many, {number}
id: 00000000-0000-4000-8000-{number:012}
level: medium
logsource: {{product: linux, service: sshd}}
detection: {{s: {{'|contains': 'Failed password for user{number:03} '}}, condition: s}}
"""

pytestmark = pytest.mark.timeout(240)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Province]:
    with province_in(tmp_path) as made:
        yield made


def configure(place: Province, rules: str, quota: int) -> None:
    path = place.root / "rules.yml"
    path.write_text(rules)
    place.configure(["auth"], rules={"paths": [str(path)], "shipped": False})
    config = json.loads((place.root / "config.yaml").read_text())
    config["forwarders"]["ncsc"] |= {"quota_per_minute": quota, "max_events": BATCH}
    (place.root / "config.yaml").write_text(json.dumps(config))


def line(number: int, what: str, second: int = 0) -> str:
    stamp = datetime.fromtimestamp(BASE_S + second, UTC).strftime("%b %e %H:%M:%S")
    return f"{stamp} web sshd[7]: {what} from 198.18.{number // 250}.{number % 250 + 1} port 40022 ssh2"


def write(place: Province, lines: list[str]) -> None:
    with (place.root / "auth").open("a") as log:
        log.write("".join(f"{each}\n" for each in lines))
    place.sent.setdefault("auth", []).extend(lines)


def arrived(place: Province) -> list[str]:
    """The stream of each event at the centre, in the order of arrival."""
    with closing(sqlite3.connect(place.root / "centre" / "centre.sqlite")) as db:
        return [source.rpartition("/")[2] for (source,) in db.execute("select source from events order by n")]


def most_in_a_minute(place: Province) -> int:
    """Of the messages of the stream `normal`, by when they were released."""
    query = "select released_us from released where stream = 'normal' and seq is not null order by 1"
    with closing(sqlite3.connect(f"file:{place.state}/socmon.db?mode=ro", uri=True)) as db:
        moments = [int(moment) for (moment,) in db.execute(query)]
    return max(sum(last - MINUTE_US < moment <= last for moment in moments) for last in moments)


def test_fault_15_alert_storm(place: Province) -> None:
    """Ten hordes, one alert for each address; what it comes to before the centre is there is a batch in flight."""
    configure(place, _RULES, QUOTA)
    write(place, [line(number, "Failed password for root", number // QUOTA * SPAN_S) for number in range(STORM)])
    place.start_daemon()
    wait_for(lambda: place.backlog() >= STORM, "the storm waits")
    write(place, [line(STORM + number, "Accepted password for root", 10 * SPAN_S) for number in range(3)])
    wait_for(lambda: place.backlog() >= STORM + 3, "the urgent ones wait too")

    place.start_centre()
    place.wait_until_settled()

    place.check_nothing_is_lost_or_doubled()
    assert len(place.findings()) == STORM + 3
    stats = place.stats()["organisations"][ORG]
    assert stats["findings"] == STORM + 3
    assert stats["aggregates"] > 0
    streams = arrived(place)
    assert streams.count("urgent") == 3
    assert BATCH < streams.count("normal") <= QUOTA
    # Nothing is before them but what was on its way when they came: one batch.
    last = len(streams) - 1 - streams[::-1].index("urgent")
    assert streams[:last].count("normal") <= BATCH
    assert most_in_a_minute(place) <= QUOTA


@pytest.mark.skipif(FAKETIME is None, reason="libfaketime is not installed")
def test_fault_15_what_cannot_be_joined_waits_for_the_quota(place: Province, tmp_path: Path) -> None:
    offset = tmp_path / "offset"
    offset.write_text("+0")
    # The monotonic clock stays what it is, as it would when a clock is set.
    clock = {"FAKETIME_TIMESTAMP_FILE": str(offset), "FAKETIME_NO_CACHE": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    configure(place, "---".join(_RULE.format(number=number) for number in range(1, 25)), 8)
    place.start_centre()
    write(place, [line(number, f"Failed password for user{number:03}") for number in range(1, 25)])
    place.start_daemon(environment={"LD_PRELOAD": str(FAKETIME), **clock})
    minutes = 0

    def settled() -> bool:
        nonlocal minutes
        if arrived(place).count("normal") >= min(8 * (minutes + 1), 24):
            minutes += 1
            offset.write_text(f"+{61 * minutes}")
        return place.settled()

    wait_for(settled, "minute by minute, everything is delivered", timeout_s=90)

    place.check_nothing_is_lost_or_doubled()
    assert len(arrived(place)) == 24
    assert most_in_a_minute(place) == 8
