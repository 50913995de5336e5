"""What is wrong with how keys are kept, though they work: one key for two uses, files that everybody may read."""

import stat
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from socmon.errors import ConfigError
from socmon.feed.signing import Key
from socmon.secrets import SecretRef


def open_to_all(secrets: Iterable[SecretRef | None]) -> Iterator[str]:
    """A line for each file of `secrets` that everybody on this machine may read; looks at their modes only."""
    for secret in secrets:
        # One that is not there, or cannot be looked at, is told where it is needed.
        with suppress(ConfigError, OSError):
            if secret and (path := secret.path()).stat().st_mode & stat.S_IROTH:
                yield f"everybody on this machine may read the key {path}; chmod o= it, and make another if in doubt"


def used_twice(cert: Path, keys: Iterable[Key]) -> bool:
    """Whether the certificate's own key is among the signing keys: who steals the one then has both.

    Raises:
        OSError: the certificate cannot be read.
        ValueError: there is none in the file.
    """
    public = x509.load_pem_x509_certificates(cert.read_bytes())[0].public_key()
    shown = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return any(key.jwk.as_pem(private=False) == shown for key in keys)
