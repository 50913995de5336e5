"""Keys of senders at the centre: one organisation's broken file is its own affair, and a missing one is told."""

from pathlib import Path

import pytest
from feed_kit import ORG, OTHER, altered, centre_running, client_of, enrol, message, other_client, write
from ncsc_centre_kit import register_in


async def test_a_broken_key_file_of_one_organisation_keeps_neither_the_centre_nor_the_others_back(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    authority, keys = other_client(tmp_path)
    cert, key = write(tmp_path, "other", authority.client(OTHER))
    enrol(keys, OTHER)
    broken, good = keys.signers / f"{ORG}.jwks", keys.signers / f"{OTHER}.jwks"

    async with (
        centre_running(tmp_path, keys, signers=tmp_path / "theirs") as centre,
        client_of(centre, keys.ca, keys.client, keys.client_key) as one,
        client_of(centre, keys.ca, cert, key) as other,
    ):
        (tmp_path / "theirs").mkdir()
        (tmp_path / "theirs" / broken.name).write_text("no keys")
        (tmp_path / "theirs" / good.name).write_bytes(good.read_bytes())

        status, answer = await one.post([message(1)])

        assert (status, answer["error"]) == (503, "keys")
        assert await other.statuses([message(1, org_id=OTHER)]) == ["stored"]
    capsys.readouterr()
    async with (
        centre_running(tmp_path, keys, signers=tmp_path / "theirs") as centre,
        client_of(centre, keys.ca, cert, key) as other,
    ):
        assert await other.statuses([message(2, org_id=OTHER)]) == ["stored"]
        assert "signing keys of an organisation cannot be used" in capsys.readouterr().err


async def test_who_is_enrolled_while_the_centre_runs_and_has_no_key_is_told_of(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, keys = other_client(tmp_path)
    async with (
        centre_running(tmp_path, keys) as centre,
        client_of(centre, keys.ca, keys.client, keys.client_key) as client,
    ):
        await client.stats()
        assert "has no signing key" not in capsys.readouterr().err
        register = register_in(tmp_path / "centre")
        register.enrol("000.00.00.H99", "New", actor="lan")
        register.close()

        await client.stats()

        (told,) = [line for line in capsys.readouterr().err.splitlines() if "has no signing key" in line]
        assert "000.00.00.H99" in told


async def test_what_was_unsigned_for_the_centre_is_quarantined_for_what_it_is_once_the_key_is_known(
    tmp_path: Path,
) -> None:
    _, keys = other_client(tmp_path)
    async with (
        centre_running(tmp_path, keys, signers=tmp_path / "theirs") as centre,
        client_of(centre, keys.ca, keys.client, keys.client_key) as client,
    ):
        bad = altered(message(1), data={})
        _, reply = await client.post([bad])
        assert reply["results"][0]["code"] == "key_unknown"

        (tmp_path / "theirs").mkdir()
        (tmp_path / "theirs" / f"{ORG}.jwks").write_bytes((keys.signers / f"{ORG}.jwks").read_bytes())
        _, reply = await client.post([bad])

        assert reply["results"][0]["code"] == "schema"
        assert reply["committed"]["seq"] == 1
        assert (await client.stats())["quarantined"] == 1
