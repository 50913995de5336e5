"""The command line of `socmon-capture`, and its exit codes: those of `socmon`, as far as they can happen here."""

import errno
import os
import re
import sys
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import cast

import click

from socmon import __version__
from socmon.capture import told
from socmon.errors import ConfigError, SocmonError
from socmon.text import printable

OK, PROBLEMS, USAGE, NO_PRIVILEGE, INTERRUPTED, READER_GONE = 0, 1, 2, 77, 130, 141
_STDIN = "-"
_MIB = 1024 * 1024
_FLUSH_BYTES = 64 * 1024


def _name(_context: click.Context, _option: click.Parameter, text: str | None) -> str | None:
    if text is not None and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._@:-]{0,63}", text):
        raise click.BadParameter("use 1 to 64 letters, digits and . _ @ : -")
    return text


@click.command("socmon-capture", context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("-i", "--interface", metavar="NAME", help="Interface to read.")
@click.option(
    "--filter", "expression", metavar="BPF", default="", help="What to take, as tcpdump has it (needs scapy)."
)
@click.option("--socket", type=click.Path(path_type=Path), default=told.SOCKET, show_default=True, metavar="PATH",
              help="Where a collector `packets` listens.")  # fmt: skip
@click.option("--sensor", callback=_name, metavar="NAME", help="Peer of the records (default: host@interface).")
@click.option("--promiscuous", is_flag=True, help="Take what is addressed to others too.")
@click.option("--ignore-outgoing", is_flag=True, help="Leave out what this machine sends.")
@click.option("--snaplen", type=click.IntRange(64, 262_144), default=262_144, metavar="BYTES",
              help="Bytes kept of a packet (default: all).")  # fmt: skip
@click.option("--buffer", "buffer_mib", type=click.IntRange(1, 4096), default=64, show_default=True, metavar="MIB",
              help="Room for packets while busy.")  # fmt: skip
@click.option("--queue-mib", type=click.IntRange(1, 4096), default=64, show_default=True, metavar="MIB",
              help="Room for events while the daemon is away.")  # fmt: skip
@click.option("--user", default="socmon-capture", show_default=True, metavar="NAME",
              help="Whom to become when started by root.")  # fmt: skip
@click.option("--read", "file", metavar="FILE|-", help="Decode a capture file to standard output instead.")
@click.option("--count", is_flag=True, help="With --read: only count.")
@click.option("--log-level", type=click.Choice(["debug", "info", "warning", "error"]), default="info",
              help="What to log (default: info).")  # fmt: skip
@click.version_option(__version__, message="socmon-capture %(version)s")
def command(  # noqa: PLR0913, PLR0917  click passes every option by name
    interface: str | None,
    expression: str,
    socket: Path,
    sensor: str | None,
    promiscuous: bool,  # noqa: FBT001  as above
    ignore_outgoing: bool,  # noqa: FBT001
    snaplen: int,
    buffer_mib: int,
    queue_mib: int,
    user: str,
    file: str | None,
    count: bool,  # noqa: FBT001
    log_level: str,
) -> int:
    """Make events of packets (connections, DNS, TLS, HTTP, …) and send them to the socmon daemon.

    It needs CAP_NET_RAW to open the interface, and gives up every right then. Exit codes: 0 ok, 1 it found problems or
    had to give up, 2 used wrongly, 77 a privilege is missing, 141 nobody reads the output any more.
    """
    if (file is None) == (interface is None):
        raise click.UsageError("say which interface (-i NAME) or which file (--read FILE)")
    if file is not None:
        return _read(file, only_count=count)
    if count:
        raise click.UsageError("--count goes with --read")
    import asyncio  # noqa: PLC0415  not needed for files, like all below: a collector waits for each start

    from socmon import log  # noqa: PLC0415
    from socmon.capture import bpf, privileges  # noqa: PLC0415
    from socmon.capture.live import Live, capture  # noqa: PLC0415
    from socmon.capture.ring import Ring  # noqa: PLC0415
    from socmon.network import rare  # noqa: PLC0415

    log.configure(cast("log.Level", log_level))
    rare.prepare()  # scapy takes seconds to import, in which the ring would fill
    ring = Ring(
        str(interface),
        compiled=partial(bpf.compiled, expression) if expression else None,
        buffer_mib=buffer_mib,
        snaplen=snaplen,
        promiscuous=promiscuous,
        ignore_outgoing=ignore_outgoing,
    )
    try:
        privileges.drop(user)
    except LookupError:
        raise click.BadParameter(f"there is no user {user!r}; name one by --user") from None
    how = Live(socket.absolute(), queue_mib * _MIB, sensor or _sensor(str(interface)))
    asyncio.run(capture(ring, how))
    return OK


def _sensor(interface: str) -> str:
    """Host and interface, in the letters that a sensor's name may have."""
    name = re.sub(r"[^A-Za-z0-9._@:-]", "-", f"{os.uname().nodename.split('.')[0]}@{interface}")
    return name.lstrip("._@:-")[:64] or "sensor"


def _read(file: str, *, only_count: bool) -> int:
    """Decode a file: events to standard output, the counters as the last line of standard error."""
    from socmon.capture.decoding import Decoding  # noqa: PLC0415  not needed for --help

    try:
        stream = sys.stdin.buffer if file == _STDIN else Path(file).open("rb")  # noqa: SIM115  closed below
    except FileNotFoundError:
        raise click.UsageError(f"cannot read {printable(file)}: no such file") from None
    except IsADirectoryError:
        raise click.UsageError(f"cannot read {printable(file)}: is a directory; name a file") from None
    with stream:
        decoding = Decoding(stream)
        out, made = sys.stdout.buffer, bytearray()
        for event in decoding:
            if only_count:
                continue
            made += event + b"\n"
            if len(made) >= _FLUSH_BYTES:
                out.write(made)
                made.clear()
        out.write(made)
        if only_count:
            out.write(decoding.told.line())
        out.flush()
    if not only_count:
        sys.stderr.buffer.write(decoding.told.line())
    return PROBLEMS if decoding.trouble else OK


def run() -> None:
    """Run, and exit with the code."""
    try:
        code = command.main(standalone_mode=False)
    except click.exceptions.Exit as done:
        code = done.exit_code
    except click.Abort:
        code = INTERRUPTED
    except (click.ClickException, SocmonError, OSError) as error:
        code = _report(error)
    sys.exit(code)


def _report(error: Exception) -> int:
    """Say what happened on standard error; the exit code for it."""
    match error:
        case click.ClickException():
            error.show()
            return error.exit_code
        case BrokenPipeError():
            with suppress(OSError):  # Python would fail at the exit on what is left to write
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return READER_GONE
        case ConfigError():
            text, code = "; ".join(error.problems), USAGE
        case PermissionError() if error.filename is None:
            text, code = "the interface cannot be opened; run as root, or give it CAP_NET_RAW", NO_PRIVILEGE
        case OSError(errno=errno.EACCES | errno.EPERM):
            text, code = f"{error.filename}: permission denied", NO_PRIVILEGE
        case _:
            text, code = str(error), PROBLEMS
    click.echo(f"socmon-capture: {printable(text)}", err=True)
    return code
