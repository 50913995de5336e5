"""`socmon keys`: what it makes works in TLS, and overwrites nothing."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from socmon.cli import Options
from socmon.cli.keys import command
from socmon.errors import ComponentError, ConfigError
from socmon.feed.keyring import read_keys
from socmon.feed.keys import generate, public_file, rotate
from socmon.tls import client_context, server_context

ORG = "000.00.00.H07"


def gen(folder: Path, *more: str) -> tuple[int, str]:
    result = CliRunner().invoke(command, ["gen", "--dir", str(folder), "--org", ORG, *more])
    return result.exit_code, result.output


def test_keys_are_made_and_listed(tmp_path: Path) -> None:
    code, output = gen(tmp_path / "keys")

    assert code == 0
    names = {"ca.pem", "ca.key", "centre.pem", "centre.key", "client.pem", "client.key", "signers"}
    names |= {f"{who}-signing{kind}" for who in ("centre", "client") for kind in (".jwks", ".pub.jwks")}
    assert {path.name for path in (tmp_path / "keys").iterdir()} == names
    assert all(name in output for name in names)


def test_private_keys_are_for_their_owner_only(tmp_path: Path) -> None:
    files = generate(tmp_path, ORG)

    private = (files.ca_key, files.centre_key, files.client_key, files.centre_signing, files.client_signing)
    assert [path.stat().st_mode & 0o777 for path in private] == [0o600] * 5


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
    assert f"subject CN={ORG}; names urn:vn:soc:{ORG}; valid from 20" in sender
    assert "names 127.0.0.1, localhost" in centre


def test_show_of_a_file_without_certificate_says_so(tmp_path: Path) -> None:
    files = generate(tmp_path, ORG)
    runner = CliRunner()

    files.ca.write_text("nothing")
    assert "holds neither certificate nor signing key" in runner.invoke(command, ["show", str(files.ca)]).output
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


def rotated(path: Path, *more: str) -> str:
    result = CliRunner().invoke(command, ["rotate", str(path), *more])
    assert result.exit_code == 0, result.output
    return result.output


def test_a_request_names_the_organisation_and_its_key_is_for_its_owner_only(tmp_path: Path) -> None:
    result = CliRunner().invoke(command, ["csr", "--dir", str(tmp_path), "--org", ORG])

    assert result.exit_code == 0
    asked = x509.load_pem_x509_csr((tmp_path / "client.csr").read_bytes())
    names = asked.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == [f"urn:vn:soc:{ORG}"]
    assert asked.is_signature_valid
    key = serialization.load_pem_private_key((tmp_path / "client.key").read_bytes(), None)
    assert key.public_key() == asked.public_key()
    assert (tmp_path / "client.key").stat().st_mode & 0o777 == 0o600
    again = CliRunner().invoke(command, ["csr", "--dir", str(tmp_path), "--org", ORG])
    assert (again.exit_code, "is there already" in again.output) == (1, True)


def test_the_first_signing_key_is_good_at_once_and_the_next_follows_it(tmp_path: Path) -> None:
    path = tmp_path / "own.jwks"

    rotated(path)
    (first,) = read_keys(path, private=True).values()
    rotated(path, "--after", "60", "--alg", "ES256")
    held = read_keys(path, private=True)
    known = read_keys(public_file(path))

    assert (first.begin, first.end, first.algorithm) == (None, None, "Ed25519")
    (second,) = (key for kid, key in held.items() if kid != first.kid)
    assert second.algorithm == "ES256"
    assert held[first.kid].end == second.begin
    assert known.keys() == held.keys()
    assert not any(key.jwk.is_private for key in known.values())
    assert path.stat().st_mode & 0o777 == 0o600


def test_an_ended_key_leaves_the_private_file_and_stays_in_the_public_one(tmp_path: Path) -> None:
    path = tmp_path / "own.jwks"

    rotated(path)
    (first,) = read_keys(path)
    rotate(path, datetime.now(UTC) - timedelta(hours=1))

    assert first not in read_keys(path)
    assert first in read_keys(public_file(path))


def test_what_is_rotated_keeps_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "own.jwks"
    rotated(path)
    path.chmod(0o640)

    rotated(path)

    assert path.stat().st_mode & 0o777 == 0o640
    assert sorted(each.name for each in tmp_path.iterdir()) == ["own.jwks", "own.pub.jwks"]


def test_show_of_signing_keys_says_how_long_and_no_secret(tmp_path: Path) -> None:
    path = tmp_path / "own.jwks"
    rotated(path)
    rotated(path)

    lines = CliRunner().invoke(command, ["show", str(path), str(public_file(path))]).output.splitlines()

    assert ["private key" in line for line in lines] == [True, True, False, False]
    assert "valid from ever to 20" in lines[0]
    assert "to further notice" in lines[1]
    secrets = [entry["d"] for entry in json.loads(path.read_text())["keys"]]
    assert not any(secret in line for secret in secrets for line in lines)


def test_a_file_that_holds_no_keys_is_not_rotated(tmp_path: Path) -> None:
    path = tmp_path / "own.jwks"
    path.write_text('{"keys": [{"kty": "oct", "k": "AAAA"}]}')

    result = CliRunner().invoke(command, ["rotate", str(path)])

    assert result.exit_code == 1
    assert "a key in it is not of kty OKP, EC, RSA" in result.output
    assert "AAAA" in path.read_text()


def test_it_speaks_vietnamese(tmp_path: Path) -> None:
    options = Options(lang="vi")

    def said(*words: str) -> str:
        return CliRunner().invoke(command, [*words], obj=options).output

    made = said("gen", "--dir", str(tmp_path / "keys"), "--org", ORG)
    assert f"cơ quan chứng thực:          {tmp_path}/keys/ca.pem\n" in made
    assert "đã có; hãy chọn --dir khác" in said("gen", "--dir", str(tmp_path / "keys"), "--org", ORG)
    assert "không phải mã đơn vị" in said("csr", "--dir", str(tmp_path / "csr"), "--org", "a/b")
    assert "yêu cầu cấp chứng thư: " in said("csr", "--dir", str(tmp_path / "csr"), "--org", ORG)
    assert "Ed25519, dùng để ký từ bây giờ" in said("rotate", str(tmp_path / "own.jwks"))
    assert "hiệu lực từ trước đến nay đến khi có thông báo mới" in said("show", str(tmp_path / "own.jwks"))
    assert "chủ thể CN=" in said("show", str(tmp_path / "keys" / "client.pem"))
    assert "không chứa chứng thư hay khóa ký" in said("show", str(tmp_path / "csr" / "client.csr"))
