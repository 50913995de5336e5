"""One followed log across its rotations: each line once, in order, with the position to go on from after it."""

import grp
import os
import pwd
import stat
import time
from codecs import BOM_UTF8
from collections.abc import Sequence
from itertools import repeat
from pathlib import Path
from typing import Literal, NamedTuple

from collectors._generations import Generation, current_generation, find, generations, newer, open_generation, open_path
from collectors._logfile import BLOCK_BYTES, OFFSET, UNREADABLE, FileId, Lines, LogFile, Position
from socmon.errors import ComponentError
from socmon.event import Record, Source

# too_long: a line was cut · rest_gone: the file that was being read has vanished while socmon was down ·
# truncated: a file was emptied, and no copy of it can be found.
Trouble = Literal["too_long", "rest_gone", "truncated"]


class Start(NamedTuple):
    """Where a log is begun.

    Attributes:
        position: where it was left; None if no line of it was ever journalled.
        since_us: when the collector started for the first time ever.
        skip_before_us: without a position, a file that is there at once and was last modified before is begun at its
            end, any other at its start.
    """

    position: Position | None
    since_us: int
    skip_before_us: int = 0


class Block(NamedTuple):
    """What one reading brought.

    Attributes:
        size_bytes: taken from the file, ends of lines and empty lines included.
        more: read again at once.
    """

    records: Sequence[Record] = ()
    size_bytes: int = 0
    more: bool = False
    troubles: Sequence[Trouble] = ()


class Tail:
    """Follows the log at `source.peer`, which may come, be rotated by renaming or by copy and truncation, and go.

    Args:
        max_bytes: longer lines are cut.
        rotate_wait_s: how long a renamed file is read before its successor is, unless it was quiet for that long.
    """

    def __init__(self, source: Source, start: Start, *, max_bytes: int, rotate_wait_s: float) -> None:
        self.path = source.peer
        self._source = source
        self._start = start
        self._max_bytes = max_bytes
        self._rotate_wait_s = rotate_wait_s
        self._block_bytes = max(BLOCK_BYTES, max_bytes + 2)
        self._file: LogFile | None = None
        self._previous: LogFile | None = None
        self._rotated_s: float | None = None
        self._written_ns = 0
        self._troubles: list[Trouble] = []
        self._left: list[LogFile] = []  # still open, so that no new file gets their inode before `held` is asked
        self._told: list[LogFile] = []

    @property
    def ids(self) -> list[FileId]:
        """The files that are read: the current one, and the one before it for late lines."""
        return [file.id for file in (self._previous, self._file) if file is not None]

    def held(self) -> set[FileId]:
        """The files that were read at any time since this was last asked."""
        self._told += self._left
        self._left.clear()
        return {*self.ids, *(file.id for file in self._told)}

    def close(self) -> None:
        """Let go of the files."""
        for file in (self._previous, self._file, *self._left, *self._told):
            if file is not None:
                file.close()
        self._previous = self._file = None
        self._left.clear()
        self._told.clear()

    def read(self) -> Block:
        """The next lines, in the order they were written; about BLOCK_BYTES of them at most. Blocks on the disk.

        Raises:
            ComponentError: the file cannot be read. The next call begins again after the last line that was returned,
                as a restart would.
        """
        while self._told:
            self._told.pop().close()
        try:
            block = self._read_late() or self._read_next()
        except (*UNREADABLE, ComponentError) as error:
            self.close()
            # What is written while it cannot be read is not to be skipped.
            skip_before_us = min(self._start.skip_before_us, self._start.since_us)
            self._start = self._start._replace(skip_before_us=skip_before_us)
            if isinstance(error, ComponentError):
                raise
            raise unreadable(self.path, error) from error
        troubles, self._troubles = self._troubles, []
        return block._replace(troubles=troubles)

    def _read_next(self) -> Block:
        file = self._file or self._open()
        if file is None:
            return Block()
        over, successor = self._after(file)
        if self._file is not file:
            return Block(more=True)
        lines = file.peek(final=over)
        if not file.intact():
            return self._replaced(file)
        if lines.ends:
            return self._block(file, lines)
        if lines.searching or not over:
            return Block(more=lines.searching)
        self._turn_to(successor)
        return Block() if self._file in (None, file) else self._read_next()

    def _read_late(self) -> Block | None:
        """What is still written to the file before the current one, by a writer that has not reopened its log."""
        late = self._previous
        if late is None:
            return None
        lines = late.peek()
        if lines.ends and late.intact():
            return self._block(late, lines)
        if late.unlinked() or not late.intact():
            late.close()
            self._previous = None
        return None

    def _open(self) -> LogFile | None:
        """The first file to read."""
        position, _, skip_before_us = self._start
        file = self._reopen(position) if position else open_path(self.path, block_bytes=self._block_bytes)
        if file is not None:
            self._use(file)
            if position is None and file.modified_us < skip_before_us:
                file.seek_last_line()
        self._reached(file)
        return file

    def _reached(self, file: LogFile | None) -> None:
        """Keep where to begin again after a failure: where `file` is; None: in whatever appears."""
        position = None if file is None else file.position(self._start.since_us)
        self._start = self._start._replace(position=position, skip_before_us=0)

    def _reopen(self, position: Position) -> LogFile | None:
        """The file that was being read when socmon ended; if its content is gone, what stands in its place."""
        file = find(self.path, position, block_bytes=self._block_bytes)
        if file is None:
            emptied = next((age for age in generations(self.path) if age.id == position.id), None)
            file = open_path(emptied.path if emptied else self.path, block_bytes=self._block_bytes)
            self._troubles.append("truncated" if emptied else "rest_gone")
        return file

    def _use(self, file: LogFile) -> LogFile:
        self._file = file
        self._rotated_s = None
        return file

    def _replaced(self, file: LogFile) -> Block:
        """The file was truncated: go on in the copy that was taken before, or at its new start."""
        if not self._use_copy(file):
            self._troubles.append("truncated")
            file.rewind()
        return Block(more=True)

    def _use_copy(self, file: LogFile) -> bool:
        """Go on in another file with the same content; False if there is none."""
        copy = find(self.path, file.position(self._start.since_us), block_bytes=self._block_bytes)
        if copy is None:
            return False
        file.close()
        self._use(copy)
        return True

    def _after(self, file: LogFile) -> tuple[bool, Generation | None]:
        """Whether `file` is over once it is read to its end, and what to read then: None if nothing is in its place."""
        current = current_generation(self.path)
        if current is not None and current.id == file.id:
            return False, None
        waited = self._waited(file)
        ages = newer(self.path, file.id, self._written_ns, self.ids)
        if ages is None:
            if not waited or (file.unlinked() and self._use_copy(file)):
                return False, None  # it may have been compressed; or it was, and that copy is what is read now
            if current is None:
                return file.unlinked(), None
            ages = [current]
        ages = [age for age in ages if age.size_bytes]
        # Only the youngest of the rotated files can still be written to.
        over = len(ages) > 1 or (bool(ages) and waited)
        return over, ages[0] if over else None

    def _waited(self, file: LogFile) -> bool:
        """Whether `file`, which was rotated, may be left: unwritten for long enough, or read for long enough."""
        if self._rotated_s is None:
            self._rotated_s = time.monotonic()
            self._written_ns = file.written_ns()
        read_s = time.monotonic() - self._rotated_s
        return file.compressed or max(read_s, file.quiet_s()) >= self._rotate_wait_s

    def _turn_to(self, successor: Generation | None) -> None:
        """Leave the file, which is read to its end."""
        following = None if successor is None else open_generation(successor, block_bytes=self._block_bytes)
        if successor is not None and following is None:
            return  # renamed in this moment
        if self._previous is not None:
            self._left.append(self._previous)
        self._previous, self._file = self._file, None
        if self._previous is not None and self._previous.compressed:
            self._previous.close()
            self._previous = None
        if following is None:
            self._reached(None)
        else:
            self._use(following)

    def _block(self, file: LogFile, lines: Lines) -> Block:
        """Records of `lines`; those of a late file leave the position where it is."""
        size_bytes = lines.ends[-1] - file.offset
        if file.offset == 0:
            lines.lines[0] = lines.lines[0].removeprefix(BOM_UTF8)
        file.advance(lines)
        current = self._file or file
        self._reached(current)
        prefix = current.position(self._start.since_us).prefix()
        ends = lines.ends if file is current else repeat(current.offset, len(lines.ends))
        now_us = time.time_ns() // 1000
        stream, source, encode, anchor_us = self.path, self._source, OFFSET.pack, file.anchor_us
        records = [
            Record(data, source, now_us, (stream, prefix + encode(end)), anchor_us(end))
            for data, end in zip(self._trimmed(lines.lines), ends, strict=True)
            if data
        ]
        return Block(records, size_bytes, more=True)

    def _trimmed(self, lines: list[bytes]) -> list[bytes]:
        """Without the carriage return of a CRLF, and none longer than `max_bytes`.

        The rest of a longer line is not made a record of its own: whoever can write long lines could forge one.
        """
        lines = [line.removesuffix(b"\r") for line in lines]
        longest = self._max_bytes
        if max(map(len, lines)) > longest:
            self._troubles += ["too_long" for line in lines if len(line) > longest]
            lines = [line[:longest] for line in lines]
        return lines


def unreadable(path: str, error: BaseException) -> ComponentError:
    """Says who may not read what, and what to do about it."""
    if isinstance(error, PermissionError):
        path = str(error.filename or path)
        return ComponentError(f"cannot read {path}: permission denied; {_remedy(Path(path))}")
    if isinstance(error, OSError) and error.strerror:
        return ComponentError(f"cannot read {path}: {error.strerror.lower()}; check paths, the disk and its mount")
    return ComponentError(f"cannot read a compressed file of {path}: {error}; restore it, or remove it to go on")


def _remedy(path: Path) -> str:
    """How to let this process read `path`."""
    user = pwd.getpwuid(os.geteuid()).pw_name
    try:
        status = path.stat()
        if status.st_mode & stat.S_IRGRP:
            return f"add user {user} to group {grp.getgrgid(status.st_gid).gr_name}"
    except (OSError, KeyError):
        pass  # its directory is closed too, or the group has no name
    return f"allow it with setfacl -m u:{user}:rX {path} and on the directories above"
