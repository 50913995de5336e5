"""`socmon check`: what it refuses, what it warns of, and that it changes nothing."""

import csv
import io
import json
import os
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from store_kit import valid

from socmon.cli import main
from socmon.feed.keys import generate
from socmon.resources import shipped

RULE = """\
title: Someone was here
id: 9f2c1c52-4d0e-4b8e-9d1e-0c7c7c7b1a01
logsource: {product: linux, service: sshd}
detection:
  selection: {outcome: failure}
  condition: selection
level: low
"""


def socmon(*args: str) -> Result:
    return CliRunner(env={"SOCMON_CONFIG": None}).invoke(main, args)


def configured(folder: Path, **more: str) -> Path:
    """A configuration in which nothing is wrong."""
    folder.mkdir(exist_ok=True)
    (folder / "auth.log").touch()
    (folder / "alerts").touch()
    (folder / "rules").mkdir()
    (folder / "rules" / "one.yml").write_text(RULE)
    parts = {
        "state_dir": f"{folder}/state",
        "collectors": f"{{auth: {{kind: file, paths: [{folder}/auth.log]}}}}",
        "forwarders": "{out: {kind: file, path: alerts}}",
        "rules": "{paths: [rules], shipped: false}",
        **more,
    }
    path = folder / "config.yaml"
    path.write_text("".join(f"{name}: {value}\n" for name, value in parts.items()))
    return path


def checked(path: Path) -> tuple[int, dict[str, Any]]:
    result = socmon("check", "-c", str(path), "-o", "json")
    return result.exit_code, json.loads(result.stdout)


def test_check_of_what_is_right_says_ok_and_changes_nothing(tmp_path: Path) -> None:
    path = configured(tmp_path)
    before = sorted(tmp_path.rglob("*"))

    result = socmon("check", "-c", str(path))

    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == f"{path}: ok, 1 collector, 1 rule, 1 forwarder\n"
    assert sorted(tmp_path.rglob("*")) == before


def test_check_in_json_counts_what_it_found(tmp_path: Path) -> None:
    assert checked(configured(tmp_path)) == (
        0,
        {
            "schema": "socmon.check/v1",
            "ok": True,
            "collectors": ["auth"],
            "forwarders": ["out"],
            "rules": 1,
            "refused": 0,
            "agencies": 0,
            "problems": [],
            "warnings": [],
        },
    )


def test_check_in_every_form_tells_the_same(tmp_path: Path) -> None:
    path = configured(tmp_path, collectors="{auth: {kind: file, paths: [/none/x.log]}}")
    _, found = checked(path)
    (line,) = socmon("check", "-c", str(path), "-o", "ndjson").stdout.splitlines()
    rows = list(csv.DictReader(io.StringIO(socmon("check", "-c", str(path), "-o", "csv").stdout, newline="")))

    assert valid(found, "check.v1") == json.loads(line)
    assert [row["value"] for row in rows if row["section"] == "warning"] == found["warnings"] != []
    assert {row["section"]: row["value"] for row in rows if row["section"] != "warning"} == {
        "collector": "auth", "forwarder": "out", "rules": "1", "refused": "0", "agencies": "0",
    }  # fmt: skip


def test_check_speaks_vietnamese(tmp_path: Path) -> None:
    path = configured(tmp_path)
    bad = configured(tmp_path / "bad", log="{level: loud}")

    assert socmon("check", "-c", str(path), "--lang", "vi").stdout == f"{path}: đạt, 1 nguồn thu, 1 luật, 1 nơi nhận\n"
    assert f"{bad}: 1 lỗi cần sửa\n" in socmon("check", "-c", str(bad), "--lang", "vi").stderr


def test_check_tells_every_problem_of_the_configuration(tmp_path: Path) -> None:
    path = configured(tmp_path, http="{prot: 1}", log="{level: loud}")

    result = socmon("check", "-c", str(path))

    assert result.exit_code == 78
    assert "http.prot: unknown key; did you mean 'port'?" in result.stderr
    assert "log.level: input should be 'debug'" in result.stderr
    assert result.stderr.endswith(f"{path}: 2 to be mended\n")


def test_check_warns_of_a_bad_rule_with_its_line(tmp_path: Path) -> None:
    path = configured(tmp_path)
    (tmp_path / "rules" / "two.yml").write_text(RULE.replace("condition: selection", "condition: selektion"))

    code, found = checked(path)

    assert (code, found["rules"], found["refused"]) == (0, 1, 1)
    assert any(warning.startswith(f"rule refused: {tmp_path}/rules/two.yml:") for warning in found["warnings"])
    assert "ok, 1 collector, 1 rule, 1 refusal, 1 forwarder\n" in socmon("check", "-c", str(path)).stdout


def test_check_warns_of_what_is_not_there_yet(tmp_path: Path) -> None:
    path = configured(
        tmp_path,
        collectors="{auth: {kind: file, paths: [/none/*.log]}}",
        forwarders=(
            "{out: {kind: ncsc, url: 'https://x', ca: alerts, cert: c.pem, key: 'credential:k', org_id: 000.00.00.H07}}"
        ),
        rules="{shipped: false}",
    )

    code, found = checked(path)

    assert (code, found["problems"]) == (0, [])
    assert [warning.split("; ")[0] for warning in found["warnings"]] == [
        "rules: none is loaded, nothing will be detected",
        "collectors.auth.paths: /none/*.log does not exist (yet)",
        f"forwarders.out.cert: {tmp_path}/c.pem does not exist (yet)",
        "forwarders.out.key: credential:k: this process has no $CREDENTIALS_DIRECTORY",
        "forwarders.out: privacy: users and hosts cannot be pseudonymised without a key, and are left out",
    ]


def test_check_warns_when_nothing_comes_in_or_goes_out(tmp_path: Path) -> None:
    code, found = checked(configured(tmp_path, collectors="{}", forwarders="{}"))

    assert code == 0
    assert found["warnings"] == [
        "collectors: none is configured; see section `collectors`",
        "forwarders: none is configured; see section `forwarders`",
    ]


def test_check_refuses_a_state_folder_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "taken").touch()

    code, found = checked(configured(tmp_path, state_dir="taken/state"))

    assert (code, found["problems"]) == (78, [f"state_dir: {tmp_path}/taken is no folder; name another one"])


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read and write everything")
def test_check_refuses_what_this_user_may_not_touch(tmp_path: Path) -> None:
    path = configured(tmp_path, state_dir="locked/state")
    (tmp_path / "locked").mkdir(mode=0o500)
    (tmp_path / "auth.log").chmod(0)

    code, found = checked(path)

    assert code == 78
    assert found["problems"][0].startswith(
        f"state_dir: this user may not make {tmp_path}/locked/state in {tmp_path}/locked"
    )
    assert found["problems"][1].startswith(f"collectors.auth.paths: this user may not read {tmp_path}/auth.log")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may look into every folder")
def test_check_does_not_say_of_a_closed_folder_that_its_files_are_missing(tmp_path: Path) -> None:
    path = configured(tmp_path)
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "x.log").touch()
    path.write_text(path.read_text().replace(f"{tmp_path}/auth.log", f"{tmp_path}/keys/x.log"))
    (tmp_path / "keys").chmod(0)

    code, found = checked(path)

    assert code == 78
    (problem,) = found["problems"]
    assert problem.startswith(f"collectors.auth.paths: this user may not look into {tmp_path}/keys for ")


def test_check_of_the_shipped_example_finds_no_mistake_in_it() -> None:
    code, found = checked(shipped("config.example.yaml"))

    assert [problem for problem in found["problems"] if not problem.startswith("state_dir: this user may not")] == []
    assert found["collectors"] == [
        *("auth", "network", "equipment", "agencies", "wire", "captures", "flows", "sensors", "bus", "systemd"),
    ]
    assert code in {0, 78}


def test_check_refuses_keys_that_cannot_work(tmp_path: Path) -> None:
    keys = generate(tmp_path / "keys", "000.00.00.H07")
    files = (
        f"ca: {keys.ca}, cert: {keys.client}, key: 'file:{keys.centre_key}', signing_key: 'file:{keys.client_signing}'"
    )
    path = configured(tmp_path, forwarders=f"{{out: {{kind: ncsc, url: 'https://x', {files}, org_id: 000.00.00.H61}}}}")

    code, found = checked(path)

    assert code == 78
    assert [problem.split("; ")[0] for problem in found["problems"]] == [
        f"forwarders.out: cannot use {keys.client} with {keys.centre_key}: key values mismatch",
        f"forwarders.out: org_id is 000.00.00.H61, and {keys.client} names '000.00.00.H07'",
    ]


def test_check_refuses_a_path_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    outs = "{out: {kind: file, path: folder}, lost: {kind: file, path: none/alerts}}"

    code, found = checked(configured(tmp_path, forwarders=outs))

    assert (code, [problem.split("; ")[0] for problem in found["problems"]]) == (
        78,
        [
            f"forwarders.out: path: {tmp_path}/folder is not a regular file",
            f"forwarders.lost: path: folder {tmp_path}/none does not exist, or is closed to this user",
        ],
    )


def test_check_knows_that_the_daemon_makes_the_state_folder(tmp_path: Path) -> None:
    path = configured(tmp_path, forwarders="{out: {kind: file, path: state/alerts}}")

    code, found = checked(path)

    assert (code, found["problems"]) == (0, [])
    assert found["warnings"] == [f"forwarders.out.path: {tmp_path}/state/alerts does not exist (yet)"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read and write everything")
def test_check_refuses_a_folder_of_alerts_that_is_closed_to_this_user(tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0o500)
    path = configured(tmp_path, forwarders="{out: {kind: file, path: locked/alerts}}")

    code, found = checked(path)

    assert code == 78
    assert found["problems"][0].startswith(f"forwarders.out: path: this user may not write {tmp_path}/locked; ")


def test_check_misses_no_socket_that_the_daemon_makes_but_the_folder_for_it(tmp_path: Path) -> None:
    collectors = f"{{here: {{kind: packets, socket: {tmp_path}/s}}, there: {{kind: packets, socket: {tmp_path}/no/s}}}}"

    code, found = checked(configured(tmp_path, collectors=collectors))

    assert (code, found["problems"]) == (0, [])
    assert found["warnings"] == [f"collectors.there.socket: {tmp_path}/no/s does not exist (yet)"]
