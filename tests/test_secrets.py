"""References to secrets."""

from pathlib import Path

import pytest
from pydantic import BaseModel, ValidationError

from socmon.errors import ConfigError
from socmon.secrets import SecretRef


class Holder(BaseModel):
    key: SecretRef


@pytest.mark.parametrize(
    "text",
    ["hunter2", "", "file:", "credential:", "credential:../x", "credential:a/b", "FILE:/x", "file:a\0b", " file:/x"],
)
def test_what_is_no_reference_is_refused_without_repeating_it(text: str) -> None:
    with pytest.raises(ValueError, match="not a reference to a secret; write file:/path/to/it") as caught:
        SecretRef.parse(text)

    assert not text or text not in str(caught.value).replace("file:/path", "").replace("credential:NAME", "")


def test_it_shows_only_the_reference(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("hunter2")
    reference = SecretRef.parse(f"file:{tmp_path}/key")

    assert reference.read() == b"hunter2"
    assert f"{reference} {reference!r}" == f"file:{tmp_path}/key file:{tmp_path}/key"


def test_credential_is_a_file_in_the_folder_systemd_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "feed.key").write_bytes(b"\x00secret\n")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))

    reference = SecretRef.parse("credential:feed.key")

    assert reference.path() == tmp_path / "feed.key"
    assert reference.read() == b"\x00secret\n"


def test_credential_without_systemd_is_a_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)

    with pytest.raises(ConfigError, match=r"credential:feed: .*CREDENTIALS_DIRECTORY.*LoadCredential=feed:/path"):
        SecretRef.parse("credential:feed").path()


def test_unreadable_file_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file or directory; the user of socmon must be able to"):
        SecretRef.parse(f"file:{tmp_path}/none").read()


def test_pydantic_reads_and_writes_the_reference() -> None:
    holder = Holder.model_validate({"key": "file:/x"})

    assert holder.key == SecretRef("file", "/x")
    assert holder.model_dump_json() == '{"key":"file:/x"}'
    assert Holder(key=holder.key) == holder
    assert Holder.model_json_schema()["properties"]["key"]["type"] == "string"


@pytest.mark.parametrize("value", ["hunter2", 7, None, ["file:/x"]])
def test_pydantic_refuses_anything_else(value: object) -> None:
    with pytest.raises(ValidationError, match="not a reference to a secret"):
        Holder.model_validate({"key": value})


def test_relative_file_is_found_below_the_given_folder() -> None:
    assert SecretRef.parse("file:key").under(Path("/etc/socmon")).path() == Path("/etc/socmon/key")
    assert SecretRef.parse("file:/key").under(Path("/etc/socmon")).path() == Path("/key")
    assert SecretRef.parse("credential:key").under(Path("/etc/socmon")) == SecretRef("credential", "key")
