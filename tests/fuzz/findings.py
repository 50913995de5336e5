"""Inputs that a fuzz target once failed on, as files that can be read, kept and replayed."""

import json
from base64 import b64decode, b64encode
from collections.abc import Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

FINDINGS = Path(__file__).with_name("findings")


def keep(folder: Path, target: str, arguments: Sequence[Any], said: str) -> Path:
    """Write down what `one_input` of `target` was given; the same input is the same file.

    Args:
        said: how it failed, for whoever reads the file.
    """
    inputs = [_written(each) for each in arguments]
    digest = sha256(json.dumps(inputs).encode()).hexdigest()[:16]
    path = folder / target / f"{digest}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"said": said[:2000], "arguments": inputs}, indent=1) + "\n")
    return path


def kept(folder: Path = FINDINGS) -> Iterator[tuple[str, Path]]:
    """(target, file) of each finding."""
    for path in sorted(folder.glob("*/*.json")):
        yield path.parent.name, path


def arguments_of(path: Path) -> list[Any]:
    """What `one_input` was given."""
    return [_read(each) for each in json.loads(path.read_text())["arguments"]]


def _written(value: Any) -> Any:
    if isinstance(value, bytes):
        return {"base64": b64encode(value).decode()}
    if isinstance(value, tuple):
        return {"tuple": [_written(each) for each in value]}
    if isinstance(value, list):
        return [_written(each) for each in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"an input of type {type(value).__name__} cannot be kept; teach tests/fuzz/findings.py to")


def _read(value: Any) -> Any:
    if isinstance(value, list):
        return [_read(each) for each in value]
    if isinstance(value, dict):
        return b64decode(value["base64"]) if "base64" in value else tuple(_read(each) for each in value["tuple"])
    return value
