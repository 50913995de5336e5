"""The sample log of the demonstration, and how its lines are numbered."""

from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path

from socmon.demo import sample
from socmon.replaying import Replay
from socmon.resources import shipped
from socmon.sigma import load_rules

NOW = datetime(2026, 11, 3, 8, 0, 7, tzinfo=UTC)


def alerts_of(log: Path) -> set[tuple[str, str]]:
    replay = Replay([str(log)], load_rules([shipped("rules")]), year=2026)
    found = {(item.alert.title, *item.alert.group.values()) for item in replay.alerts()}
    assert replay.unparsed == 0
    return {(title, group) for title, group in found}


def test_two_attackers_alert_and_a_slow_client_does_not(tmp_path: Path) -> None:
    log = tmp_path / "sample.log"
    log.write_bytes((files("socmon.demo") / "sample.log").read_bytes())

    found = alerts_of(log)

    attacks = {("SSH brute force", address) for address in sample.ATTACKERS}
    assert found == attacks | {("Sudo gave up after wrong passwords", "qlvb-app-01")}


def test_every_line_of_the_sample_is_used() -> None:
    text = (files("socmon.demo") / "sample.log").read_text(encoding="utf-8")

    assert len(sample.lines()) == len(text.splitlines())


def test_a_written_line_is_syslog_of_now_and_carries_its_number() -> None:
    line = sample.Line("mail-01 sshd", "Connection closed by 192.0.2.44 port 33212 [preauth]")

    written = sample.written(line, 17, 0, NOW)

    assert written == b"Nov  3 08:00:07 mail-01 sshd[1000017]: Connection closed by 192.0.2.44 port 33212 [preauth]\n"
    assert sample.number_of(written) == 17


def test_a_line_of_someone_else_has_no_number() -> None:
    assert sample.number_of(b"Nov  3 08:00:07 mail-01 sshd[812]: Connection closed [1000017]") == 0


def test_each_turn_has_attackers_of_its_own() -> None:
    turns = [sample.fresh(address, turn) for turn in range(254) for address in sample.ATTACKERS]

    assert len(set(turns)) == len(turns)
    assert turns[:2] == list(sample.ATTACKERS)


def test_addresses_of_our_own_stay_the_same() -> None:
    assert sample.fresh("from 10.20.1.15 port 1", 5) == "from 10.20.1.15 port 1"
