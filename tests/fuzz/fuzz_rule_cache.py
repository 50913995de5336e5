"""Hostile files in the cache of rules: whatever the bytes, what comes of them is what was kept, or nothing."""

import tempfile
from functools import cache
from pathlib import Path

from msgspec import Raw
from rule_cache_kit import loaded, spoil, tree

from socmon.sigma.rule_cache import Kept, RuleCache
from socmon.sigma.stated import StatedFile


@cache
def _kept() -> tuple[tempfile.TemporaryDirectory[str], Path, bytes, dict[bytes, bytes]]:
    """The folder, which lives as long as the process; the file in it, its bytes, and what they mean."""
    holder = tempfile.TemporaryDirectory(prefix="socmon-fuzz-")
    loaded([tree(Path(holder.name) / "rules")], Path(holder.name) / "cache")
    (file,) = (Path(holder.name) / "cache").iterdir()
    return holder, file, file.read_bytes(), _read(file)


def _read(file: Path) -> dict[bytes, bytes]:
    return {key: bytes(raw) for key, raw in RuleCache(file.parent)._read(file.name).items()}


def one_input(data: bytes) -> None:
    """Raises only on bugs."""
    _, file, whole, entries = _kept()
    place = int.from_bytes(data[:4])
    for content in (data, spoil(whole, data or b"\0", place), spoil(whole, data[4:] or b"\0", place)):
        file.write_bytes(content)
        assert _read(file) in ({}, entries)
        assert content == whole or _read(file) == {}
    key = next(iter(entries))
    for entry in (data, spoil(entries[key], data or b"\0", place)):
        assert all(isinstance(each, StatedFile) for each in Kept({key: Raw(entry)})._stated.values())
