"""`socmon ncsc`: the simulated national centre."""

import asyncio
import json
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from socmon.cli import Options
from socmon.cli.ncsc_register import enrol, inspect, revoke
from socmon.i18n import mark

if TYPE_CHECKING:
    from socmon.ncsc.centre import CentreSettings

_FILE = click.Path(path_type=Path)
_NEEDED = ("state", "cert", "key", "ca")
_QUOTA = 120_000
_HEARTBEAT_S = 60.0
_PATIENCE_S = 10.0
_MAX_BYTES = 8 * 1024 * 1024  # of socmon.feed.checking.Limits, which takes long to load


@click.group("ncsc", invoke_without_command=True)
@click.option(
    "--listen", default="127.0.0.1:8443", show_default=True, help="ADDRESS:PORT of the feed; port 0: a free one."
)
@click.option(
    "--admin", default="127.0.0.1:8444", show_default=True, help="The same for its own pages; 127.0.0.1 only."
)
@click.option("--state", type=_FILE, metavar="DIR", help="Where it keeps what it receives.")
@click.option("--cert", type=_FILE, help="Its certificate, PEM.")
@click.option("--key", type=_FILE, help="Private key of --cert, PEM.")
@click.option("--ca", type=_FILE, help="Certificate of the authority that signed the senders', PEM.")
@click.option("--signers", type=_FILE, metavar="DIR", help="Senders' public keys (default: beside --cert).")
@click.option("--signing-key", type=_FILE, help="Its keys for receipts (default: centre-signing.jwks there).")
@click.option("--unsigned", is_flag=True, help="Take events without a signature too; for a lab.")
@click.option("--organisation", "enrolled", multiple=True, metavar="ORG_ID[=NAME]", help="Enrol, if never seen before.")
@click.option(
    "--quota-per-minute", "quota", default=_QUOTA, show_default=True, type=click.IntRange(0, 10_000_000),
    help="Events of each organisation; 0: no quota.",
)  # fmt: skip
@click.option(
    "--heartbeat-s", "heartbeat_s", default=_HEARTBEAT_S, show_default=True, type=click.FloatRange(0.05, 3600),
    help="Three that are missed make a sender silent.",
)  # fmt: skip
@click.option(
    "--patience-s", "patience_s", default=_PATIENCE_S, show_default=True, type=click.FloatRange(0.05, 3600),
    help="What headers may take, and bodies beside 1 KB/s.",
)  # fmt: skip
@click.option(
    "--max-batch-bytes", "max_bytes", default=_MAX_BYTES, show_default=True, type=click.IntRange(1000, _MAX_BYTES),
    help="Bytes of a batch before compression; more: HTTP 413.",
)  # fmt: skip
@click.pass_context
def command(
    ctx: click.Context,
    /,
    listen: str,
    admin: str,
    signers: Path | None,
    signing_key: Path | None,
    unsigned: bool,
    enrolled: tuple[str, ...],
    quota: int,
    heartbeat_s: float,
    patience_s: float,
    max_bytes: int,
    **files: Path | None,
) -> None:
    """Run the simulated national centre until SIGTERM or SIGINT, or say who may send to it.

    When it is ready it prints one line of JSON: where the feed is, and where its own pages are.
    """
    if ctx.invoked_subcommand is not None:
        return
    from socmon.feed.checking import Limits
    from socmon.feed.connections import Patience
    from socmon.ncsc.centre import LOOPBACK, CentreSettings

    given = {name: path for name in _NEEDED if (path := files[name]) is not None}
    if missing := [f"--{name}" for name in _NEEDED if name not in given]:
        text = mark("to run the centre, name {options} too; to say who may send, see the commands in --help")
        raise click.UsageError(ctx.ensure_object(Options).tr(text, options=", ".join(missing)))
    host, admin_port = _address(admin, "--admin")
    if host != LOOPBACK:
        raise click.BadParameter(f"its pages ask for no password; listen on {LOOPBACK}", param_hint="--admin")
    settings = CentreSettings(
        **given,
        organisations=_organisations(enrolled),
        listen=_address(listen, "--listen"),
        admin_port=admin_port,
        signers=signers,
        signing_key=signing_key,
        unsigned=unsigned,
        quota_per_minute=quota,
        heartbeat_s=heartbeat_s,
        patience=Patience(headers_s=patience_s, grace_s=patience_s),
        limits=Limits(max_bytes=max_bytes),
    )
    asyncio.run(_serve(settings))


for each in (enrol, revoke, inspect):
    command.add_command(each)


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
