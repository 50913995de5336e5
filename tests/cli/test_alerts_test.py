"""`socmon alerts test`: real processes, the whole way; each end of it has its exit code."""

import json
import os
import pwd
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import pytest
from control_kit import NOBODY, command, listening, logged, socmon, someone_else, to_centre, to_file
from field import Field, field_in, wait_for

from socmon.cli import NOT_ALLOWED, CommandError
from socmon.cli.control_client import asking


def configure(place: Field, out: Path, **centre: Any) -> None:
    """A centre and a file as destinations, and no tick or checkpoint that could hit a failpoint first, or hide one."""
    place.configure(["auth"])
    forwarders = {"ncsc": to_centre(place, **centre), "archive": to_file(out)}
    place.configure(["auth"], forwarders=forwarders, intake={"tick_s": 3600}, store={"checkpoint_s": 60})


def steps(result: subprocess.CompletedProcess[str]) -> list[dict[str, str]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


@pytest.mark.timeout(90)
def test_a_test_alert_goes_the_whole_way_and_is_acknowledged_everywhere(tmp_path: Path) -> None:
    with field_in(tmp_path / "p") as place:
        out = tmp_path / "out.ndjson"
        place.start_centre()
        configure(place, out)
        listening(place)

        result = socmon(place, "-o", "json", "alerts", "test")

        told = json.loads(result.stdout)
        assert (result.returncode, result.stderr) == (0, "")
        assert (told["schema"], told["outcome"]) == ("socmon.alerts.test/v1", "acknowledged")
        taken = [(step["step"], step["destination"]) for step in told["steps"]]
        assert taken[:2] == [("journalled", ""), ("alert", "")]
        assert sorted(taken[2:]) == sorted(
            (step, name) for step in ("released", "acknowledged") for name in ("ncsc", "archive")
        )
        assert place.findings() == {told["alert_id"]: 1}
        (line,) = map(json.loads, out.read_text().splitlines())
        assert (line["id"], line["tags"], line["level"]) == (told["alert_id"], ["socmon.test"], "informational")
        assert line["evidence"][0]["seq"] == told["seq"]
        assert place.journalled()["socmon"][0].count(told["test_id"]) == 1
        name = pwd.getpwuid(os.getuid()).pw_name
        (asked,) = [entry for entry in logged(place) if entry["event"] == "change asked for"]
        assert (asked["actor"], asked["uid"], asked["verb"]) == (name, os.getuid(), "alerts.test")
        place.stop_daemon()
        account = place.account("socmon")
        assert (account.journalled, account.evaluated, account.unparsed) == (1, 1, 0)


@pytest.mark.timeout(90)
def test_two_tests_at_once_are_two_alerts(tmp_path: Path) -> None:
    with field_in(tmp_path / "p") as place:
        place.start_centre()
        configure(place, tmp_path / "out.ndjson")
        listening(place)

        both = [
            subprocess.Popen(command(place, "-o", "json", "alerts", "test"), stdout=subprocess.PIPE) for _ in range(2)
        ]
        told = [json.loads(each.communicate(timeout=60)[0]) for each in both]

        assert [each.returncode for each in both] == [0, 0]
        assert place.findings() == {each["alert_id"]: 1 for each in told}
        assert len({each["test_id"] for each in told}) == 2


@pytest.mark.timeout(90)
def test_a_centre_that_is_down_is_not_in_time_unless_it_is_not_waited_for(tmp_path: Path) -> None:
    with field_in(tmp_path / "p") as place:
        place.start_centre()
        configure(place, tmp_path / "out.ndjson")
        assert place.centre is not None
        place.centre.terminate()
        place.centre.wait(30)
        listening(place)

        result = socmon(place, "-o", "ndjson", "alerts", "test", "--timeout", "10s")
        only = socmon(place, "alerts", "test", "--to", "archive")

        assert result.returncode == 7
        assert "not acknowledged within 10 s by ncsc" in result.stderr
        taken = {(step["step"], step["destination"]) for step in steps(result)}
        assert {("trouble", "ncsc"), ("acknowledged", "archive")} <= taken
        assert ("acknowledged", "ncsc") not in taken
        assert only.returncode == 0
        assert "ncsc" not in only.stdout


@pytest.mark.timeout(90)
def test_a_centre_that_refuses_us_is_told_at_once(tmp_path: Path) -> None:
    with field_in(tmp_path / "p") as place:
        place.start_centre()
        configure(place, tmp_path / "out.ndjson", org_id="000.00.00.H08")
        listening(place)

        result = socmon(place, "alerts", "test", "--timeout", "20s")

        assert result.returncode == 8
        assert "refused by ncsc" in result.stderr
        assert "set org_id to that of the certificate" in result.stdout


@pytest.mark.timeout(90)
def test_a_test_alert_that_is_quarantined_is_refused_with_its_code(tmp_path: Path) -> None:
    with field_in(tmp_path / "p") as place:
        place.start_centre()
        configure(place, tmp_path / "out.ndjson")
        place.fault(fault="quarantine", times=1)
        listening(place)

        result = socmon(place, "-o", "ndjson", "alerts", "test")

        assert result.returncode == 8
        (refused,) = [step for step in steps(result) if step["step"] == "refused"]
        assert (refused["destination"], refused["detail"]) == ("ncsc", "injected")


@pytest.mark.timeout(120)
@pytest.mark.parametrize("failpoint", ["journal.appended", "alerts.committed", "outbox.replied"])
def test_a_daemon_killed_on_the_way_ends_the_command_and_the_alert_arrives_once(tmp_path: Path, failpoint: str) -> None:
    with field_in(tmp_path / "p") as place:
        place.start_centre()
        configure(place, tmp_path / "out.ndjson")
        listening(place, failpoint)

        result = socmon(place, "alerts", "test")

        assert place.daemon is not None
        assert (result.returncode, place.daemon.wait(30)) == (4, -signal.SIGKILL)
        assert "see its log" in result.stderr
        listening(place)
        wait_for(lambda: place.findings() and place.settled("ncsc", "archive"), "the alert delivered to both")
        place.stop_daemon()
        (alert,) = place.reading().alerts
        assert place.findings() == {alert.id: 1}
        assert [organisation["rows_stored_twice"] for organisation in place.stats()["organisations"].values()] == [0]
        assert len((tmp_path / "out.ndjson").read_text().splitlines()) == 1


@pytest.mark.timeout(90)
def test_what_cannot_be_asked_for_has_its_own_exit_codes(tmp_path: Path) -> None:
    with field_in(tmp_path / "p") as place:
        place.configure(["auth"], forwarders={"archive": to_file(tmp_path / "out")})
        nobody_there = socmon(place, "alerts", "test")
        listening(place)
        elsewhere = socmon(place, "alerts", "test", "--to", "mars")
        timeless = socmon(place, "alerts", "test", "--timeout", "soon")
        place.stop_daemon()
        place.configure(["auth"], forwarders={"archive": to_file(tmp_path / "out")}, rules={"shipped": False})
        listening(place)
        ruleless = socmon(place, "alerts", "test")

        assert (nobody_there.returncode, elsewhere.returncode, timeless.returncode, ruleless.returncode) == (4, 5, 2, 1)
        assert "is the daemon running" in nobody_there.stderr
        assert "no destination is called 'mars'; known: archive" in elsewhere.stderr
        assert "set rules.shipped to true" in ruleless.stderr


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
@pytest.mark.timeout(90)
def test_only_the_sockets_group_may_ask_and_is_logged_by_name() -> None:
    with tempfile.TemporaryDirectory() as folder, field_in(Path(folder) / "p") as place:
        Path(folder).chmod(0o755)  # so that it is the socket, and nothing before it, that refuses
        place.configure(["auth"], forwarders={"archive": to_file(Path(folder) / "out")})
        listening(place)
        place.state.chmod(0o755)
        ask_for_a_test(place.state)  # imports what nobody may not read, wherever this is installed

        with someone_else(NOBODY), pytest.raises(CommandError, match="this user may not use") as stranger:
            ask_for_a_test(place.state)
        with someone_else((place.state / "control.sock").stat().st_gid):
            ask_for_a_test(place.state)

        assert stranger.value.code == NOT_ALLOWED
        asked = [(entry["actor"], entry["uid"]) for entry in logged(place) if entry["event"] == "change asked for"]
        assert asked == [("root", 0), (pwd.getpwuid(NOBODY).pw_name, NOBODY)]


def ask_for_a_test(state_dir: Path) -> None:
    with asking(state_dir) as ask:
        assert ask("alerts.test", dict, to=[])["test_id"]
