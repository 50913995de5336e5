"""A daemon that was killed again and again comes to the same as one that was not, over a copy of its journal."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from field import Field, field_in, wait_for

from socmon.event import Alert


def check_against_unkilled(cut: Field, root: Path) -> None:
    """An unkilled daemon over a copy of the journal comes to the same alerts, and so do the two centres."""
    reading, findings, stats = cut.reading(), cut.findings(), cut.stats()
    with field_in(root) as uncut:
        uncut.start_centre()
        uncut.configure([])
        shutil.copytree(cut.state / "journal", uncut.state / "journal")
        uncut.sent = cut.sent
        uncut.start_daemon()
        wait_for(uncut.settled, "the copied journal matched and delivered", timeout_s=180)
        uncut.stop_daemon()
        expected = uncut.reading()
        expected_findings = uncut.findings()

    assert len(expected.alerts) > 5
    assert essence(reading.alerts) == essence(expected.alerts)
    assert findings == expected_findings == {alert.id: alert.revision for alert in expected.alerts}
    assert all(account.in_flight == 0 for account in reading.ledger.accounts.values())
    assert sum(account.evaluated for account in reading.ledger.accounts.values()) == sum(map(len, cut.sent.values()))
    assert rows_stored_twice(stats) == 0


def essence(alerts: Sequence[Alert]) -> dict[str, tuple[object, ...]]:
    """By id."""
    return {a.id: (a.rule_id, a.group, a.first_us, a.last_us, a.count, a.revision) for a in alerts}


def rows_stored_twice(stats: dict[str, object]) -> int:
    organisations = stats["organisations"]
    assert isinstance(organisations, dict)
    return sum(organisation["rows_stored_twice"] for organisation in organisations.values())
