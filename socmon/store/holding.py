"""The lock of a state directory: one process at a time may write what lies in it (flock(2))."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from socmon.errors import ConfigError


@contextmanager
def hold(state_dir: Path) -> Iterator[None]:
    """Hold the lock of `state_dir`, which is made if it is not there.

    Raises:
        ConfigError: another process holds it, or the folder cannot be made.
    """
    path = state_dir / "lock"
    try:
        state_dir.mkdir(mode=0o750, parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    except OSError as error:
        raise ConfigError(
            [f"state_dir: cannot use {state_dir}: {error.strerror}; make it writable for this user"]
        ) from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.read(handle, 32).decode("ascii", "replace").strip()
            raise ConfigError(
                [f"state_dir: {state_dir} is in use by process {holder or 'unknown'}; stop it, or use another folder"]
            ) from error
        os.ftruncate(handle, 0)
        os.write(handle, f"{os.getpid()}\n".encode())
        give(path)
        yield
    finally:
        os.close(handle)


def give(path: Path) -> None:
    """Let a file of ours belong to the owner of its folder: what root makes, the daemon must be able to use."""
    folder, own = path.parent.stat(), path.stat()
    # Only where it differs: the service may not call it (SystemCallFilter=), and need not.
    if os.geteuid() == 0 and (own.st_uid, own.st_gid) != (folder.st_uid, folder.st_gid):
        with suppress(PermissionError):  # root without that right, as in a container: then the daemon is root there too
            os.chown(path, folder.st_uid, folder.st_gid)
