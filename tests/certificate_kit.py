"""Certificates that are wrong, made at run time, and a server that shows them and counts what it is told."""

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

DAY = timedelta(days=1)


def revalidated(cert: Path, signing_key: Path, begin: datetime, end: datetime) -> None:
    """Replace a certificate by the same one with another validity."""
    old = x509.load_pem_x509_certificate(cert.read_bytes())
    builder = x509.CertificateBuilder(
        old.issuer, old.subject, old.public_key(), old.serial_number, begin, end, list(old.extensions)
    )
    key = serialization.load_pem_private_key(signing_key.read_bytes(), None)
    new = builder.sign(key, hashes.SHA256())  # type: ignore[arg-type]  # an EC key, as `generate` makes them
    cert.write_bytes(new.public_bytes(serialization.Encoding.PEM))


def expired(cert: Path, signing_key: Path) -> None:
    now = datetime.now(UTC)
    revalidated(cert, signing_key, now - 2 * DAY, now - DAY)


def not_yet_valid(cert: Path, signing_key: Path) -> None:
    now = datetime.now(UTC)
    revalidated(cert, signing_key, now + DAY, now + 2 * DAY)


class Stranger:
    """A TLS server on `port` that is no socmon.

    Attributes:
        called: connections that were begun.
        told: what came after the handshake, decrypted.
    """

    def __init__(self, port: int, cert: Path, key: Path) -> None:
        self.called = 0
        self.told = b""
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(cert, key)
        self._listener = socket.create_server(("127.0.0.1", port))
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def _serve(self) -> None:
        while True:
            try:
                raw, _ = self._listener.accept()
            except OSError:
                return
            self.called += 1
            raw.settimeout(30)
            with suppress(OSError), raw, self._context.wrap_socket(raw, server_side=True) as connection:
                while received := connection.recv(65536):
                    self.told += received

    @contextmanager
    def running(self) -> Iterator["Stranger"]:
        self._thread.start()
        try:
            yield self
        finally:
            self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._thread.join(40)
