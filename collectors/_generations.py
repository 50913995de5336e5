"""The generations of a rotated log: told by their names (of logrotate, logback, Python), by content and by time."""

import os
import re
from collections.abc import Callable, Collection
from pathlib import Path
from typing import NamedTuple

from collectors._logfile import COMPRESSED, FileId, LogFile, Position

# NAME.1 to NAME.9999, NAME.old and NAME.bak; NAME-20261122, NAME.2026-11-22_10-15; STEM-20261122.EXT.
_ROTATED = re.compile(
    r"(?P<stem>.+?)"
    r"(?:\.(?:(?P<number>\d{1,4})|old|bak)|[.\-_](?P<date>\d{4}-?\d\d-?\d\d[\d\-_T:.]*)(?P<suffix>\.[A-Za-z]\w*)?)"
)

_LISTINGS = 3


class Generation(NamedTuple):
    """One file of a log, the current one or a rotated one."""

    path: str
    id: FileId
    size_bytes: int
    modified_ns: int


def base_of(name: str) -> str:
    """The name that the file was written under: `auth.log` for `auth.log.2.gz`; itself if it is not a rotated one."""
    name = _uncompressed(name)
    rotated = _ROTATED.fullmatch(name)
    return rotated["stem"] + (rotated["suffix"] or "") if rotated else name


def generations(path: str) -> list[Generation]:
    """The rotated files of the log at `path`, oldest first, then `path` itself if it exists."""
    rotated = _rotated(path)
    current = current_generation(path)
    return [*rotated, current] if current else rotated


def newer(path: str, left: FileId, modified_ns: int, read: Collection[FileId]) -> list[Generation] | None:
    """What was begun after the file `left`, a rotated one, oldest first; None if `left` has no name of this log.

    Args:
        modified_ns: when `left` was last modified, as known when its rotation was noticed. A writer that has not
            reopened its log may have made it younger than its successor since.
        read: rotated files that are not newer, whatever their times say.
    """
    rotated = _rotated(path)
    found = next((age for age in rotated if age.id == left), None)
    if found is None:
        return None
    since = _age(found._replace(modified_ns=min(found.modified_ns, modified_ns)))
    ages = [age for age in rotated if _age(age) > since and age.id not in {left, *read}]
    current = current_generation(path)
    return [*ages, current] if current else ages


def _rotated(path: str) -> list[Generation]:
    """Oldest first."""
    name = Path(os.path.realpath(path)).name
    named = {
        Path(generation.path).name: generation
        for generation in _entries(path, lambda entry: entry.name != name and base_of(entry.name) == name)
    }
    # While gzip works, a file stands beside its unfinished copy.
    finished = [
        generation
        for name, generation in named.items()
        if _uncompressed(name) == name or _uncompressed(name) not in named
    ]
    return sorted(finished, key=_age)


def current_generation(path: str) -> Generation | None:
    """What stands at `path` now; None if nothing does."""
    try:
        status = Path(path).stat()
    except FileNotFoundError:
        return None
    return Generation(path, (status.st_dev, status.st_ino), status.st_size, status.st_mtime_ns)


def open_generation(generation: Generation, *, block_bytes: int) -> LogFile | None:
    """None if another file, or none, has taken its name in the meantime."""
    file = open_path(generation.path, block_bytes=block_bytes)
    if file is not None and file.id != generation.id:
        file.close()
        return None
    return file


def open_path(path: str, *, block_bytes: int) -> LogFile | None:
    """None if there is no such file."""
    try:
        return LogFile(path, block_bytes=block_bytes)
    except FileNotFoundError:
        return None


def find(path: str, position: Position, *, block_bytes: int) -> LogFile | None:
    """The file of the log at `path` that `position` was taken in, opened there; None if it is gone.

    The same inode under whatever name comes first, then a copy, newest first: `path` restored from a backup, or a
    rotated file that was compressed or copied. The content decides in each case, since inodes are used again.
    """
    for _ in range(_LISTINGS):
        renamed = False
        for generation in _candidates(path, position):
            file = open_generation(generation, block_bytes=block_bytes)
            if file is not None and _turned_to(file, position):
                return file
            renamed = renamed or file is None
        if not renamed:
            break
    return None


def _turned_to(file: LogFile, position: Position) -> bool:
    """Whether `file` holds `position` and now stands there; closed if it does not, or cannot be read."""
    found = False
    try:
        if file.holds(position):
            file.seek(position.offset)
            found = True
    finally:
        if not found:
            file.close()
    return found


def _candidates(path: str, position: Position) -> list[Generation]:
    by_inode = _entries(path, lambda entry: entry.inode() == position.inode)
    candidates = [generation for generation in by_inode if generation.id == position.id]
    if position.known:
        candidates += reversed(generations(path))
    return candidates


def _entries(path: str, wanted: Callable[[os.DirEntry[str]], bool]) -> list[Generation]:
    """The wanted regular files beside `path`; beside what it points to if it is a symbolic link."""
    directory = Path(os.path.realpath(path)).parent
    for _ in range(_LISTINGS):
        with os.scandir(directory) as entries:
            inodes = {
                entry.path: entry.inode() for entry in entries if wanted(entry) and entry.is_file(follow_symlinks=False)
            }
        found = [current_generation(name) for name in inodes]
        # Another file under a listed name: logrotate is renaming them one after the other.
        if all(file and file.id[1] == inode for file, inode in zip(found, inodes.values(), strict=True)):
            break
    return [file for file in found if file]


def _age(rotated: Generation) -> tuple[int, int, str]:
    """Sorts oldest first: by modification time, which gzip keeps; if equal, a greater number or earlier date is older.

    Names alone do not tell: some programs give the newest file the greatest number, and a NAME.bak may be years old.
    """
    named = _ROTATED.fullmatch(_uncompressed(Path(rotated.path).name))
    if named is None:
        return (rotated.modified_ns, 0, "")
    return (rotated.modified_ns, -int(named["number"] or 0), named["date"] or "")


def _uncompressed(name: str) -> str:
    for suffix in COMPRESSED:
        name = name.removesuffix(suffix)
    return name
