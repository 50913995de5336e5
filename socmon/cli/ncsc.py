"""`socmon ncsc`: the simulated national centre."""

import asyncio
import json
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from socmon.ncsc.centre import CentreSettings

_FILE = click.Path(path_type=Path)


@click.command("ncsc")
@click.option(
    "--listen", default="127.0.0.1:8443", show_default=True, help="ADDRESS:PORT of the feed; port 0: a free one."
)
@click.option(
    "--admin", default="127.0.0.1:8444", show_default=True, help="The same for its own pages; 127.0.0.1 only."
)
@click.option("--state", required=True, type=_FILE, metavar="DIR", help="Where it keeps what it receives.")
@click.option("--cert", required=True, type=_FILE, help="Its certificate, PEM.")
@click.option("--key", required=True, type=_FILE, help="Private key of --cert, PEM.")
@click.option("--ca", required=True, type=_FILE, help="Certificate of the authority that signed the senders', PEM.")
@click.option("--signers", type=_FILE, metavar="DIR", help="Senders' public keys (default: beside --cert).")
@click.option("--signing-key", type=_FILE, help="Its keys for receipts (default: centre-signing.jwks there).")
@click.option("--unsigned", is_flag=True, help="Take events without a signature too; for a lab.")
@click.option("--organisation", "enrolled", multiple=True, required=True, metavar="ORG_ID[=NAME]", help="Who may send.")
def command(
    listen: str,
    admin: str,
    state: Path,
    cert: Path,
    key: Path,
    ca: Path,
    signers: Path | None,
    signing_key: Path | None,
    unsigned: bool,
    enrolled: tuple[str, ...],
) -> None:
    """Run the simulated national centre until SIGTERM or SIGINT.

    When it is ready it prints one line of JSON: where the feed is, and where its own pages are.
    """
    from socmon.ncsc.centre import LOOPBACK, CentreSettings

    host, admin_port = _address(admin, "--admin")
    if host != LOOPBACK:
        raise click.BadParameter(f"its pages ask for no password; listen on {LOOPBACK}", param_hint="--admin")
    settings = CentreSettings(
        state=state,
        ca=ca,
        cert=cert,
        key=key,
        organisations=_organisations(enrolled),
        listen=_address(listen, "--listen"),
        admin_port=admin_port,
        signers=signers,
        signing_key=signing_key,
        unsigned=unsigned,
    )
    asyncio.run(_serve(settings))


async def _serve(settings: "CentreSettings") -> None:
    from socmon.ncsc.centre import Centre

    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with Centre(settings) as centre:
        click.echo(json.dumps({"feed": centre.feed_url, "admin": centre.admin_url}))
        await stop.wait()


def _address(text: str, option: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not (port.isascii() and port.isdigit() and int(port) <= 65535):
        raise click.BadParameter(f"{text!r} is not ADDRESS:PORT, such as 127.0.0.1:8443", param_hint=option)
    return host, int(port)


def _organisations(enrolled: Sequence[str]) -> dict[str, str]:
    from socmon.feed.message import ORG_ID

    organisations = {}
    for text in enrolled:
        org_id, _, name = text.partition("=")
        if not ORG_ID.fullmatch(org_id):
            raise click.BadParameter(f"{org_id!r} is no organisation: 000.00.00.H07", param_hint="--organisation")
        organisations[org_id] = name or org_id
    return organisations
