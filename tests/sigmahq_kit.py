"""SigmaHQ's archive of rules, as tests read it: unpacked once in a process."""

import lzma
import os
import tarfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from socmon.sigma.loading import Loader
from socmon.sigma.logsources import shipped_log_sources
from socmon.sigma.ruleset import RuleSet, rule_set

DATA = Path(os.environ.get("SOCMON_DATA", Path(__file__).parents[2] / "shared" / "data")) / "logs"
_EVENTS = DATA / "windows" / "evtx" / "events"
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


def some_rules(step: int) -> RuleSet:
    """The active rules of every `step`-th file."""
    loader = Loader(shipped_log_sources())
    for path, content in sorted(files_of(*ACTIVE))[::step]:
        loader.add(path, content)
    return rule_set(loader, shipped_log_sources())


def real_events(count: int) -> list[bytes]:
    """Lines from all files of events of Windows, as far apart as can be."""
    found = [line for file in sorted(_EVENTS.iterdir()) for line in lzma.decompress(file.read_bytes()).splitlines()]
    return found[:: max(1, len(found) // count)][:count]
