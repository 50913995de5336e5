"""`socmon keys`: what it makes works in TLS, and overwrites nothing."""

from pathlib import Path

import pytest
from click.testing import CliRunner
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from socmon.cli.keys import command
from socmon.errors import ComponentError, ConfigError
from socmon.feed.keys import generate
from socmon.tls import client_context, server_context

ORG = "000.00.00.H07"


def gen(folder: Path, *more: str) -> tuple[int, str]:
    result = CliRunner().invoke(command, ["gen", "--dir", str(folder), "--org", ORG, *more])
    return result.exit_code, result.output


def test_keys_are_made_and_listed(tmp_path: Path) -> None:
    code, output = gen(tmp_path / "keys")

    assert code == 0
    names = {"ca.pem", "ca.key", "centre.pem", "centre.key", "client.pem", "client.key"}
    assert {path.name for path in (tmp_path / "keys").iterdir()} == names
    assert all(name in output for name in names)


def test_private_keys_are_for_their_owner_only(tmp_path: Path) -> None:
    files = generate(tmp_path, ORG)

    assert [path.stat().st_mode & 0o777 for path in (files.ca_key, files.centre_key, files.client_key)] == [0o600] * 3


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "client.key").write_text("precious")

    code, output = gen(tmp_path)

    assert code == 1
    assert "client.key is there already" in output
    assert [path.name for path in tmp_path.iterdir()] == ["client.key"]


def test_an_impossible_organisation_is_refused(tmp_path: Path) -> None:
    result = CliRunner().invoke(command, ["gen", "--dir", str(tmp_path / "keys"), "--org", "a/b"])

    assert result.exit_code == 2
    assert "'a/b' is no organisation" in result.output
    assert not (tmp_path / "keys").exists()


def test_the_senders_certificate_names_its_organisation(tmp_path: Path) -> None:
    files = generate(tmp_path, ORG, name="Sở TT&TT")

    cert = x509.load_pem_x509_certificate(files.client.read_bytes())
    names = cert.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == [f"urn:vn:soc:{ORG}"]
    assert cert.subject.rfc4514_string() == "CN=Sở TT&TT"


def test_the_keys_fit_both_sides_of_tls(tmp_path: Path) -> None:
    files = generate(tmp_path, ORG, hosts=["centre.example", "127.0.0.1"])

    assert server_context(files.ca, files.centre, files.centre_key).num_tickets == 0
    assert client_context(files.ca, files.client, files.client_key).check_hostname


def test_show_says_who_and_how_long(tmp_path: Path) -> None:
    files = generate(tmp_path, ORG)

    result = CliRunner().invoke(command, ["show", str(files.client), str(files.centre)])

    sender, centre = result.output.splitlines()
    assert f"subject CN={ORG}; names urn:vn:soc:{ORG}; valid 20" in sender
    assert "names 127.0.0.1, localhost" in centre


def test_show_of_a_file_without_certificate_says_so(tmp_path: Path) -> None:
    files = generate(tmp_path, ORG)
    runner = CliRunner()

    assert "holds no certificate" in runner.invoke(command, ["show", str(files.client_key)]).output
    assert "no such file" in runner.invoke(command, ["show", str(tmp_path / "absent.pem")]).output


def test_a_missing_file_is_named_with_the_remedy(tmp_path: Path) -> None:
    files = generate(tmp_path, ORG)
    absent = tmp_path / "absent.pem"

    with pytest.raises(ComponentError, match=r"cannot read .*absent\.pem: no such file.*socmon keys gen") as refused:
        client_context(absent, files.client, files.client_key)
    assert refused.value.retry
    with pytest.raises(ConfigError, match=r"absent\.pem"):
        server_context(files.ca, absent, files.centre_key)


def test_a_key_of_another_certificate_is_refused(tmp_path: Path) -> None:
    files = generate(tmp_path, ORG)

    with pytest.raises(ComponentError, match="key values mismatch"):
        client_context(files.ca, files.client, files.centre_key)


def test_a_key_with_a_password_is_refused_without_asking_for_it(tmp_path: Path) -> None:
    files = generate(tmp_path, ORG)
    key = serialization.load_pem_private_key(files.client_key.read_bytes(), None)
    secret = serialization.BestAvailableEncryption(b"secret")
    files.client_key.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, secret)
    )

    with pytest.raises(ComponentError, match="without a password"):
        client_context(files.ca, files.client, files.client_key)


def test_an_authority_without_a_certificate_is_refused(tmp_path: Path) -> None:
    files = generate(tmp_path, ORG)

    with pytest.raises(ConfigError, match="as authority"):
        server_context(files.ca_key, files.centre, files.centre_key)
