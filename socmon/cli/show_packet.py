"""`socmon show-packet`: one packet of a capture file, as scapy reads it, and its bytes."""

from __future__ import annotations  # what they name is imported where it is used: a shell only asks for the options

from itertools import islice
from pathlib import Path
from typing import Any

import click

from socmon.cli import PROBLEMS, CommandError, Options
from socmon.cli.output import as_json, write_csv, write_ndjson
from socmon.errors import NotFoundError, ParseError
from socmon.i18n import Message, mark
from socmon.text import printable

_DISSECTED_BYTES = 4096  # scapy takes milliseconds for a hundred of them, and more for some that are made for it
_SHOWN_BYTES = 65_536
_MAX_LINES, _MAX_CHARS = 1000, 300
_COLUMNS = ("file", "number", "time", "link", "length", "dissection", "hex")
_WIDTH = 16


@click.command("show-packet")
@click.argument("file", metavar="FILE", type=click.Path(exists=True, dir_okay=False))
@click.argument("number", type=click.IntRange(1))
@click.pass_obj
def command(options: Options, file: str, number: int) -> None:
    """Show packet NUMBER of the capture file FILE (pcap, pcapng), counted from 1 as tcpdump and Wireshark do.

    What is in it is told by scapy, an extra: pip install 'socmon[capture]'. It was written by others, maybe to
    deceive: of a long packet only the first 4,096 bytes are taken apart.
    """
    moment, link, frame = _packet(file, number)
    lines = _dissection(frame[:_DISSECTED_BYTES], link)
    row = _row(file, number, moment, link, frame, lines)
    match options.output:
        case "json":
            click.echo(as_json({"schema": "socmon.show-packet/v1", **row}))
        case "ndjson":
            write_ndjson([row])
        case "csv":
            write_csv([row], _COLUMNS)
        case "human":
            _write(options, number, moment, link, frame, lines)


def _packet(file: str, number: int) -> tuple[float, int, bytes]:
    """Time, link type and bytes of a packet.

    Raises:
        NotFoundError: there are not as many.
        CommandError: the file is damaged before it.
    """
    from socmon.network import read_capture

    count = 0
    with Path(file).open("rb") as stream:
        try:
            for count, packet in enumerate(islice(read_capture(stream), number), 1):
                if count == number:
                    return packet
        except ParseError as error:
            text = mark("cannot read {file} up to packet {number}: {reason}")
            shown = printable(file)
            raise CommandError(Message(text, file=shown, number=number, reason=str(error)), PROBLEMS) from error
    text = mark("there is no packet {number} in {file}, the last one is {count}")
    raise NotFoundError(Message(text, number=number, file=printable(file), count=count))


def _dissection(frame: bytes, link: int) -> list[str]:
    """What scapy makes of it, a line a field.

    Raises:
        CommandError: scapy is not installed.
    """
    try:
        from scapy.all import conf
        from scapy.packet import Raw
    except ImportError:
        text = mark("scapy is not installed; pip install 'socmon[capture]'")
        raise CommandError(text, PROBLEMS) from None
    try:
        shown = conf.l2types.num2layer.get(link, Raw)(frame).show(dump=True)
    except (Exception, RecursionError) as error:  # noqa: BLE001  whatever hostile bytes make it raise
        shown = f"scapy cannot read it: {type(error).__name__}"
    return [printable(line)[:_MAX_CHARS] for line in (shown or "").splitlines()[:_MAX_LINES]]


def _row(file: str, number: int, moment: float, link: int, frame: bytes, lines: list[str]) -> dict[str, Any]:
    from socmon.event import rfc3339

    return {
        "file": file,
        "number": number,
        "time": rfc3339(round(moment * 1e6)),
        "link": link,
        "length": len(frame),
        "dissection": lines,
        "hex": frame[:_SHOWN_BYTES].hex(),
    }


def _write(options: Options, number: int, moment: float, link: int, frame: bytes, lines: list[str]) -> None:
    from socmon.cli.shown import clock

    time = clock(round(moment * 1e6), options.zone, fine=True)
    text = mark("packet {number}, {time}, {length} bytes, link type {link}")
    click.echo(options.tr(text, number=number, time=time, length=len(frame), link=link))
    click.echo()
    for line in lines:
        click.echo(line)
    click.echo()
    shown = frame[:_SHOWN_BYTES]
    for at in range(0, len(shown), _WIDTH):
        part = shown[at : at + _WIDTH]
        words = part.hex(" ")
        text = "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in part)
        click.echo(f"{at:04x}  {words:<{3 * _WIDTH - 1}}  {text}")
    if len(frame) > _SHOWN_BYTES:
        click.echo(options.tr(mark("… and {count} bytes more"), count=len(frame) - _SHOWN_BYTES))
