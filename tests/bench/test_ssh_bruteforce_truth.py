"""The benchmark's truth on cases written by hand, its log against the way it was made, and replay against both."""

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bench.ssh_bruteforce import exact, live, make, run, truth

ANCHOR = datetime(2026, 1, 2, tzinfo=UTC)
START = datetime(2025, 12, 31, 12, tzinfo=UTC)
FORGED_NAME = "invalid user x from 10.9.8.7 port 22 ssh2"


def line(second: int, message: str, *, start: datetime = START, program: str = "sshd") -> str:
    moment = start + timedelta(seconds=second)
    return f"{moment:%b} {moment.day:2d} {moment:%H:%M:%S} gw-01 {program}[77]: {message}"


def failed(address: str = "192.0.2.1", who: str = "root") -> str:
    return f"Failed password for {who} from {address} port 4000 ssh2"


def failures(*seconds: int, start: datetime = START) -> list[str]:
    return [line(second, failed(), start=start) for second in seconds]


def offenders(lines: list[str]) -> list[str]:
    return list(truth.offenders(lines, ANCHOR))


@pytest.mark.parametrize(
    ("seconds", "offends"),
    [
        ((0, 15, 30, 45, 60), True),
        ((0, 15, 30, 45, 61), False),
        ((0, 0, 0, 0, 60), True),
        ((0, 0, 0, 0, 61), False),
        ((0, 0, 0, 0), False),
        ((0, 0, 0, 0, 0), True),
        ((0, 16, 32, 48, 64, 80, 96, 112), False),
    ],
)
def test_five_failures_offend_within_60_s_both_ends_included(seconds: tuple[int, ...], offends: bool) -> None:
    assert offenders(failures(*seconds)) == (["192.0.2.1"] if offends else [])


def test_opening_tells_the_oldest_failure_of_the_window_and_the_one_too_many() -> None:
    found = truth.offenders(failures(0, 100, 110, 120, 130, 140, 150), ANCHOR)

    assert found == {"192.0.2.1": truth.Opening(since="2025-12-31T12:01:40Z", at="2025-12-31T12:02:20Z")}


@pytest.mark.parametrize(("times", "offends"), [(2, False), (4, False), (5, True), (20, True)])
def test_repeated_message_counts_as_often_as_it_says(times: int, offends: bool) -> None:
    lines = [line(0, f"message repeated {times} times: [ {failed()}]")]

    assert offenders(lines) == (["192.0.2.1"] if offends else [])


def test_repeats_and_single_failures_add_up_inside_the_window_only() -> None:
    repeated = f"message repeated 3 times: [ {failed()}]"

    assert offenders([*failures(0, 0), line(60, repeated)]) == ["192.0.2.1"]
    assert offenders([*failures(0, 0), line(61, repeated)]) == []


def test_address_in_a_user_name_is_not_the_source() -> None:
    lines = [line(second, failed(who=FORGED_NAME)) for second in range(5)]

    assert offenders(lines) == ["192.0.2.1"]


def test_repeat_in_a_user_name_is_not_a_repeat() -> None:
    name = "invalid user message repeated 9 times: [ Failed password for root from 10.9.8.7 port 22 ssh2]"

    assert offenders([line(second, failed(who=name)) for second in range(4)]) == []


def test_ipv6_source_is_an_offender_by_its_own_spelling() -> None:
    assert offenders([line(second, failed("2001:db8::7")) for second in range(5)]) == ["2001:db8::7"]


@pytest.mark.parametrize(
    "message",
    [
        "Invalid user admin from 192.0.2.1 port 4000",
        f"Invalid user {failed()}",
        "pam_unix(sshd:auth): authentication failure; logname= uid=0 euid=0 tty=ssh ruser= rhost=192.0.2.1",
        "PAM 5 more authentication failures; logname= uid=0 euid=0 tty=ssh ruser= rhost=192.0.2.1",
        "Accepted password for root from 192.0.2.1 port 4000 ssh2",
        "Connection closed by authenticating user root 192.0.2.1 port 4000 [preauth]",
    ],
)
def test_other_words_of_sshd_are_no_failures(message: str) -> None:
    assert offenders([line(second, message) for second in range(9)]) == []


def test_same_words_of_another_program_are_no_failures() -> None:
    assert offenders([line(second, failed(), program="ftpd") for second in range(9)]) == []
    assert offenders([line(second, f"echo sshd[1]: {failed()}", program="sudo") for second in range(9)]) == []


@pytest.mark.parametrize(("last", "offends"), [(60, True), (61, False)])
def test_window_reaches_across_the_turn_of_the_year(last: int, offends: bool) -> None:
    lines = failures(0, 1, 2, 3, last, start=datetime(2025, 12, 31, 23, 59, 30, tzinfo=UTC))

    assert offenders(lines) == (["192.0.2.1"] if offends else [])


@pytest.mark.parametrize(
    ("stamp", "anchor", "moment"),
    [
        ("Dec 31 23:59:59", datetime(2026, 1, 1, tzinfo=UTC), datetime(2025, 12, 31, 23, 59, 59, tzinfo=UTC)),
        ("Jan  1 00:00:00", datetime(2025, 12, 31, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC)),
        ("Jan  1 00:00:01", datetime(2025, 12, 31, tzinfo=UTC), datetime(2025, 1, 1, 0, 0, 1, tzinfo=UTC)),
        ("Feb 29 10:00:00", datetime(2026, 6, 1, tzinfo=UTC), datetime(2024, 2, 29, 10, tzinfo=UTC)),
    ],
)
def test_year_is_the_latest_at_most_a_day_after_the_anchor(stamp: str, anchor: datetime, moment: datetime) -> None:
    assert truth.dated(stamp, anchor) == moment


def test_lines_out_of_order_are_refused() -> None:
    with pytest.raises(ValueError, match="time order"):
        truth.offenders(failures(1, 0), ANCHOR)


def test_truth_script_imports_nothing_of_socmon() -> None:
    loads = "import sys, bench.ssh_bruteforce.truth; print([name for name in sys.modules if 'socmon' in name])"

    done = subprocess.run([sys.executable, "-c", loads], capture_output=True, text=True, check=True, timeout=60)

    assert done.stdout == "[]\n"


def alert(address: str, first: str = "2026-01-01T00:00:00Z", count: int = 5) -> exact.Alert:
    return exact.Alert("rule", address, first, "2026-01-01T00:01:00Z", count)


def test_difference_names_the_missed_the_invented_and_the_misdated() -> None:
    opening = truth.Opening(since="2026-01-01T00:00:00Z", at="2026-01-01T00:00:09Z")
    true = {"192.0.2.1": opening, "192.0.2.2": opening, "192.0.2.3": opening}
    again = alert("192.0.2.1", "2026-01-01T05:00:00Z")  # only an offender's first alert is dated by the truth

    found = exact.differences(
        true, [alert("192.0.2.1"), again, alert("192.0.2.2", "2026-01-01T00:00:01Z"), alert("::1")]
    )

    assert found == exact.Difference(missed=["192.0.2.3"], invented=["::1"], misdated=["192.0.2.2"])


def test_mutation_that_changes_nothing_is_not_noticed() -> None:
    noticed = exact.Difference(missed=["192.0.2.1"])

    assert run.all_noticed({"four": noticed})
    assert not run.all_noticed({"four": noticed, "59 s": exact.Difference()})


def test_daemon_is_unlike_replay_when_one_count_differs() -> None:
    same = alert("192.0.2.1")

    assert run.unlike([same, alert("192.0.2.2")], [alert("192.0.2.2"), same]) == []
    assert len(run.unlike([same], [alert("192.0.2.1", count=6)])) == 2
    assert len(run.unlike([same, same], [same])) == 1


@pytest.fixture(params=["real", "ours"])
def small_log(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[make.Log, Path]:
    """A log around the public dataset's lines where they are, and one around our own sample."""
    if request.param == "ours":
        monkeypatch.setenv("SOCMON_DATA", str(tmp_path / "absent"))
    elif make.real_lines()[0] != "loghub's OpenSSH lines":
        pytest.skip("the OpenSSH lines of loghub are not here; set SOCMON_DATA")
    log, path = make.build(lines=make.LEAST_LINES), tmp_path / "auth.log"
    log.write(path)
    return log, path


def test_every_trap_is_judged_as_it_was_made(small_log: tuple[make.Log, Path]) -> None:
    log, path = small_log

    found = truth.of_file(path)

    assert {address: address in found for address in log.known} == log.known
    assert not [address for address in found if address.startswith("10.")]  # those that forged names hold


def test_log_has_the_lines_asked_for_and_is_the_same_each_time(small_log: tuple[make.Log, Path]) -> None:
    log, _ = small_log

    assert len(log.lines) == make.LEAST_LINES
    assert make.build(lines=make.LEAST_LINES).lines == log.lines


def test_each_mutation_of_the_truth_changes_the_offenders(small_log: tuple[make.Log, Path]) -> None:
    _, path = small_log
    found = truth.of_file(path).keys()

    assert truth.of_file(path, at_least=4).keys() > found
    assert truth.of_file(path, within_s=59).keys() < found
    assert truth.of_file(path, ignore_repeat=True).keys() < found


def test_replay_finds_the_offenders_exactly(small_log: tuple[make.Log, Path], tmp_path: Path) -> None:
    _, path = small_log

    alerts = exact.replay(path, tmp_path / "replay.ndjson")

    assert not (difference := exact.differences(truth.of_file(path), alerts)), str(difference)


def test_comparison_with_replay_fails_for_every_mutation(small_log: tuple[make.Log, Path], tmp_path: Path) -> None:
    _, path = small_log

    found = exact.mutations(path, truth.of_file(path), tmp_path)

    assert [broken for broken, difference in found.items() if not difference] == []


def test_daemon_says_the_same_as_replay(small_log: tuple[make.Log, Path], tmp_path: Path) -> None:
    log, path = small_log

    lived = live.alerts(path, len(log.lines), tmp_path)

    assert run.unlike(exact.replay(path, tmp_path / "replay.ndjson"), lived) == []
