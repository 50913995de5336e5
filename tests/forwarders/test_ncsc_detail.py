"""The settings of what leaves: the key is read at the opening, never shown, and its want is told."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
from feed_kit import ORG, alert, release
from harness import FakeContext
from jsonschema_rs import validator_for
from ncsc_kit import forwarding, settings_for
from pydantic import ValidationError

from forwarders.ncsc import NcscForwarder
from socmon.cli.config_schema import configuration_schema
from socmon.errors import BlockedError, ComponentError, HeldError
from socmon.feed.keys import generate
from socmon.feed.privacy import PseudonymKey
from socmon.store.decisions import HELD
from socmon.yamlfile import read

KEY = b"0123456789abcdef0123456789abcdef"
CONFIG = """\
forwarders:
  up:
    kind: ncsc
    url: https://192.0.2.1
    ca: a
    cert: b
    key: file:c
    org_id: 000.00.00.H07
    privacy: {users: drop, hosts: drop, pseudonym_key: file:d}
    share: {min_level: high, agencies: [000.01]}
"""


def users(body: bytes) -> list[str]:
    data: dict[str, Any] = msgspec.json.decode(body)["data"]
    return [each["value"] for each in data["observables"] if each["type_id"] == 4]


async def test_names_are_pseudonyms_by_the_key(tmp_path: Path) -> None:
    keys = generate(tmp_path / "keys", ORG)
    path = tmp_path / "pseudonym.key"
    path.write_bytes(KEY + b"\n")
    async with forwarding("https://127.0.0.1:1", keys, privacy={"pseudonym_key": f"file:{path}"}) as made:
        await made.open()

        assert users(made.render(alert(), release())) == [PseudonymKey(KEY, ORG).pseudonym("u", "root")]


async def test_a_key_that_is_named_and_not_there_stops_the_destination(tmp_path: Path) -> None:
    keys = generate(tmp_path / "keys", ORG)
    async with forwarding("https://127.0.0.1:1", keys, privacy={"pseudonym_key": f"file:{tmp_path}/none"}) as made:
        with pytest.raises(BlockedError, match=r"cannot read .*none"):
            await made.open()


async def test_a_key_that_is_too_short_is_refused_and_not_shown(tmp_path: Path) -> None:
    keys = generate(tmp_path / "keys", ORG)
    path = tmp_path / "pseudonym.key"
    path.write_bytes(b"abc")
    settings = settings_for("https://127.0.0.1:1", keys, privacy={"pseudonym_key": f"file:{path}"})

    with pytest.raises(ComponentError, match="only 3 bytes") as refused:
        await NcscForwarder(FakeContext(settings)).open()

    assert "abc" not in str(refused.value)
    assert [problem.split("; ")[0] for problem in settings.problems()] == [
        f"file:{path}: the pseudonym key has only 3 bytes"
    ]


def test_the_want_of_a_key_is_told_only_where_it_matters(tmp_path: Path) -> None:
    keys = generate(tmp_path / "keys", ORG)

    def warnings(**privacy: str) -> list[str]:
        return settings_for("https://127.0.0.1:1", keys, privacy=privacy).warnings()

    assert warnings() == [
        "privacy: users and hosts cannot be pseudonymised without a key, and are left out; set pseudonym_key, or drop"
    ]
    assert warnings(users="drop", hosts="keep") == []
    assert warnings(pseudonym_key="file:/x") == []
    assert len(warnings(users="drop", hosts="drop", internal_ips="pseudonymise")) == 1


async def test_what_is_not_shared_has_no_message(tmp_path: Path) -> None:
    keys = generate(tmp_path / "keys", ORG)
    async with forwarding("https://127.0.0.1:1", keys, share={"min_level": "high"}) as made:
        await made.open()
        with pytest.raises(HeldError, match="level medium is below high"):
            made.render(alert(), release())
    assert HELD.endswith(" ")


@pytest.mark.parametrize(
    "privacy", [{"users": "hash"}, {"raw": "keep"}, {"emails": "keep"}, {"pseudonym_key": "s3cret"}]
)
def test_no_setting_lets_out_more_than_the_policy_knows(tmp_path: Path, privacy: dict[str, str]) -> None:
    with pytest.raises(ValidationError) as refused:
        settings_for("https://127.0.0.1:1", generate(tmp_path / "keys", ORG), privacy=privacy)

    assert "privacy" in str(refused.value.errors(include_input=False))


def test_the_schema_of_the_configuration_knows_the_blocks(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(CONFIG)
    schema = validator_for(configuration_schema())

    assert schema.is_valid(read(path).data)
    path.write_text(CONFIG.replace("users: drop", "users: hash"))
    assert not schema.is_valid(read(path).data)
