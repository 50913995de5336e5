"""Keys that are made here: throw-away authorities and certificates (RFC 5280), requests for them, signing keys."""

import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from joserfc.jwk import ECKey, OKPKey, RSAKey
from msgspec import Struct
from msgspec.structs import replace

from socmon.feed.keyring import key_set, parse_keys, read_keys
from socmon.feed.message import ORG_ID
from socmon.feed.signing import Algorithm, Jwk, Key
from socmon.i18n import Message

HOSTS = ("127.0.0.1", "localhost")
NOTICE_S = 10
"""The least time in which a daemon that signs learns of a new key: until then it signs by the old one."""

_VALID = timedelta(days=90)
_RSA_BITS = 3072
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

    @property
    def client_signing(self) -> Path:
        """The sender's private signing keys; the public ones are in `public_file` of it, and among the `signers`."""
        return self.client.with_name("client-signing.jwks")

    @property
    def centre_signing(self) -> Path:
        """The same of the centre."""
        return self.centre.with_name("centre-signing.jwks")

    @property
    def signers(self) -> Path:
        """The directory in which the centre looks for the senders' public keys."""
        return self.centre.with_name("signers")


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
        return self._issue(name or org_id, [_organisation(org_id)], ExtendedKeyUsageOID.CLIENT_AUTH)

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
    """Write an authority, and a certificate and signing keys for the centre and for `org_id`; keys are mode 0600.

    Raises:
        FileExistsError: one of the files is there already; nothing is written.
        ValueError: `org_id`, `name` or a host cannot stand in a certificate.
    """
    authority = Authority()
    centre, client = authority.server(hosts), authority.client(org_id, name)
    files = KeyFiles(*(directory / f"{stem}.{kind}" for stem in ("ca", "centre", "client") for kind in ("pem", "key")))
    contents = [authority.credentials, centre, client]
    paths = [files.ca, files.ca_key, files.centre, files.centre_key, files.client, files.client_key]
    _refuse_existing([*paths, *_signing_files(files, org_id)])
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    for credentials, cert, key in zip(contents, paths[::2], paths[1::2], strict=True):
        _write(cert, credentials.cert, 0o644)
        _write(key, credentials.key, 0o600)
    generate_signing(files, org_id)
    return files


def generate_signing(files: KeyFiles, org_id: str) -> None:
    """Write signing keys for the centre and for `org_id`, whose public ones the centre is given.

    Raises:
        FileExistsError: one of the files is there already; nothing is written.
    """
    _refuse_existing(_signing_files(files, org_id))
    for path in (files.client_signing, files.centre_signing):
        rotate(path, datetime.now(UTC))
    files.signers.mkdir(mode=0o755, exist_ok=True)
    _write(files.signers / f"{org_id}.jwks", public_file(files.client_signing).read_bytes(), 0o644)


def _signing_files(files: KeyFiles, org_id: str) -> list[Path]:
    private = [files.client_signing, files.centre_signing]
    return [*private, *map(public_file, private), files.signers / f"{org_id}.jwks"]


def signing_key(algorithm: Algorithm = "Ed25519", *, begin: datetime | None = None) -> Key:
    """A new private key to sign with, named by its thumbprint (RFC 7638)."""
    jwk: Jwk
    if algorithm == "Ed25519":
        jwk = OKPKey.generate_key("Ed25519")
    elif algorithm == "ES256":
        jwk = ECKey.generate_key("P-256")
    else:
        jwk = RSAKey.generate_key(_RSA_BITS)
    return Key(jwk.thumbprint(), algorithm, jwk, begin)


def public_file(private: Path) -> Path:
    """Where the public keys of a file of signing keys are: `x.pub.jwks` beside `x.jwks`."""
    return private.with_name(f"{private.stem}.pub.jwks")


def rotate(private: Path, begin: datetime, algorithm: Algorithm = "Ed25519", *, kid: str = "") -> Key:
    """Put a new signing key beside those in `private`, good from `begin` on, when theirs end; return it.

    `begin` is rounded up to a second, for `iat` is rounded down: what is signed by now stays good.

    The public file beside it keeps every key that ever was, so that old signatures can be verified; in `private`, keys
    that have ended are left out. The first key has no beginning. Both files are replaced at once, with their old owner
    and mode.

    Args:
        kid: the id at the centre of a key in PEM, which has no room for one; "" for its thumbprint.

    Raises:
        KeyFileError: a file that is there cannot be used.
        ValueError: `begin` is not after the beginning of the last key; there is not one key that `kid` could name.
        OSError: a file cannot be written.
    """
    begin += timedelta(microseconds=-begin.microsecond % 1_000_000)
    public = public_file(private)
    held = list(read_keys(private, private=True).values()) if private.exists() else []
    if kid:
        held = [_named(held, kid, private)]
    known = list(read_keys(public).values()) if public.exists() else []
    if any(key.begin and key.begin >= begin for key in held):
        raise ValueError(
            Message(
                "a key in {path} begins at {begin} or later; choose a later moment", path=private, begin=shown(begin)
            )
        )
    made = signing_key(algorithm, begin=begin if held else None)
    ended = {key.kid: replace(key, end=begin) for key in held if key.end is None or key.end > begin}
    now = datetime.now(UTC)
    kept = [ended.get(key.kid, key) for key in held]
    kids = {key.kid for key in known}
    listed = [replace(key, end=begin) if key.kid in ended else key for key in known]
    listed += [key for key in kept if key.kid not in kids]
    # The public one first: a private key whose public half nobody has would be lost to all who verify.
    _write_anew(public, key_set([*listed, made], private=False), 0o644)
    _write_anew(
        private, key_set([*(key for key in kept if key.end is None or key.end > now), made], private=True), 0o600
    )
    return made


def shown(moment: datetime) -> str:
    """As RFC 3339 has it, to the second."""
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


def _named(held: Sequence[Key], kid: str, path: Path) -> Key:
    """The one key of a file that states no id of its own, by the id `kid`."""
    if len(held) != 1 or held[0].kid not in {kid, held[0].jwk.thumbprint()}:
        raise ValueError(Message("{path} holds no single key without an id of its own; leave --kid out", path=path))
    return replace(held[0], kid=kid)


def request(directory: Path, org_id: str, *, name: str = "") -> tuple[Path, Path]:
    """Write a new private key, mode 0600, and a request for a certificate for it (RFC 2986) that names `org_id`.

    Returns:
        The paths of key and request.

    Raises:
        FileExistsError: one of the files is there already; nothing is written.
        ValueError: `org_id` or `name` cannot stand in a certificate.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    subject, names = _common_name(name or org_id), x509.SubjectAlternativeName([_organisation(org_id)])
    csr = x509.CertificateSigningRequestBuilder().subject_name(subject).add_extension(names, critical=False)
    content = csr.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    paths = directory / "client.key", directory / "client.csr"
    _refuse_existing(paths)
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    _write(paths[0], _key_pem(key), 0o600)
    _write(paths[1], content, 0o644)
    return paths


class Certified(Struct, frozen=True):
    """What a certificate says: of whom, under which names of its SAN, and from when to when it is good."""

    subject: str
    names: Sequence[str]
    begin: datetime
    end: datetime


def described(path: Path) -> list[Certified] | list[Key]:
    """Every certificate in a PEM file, or every signing key.

    Raises:
        OSError: it cannot be read.
        ValueError: there is neither in it.
    """
    content = path.read_bytes()
    if b"-----BEGIN CERTIFICATE-----" in content:
        return [_certified(cert) for cert in x509.load_pem_x509_certificates(content)]
    return parse_keys(content)


def _certified(cert: x509.Certificate) -> Certified:
    names: list[str] = []
    with suppress(x509.ExtensionNotFound):
        held = cert.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        names = [str(name.value) for name in held]
    return Certified(cert.subject.rfc4514_string(), names, cert.not_valid_before_utc, cert.not_valid_after_utc)


def _refuse_existing(paths: Iterable[Path]) -> None:
    for path in paths:
        if path.exists():
            raise FileExistsError(
                Message("{path} is there already; choose another --dir, or move the old keys away", path=path)
            )


def _write_anew(path: Path, content: bytes, mode: int) -> None:
    """Put `content` in the place of `path` at once, with its owner and mode where there is one, else with `mode`."""
    before = path.stat() if path.exists() else None
    new = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
            file.write(content)
            file.flush()
            os.fchmod(file.fileno(), mode if before is None else before.st_mode & 0o777)
            if before is not None and (before.st_uid, before.st_gid) != (os.geteuid(), os.getegid()):
                os.fchown(file.fileno(), before.st_uid, before.st_gid)
            os.fsync(file.fileno())
        new.replace(path)
    except BaseException:
        new.unlink(missing_ok=True)
        raise


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


def _organisation(org_id: str) -> x509.UniformResourceIdentifier:
    if not ORG_ID.fullmatch(org_id):
        raise ValueError(
            Message(
                "{org_id!r} is no organisation; write letters, digits, dots, dashes: 000.00.00.H07", org_id=org_id[:80]
            )
        )
    return x509.UniformResourceIdentifier(f"urn:vn:soc:{org_id}")


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
