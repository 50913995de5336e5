"""What commands that only read need of a configuration: where its state lies, its rules, its destinations.

Not the whole of it: that takes a third of a second to import and check, and a mistake in a collector's options must not
keep an analyst from the alerts.
"""

import errno
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from msgspec import ValidationError, convert

from socmon.errors import ConfigError, SocmonError
from socmon.resources import shipped
from socmon.seen import Expected
from socmon.yamlfile import Document, read

STATE_DIR = Path("/var/lib/socmon")  # as socmon.config has it


class Place(NamedTuple):
    """What was found; all but `state_dir` as far as it can be read."""

    state_dir: Path
    rules: list[Path]
    forwarders: list[str]
    sources: list[Expected]
    collectors: list[str]

    @property
    def store(self) -> Path:
        """The store's file."""
        return self.state_dir / "socmon.db"


def find(config: Path) -> Place:
    """Read `config` and the files `conf.d/*.yaml` beside it.

    Raises:
        ConfigError: where the state lies cannot be read out of them.
        PermissionError: this user may not read `config`.
    """
    if config.exists() and not os.access(config, os.R_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(config))
    documents = [read(path) for path in (config, *sorted((config.parent / "conf.d").glob("*.yaml")))]
    folder = config.absolute().parent
    return Place(
        state_dir=_state_dir(documents, folder),
        rules=[*_rules(documents, folder)],
        forwarders=_names(documents, "forwarders"),
        collectors=_names(documents, "collectors"),
        sources=[*_sources(documents)],
    )


def _names(documents: list[Document], section: str) -> list[str]:
    return sorted({str(name) for each in _sections(documents, section) for name in each})


def _state_dir(documents: list[Document], folder: Path) -> Path:
    for document in documents:
        stated = document.data.get("state_dir") if isinstance(document.data, dict) else None
        if isinstance(stated, str) and stated:
            return folder / stated
        if stated is not None:
            raise ConfigError([f"{document.at(('state_dir',))}: must be the path of a folder"])
    # It may stand in what cannot be read: then a guess would show another socmon's alerts, or none.
    unreadable = (document for document in documents if document.data in ({}, None) or document.broken)
    problems = [problem for document in unreadable for problem in document.problems]
    if problems:
        raise ConfigError(problems)
    return STATE_DIR


def _rules(documents: list[Document], folder: Path) -> Iterator[Path]:
    sections = [*_sections(documents, "rules")]
    if not any(section.get("shipped") is False for section in sections):
        with suppress(SocmonError):  # a damaged installation is for `check` to tell
            yield shipped("rules")
    for section in sections:
        paths = section.get("paths")
        for path in paths if isinstance(paths, list) else []:
            yield folder / str(path)


def _sources(documents: list[Document]) -> Iterator[Expected]:
    for section in _sections(documents, "sources"):
        for name, options in section.items():
            with suppress(ValidationError):  # a mistake in it is for `check` to tell
                yield convert({"name": name, **options} if isinstance(options, dict) else options, Expected)


def _sections(documents: list[Document], name: str) -> Iterator[dict[str, Any]]:
    for document in documents:
        section = document.data.get(name) if isinstance(document.data, dict) else None
        if isinstance(section, dict):
            yield section
