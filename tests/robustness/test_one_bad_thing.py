"""One bad thing of each kind in a real daemon: the rest works, and what is told names place and remedy."""

import json
import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from field import Field, failure_line, field_in, lines_of, wait_for

from socmon.journal import Journal

GOOD = """\
title: A password was wrong
id: 9f2c1c52-4d0e-4b8e-9d1e-0c7c7c7b1a01
logsource: {product: linux, service: sshd}
detection:
  selection: {outcome: failure}
  condition: selection
level: low
"""
BROKEN = GOOD.replace("7b1a01", "7b1a02").replace("condition: selection", "condition: selektion")


def started(place: Field) -> str:
    """Where the daemon that was started last serves its pages."""
    wait_for(lambda: place.events("daemon.log", "started"), "start")
    return str(place.events("daemon.log", "started")[-1]["http"])


def page(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def sample(place: Field, metric: str) -> float:
    """The value of a metric on the daemon's page."""
    found = re.search(rf"^{re.escape(metric)} (\S+)$", page(started(place) + "/metrics")[1], re.MULTILINE)
    return float(found[1]) if found else 0.0


def socmon(place: Field, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "socmon", "-c", str(place.root / "config.yaml"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def file_out(place: Field) -> dict[str, Any]:
    return {"kind": "file", "path": str(place.root / "out.ndjson")}


def delivered(place: Field) -> dict[str, int]:
    """The last revision of each alert in the file of the forwarder."""
    return {row["id"]: row["revision"] for row in lines_of(place.root / "out.ndjson")}


def all_matched(place: Field) -> bool:
    ledger = place.reading().ledger
    return sum(each.journalled for each in ledger.accounts.values()) >= sum(map(len, place.sent.values()))


def test_one_broken_rule_file_leaves_the_others_at_work(tmp_path: Path) -> None:
    with field_in(tmp_path / "province") as place:
        rules = place.root / "rules"
        rules.mkdir()
        (rules / "good.yml").write_text(GOOD)
        (rules / "broken.yml").write_text(BROKEN)
        (rules / "yaml.yml").write_text("title: [\n")
        place.configure(["auth"], rules={"paths": ["rules"], "shipped": False}, forwarders={"out": file_out(place)})
        place.write("auth", 0, 20)
        place.start_daemon()
        wait_for(lambda: delivered(place), "an alert of the good rule")
        checked = socmon(place, "check")
        place.stop_daemon()

        assert {alert.title for alert in place.reading().alerts} == {"A password was wrong"}
        refused = place.events("daemon.log", "rule refused, the others go on")
        assert [entry["level"] for entry in refused] == ["error", "error"]
        problems = [entry["problem"] for entry in refused]
        assert problems == [
            f"{rules}/broken.yml:6: no detection is called 'selektion'; the rule has 'selection'",
            (
                f"{rules}/yaml.yml:2: not valid YAML: did not find expected node content; "
                "correct it there, or just before"
            ),
        ]
        assert checked.returncode == 0
        assert [line for line in checked.stderr.splitlines() if "rule refused" in line] == [
            f"warning  rule refused: {problem}" for problem in problems
        ]


def test_garbage_among_lines_is_counted_shown_once_and_kept(tmp_path: Path) -> None:
    garbage = [b"\x00\xff\xfe\x1b[31m binary \x80", b"no stamp, no host \xe2\x80\xae", b"x" * 100_000]
    with field_in(tmp_path / "province") as place:
        place.configure(["auth"], forwarders={"out": file_out(place)})
        place.write("auth", 0, 30)
        with (place.root / "auth").open("ab") as log:
            log.write(b"".join(line + b"\n" for line in garbage))
        place.write("auth", 30, 30)
        place.sent["auth"] += ["garbage"] * 3
        place.start_daemon()
        wait_for(
            lambda: sample(place, 'socmon_matching_unparsed_records_total{component="auth"}') == 3, "three counted"
        )
        wait_for(lambda: all_matched(place), "all matched")
        place.stop_daemon()

        account = place.account("auth")
        assert (account.journalled, account.evaluated, account.unparsed, account.in_flight) == (63, 60, 3, 0)
        journal = Journal.open(place.state / "journal", read_only=True)
        kept = [record.data for batch in journal.read_after(0) for record in batch.records][30:33]
        assert kept == [*garbage[:2], garbage[2][:65_536]]
        (told,) = place.events("daemon.log", "record cannot be parsed, later ones of its source are only counted")
        assert told["level"] == "warning"
        assert (told["component"], told["source"], told["seq"]) == ("auth", str(place.root / "auth"), 31)
        assert told["error"].startswith("no syslog time stamp at the start of '")
        assert "\x1b" not in told["error"]
        (cut,) = place.events("daemon.log", "file not read in full")
        assert (cut["reason"], cut["path"]) == ("too_long", str(place.root / "auth"))
        attackers = {alert.group["src_ip"] for alert in place.reading().alerts if "src_ip" in alert.group}
        assert len(attackers) == 5


def test_one_bad_value_ends_the_start_with_every_problem_and_its_place(tmp_path: Path) -> None:
    place = Field(tmp_path / "province")
    (place.root / "conf.d").mkdir()
    main, more = place.root / "config.yaml", place.root / "conf.d" / "10-logs.yaml"
    main.write_text(f"state_dir: {place.state}\njournal:\n  fsync: sometimes\n")
    more.write_text("collectors:\n  auth:\n    kind: file\n    path: [/var/log/auth.log]\nstore:\n  checkpoint_s: 0\n")

    result, checked = socmon(place, "run"), socmon(place, "check")

    assert (result.returncode, checked.returncode) == (78, 78)
    told = [
        f"{more}:4: collectors.auth.path: unknown key; did you mean 'paths'?; known: ",
        f"{more}:2: collectors.auth.paths: missing; ",
        f"{main}:3: journal.fsync: input should be 'interval' or 'batch', not 'sometimes'",
        f"{more}:6: store.checkpoint_s: input should be greater than 0, not 0",
    ]
    for output, lead in ((result.stderr, "socmon: "), (checked.stderr, "problem  ")):
        lines = [line for line in output.splitlines() if line.startswith(lead)]
        assert len(lines) == len(told)
        assert all(any(line.startswith(lead + each) for line in lines) for each in told), output
    assert not place.state.exists()


def test_one_dead_destination_keeps_its_queue_while_the_living_one_gets_everything(tmp_path: Path) -> None:
    with field_in(tmp_path / "province") as place:
        place.keep_feed_port()
        place.configure(["auth"])
        config = json.loads((place.root / "config.yaml").read_text())
        place.configure(["auth"], forwarders={**config["forwarders"], "out": file_out(place)})
        place.write("auth", 0, 300)
        place.start_daemon()
        wait_for(lambda: delivered(place) and all_matched(place), "all matched, and some delivered")
        alerts = {alert.id: alert.revision for alert in place.reading().alerts}
        wait_for(lambda: delivered(place) == alerts, "the living one has everything")

        queue = place.reading().backlogs["ncsc"]
        assert queue.pending + queue.waiting == len(alerts) > 5
        wait_for(lambda: "ncsc" in page(started(place) + "/readyz")[1], "told by /readyz")
        status, body = page(started(place) + "/readyz")
        (reason,) = json.loads(body)["reasons"]
        assert (status, json.loads(body)["ok"]) == (200, True)
        assert reason.startswith("forwarder ncsc does not deliver: ")
        assert reason.endswith("nothing listens there; is the centre up, is url right?")
        assert place.events("daemon.log", "component failed, will restart")[0]["error"] in reason
        waits = [f'socmon_outbox_{name}_alerts{{forwarder="ncsc"}}' for name in ("pending", "unacknowledged")]
        assert sum(sample(place, metric) for metric in waits) == len(alerts)
        assert sample(place, 'socmon_forwarder_acknowledged_alerts_total{forwarder="out"}') >= len(alerts)

        place.start_centre()
        wait_for(place.settled, "the queue drained")
        wait_for(lambda: json.loads(page(started(place) + "/readyz")[1])["reasons"] == [], "nothing to tell any more")
        assert place.findings() == alerts
        place.stop_daemon()


@pytest.mark.parametrize("harm", ["cut", "flipped"])
def test_a_torn_end_of_the_journal_is_set_aside_and_read_again_from_the_file(tmp_path: Path, harm: str) -> None:
    with field_in(tmp_path / "province") as place:
        # No checkpoint yet: none may lie beyond the tear, as only a disk that lies could bring that about. And no tick,
        # which is a frame too: the last one must be of lines.
        still = {"tick_s": 3600}
        place.configure(["auth"], forwarders={"out": file_out(place)}, store={"checkpoint_s": 60}, intake=still)
        place.start_daemon()
        started(place)
        for first in range(0, 90, 30):
            place.write("auth", first, 30)
            wait_for(lambda: place.journalled() == place.sent, "the lines journalled")
        assert place.daemon is not None
        os.kill(place.daemon.pid, signal.SIGKILL)
        place.daemon.wait(30)
        segment, torn_bytes = tear(place.state / "journal", harm)
        before = len(place.journalled()["auth"])
        assert 0 < before < 90

        place.start_daemon()
        wait_for(lambda: place.journalled() == place.sent, "the torn lines read again")
        place.stop_daemon()

        (told,) = place.events("daemon.log", "the journal's torn end was set aside")
        copy = segment.with_name(f"{segment.name}.torn")
        assert (told["level"], told["segment"], told["copy"]) == ("warning", str(segment), str(copy))
        assert told["size_bytes"] == copy.stat().st_size
        assert 0 < told["size_bytes"] <= torn_bytes
        account = place.account("auth")
        assert (account.journalled, account.evaluated, account.in_flight) == (90, 90, 0)
        assert delivered(place) == {alert.id: alert.revision for alert in place.reading().alerts} != {}
        assert failure_line(89) in place.journalled()["auth"]


def tear(folder: Path, harm: str) -> tuple[Path, int]:
    """Harm the last frame seven bytes before its end; return its segment, and the frame's size."""
    journal = Journal.open(folder, read_only=True)
    end = journal._directory.tail.end
    segment = journal.torn_segment
    journal.close()
    if harm == "cut":
        os.truncate(segment, end - 7)
    else:
        with segment.open("r+b") as file:
            file.seek(end - 7)
            byte = file.read(1)[0]
            file.seek(end - 7)
            file.write(bytes([byte ^ 0xFF]))
    return segment, end
