"""`socmon keys`: keys, certificates and requests for the feed, new signing keys, and what is in such a file."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from socmon.cli import Options
from socmon.i18n import Translator, mark

if TYPE_CHECKING:
    from socmon.feed.keys import Certified
    from socmon.feed.signing import Key

_WRITTEN = (
    mark("authority"),
    mark("authority's key"),
    mark("centre"),
    mark("centre's key"),
    mark("sender"),
    mark("sender's key"),
    mark("centre signs by"),
    mark("in public"),
    mark("sender signs by"),
    mark("in public"),
    mark("at the centre"),
)


@click.group("keys")
def command() -> None:
    """Make keys and certificates for the feed, and show them."""


@command.command("gen")
@click.option("--dir", "directory", required=True, type=click.Path(path_type=Path), help="Where to write them.")
@click.option("--org", "org_id", required=True, metavar="ORG_ID", help="The sender's organisation: 000.00.00.H07.")
@click.option("--name", default="", metavar="CN", help="The sender's common name (default: ORG_ID).")
@click.option("--host", "hosts", multiple=True, help="Name or address of the centre (default: 127.0.0.1, localhost).")
@click.pass_context
def gen(context: click.Context, directory: Path, org_id: str, name: str, hosts: tuple[str, ...]) -> None:
    """Make an authority, and a certificate and signing keys for the centre and a sender, for trials.

    Certificates are valid for 90 days. Nothing is overwritten; private keys can be read by their owner only.
    """
    from socmon.feed.keys import HOSTS, generate, public_file

    tr = context.ensure_object(Options).tr
    with _refusals(tr, directory):
        files = generate(directory, org_id, name=name, hosts=hosts or HOSTS)
    written = (
        files.ca,
        files.ca_key,
        files.centre,
        files.centre_key,
        files.client,
        files.client_key,
        files.centre_signing,
        public_file(files.centre_signing),
        files.client_signing,
        public_file(files.client_signing),
        files.signers,
    )
    _tell([(tr(what), path) for what, path in zip(_WRITTEN, written, strict=True)])


@command.command("csr")
@click.option("--dir", "directory", required=True, type=click.Path(path_type=Path), help="Where to write them.")
@click.option("--org", "org_id", required=True, metavar="ORG_ID", help="The sender's organisation: 000.00.00.H07.")
@click.option("--name", default="", metavar="CN", help="The sender's common name (default: ORG_ID).")
@click.pass_context
def csr(context: click.Context, directory: Path, org_id: str, name: str) -> None:
    """Make a sender's private key for TLS, and a request for its certificate.

    The request (PKCS #10) names urn:vn:soc:ORG_ID; send it to the centre's authority. Nothing is overwritten; the key
    can be read by its owner only. The key that messages are signed with is another: `socmon keys rotate` makes it.
    """
    from socmon.feed.keys import request

    tr = context.ensure_object(Options).tr
    with _refusals(tr, directory):
        key, asked = request(directory, org_id, name=name)
    _tell([(tr("key"), key), (tr("request"), asked)])


@command.command("rotate")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--after", "after_s", default=3600, show_default=True, type=click.IntRange(0, 31_536_000), metavar="S",
              help="Seconds until the new key is used.")  # fmt: skip
@click.option("--alg", default="Ed25519", show_default=True, type=click.Choice(["Ed25519", "ES256", "PS256"]))
@click.option("--kid", default="", metavar="ID", help="What a key in PEM is called at the centre: its option kid.")
@click.pass_context
def rotate(
    context: click.Context, file: Path, after_s: int, alg: Literal["Ed25519", "ES256", "PS256"], kid: str
) -> None:
    """Put a new signing key into FILE, beside the one it will follow; make FILE if there is none.

    The old key ends when the new one begins; until then give the centre the public keys, in the .pub.jwks file beside
    FILE, which keeps the old ones: they verify what was signed before. A daemon needs no restart: it looks at FILE
    every few seconds, so a key that follows another begins in 10 seconds or later.

    A FILE in PEM becomes a JWK Set. Its key is the one that the option `kid` names: say that id by --kid, so that the
    public keys name it so too. What is rotated in has an id of its own, and is used without a change of `kid`.
    """
    from datetime import UTC, datetime, timedelta

    from socmon.errors import ConfigError
    from socmon.feed.keys import NOTICE_S, public_file, shown
    from socmon.feed.keys import rotate as put

    tr = context.ensure_object(Options).tr
    after_s = max(after_s, NOTICE_S) if file.exists() else after_s
    try:
        made = put(file, datetime.now(UTC) + timedelta(seconds=after_s), alg, kid=kid)
    except ConfigError as error:
        raise click.ClickException(str(error)) from error
    except ValueError as error:
        raise click.ClickException(tr(error.args[0])) from error
    except OSError as error:
        raise click.ClickException(_unwritten(tr, file, error)) from error
    said = tr("{kid}, {algorithm}, signs from {time} on", kid=made.kid, algorithm=made.algorithm,
              time=shown(made.begin) if made.begin else tr("now"))  # fmt: skip
    _tell([(tr("key"), said), (tr("public"), public_file(file))])


@command.command("show")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE…")
@click.pass_context
def show(context: click.Context, files: tuple[Path, ...]) -> None:
    """Print who and how long: of certificates in PEM files, and of signing keys; never a secret."""
    from socmon.feed.keys import Certified, described
    from socmon.text import printable

    tr = context.ensure_object(Options).tr
    for path in files:
        try:
            found = described(path)
        except OSError as error:
            why = (error.strerror or "error").lower()
            raise click.ClickException(tr("cannot read {path}: {error}", path=path, error=why)) from error
        except ValueError as error:
            raise click.ClickException(
                tr("{path} holds neither certificate nor signing key; name a .pem or .jwks file", path=path)
            ) from error
        for each in found:
            line = _certificate(tr, each) if isinstance(each, Certified) else _key(tr, each)
            click.echo(f"{path}: {printable(line)}")


def _certificate(tr: Translator, cert: "Certified") -> str:
    from socmon.feed.keys import shown

    names = ", ".join(cert.names) or tr("none")
    validity = tr("valid from {begin} to {end}", begin=shown(cert.begin), end=shown(cert.end))
    return "; ".join([tr("subject {subject}", subject=cert.subject), tr("names {names}", names=names), validity])


def _key(tr: Translator, key: "Key") -> str:
    from socmon.feed.keys import shown

    kind = tr("private key {kid}", kid=key.kid) if key.jwk.is_private else tr("public key {kid}", kid=key.kid)
    begin = shown(key.begin) if key.begin else tr("ever")
    end = shown(key.end) if key.end else tr("further notice")
    parts = [kind, key.algorithm, tr("valid from {begin} to {end}", begin=begin, end=end)]
    return "; ".join([*parts, *([tr("compromised")] if key.compromised else [])])


@contextmanager
def _refusals(tr: Translator, directory: Path) -> Iterator[None]:
    """What keeps keys from being made, as the command says it."""
    try:
        yield
    except FileExistsError as error:
        raise click.ClickException(tr(error.args[0])) from error
    except OSError as error:
        raise click.ClickException(_unwritten(tr, directory, error)) from error
    except ValueError as error:
        raise click.UsageError(tr(error.args[0])) from error


def _unwritten(tr: Translator, path: Path, error: OSError) -> str:
    why = (error.strerror or "error").lower()
    return tr("cannot write to {path}: {error}", path=path, error=why)


def _tell(lines: list[tuple[str, object]]) -> None:
    """Each as `what: it`, in columns."""
    width = max(len(what) for what, _ in lines) + 1
    for what, told in lines:
        click.echo(f"{what + ':':{width}} {told}")
