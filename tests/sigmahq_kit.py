"""SigmaHQ's archive of rules, as tests read it: unpacked once in a process."""

import os
import tarfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path

DATA = Path(os.environ.get("SOCMON_DATA", Path(__file__).parents[2] / "shared" / "data")) / "logs"
ARCHIVE = DATA / "sigma" / "sigmahq_rules.tar.xz"
# Folders of rules that are in force; the others are deprecated/, unsupported/ and tests/.
ACTIVE = (
    "rules",
    "rules-threat-hunting",
    "rules-emerging-threats",
    "rules-compliance",
    "rules-dfir",
    "rules-placeholder",
)


@cache
def _files() -> dict[str, bytes]:
    found = {}
    with tarfile.open(ARCHIVE) as archive:
        for member in archive:
            if member.isfile() and member.name.endswith(".yml"):
                stream = archive.extractfile(member)
                assert stream is not None
                found[member.name] = stream.read()
    return found


def files_of(*folders: str) -> Iterator[tuple[str, bytes]]:
    """Name and content of the rule files below these folders."""
    return ((name, content) for name, content in _files().items() if set(Path(name).parts) & set(folders))
