"""Journal files in a folder, as far as their headers tell (systemd, JOURNAL_FILE_FORMAT: "File Header").

A journal is what is written under one name: `system.journal`, with `system@….journal` that were rotated away and
`system@….journal~` that were not closed in order. Files of it that carry the same `seqnum_id` number their entries
through; whoever goes by these numbers needs no clock to know what was read.
"""

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from struct import Struct as Layout

from msgspec import Struct

from socmon.errors import ComponentError

_MAGIC = b"LPKSHHRH"
_SEQNUM_ID = slice(72, 88)
_NUMBERS = Layout("<QQ8xQQ")  # of the last and first entry, and the time of both, microseconds
_NUMBERS_AT = 160
_HEADER_BYTES = 208  # of the oldest form of it
_NAME = re.compile(r"(?P<base>[^@]+?)(?P<rotated>@[^@]*)?\.journal~?", re.DOTALL)
_MACHINE = re.compile(r"[0-9a-f]{32}(?:\.[^/]{1,255})?")  # a folder of journald: machine id, perhaps a namespace
_REMEDY = "add user socmon to group systemd-journal"


class Sequence(Struct, frozen=True):
    """Files of one journal whose entries are numbered through.

    Attributes:
        id: their `seqnum_id`, in hex.
        first: number of the first entry that is still there.
        last: number of the last one; less than `first` in a file without entries.
        live: more may be written.
    """

    id: str
    paths: tuple[str, ...]
    first: int
    last: int
    live: bool


class _File(Struct, frozen=True):
    path: str
    seqnum_id: str
    first: int
    last: int
    first_us: int
    live: bool


def journals_in(folder: Path) -> tuple[dict[str, list[Sequence]], list[str]]:
    """By name, each journal's sequences in the order of their times, the live one last; and what is no journal file.

    Names are those that stand before `.journal`, behind the machine's folder if there is one. Blocks on the disk.

    Raises:
        ComponentError: the folder or a file in it cannot be read.
    """
    found: dict[str, list[_File]] = {}
    damaged: list[str] = []
    try:
        for name, path, is_live in _files(folder):
            file = _header(path, is_live=is_live)
            if file is not None:
                found.setdefault(name, []).append(file)
            elif path.stat().st_size:
                damaged.append(str(path))
    except FileNotFoundError as error:
        if not folder.exists():
            remedy = "correct directory; a journal that is kept in memory alone lies in /run/log/journal"
            raise ComponentError(f"cannot read journals: {folder} does not exist; {remedy}") from error
        return journals_in(folder)  # a file was rotated or removed while we looked
    except OSError as error:
        reason = (error.strerror or "error").lower()
        raise ComponentError(f"cannot read journals: {error.filename or folder}: {reason}; {_REMEDY}") from error
    return {name: _sequences(files) for name, files in found.items()}, damaged


def _files(folder: Path) -> Iterator[tuple[str, Path, bool]]:
    """(name of the journal, path, whether it is the one that is written to)."""
    with os.scandir(folder) as entries:
        machines = sorted(entry.name for entry in entries if _MACHINE.fullmatch(entry.name) and entry.is_dir())
    for below in ["", *machines]:
        with os.scandir(folder / below) as entries:
            names = sorted(entry.name for entry in entries if not entry.is_dir())
        for name in names:
            if (parts := _NAME.fullmatch(name)) and name.isprintable():  # UTF-8, as the journal of records must be
                is_live = parts["rotated"] is None and not name.endswith("~")
                yield f"{below}/{parts['base']}".lstrip("/"), folder / below / name, is_live


def _header(path: Path, *, is_live: bool) -> _File | None:
    """None for a file that is still being made, or is none of systemd's."""
    with path.open("rb", buffering=0) as file:
        header = file.read(_HEADER_BYTES)
    if len(header) < _HEADER_BYTES or not header.startswith(_MAGIC):
        return None
    last, first, first_us, _ = _NUMBERS.unpack_from(header, _NUMBERS_AT)
    return _File(str(path), header[_SEQNUM_ID].hex(), first, last, first_us, is_live)


def _sequences(files: list[_File]) -> list[Sequence]:
    by_id: dict[str, list[_File]] = {}
    for file in sorted(files, key=lambda file: (file.live, file.first_us, file.first)):
        by_id.setdefault(file.seqnum_id, []).append(file)
    sequences = [_sequence(seqnum_id, members) for seqnum_id, members in by_id.items()]
    return sorted(sequences, key=lambda sequence: sequence.live)  # stable: the others keep their order


def _sequence(seqnum_id: str, files: list[_File]) -> Sequence:
    return Sequence(
        id=seqnum_id,
        paths=tuple(file.path for file in files),
        first=min((file.first for file in files if file.last), default=1),
        last=max(file.last for file in files),
        live=any(file.live for file in files),
    )


def own_machine() -> str:
    """The id of this machine, by which journald names its folder; "" where there is none (machine-id(5))."""
    with suppress(OSError):
        return Path("/etc/machine-id").read_text().strip()
    return ""


def encode(since_us: int, reached: Mapping[str, int]) -> bytes:
    """The position of a journal: since when it is followed, and the last number read of each sequence."""
    return " ".join([str(since_us), *(f"{key}={number}" for key, number in reached.items())]).encode()


def decode(position: bytes, name: str) -> tuple[int, dict[str, int]]:
    """What `encode` wrote.

    Raises:
        ComponentError: it did not write that.
    """
    try:
        since, *numbers = position.decode().split(" ")
        pairs = (each.split("=") for each in numbers)
        return int(since), {key: int(number) for key, number in pairs}
    except ValueError as error:
        text = f"the position of journal {name} cannot be read: {position[:60]!r}; give the collector another name"
        raise ComponentError(text, retry=False) from error
