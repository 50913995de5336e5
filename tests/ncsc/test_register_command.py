"""`socmon ncsc enrol`, `revoke`, `inspect`: they act on a centre that runs, and on one that does not."""

import json
import os
import pwd
from pathlib import Path
from typing import Any

import aiohttp
import jsonschema_rs
import pytest
from command_kit import text_here
from cryptography import x509
from feed_kit import ORG, OTHER, enrol, message
from ncsc_centre_kit import beat, centre_process, register_in
from store_kit import SCHEMAS

from socmon.cli import NOT_FOUND, PROBLEMS, USAGE
from socmon.feed.batch import BATCHES_PATH, pack
from socmon.feed.heartbeat import HEARTBEATS_PATH
from socmon.feed.keys import KeyFiles, generate
from socmon.tls import client_context


@pytest.fixture
def keys(tmp_path: Path) -> KeyFiles:
    return generate(tmp_path / "keys", ORG)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """Of a centre that never ran."""
    (tmp_path / "centre").mkdir()
    return tmp_path / "centre"


def ncsc(state: Path, *words: str) -> Any:
    return text_here("ncsc", *words, "--state", str(state))


def checked(name: str, text: str) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(text)
    jsonschema_rs.validator_for(json.loads((SCHEMAS / f"{name}.json").read_text()), validate_formats=True).validate(
        told
    )
    return told


async def posted(session: aiohttp.ClientSession, feed: str, seq: int) -> str:
    headers, body = pack([message(seq)], "batch-1")
    async with session.post(feed + BATCHES_PATH, data=body, headers=headers) as response:
        told = await response.json()
    return str(told["results"][0]["status"] if response.status == 200 else f"{response.status} {told['error']}")


async def test_commands_act_on_the_running_centre_from_the_next_request_on(tmp_path: Path, keys: KeyFiles) -> None:
    number = x509.load_pem_x509_certificate(keys.client.read_bytes()).serial_number
    connector = aiohttp.TCPConnector(ssl=client_context(keys.ca, keys.client, keys.client_key))
    enrol(keys, ORG)
    with centre_process(tmp_path, keys) as ready:
        state, feed = tmp_path / "centre", ready["feed"]
        async with aiohttp.ClientSession(connector=connector) as session:
            assert await posted(session, feed, 1) == "403 not_enrolled"
            assert ncsc(state, "enrol", ORG, "--name", "Đồng Nai").returncode == 0
            assert await posted(session, feed, 1) == "stored"
            assert ncsc(state, "revoke", ORG, "--yes").returncode == 0
            assert await posted(session, feed, 2) == "403 revoked"
            assert ncsc(state, "enrol", ORG).returncode == 0
            assert await posted(session, feed, 2) == "stored"
            assert ncsc(state, "revoke", "--serial", f"{number:x}", "--yes").returncode == 0
            assert await posted(session, feed, 3) == "403 revoked"

    register = register_in(state)
    done = [row["action"] for row in register.audit(9) if row["actor"] != "centre"]
    assert done == ["revoke_certificate", "enrol", "revoke", "enrol"]
    register.close()
    log = (tmp_path / "centre.log").read_text()
    for told in ("organisation enrolled", "organisation revoked", "certificate revoked"):
        assert told in log


async def test_inspect_tells_who_may_send_and_the_last_heartbeat(tmp_path: Path, keys: KeyFiles) -> None:
    with centre_process(tmp_path, keys, "--organisation", f"{ORG}=Province") as ready:
        connector = aiohttp.TCPConnector(ssl=client_context(keys.ca, keys.client, keys.client_key))
        async with (
            aiohttp.ClientSession(connector=connector) as session,
            session.post(ready["feed"] + HEARTBEATS_PATH, json=beat()) as response,
        ):
            assert response.status == 200
        state = tmp_path / "centre"
        ncsc(state, "enrol", OTHER, "--name", "Below", "--parent", ORG)

        told = checked("ncsc.inspect.v1", ncsc(state, "inspect", "-o", "json").stdout)

    rows = {row["org_id"]: row for row in told["organisations"]}
    assert (rows[ORG]["name"], rows[ORG]["heartbeat"]["pending"], rows[ORG]["clock_off"]) == ("Province", 3, True)
    assert (rows[OTHER]["org_path"], rows[OTHER]["heartbeat"]) == ([ORG, OTHER], None)
    assert [(row["action"], row["org"]) for row in told["audit"]] == [("enrol", OTHER), ("enrol", ORG)]


def test_the_history_of_one_organisation_is_told_whole(state: Path) -> None:
    ncsc(state, "enrol", ORG, "--name", "Before")
    ncsc(state, "enrol", ORG, "--name", "After", "--from", "2999-01-01T00:00:00+07:00")
    ncsc(state, "enrol", OTHER)

    shown = ncsc(state, "inspect", ORG, "--lang", "en").stdout

    lines = shown.splitlines()
    assert lines[0].split() == ["ORGANISATION", "NAME", "FROM", "TO", "BELOW", "LAST", "HEARTBEAT"]
    assert [line.split()[1] for line in lines[1:3]] == ["Before", "After"]
    assert lines[1].split()[3] == lines[2].split()[2] == "2998-12-31T17:00:00Z"
    assert OTHER not in shown
    assert [line.split()[2] for line in lines[5:]] == ["enrol", "enrol"]


def test_who_did_it_is_whom_the_kernel_knows_whatever_the_environment_says(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.setenv(name, "somebody-else")

    ncsc(state, "enrol", ORG)
    ncsc(state, "revoke", ORG, "--yes")

    register = register_in(state)
    assert {row["actor"] for row in register.audit(2)} == {pwd.getpwuid(os.getuid()).pw_name}
    register.close()


def test_what_was_done_is_told_to_programs(state: Path) -> None:
    done = checked("ncsc.change.v1", ncsc(state, "enrol", ORG, "-o", "json").stdout)
    assert (done["action"], done["org_id"]) == ("enrol", ORG)
    assert checked("ncsc.change.v1", ncsc(state, "revoke", ORG, "--yes", "-o", "json").stdout)["action"] == "revoke"
    told = checked("ncsc.change.v1", ncsc(state, "revoke", "--serial", "0:1F", "--yes", "-o", "json").stdout)
    assert told["serial"] == "1F"


def test_a_hostile_name_steers_no_terminal(state: Path) -> None:
    ncsc(state, "enrol", ORG, "--name", "a\x1b[2J\u202eb")

    assert "a\\x1b[2J\\u202eb" in ncsc(state, "inspect").stdout


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("enrol", "a b"), USAGE, "mã đơn vị"),
        (("enrol", ORG, "--parent", "a b"), USAGE, "--parent"),
        (("enrol", ORG, "--parent", ORG), PROBLEMS, "lại trực thuộc"),
        (("enrol", ORG, "--from", "2020-01-01T00:00:00Z"), PROBLEMS, "quá khứ"),
        (("enrol", ORG, "--from", "2999-01-01"), USAGE, "múi giờ"),
        (("enrol", ORG, "--from", "soon"), USAGE, "múi giờ"),
        (("revoke", ORG, "--yes"), NOT_FOUND, "chưa được đăng ký"),
        (("revoke", "--yes"), USAGE, "--serial"),
        (("revoke", ORG, "--serial", "1F", "--yes"), USAGE, "--serial"),
        (("revoke", "--serial", "no", "--yes"), USAGE, "no serial number"),
        (("revoke", ORG), USAGE, "--yes"),
        (("inspect", ORG), NOT_FOUND, "chưa được đăng ký"),
    ],
)
def test_what_cannot_be_done_is_told_with_its_code(state: Path, words: tuple[str, ...], code: int, told: str) -> None:
    result = ncsc(state, *words, "--lang", "vi")

    assert result.returncode == code
    assert told in result.stderr


def test_revoke_names_no_option_that_it_has_not(state: Path) -> None:
    assert "--dry-run" not in ncsc(state, "revoke", ORG).stderr


def test_a_state_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    result = ncsc(tmp_path / "none", "inspect")

    assert result.returncode == NOT_FOUND
    assert not (tmp_path / "none").exists()


def test_a_centre_without_its_files_is_a_usage_error_that_names_them(tmp_path: Path) -> None:
    result = text_here("ncsc", "--state", str(tmp_path))

    assert result.returncode == USAGE
    assert "--cert, --key, --ca" in result.stderr
