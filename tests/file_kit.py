"""Log files as programs and logrotate treat them, and a file collector that reads them fast."""

import gzip
import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from harness import FakeContext

from collectors.file import FileCollector, FileSettings

FileContext = FakeContext[FileSettings]


def file_context(*paths: Path | str, positions: Mapping[str, bytes] | None = None, **options: Any) -> FileContext:
    """Settings that do not wait; `start: beginning` unless told otherwise."""
    options = {"start": "beginning", "poll_s": 0.02, "rotate_wait_s": 0, **options}
    settings = FileSettings(paths=[str(path) for path in paths], **options)
    return FakeContext(settings, name="auth", positions=positions)


def restarted(context: FileContext) -> FileContext:
    """A context for a new process that finds the journal of the old one."""
    return FakeContext(context.settings, name=context.name, positions=context.positions)


def file_collector(context: FileContext) -> FileCollector:
    return FileCollector(context)


def append(path: Path, *lines: bytes) -> None:
    """Write the lines, each with its end, in one go."""
    append_bytes(path, b"".join(line + b"\n" for line in lines))


def append_bytes(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)


def numbered(first: int, last: int) -> list[bytes]:
    return [b"Nov 22 10:00:%02d web1 sshd[%d]: line %d" % (n % 60, n, n) for n in range(first, last + 1)]


def rotate(path: Path, *, compress: bool = False, upward: bool = False) -> None:
    """Rename as logrotate does: .1 becomes .2 and so on, `path` becomes .1; `compress` what is then .1.

    Args:
        upward: no file but `path` is renamed, to the number after the greatest.
    """
    number = _make_room(path, upward=upward)
    if upward:
        _make_newest(path, path)
    path.rename(_generation(path, number))
    if compress:
        compress_generation(path, number)


def copy_truncate(path: Path, *, upward: bool = False) -> None:
    """Copy to .1, or to the number after the greatest, then empty the file in its place."""
    copy = _generation(path, _make_room(path, upward=upward))
    shutil.copyfile(path, copy)
    if upward:
        _make_newest(path, copy)
    os.truncate(path, 0)


def compress_generation(path: Path, number: int) -> None:
    """Replace .N by .N.gz, which keeps the modification time."""
    plain = _generation(path, number)
    packed = plain.with_name(plain.name + ".gz")
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    times = plain.stat()
    os.utime(packed, ns=(times.st_atime_ns, times.st_mtime_ns))
    plain.unlink()


def rotated_numbers(path: Path) -> Iterable[int]:
    """The numbers of the plain and compressed generations, greatest first."""
    names = (file.name.removeprefix(path.name + ".").removesuffix(".gz") for file in path.parent.iterdir())
    return sorted((int(name) for name in names if name.isdigit()), reverse=True)


def _make_room(path: Path, *, upward: bool) -> int:
    """The number for the newest generation; the others give way unless they are numbered `upward`."""
    if upward:
        return max(rotated_numbers(path), default=0) + 1
    for number in rotated_numbers(path):
        for suffix in ("", ".gz"):
            old = path.with_name(f"{path.name}.{number}{suffix}")
            if old.exists():
                old.rename(path.with_name(f"{path.name}.{number + 1}{suffix}"))
    return 1


def _make_newest(path: Path, file: Path) -> None:
    """Date `file` after the rotated files, as time does: a test rotates twice within a tick of the kernel's clock."""
    others = (other for other in path.parent.glob(f"{path.name}.*") if other != file)
    latest_ns = max((other.stat().st_mtime_ns for other in others), default=0)
    status = file.stat()
    os.utime(file, ns=(status.st_atime_ns, max(status.st_mtime_ns, latest_ns + 1)))


def _generation(path: Path, number: int) -> Path:
    return path.with_name(f"{path.name}.{number}")
