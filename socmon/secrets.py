"""References to secrets: the configuration names where a secret lies, never the secret itself."""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import GetCoreSchemaHandler
from pydantic_core import PydanticCustomError, core_schema

from socmon.errors import BlockedError, ConfigError

_CREDENTIAL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}")
_REMEDY = (
    "write file:/path/to/it, or credential:NAME for a systemd credential (LoadCredential=NAME:/path); "
    "the secret itself never stands in the configuration"
)


@dataclass(frozen=True, slots=True)
class SecretRef:
    """`file:/path`, or `credential:NAME`, a file in `$CREDENTIALS_DIRECTORY` (systemd.exec(5), LoadCredential=).

    Usable as the type of a pydantic field. Shown anywhere, it shows the reference only.
    """

    scheme: Literal["file", "credential"]
    name: str

    @classmethod
    def parse(cls, text: str) -> "SecretRef":
        """Read a reference.

        Raises:
            ValueError: `text` is no reference; the message does not repeat it, for it may be a secret.
        """
        scheme, _, name = text.partition(":")
        if scheme == "file" and name and "\0" not in name:
            return cls("file", name)
        if scheme == "credential" and _CREDENTIAL_NAME.fullmatch(name):
            return cls("credential", name)
        raise ValueError(f"not a reference to a secret; {_REMEDY}")

    def under(self, folder: Path) -> "SecretRef":
        """This reference with a relative path made absolute below `folder`, that of the configuration file."""
        return SecretRef("file", str(folder / self.name)) if self.scheme == "file" else self

    def path(self) -> Path:
        """The file that holds the secret; it may not exist.

        Raises:
            ConfigError: a credential is asked for, and systemd passed none to this process.
        """
        if self.scheme == "file":
            return Path(self.name)
        folder = os.environ.get("CREDENTIALS_DIRECTORY")
        if not folder:
            remedy = f"start it by systemd with LoadCredential={self.name}:/path"
            raise ConfigError([f"{self}: this process has no $CREDENTIALS_DIRECTORY; {remedy}"])
        return Path(folder, self.name)

    def read(self) -> bytes:
        """The secret, byte for byte as its file holds it.

        Raises:
            ConfigError: the file cannot be read.
        """
        path = self.path()
        try:
            return path.read_bytes()
        except OSError as error:
            reason = (error.strerror or "error").lower()
            raise ConfigError([f"{self}: cannot read {path}: {reason}; the user of socmon must be able to"]) from error

    def __str__(self) -> str:
        return f"{self.scheme}:{self.name}"

    __repr__ = __str__

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: Any, _handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        """Accept a reference or its text; give back its text."""
        return core_schema.no_info_plain_validator_function(
            cls._validated,
            serialization=core_schema.to_string_ser_schema(),
            json_schema_input_schema=core_schema.str_schema(),
        )

    @classmethod
    def _validated(cls, value: Any) -> "SecretRef":
        if isinstance(value, cls):
            return value
        try:
            return cls.parse(value if isinstance(value, str) else "")
        except ValueError as error:
            raise PydanticCustomError("secret_reference", "{reason}", {"reason": str(error)}) from None


def unreadable(error: ConfigError) -> BlockedError:
    """What a component in use makes of a secret that cannot be read: worth another try, for it may be replaced."""
    what, _, remedy = str(error).partition("; ")
    return BlockedError(what, reason="own_unreadable", remedy=remedy)
