"""A centre that goes away, or whose replies are lost: over real TLS nothing is lost and nothing is stored twice."""

from pathlib import Path

import pytest
from field import Field, field_in, wait_for


def rows_stored_twice(place: Field) -> int:
    return sum(organisation["rows_stored_twice"] for organisation in place.stats()["organisations"].values())


def duplicates_answered(place: Field) -> int:
    return sum(organisation["duplicates_answered"] for organisation in place.stats()["organisations"].values())


@pytest.mark.timeout(480)
def test_ten_seconds_without_the_centre_and_replies_cut_after_commit(tmp_path: Path) -> None:
    with field_in(tmp_path / "province") as place:
        place.start_centre()
        place.configure(["auth"])
        place.start_daemon()
        place.write("auth", 0, 300)
        wait_for(place.settled, "the first alerts delivered")

        place.fault(fault="cut_after_commit", times=3)
        place.write("auth", 300, 300)
        wait_for(lambda: duplicates_answered(place) > 0, "the batch whose reply was cut is sent again")
        place.fault(fault="stop", seconds=10)
        place.write("auth", 600, 300)
        waited = [False]

        def backlog_seen() -> bool:
            backlog = place.reading().backlogs["ncsc"]
            waited[0] = waited[0] or backlog.pending + backlog.waiting > 0
            return waited[0]

        wait_for(backlog_seen, "alerts wait while the centre is away", timeout_s=9)
        wait_for(place.settled, "the backlog delivered after the outage")
        place.fault(fault="503", times=2)
        place.write("auth", 900, 100)
        wait_for(place.settled, "delivered after 503")
        place.stop_daemon()

        reading = place.reading()
        assert len(reading.alerts) > 10
        assert place.findings() == {alert.id: alert.revision for alert in reading.alerts}
        assert reading.acknowledged["ncsc"] == place.findings()
        assert rows_stored_twice(place) == 0
        assert place.journalled() == place.sent
