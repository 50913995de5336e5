"""Waking when a watched directory changes: inotify, and a poll for what the kernel does not report."""

import asyncio
import os
import time
from collections.abc import Callable, Iterable
from itertools import islice
from pathlib import Path

from asyncinotify import Event, Inotify, Mask

_ENTRY = Mask.CREATE | Mask.MOVED_TO | Mask.MOVED_FROM | Mask.DELETE


class Changes:
    """Network file systems and hard links change without a report, so nothing depends on one but speed.

    Args:
        poll_s: longest wait, and longest time between two looks for new files, in seconds.
        cannot_watch: called once if inotify is not to be had; then only the poll remains.
    """

    def __init__(self, poll_s: float, cannot_watch: Callable[[OSError], None]) -> None:
        self._poll_s = poll_s
        self._cannot_watch = cannot_watch
        self._look_at_s = 0.0
        self._files: set[Path] = set()
        self._inotify: Inotify | None = None
        try:
            self._inotify = Inotify(sync_timeout=0)
        except OSError as error:
            cannot_watch(error)

    def close(self) -> None:
        """Stop watching."""
        if self._inotify is not None:
            self._inotify.close()
            self._inotify = None

    def look_due(self) -> bool:
        """Whether files may have come or gone; True makes the next look due after `poll_s`."""
        if time.monotonic() < self._look_at_s:
            return False
        self._look_at_s = time.monotonic() + self._poll_s
        return True

    def watch(self, files: Iterable[str], directories: Iterable[str]) -> None:
        """Watch the directories, those of the files and of what they point to. Blocks on the disk."""
        real = {Path(os.path.realpath(file)) for file in files}
        self._files = real | {Path(file) for file in files}
        wanted = {file.parent for file in self._files} | {Path(directory) for directory in directories}
        for directory in wanted:
            if self._inotify is None:
                return
            try:
                self._inotify.add_watch(directory, _ENTRY | Mask.MODIFY)
            except (FileNotFoundError, NotADirectoryError, PermissionError):
                continue  # gone since it was listed, or closed to this user; the others are watched all the same
            except OSError as error:
                self.close()
                self._cannot_watch(error)

    async def wait(self) -> None:
        """Return when a watched file was written or a directory's entries changed, at the latest after `poll_s`."""
        if self._inotify is None:
            await asyncio.sleep(self._poll_s)
            return
        try:
            async with asyncio.timeout(self._poll_s):
                while not self._concerns(await self._inotify.get()):
                    pass
        except TimeoutError:
            return
        # One wake for all that has been reported by now; more of it only wakes once more.
        for event in islice(self._inotify, 1000):
            self._concerns(event)

    def _concerns(self, event: Event) -> bool:
        if event.mask & _ENTRY or event.name is None:
            self._look_at_s = 0.0
            return True
        return event.path in self._files
