"""`socmon keys`: throw-away keys and certificates for the feed, and what is in a certificate."""

from pathlib import Path

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
    """Make an authority, a certificate for the centre and one for a sender, for trials.

    They are valid for 90 days. Nothing is overwritten; private keys can be read by their owner only.
    """
    from socmon.feed.keys import HOSTS, generate

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
    ):
        click.echo(f"{what + ':':17}{path}")


@command.command("show")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE…")
def show(files: tuple[Path, ...]) -> None:
    """Print subject, names and validity of the certificates in PEM files."""
    from socmon.feed.keys import describe
    from socmon.text import printable

    for path in files:
        try:
            described = describe(path)
        except OSError as error:
            raise click.ClickException(f"cannot read {path}: {(error.strerror or 'error').lower()}") from error
        except ValueError as error:
            raise click.ClickException(f"{path} holds no certificate in PEM; name the .pem file") from error
        for line in described.splitlines():
            click.echo(f"{path}: {printable(line)}")
