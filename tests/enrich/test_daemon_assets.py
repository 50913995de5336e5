"""A province with an inventory, as real processes: alerts and the centre's findings say whose they are."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from click.testing import CliRunner
from field import Field, failure_line, field_in, wait_for

from socmon.cli import main
from socmon.resources import shipped

INVENTORY = """\
agencies:
  - id: 000.00.11.H07
    name: Trung tâm dữ liệu tỉnh
    systems: [{id: dvc, name: Cổng dịch vụ công, level: 4, hosts: ['DVC-WEB-*']}]
  - id: 000.00.52.H07
    name: Ủy ban nhân dân xã Giồng Trôm
    networks: [10.50.2.1/24]
    hosts: [xã-giồng-trôm]
"""
STRAY = "no agency owns these hosts, add them to the inventory"


def findings(place: Field) -> list[dict[str, Any]]:
    """What the centre stored, as it came."""
    with closing(sqlite3.connect(f"file:{place.root / 'centre' / 'centre.sqlite'}?mode=ro", uri=True)) as db:
        return [json.loads(body)["data"] for (body,) in db.execute("select body from events")]


def test_alert_and_finding_name_agency_system_and_level(tmp_path: Path) -> None:
    with field_in(tmp_path / "province") as place:
        (place.root / "assets.yaml").write_text(INVENTORY, "utf-8")
        place.start_centre()
        place.configure(["auth"], assets={"paths": ["assets.yaml"]})
        place.write("auth", 0, 60)
        elsewhere = [
            failure_line(n).replace("dvc-web-01", host) for n, host in ((60, "stray\u202e"), (61, "Xã-Giồng-Trôm"))
        ]
        with (place.root / "auth").open("a", encoding="utf-8") as log:
            log.write("".join(f"{line}\n" for line in elsewhere))
        place.sent["auth"] += elsewhere
        place.start_daemon()
        wait_for(place.settled, "everything delivered")
        wait_for(
            lambda: place.events("daemon.log", STRAY),
            "the stray host told",
        )
        place.stop_daemon()

        alerts = place.reading().alerts
        assert alerts
        assert {(a.agency, a.system, a.system_level) for a in alerts} == {("000.00.11.H07", "dvc", 4)}
        blocks = [finding["unmapped"]["vn_soc"] for finding in findings(place)]
        assert {(each["org_id"], each["system_id"], each["system_level"]) for each in blocks} == {
            ("000.00.11.H07", "dvc", 4)
        }
        (refused,) = place.events("daemon.log", "asset refused, the others go on")
        assert refused["level"] == "error"
        assert refused["problem"] == (
            f"{place.root}/assets.yaml:7: agencies.1.networks.0: '10.50.2.1/24' is no network; write 10.50.2.0/24"
        )
        (told,) = place.events("daemon.log", STRAY)
        assert (told["level"], told["hosts"]) == ("warning", ["stray\\u202e"])


def test_check_warns_of_what_is_refused_and_counts_the_agencies(tmp_path: Path) -> None:
    (tmp_path / "assets.yaml").write_text(INVENTORY, "utf-8")
    path = tmp_path / "config.yaml"
    path.write_text(f"state_dir: {tmp_path}/state\nassets: {{paths: [assets.yaml]}}\n")

    result = CliRunner().invoke(main, ["check", "-c", str(path)])

    assert result.exit_code == 0
    assert (
        f"warning  asset refused: {tmp_path}/assets.yaml:7: agencies.1.networks.0: '10.50.2.1/24' is no network; "
        "write 10.50.2.0/24\n"
    ) in result.stderr
    assert result.stdout.endswith("0 forwarders, 2 agencies\n")


def test_replay_says_whose_the_alerts_are_and_which_hosts_are_nobodys(tmp_path: Path) -> None:
    log = tmp_path / "auth.log"
    lines = [failure_line(n) for n in range(12)] + [failure_line(12).replace("dvc-web-01", "stray")]
    log.write_text("".join(f"{line}\n" for line in lines))

    inventory = str(shipped("assets.example.yaml"))
    result = CliRunner().invoke(main, ["replay", "-o", "ndjson", "--assets", inventory, str(log)])

    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert {(row["agency"], row["system"]) for row in rows} == {("000.00.11.H07", "dvc")}
    assert result.stderr == "no agency owns these hosts, add them to the inventory: stray\n"
    assert result.exit_code == 0
