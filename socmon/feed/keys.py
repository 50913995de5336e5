"""Throw-away keys: an authority, a server certificate for the centre, a client certificate for a sender (RFC 5280)."""

import os
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from msgspec import Struct

from socmon.feed.message import ORG_ID

HOSTS = ("127.0.0.1", "localhost")
_VALID = timedelta(days=90)
_CLOCK_SKEW = timedelta(hours=1)


class Credentials(Struct, frozen=True):
    """A certificate and its private key, both PEM."""

    cert: bytes
    key: bytes


class KeyFiles(Struct, frozen=True):
    """Where `generate` wrote what; the authority's key is beside its certificate."""

    ca: Path
    ca_key: Path
    centre: Path
    centre_key: Path
    client: Path
    client_key: Path


class Authority:
    """A certificate authority that lives as long as this object, or as its `ca.key`.

    Keys are ECDSA P-256: of the two that TLS 1.3 stacks know, the one that all of them accept in certificates.
    """

    def __init__(self, name: str = "socmon throw-away authority") -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _common_name(name)
        usage = _key_usage(signs_certificates=True)
        builder = _builder(self._name, self._name, self._key.public_key())
        self._cert = (
            builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(usage, critical=True)
            .sign(self._key, hashes.SHA256())
        )

    @property
    def credentials(self) -> Credentials:
        """The authority's own certificate and key."""
        return Credentials(_cert_pem(self._cert), _key_pem(self._key))

    def server(self, hosts: Sequence[str] = HOSTS) -> Credentials:
        """For the centre, reached under `hosts`: names or addresses."""
        return self._issue(hosts[0], [_host(host) for host in hosts], ExtendedKeyUsageOID.SERVER_AUTH)

    def client(self, org_id: str, name: str = "") -> Credentials:
        """For an organisation that sends: SAN URI `urn:vn:soc:<org_id>`, common name `name` or else `org_id`.

        Raises:
            ValueError: `org_id` is not 1 to 64 letters, digits, dots and dashes.
        """
        if not ORG_ID.fullmatch(org_id):
            raise ValueError(f"{org_id[:80]!r} is no organisation; write letters, digits, dots, dashes: 000.00.00.H07")
        uri = x509.UniformResourceIdentifier(f"urn:vn:soc:{org_id}")
        return self._issue(name or org_id, [uri], ExtendedKeyUsageOID.CLIENT_AUTH)

    def _issue(self, name: str, names: Sequence[x509.GeneralName], use: x509.ObjectIdentifier) -> Credentials:
        key = ec.generate_private_key(ec.SECP256R1())
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        cert = (
            _builder(_common_name(name), self._name, key.public_key())
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([use]), critical=False)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(issuer, critical=False)
            .sign(self._key, hashes.SHA256())
        )
        return Credentials(_cert_pem(cert), _key_pem(key))


def generate(directory: Path, org_id: str, *, name: str = "", hosts: Sequence[str] = HOSTS) -> KeyFiles:
    """Write an authority, a certificate for the centre and one for `org_id` into `directory`; keys are mode 0600.

    Raises:
        FileExistsError: one of the files is there already; nothing is written.
        ValueError: `org_id`, `name` or a host cannot stand in a certificate.
    """
    authority = Authority()
    centre, client = authority.server(hosts), authority.client(org_id, name)
    files = KeyFiles(*(directory / f"{stem}.{kind}" for stem in ("ca", "centre", "client") for kind in ("pem", "key")))
    contents = [authority.credentials, centre, client]
    paths = [files.ca, files.ca_key, files.centre, files.centre_key, files.client, files.client_key]
    for path in paths:
        if path.exists():
            raise FileExistsError(f"{path} is there already; choose another --dir, or move the old keys away")
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    for credentials, cert, key in zip(contents, paths[::2], paths[1::2], strict=True):
        _write(cert, credentials.cert, 0o644)
        _write(key, credentials.key, 0o600)
    return files


def describe(path: Path) -> str:
    """Subject, names and validity of every certificate in a PEM file, a line each.

    Raises:
        OSError: it cannot be read.
        ValueError: there is no certificate in it.
    """
    return "\n".join(_described(cert) for cert in x509.load_pem_x509_certificates(path.read_bytes()))


def _described(cert: x509.Certificate) -> str:
    try:
        held = cert.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        names = ", ".join(str(name.value) for name in held)
    except x509.ExtensionNotFound:
        names = "none"
    validity = f"{cert.not_valid_before_utc:%Y-%m-%dT%H:%M:%SZ} to {cert.not_valid_after_utc:%Y-%m-%dT%H:%M:%SZ}"
    return f"subject {cert.subject.rfc4514_string()}; names {names}; valid {validity}"


def _write(path: Path, content: bytes, mode: int) -> None:
    """Create `path`; a file that appeared meanwhile is not overwritten."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(content)


def _builder(subject: x509.Name, issuer: x509.Name, public: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCK_SKEW)
        .not_valid_after(now + _VALID)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    )


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _common_name(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _host(host: str) -> x509.GeneralName:
    try:
        address: IPv4Address | IPv6Address = ip_address(host)
    except ValueError:
        return x509.DNSName(host)
    return x509.IPAddress(address)


def _cert_pem(cert: x509.Certificate) -> bytes:
    return cert.public_bytes(serialization.Encoding.PEM)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    plain = serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
