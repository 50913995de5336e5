"""Who holds a lock, without touching it: a lock taken to find out could keep a daemon from starting (proc_locks(5))."""

import os
from pathlib import Path

from msgspec import Struct

_LOCKS = Path("/proc/locks")


class Holder(Struct, frozen=True):
    """The running daemon: its process, and when it took the lock, which is when it started."""

    pid: int
    since_us: int


def holder(path: Path) -> Holder | None:
    """Who holds the flock(2) of the file `path`; None if nobody does, or there is no such file.

    Raises:
        PermissionError: this user may not read the file.
    """
    try:
        stat = path.stat()
        stated = path.read_text("ascii", "replace").strip()
    except FileNotFoundError:
        return None
    pid = int(stated) if stated.isascii() and stated.isdigit() else 0
    for line in _LOCKS.read_text("ascii", "replace").splitlines():
        # 1: FLOCK  ADVISORY  WRITE 4121 08:01:131 0 EOF
        parts = line.split()
        if len(parts) < 6 or parts[1] != "FLOCK" or parts[3] != "WRITE":
            continue
        major, minor, inode = parts[5].split(":")
        device = os.makedev(int(major, 16), int(minor, 16))
        # Some file systems show another device there than stat does; a process of another namespace another id.
        if int(inode) == stat.st_ino and (device == stat.st_dev or int(parts[4]) == pid):
            return Holder(pid, stat.st_mtime_ns // 1000)
    return None
