"""What rule files stated when they were read, kept in a file, so that a start does not read them anew; docs/adr/0071.

A file of it may be deleted, cut or damaged at any time: what cannot be had from it is read from the rule files. What
somebody else could have written is not looked at.
"""

import gc
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from errno import ELOOP, ENOTDIR
from functools import cache
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from stat import S_ISREG, S_IWGRP, S_IWOTH

import msgspec
from msgspec import Raw

from socmon.sigma.logsources import LogSources
from socmon.sigma.stated import Placeholders, StatedFile

_MAGIC = b"socmon rules 1\n\0"  # the number grows with the form of the file
_DIGEST_BYTES = 32
_MAX_BYTES = 256 << 20  # SigmaHQ's 4,000 files come to 7 MiB
_MAX_FILES = 4  # sets of rules that are kept, such as those of the daemon and those of a command
_PREFIX, _SUFFIX = "rules-", ".cache"
# What decides what is read of a rule file, besides the code of socmon.
_LIBRARIES = ("pysigma", "pyparsing", "pyyaml", "google-re2", "hyperscan", "msgspec")
_CODE = ("sigma/*.py", "event.py", "registry.py")
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC

_encode = msgspec.msgpack.Encoder().encode
_entry = msgspec.msgpack.Decoder(StatedFile)
_entries = msgspec.msgpack.Decoder(dict[bytes, Raw])
# What decoding and comparing may raise; a file that was read but cannot be kept is read again next time.
_CODING_ERRORS = (msgspec.MsgspecError, OverflowError, RecursionError, TypeError, ValueError)


class Kept:
    """What the files of one set of rules stated, by path and content."""

    def __init__(self, old: dict[bytes, Raw]) -> None:
        self._added = False
        self._old = old
        self._stated = dict(_decoded(old))
        self._now: dict[bytes, Raw] = {}

    def find(self, path: str, content: bytes) -> StatedFile | None:
        """What this file stated; None where that is not known."""
        key = _key(path, content)
        found = self._stated.get(key)
        if found is not None:
            self._now[key] = self._old[key]
        return found

    def add(self, path: str, content: bytes, file: StatedFile) -> None:
        """Keep what this file states, if it comes back equal."""
        with suppress(*_CODING_ERRORS):
            data = _encode(file)
            if _entry.decode(data) == file:
                self._now[_key(path, content)] = Raw(data)
                self._added = True

    def changed(self) -> bytes | None:
        """What is to be written; None where that is what was read."""
        return _encode(self._now) if self._added or self._now.keys() != self._old.keys() else None


def _decoded(entries: Mapping[bytes, Raw]) -> Iterator[tuple[bytes, StatedFile]]:
    """The entries that can be decoded. Nothing of them is garbage, and to look for some takes longer."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        for key, raw in entries.items():
            with suppress(*_CODING_ERRORS):
                yield key, _entry.decode(raw)
    finally:
        if collecting:
            gc.enable()


class RuleCache:
    """A folder of files, one for a set of rules.

    Attributes:
        distrusted: why what is there was not looked at; None where it was, or where nothing is.
    """

    def __init__(self, folder: Path) -> None:
        self.distrusted: str | None = None
        self._folder = folder

    @contextmanager
    def kept(self, paths: Iterable[str | Path], sources: LogSources, placeholders: Placeholders) -> Iterator[Kept]:
        """What is kept of the rules at `paths`; afterwards that is brought up to date, if it can be."""
        self.distrusted = None
        name = _set_name(paths, sources, placeholders)
        kept = Kept(self._read(name))
        yield kept
        if (body := kept.changed()) is not None:
            self._write(name, body)

    def _read(self, name: str) -> dict[bytes, Raw]:
        try:
            with _opened(self._folder, os.O_DIRECTORY) as folder, _opened(name, dir_fd=folder) as file:
                content = _content(file)
        except _DistrustedError as error:
            self.distrusted = f"{self._folder / error.name}: {error}"
            return {}
        except (OSError, MemoryError):
            return {}
        body = memoryview(content)[len(_MAGIC) + _DIGEST_BYTES :]
        if content[: -len(body)] != _MAGIC + _digest(name, body):
            return {}
        try:
            return _entries.decode(body)
        except _CODING_ERRORS:
            return {}

    def _write(self, name: str, body: bytes) -> None:
        """Write it, if that can be done and the folder is this user's: whoever runs the daemon must be able to."""
        if len(body) > _MAX_BYTES - len(_MAGIC) - _DIGEST_BYTES:
            return
        try:
            if not self._folder.exists():
                _make_folder(self._folder)
            with _opened(self._folder, os.O_DIRECTORY, own=True) as folder:
                _replace(folder, name, _MAGIC + _digest(name, body) + body)
                _remove_old(folder)
        except (OSError, _DistrustedError):
            return


def cache_folder(state_dir: Path | None) -> Path | None:
    """Where this user keeps what rule files state; None if nowhere.

    In the state directory, if that is named whole and this user's, who then is whom the daemon runs as; else where
    users have such files. So root leaves nothing in a state directory that the daemon could not replace.
    """
    with suppress(OSError):
        if state_dir and state_dir.is_absolute() and state_dir.stat().st_uid == os.geteuid():
            return state_dir / "cache"
    with suppress(RuntimeError):  # a user without a home
        home = Path(os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser())
        return home / "socmon" if home.is_absolute() else None
    return None


class _DistrustedError(Exception):
    """Somebody else could have written it; `name` is empty for the folder itself."""

    def __init__(self, message: str, name: str) -> None:
        self.name = name
        super().__init__(message)


def _make_folder(folder: Path) -> None:
    """Make `folder`, for this user alone, unless it would stand in somebody else's.

    Raises:
        OSError: it would, or cannot be made.
    """
    nearest = next(above for above in folder.parents if above.exists())
    if nearest.stat().st_uid != os.geteuid():
        raise PermissionError(f"{nearest} is somebody else's")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)


@contextmanager
def _opened(path: Path | str, flags: int = 0, *, dir_fd: int | None = None, own: bool = False) -> Iterator[int]:
    """A file or folder that nobody but this user and root could have written.

    Args:
        own: it must be this user's.

    Raises:
        _DistrustedError: somebody else could.
    """
    name = "" if dir_fd is None else str(path)
    try:
        descriptor = os.open(path, _READ | flags, dir_fd=dir_fd)
    except OSError as error:
        if error.errno in (ELOOP, ENOTDIR):
            raise _DistrustedError("it is a link, or no folder", name) from error
        raise
    try:
        status = os.fstat(descriptor)
        if status.st_uid not in ({os.geteuid()} if own else {os.geteuid(), 0}):
            raise _DistrustedError("it belongs to another user", name)
        if status.st_mode & (S_IWGRP | S_IWOTH):
            raise _DistrustedError("others may write to it", name)
        yield descriptor
    finally:
        os.close(descriptor)


def _content(file: int) -> bytes:
    status = os.fstat(file)
    if not S_ISREG(status.st_mode) or status.st_size > _MAX_BYTES:
        return b""
    with open(file, "rb", closefd=False) as stream:
        return stream.read(_MAX_BYTES)


def _replace(folder: int, name: str, content: bytes) -> None:
    """Nothing is forced to disk: what a power cut leaves of it, the checksum tells."""
    temporary = f"{_PREFIX}{os.getpid()}-{os.urandom(4).hex()}.tmp"
    descriptor = os.open(temporary, _CREATE, 0o600, dir_fd=folder)
    try:
        with open(descriptor, "wb") as stream:  # noqa: PTH123  as above
            stream.write(content)
        os.replace(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
    except OSError:
        with suppress(OSError):
            os.unlink(temporary, dir_fd=folder)
        raise


def _remove_old(folder: int) -> None:
    """Leave the newest sets only, and nothing half written: who is just writing it does so next time."""
    with os.scandir(folder) as found:
        ours = [entry for entry in found if entry.name.startswith(_PREFIX)]
    sets = [entry for entry in ours if entry.name.endswith(_SUFFIX)]
    sets.sort(key=lambda entry: entry.stat(follow_symlinks=False).st_mtime_ns, reverse=True)
    for entry in (*sets[_MAX_FILES:], *(entry for entry in ours if entry.name.endswith(".tmp"))):
        os.unlink(entry.name, dir_fd=folder)


def _key(path: str, content: bytes) -> bytes:
    return sha256(b"\0".join([os.fsencode(path), content])).digest()


def _digest(name: str, body: bytes | memoryview) -> bytes:
    digest = sha256(name.encode())
    digest.update(body)
    return digest.digest()


def _set_name(paths: Iterable[str | Path], sources: LogSources, placeholders: Placeholders) -> str:
    """The file's name, which all depends on that is not in the rule files."""
    told = [
        _code(),
        msgspec.json.encode(sources.tables, order="deterministic"),
        msgspec.json.encode([(name, list(values)) for name, values in placeholders.items()]),
        *(os.fsencode(path) for path in paths),
    ]
    return _PREFIX + sha256(b"\0".join(told)).hexdigest() + _SUFFIX


@cache
def _code() -> bytes:
    """What stands for all code that reads rule files: a changed line of it makes another cache."""
    package = Path(__file__).parents[1]
    digest = sha256(f"{sys.implementation.cache_tag} {sys.version}".encode())
    for library in _LIBRARIES:
        with suppress(PackageNotFoundError):
            digest.update(f"\0{library} {version(library)}".encode())
    for file in sorted(file for pattern in _CODE for file in package.glob(pattern)):
        digest.update(b"\0" + sha256(file.read_bytes()).digest())
    return digest.digest()
