"""`socmon keys`: keys, certificates and requests for the feed, new signing keys, and what is in such a file."""

from pathlib import Path
from typing import Literal

import click


@click.group("keys")
def command() -> None:
    """Make keys and certificates for the feed, and show them."""


@command.command("gen")
@click.option("--dir", "directory", required=True, type=click.Path(path_type=Path), help="Where to write them.")
@click.option("--org", "org_id", required=True, metavar="ORG_ID", help="The sender's organisation: 000.00.00.H07.")
@click.option("--name", default="", metavar="CN", help="The sender's common name (default: ORG_ID).")
@click.option("--host", "hosts", multiple=True, help="Name or address of the centre (default: 127.0.0.1, localhost).")
def gen(directory: Path, org_id: str, name: str, hosts: tuple[str, ...]) -> None:
    """Make an authority, and a certificate and signing keys for the centre and a sender, for trials.

    Certificates are valid for 90 days. Nothing is overwritten; private keys can be read by their owner only.
    """
    from socmon.feed.keys import HOSTS, generate, public_file

    try:
        files = generate(directory, org_id, name=name, hosts=hosts or HOSTS)
    except FileExistsError as error:
        raise click.ClickException(str(error)) from error
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    for what, path in (
        ("authority", files.ca),
        ("authority's key", files.ca_key),
        ("centre", files.centre),
        ("centre's key", files.centre_key),
        ("sender", files.client),
        ("sender's key", files.client_key),
        ("centre signs by", files.centre_signing),
        ("in public", public_file(files.centre_signing)),
        ("sender signs by", files.client_signing),
        ("in public", public_file(files.client_signing)),
        ("at the centre", files.signers),
    ):
        click.echo(f"{what + ':':17}{path}")


@command.command("csr")
@click.option("--dir", "directory", required=True, type=click.Path(path_type=Path), help="Where to write them.")
@click.option("--org", "org_id", required=True, metavar="ORG_ID", help="The sender's organisation: 000.00.00.H07.")
@click.option("--name", default="", metavar="CN", help="The sender's common name (default: ORG_ID).")
def csr(directory: Path, org_id: str, name: str) -> None:
    """Make a sender's private key for TLS, and a request for its certificate.

    The request (PKCS #10) names urn:vn:soc:ORG_ID; send it to the centre's authority. Nothing is overwritten; the key
    can be read by its owner only. The key that messages are signed with is another: `socmon keys rotate` makes it.
    """
    from socmon.feed.keys import request

    try:
        key, asked = request(directory, org_id, name=name)
    except FileExistsError as error:
        raise click.ClickException(str(error)) from error
    except OSError as error:
        raise click.ClickException(f"cannot write to {directory}: {(error.strerror or 'error').lower()}") from error
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    click.echo(f"key:     {key}")
    click.echo(f"request: {asked}")


@command.command("rotate")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--after", "after_s", default=3600, show_default=True, type=click.IntRange(0, 31_536_000), metavar="S",
              help="Seconds until the new key is used.")  # fmt: skip
@click.option("--alg", default="Ed25519", show_default=True, type=click.Choice(["Ed25519", "ES256", "PS256"]))
def rotate(file: Path, after_s: int, alg: Literal["Ed25519", "ES256", "PS256"]) -> None:
    """Put a new signing key into FILE, beside the one it will follow; make FILE if there is none.

    The old key ends when the new one begins; until then give the centre the public keys, in the .pub.jwks file beside
    FILE, which keeps the old ones: they verify what was signed before. A daemon needs no restart: it looks at FILE
    every few seconds, so a key that follows another begins in 10 seconds or later.
    """
    from datetime import UTC, datetime, timedelta

    from socmon.errors import ConfigError
    from socmon.feed.keys import NOTICE_S, public_file
    from socmon.feed.keys import rotate as put

    try:
        after_s = max(after_s, NOTICE_S) if file.exists() else after_s
        made = put(file, datetime.now(UTC) + timedelta(seconds=after_s), alg)
    except (ConfigError, ValueError) as error:
        raise click.ClickException(str(error)) from error
    except OSError as error:
        raise click.ClickException(f"cannot write {file}: {(error.strerror or 'error').lower()}") from error
    moment = f"{made.begin:%Y-%m-%dT%H:%M:%SZ}" if made.begin else "now"
    click.echo(f"key:    {made.kid}, {made.algorithm}, signs from {moment} on")
    click.echo(f"public: {public_file(file)}")


@command.command("show")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE…")
def show(files: tuple[Path, ...]) -> None:
    """Print who and how long: of certificates in PEM files, and of signing keys; never a secret."""
    from socmon.feed.keys import describe
    from socmon.text import printable

    for path in files:
        try:
            described = describe(path)
        except OSError as error:
            raise click.ClickException(f"cannot read {path}: {(error.strerror or 'error').lower()}") from error
        except ValueError as error:
            raise click.ClickException(
                f"{path} holds neither certificate nor signing key; name a .pem or .jwks file"
            ) from error
        for line in described.splitlines():
            click.echo(f"{path}: {printable(line)}")
