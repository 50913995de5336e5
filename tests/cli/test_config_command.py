"""`socmon config`: the whole configuration with its places, without its secrets; and its schema."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from click.testing import CliRunner, Result
from store_kit import valid

from socmon.cli import main
from socmon.resources import shipped
from socmon.yamlfile import read

CONFIG = """\
http:
  port: 9999
collectors:
  auth:
    kind: file
    paths: [/var/log/auth.log]
sources:
  logins:
    collector: auth
forwarders:
  hook:
    kind: webhook
    url: https://192.0.2.7/take
    secrets: ['file:secret']
"""


def config(*args: str) -> Result:
    return CliRunner(env={"SOCMON_CONFIG": None, "LC_ALL": "C", "NO_COLOR": "1"}).invoke(main, ["config", *args])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "secret").write_text("whsec_aHVudGVyMw==")
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "conf.d" / "10.yaml").write_text("store:\n\n  checkpoint_s: 5\n")
    found = tmp_path / "config.yaml"
    found.write_text(CONFIG)
    return found


def test_every_option_is_shown_with_its_value_and_its_place(path: Path) -> None:
    lines = config("show", "-c", str(path)).stdout.splitlines()

    assert f"http.port: 9999  # {path}:2" in lines
    assert 'http.address: "127.0.0.1"  # default' in lines
    assert f"store.checkpoint_s: 5.0  # {path.parent}/conf.d/10.yaml:3" in lines
    assert f'collectors.auth.paths: ["/var/log/auth.log"]  # {path}:6' in lines
    assert "collectors.auth.max_bytes: 65536  # default" in lines
    assert f'forwarders.hook.secrets: ["file:{path.parent}/secret"]  # {path}:14' in lines
    assert f'sources.logins.collector: "auth"  # {path}:9' in lines
    assert "sources.logins.peer: null  # default" in lines


def test_secrets_are_shown_in_no_form(path: Path) -> None:
    for form in ("human", "json", "ndjson", "csv"):
        result = config("show", "-c", str(path), "-o", form)
        assert result.exit_code == 0
        assert f"file:{path.parent}/secret" in result.output
        assert "aHVudGVy" not in result.output


def test_of_a_web_address_nothing_behind_its_host_is_shown(path: Path) -> None:
    for behind in ("services/T0/hunter2", "?token=hunter2"):
        path.write_text(CONFIG.replace("192.0.2.7/take", f"192.0.2.7:8443/{behind}"))

        for form in ("human", "json", "ndjson", "csv"):
            result = config("show", "-c", str(path), "-o", form)
            assert "https://192.0.2.7:8443/…" in result.output
            assert "hunter2" not in result.output


def test_a_password_in_an_address_is_not_repeated_where_it_is_refused(path: Path) -> None:
    for kind in ("ncsc", "webhook"):
        path.write_text(f"forwarders: {{out: {{kind: {kind}, url: 'https://u:hunter2@192.0.2.7'}}}}\n")

        result = config("show", "-c", str(path))

        assert result.exit_code == 78
        assert "out.url: not " in result.output
        assert "hunter2" not in result.output


def test_programs_get_the_same_in_their_forms(path: Path) -> None:
    told = valid(json.loads(config("show", "-c", str(path), "-o", "json").stdout), "config.show.v1")
    lines = config("show", "-c", str(path), "-o", "ndjson").stdout.splitlines()
    rows = [valid(json.loads(line), "config.show.v1", row=True) for line in lines]

    assert told["config"]["http"]["port"] == 9999
    assert told["origins"]["http.port"] == f"{path}:2"
    assert {row["option"]: row["origin"] for row in rows if row["origin"]} == told["origins"]
    table = list(csv.DictReader(io.StringIO(config("show", "-c", str(path), "-o", "csv").stdout)))
    assert [(row["option"], json.loads(row["value"])) for row in table] == [(r["option"], r["value"]) for r in rows]


def test_a_configuration_with_mistakes_is_not_shown(path: Path) -> None:
    path.write_text("http: {prt: 1}\n")

    result = config("show", "-c", str(path))

    assert (result.exit_code, result.stdout) == (78, "")
    assert f"{path}:1: http.prt: unknown key" in result.stderr


def schema() -> Any:
    return jsonschema_rs.validator_for(json.loads(config("schema").stdout))


def test_the_schema_takes_what_socmon_takes(path: Path) -> None:
    for each in (path, shipped("config.example.yaml")):
        schema().validate(read(each).data)


@pytest.mark.parametrize(
    "wrong",
    [
        {"jornal": {}},
        {"http": {"port": 70_000}},
        {"http": {"prt": 1}},
        {"collectors": {"auth": {"kind": "fil", "paths": ["/x"]}}},
        {"collectors": {"auth": {"kind": "file"}}},
        {"collectors": {"AUTH": {"kind": "file", "paths": ["/x"]}}},
        {"sources": {"logins": {"silent_after_s": 60}}},
        {"sources": {"logins": {"collector": "auth", "prt": 1}}},
        {"forwarders": {"out": {"kind": "file", "path": "/x", "max_events": 0}}},
    ],
)
def test_the_schema_refuses_what_socmon_refuses(wrong: dict[str, Any]) -> None:
    assert not schema().is_valid(wrong)
