"""One socmon to a state directory: whoever has its lock."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from socmon.errors import ConfigError


@contextlib.contextmanager
def instance(state_dir: Path) -> Iterator[None]:
    """Hold the state directory's lock: one socmon at a time.

    Raises:
        ConfigError: another one holds it, or the folder cannot be made.
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
        yield
    finally:
        os.close(handle)
