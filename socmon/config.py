"""The configuration: one YAML file and its `conf.d/`, validated as a whole, every problem with its path and line.

Two passes: the `kind` of a component names its class, and the class says what its part may hold (docs/adr/0004).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from socmon import registry
from socmon.component import CollectorSettings, Component, Settings, SettingsT
from socmon.errors import ConfigError
from socmon.event import OWN
from socmon.parsers import FORMATS
from socmon.registry import did_you_mean
from socmon.secrets import SecretRef
from socmon.sections import (
    AssetsSettings,
    DeliverySettings,
    DetectionSettings,
    HttpSettings,
    IntakeSettings,
    JournalSettings,
    LogSettings,
    ReportSettings,
    RulesSettings,
    SourceSettings,
    StoreSettings,
    TopSettings,
)
from socmon.yamlfile import Document, Place, read

_NAME = re.compile(r"[a-z0-9_-]{1,40}")
_NAME_RULE = "a name is made of 1 to 40 of a-z, 0-9, _ and -; rename it"
_GROUPS: Mapping[str, registry.Group] = {"collectors": "socmon.collectors", "forwarders": "socmon.forwarders"}
NAMED = (*_GROUPS, "sources")  # sections that are made of blocks, each with a name of its own


@dataclass(frozen=True, slots=True)
class Wiring:
    """One configured component: what to build, and from what.

    Attributes:
        name: the component's key in the configuration, unique over collectors and forwarders.
        settings: an instance of `cls.settings_type`.
    """

    name: str
    kind: str
    cls: type[Component[Any]]
    settings: Settings


@dataclass(frozen=True, slots=True)
class Config:
    """A valid configuration.

    Attributes:
        path: the main file; relative paths in the configuration were made absolute below its folder.
    """

    path: Path
    state_dir: Path
    collectors: tuple[Wiring, ...] = ()
    forwarders: tuple[Wiring, ...] = ()
    rules: RulesSettings = field(default_factory=RulesSettings)
    assets: AssetsSettings = field(default_factory=AssetsSettings)
    sources: Mapping[str, SourceSettings] = field(default_factory=dict)
    intake: IntakeSettings = field(default_factory=IntakeSettings)
    journal: JournalSettings = field(default_factory=JournalSettings)
    detection: DetectionSettings = field(default_factory=DetectionSettings)
    store: StoreSettings = field(default_factory=StoreSettings)
    delivery: DeliverySettings = field(default_factory=DeliverySettings)
    reports: ReportSettings = field(default_factory=ReportSettings)
    http: HttpSettings = field(default_factory=HttpSettings)
    log: LogSettings = field(default_factory=LogSettings)


_SECTIONS = [each.name for each in fields(Config) if each.name != "path"]


def load(path: Path) -> Config:
    """As `load_with_origins`, without the origins."""
    return load_with_origins(path)[0]


def load_with_origins(path: Path) -> tuple[Config, Mapping[str, str]]:
    """Read and validate `path` and the files `conf.d/*.yaml` beside it, in the order of their names.

    No file that the configuration refers to is opened. With it comes where each option that is set stands:
    `http.port`, `collectors.NAME.OPTION` or `sources.NAME.OPTION` → `path:line`.

    Raises:
        ConfigError: with every problem found.
    """
    loading = _Loading(path)
    config = Config(
        path=path,
        state_dir=loading.section("", TopSettings).state_dir,
        collectors=loading.wirings("collectors"),
        forwarders=loading.wirings("forwarders"),
        rules=loading.section("rules", RulesSettings),
        assets=loading.section("assets", AssetsSettings),
        sources=loading.sources(),
        intake=loading.section("intake", IntakeSettings),
        journal=loading.section("journal", JournalSettings),
        detection=loading.section("detection", DetectionSettings),
        store=loading.section("store", StoreSettings),
        delivery=loading.section("delivery", DeliverySettings),
        reports=loading.section("reports", ReportSettings),
        http=loading.section("http", HttpSettings),
        log=loading.section("log", LogSettings),
    )
    if loading.problems:
        raise ConfigError(loading.problems)
    return config, loading.origins()


@dataclass(frozen=True, slots=True)
class _Found:
    """An option's or a component's value, and the file that it stands in."""

    value: Any
    document: Document


class _Loading:
    """All files of one configuration, merged by section, and the problems met on the way."""

    def __init__(self, path: Path) -> None:
        self.folder = path.absolute().parent
        self.problems: list[str] = []
        self.found: dict[str, dict[str, _Found]] = {"": {}, **{name: {} for name in _SECTIONS}}
        parts = sorted((path.parent / "conf.d").glob("*.yaml"))
        self.documents = [read(each) for each in (path, *parts)]
        for document in self.documents:
            self.problems += document.problems
            self._merge(document)

    def origins(self) -> Mapping[str, str]:
        """Of each option that a file sets, its place."""
        origins: dict[str, str] = {}
        for section, options in self.found.items():
            for key, item in options.items():
                place: Place = (section, key) if section else (key,)
                names = item.value if section in NAMED and isinstance(item.value, dict) else None
                for step in [(name,) for name in names] if names is not None else [()]:
                    at = (*place, *step)
                    origins[".".join(map(str, at))] = item.document.at(at)
        return origins

    def section(self, name: str, model: type[SettingsT]) -> SettingsT:
        """The validated section; its defaults where it is missing or has problems."""
        return self._validated(model, (name,) if name else (), self.found[name]) or model()

    def wirings(self, section: Literal["collectors", "forwarders"]) -> tuple[Wiring, ...]:
        """The components of a section that are free of problems."""
        made = (self._wiring(section, name, item) for name, item in self.found[section].items())
        return tuple(wiring for wiring in made if wiring)

    def sources(self) -> Mapping[str, SourceSettings]:
        """The expected sources that are free of problems."""
        made = {name: self._source(name, item) for name, item in self.found["sources"].items()}
        return {name: source for name, source in made.items() if source}

    def _merge(self, document: Document) -> None:
        if not isinstance(document.data, dict | None):
            self._problem(document, (), "must be made of sections, such as `collectors:`")
            return
        for section, content in (document.data or {}).items():
            if section not in _SECTIONS:
                self._problem(document, (section,), f"unknown section{did_you_mean(section, _SECTIONS)}")
            elif section == "state_dir":
                self._put("", section, _Found(content, document))
            elif isinstance(content, dict):
                for key, value in content.items():
                    self._put(section, key, _Found(value, document))
            elif content is not None:
                self._problem(document, (section,), "must hold `name: value` lines, indented")

    def _put(self, section: str, key: str, item: _Found) -> None:
        first = self.found[section].setdefault(key, item)
        if first is not item:
            place = (section, key) if section else (key,)
            self._problem(item.document, place, f"set already at {first.document.at(place)}; remove one of them")

    def _wiring(self, section: Literal["collectors", "forwarders"], name: str, item: _Found) -> Wiring | None:
        place, document, group = (section, name), item.document, _GROUPS[section]
        if not _NAME.fullmatch(name):
            self._problem(document, place, _NAME_RULE)
        if name == OWN:
            self._problem(document, place, "this name is kept for socmon's own records; rename it")
        if section == "forwarders" and (other := self.found["collectors"].get(name)):
            taken = other.document.at(("collectors", name))
            self._problem(document, place, f"a collector has this name already, at {taken}; rename one of them")
        kind = item.value.get("kind") if isinstance(item.value, dict) else None
        if not isinstance(kind, str):
            known = ", ".join(registry.kinds(group))
            self._problem(document, (*place, "kind"), f"missing; it says what the component is, one of: {known}")
            return None
        try:
            cls = registry.find(group, kind)
        except ConfigError as error:
            for problem in error.problems:
                self._problem(document, (*place, "kind"), problem)
            return None
        options = {key: _Found(value, document) for key, value in item.value.items() if key != "kind"}
        settings = self._validated(cls.settings_type, place, options, home=document)
        if isinstance(settings, CollectorSettings) and settings.format not in (formats := ["auto", *FORMATS]):
            what = f"no format is called {settings.format[:40]!r}{did_you_mean(settings.format, formats)}"
            self._problem(document, (*place, "format"), f"{what}; known: {', '.join(formats)}")
        return Wiring(name, kind, cls, settings) if settings else None

    def _source(self, name: str, item: _Found) -> SourceSettings | None:
        place, document, collectors = ("sources", name), item.document, self.found["collectors"]
        if not _NAME.fullmatch(name):
            self._problem(document, place, _NAME_RULE)
        if not isinstance(item.value, dict):
            self._problem(document, place, "must hold `collector: NAME` and what else is known of it, indented")
            return None
        options = {key: _Found(value, document) for key, value in item.value.items()}
        source = self._validated(SourceSettings, place, options, home=document)
        if source and source.collector not in collectors:
            what = f"no collector is called {source.collector[:40]!r}{did_you_mean(source.collector, [*collectors])}"
            self._problem(document, (*place, "collector"), what)
        return source

    def _validated(
        self, model: type[SettingsT], place: Place, options: Mapping[str, _Found], home: Document | None = None
    ) -> SettingsT | None:
        """`options` as a `model`, None where they have problems; `home` is the file to blame for what is missing."""
        try:
            settings = model.model_validate({key: item.value for key, item in options.items()})
        except ValidationError as error:
            for detail in error.errors(include_url=False):
                at = detail["loc"]
                item = options.get(str(at[0])) if at else next(iter(options.values()), None)
                document = item.document if item else home or self.documents[0]
                self._problem(document, (*place, *at), _explained(detail, model))
            return None
        absolute: SettingsT = _below(self.folder, settings)
        return absolute

    def _problem(self, document: Document, place: Place, what: str) -> None:
        if place in document.broken:
            return
        where = ".".join(str(step)[:60] for step in place)
        self.problems.append(": ".join(part for part in (document.at(place), where, what) if part))


# Plainer words than pydantic's, for what is most often mistaken.
_PLAIN = {
    "list_type": "input should be a list: write [ONE, OTHER]",
    "path_type": "input should be a path",
    "float_parsing": "input should be a number",
    "int_parsing": "input should be a whole number",
}


def _explained(error: ErrorDetails, model: type[Settings]) -> str:
    """What is wrong with an option and what to do, without its value where that may be a secret."""
    last = str(error["loc"][-1]) if error["loc"] else ""
    if error["type"] == "extra_forbidden":
        known = sorted(model.model_fields) if len(error["loc"]) == 1 else []
        return f"unknown key{did_you_mean(last, known)}" + (f"; known: {', '.join(known)}" if known else "")
    option = model.model_fields.get(last)
    if error["type"] == "missing":
        return f"missing; {_lower(option.description)}" if option and option.description else "missing"
    text = _PLAIN.get(error["type"]) or error["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ")
    value = error["input"]
    shown = f", not {value!r}" if isinstance(value, int | float) or error["type"] == "literal_error" else ""
    return _lower(text) + shown[:80]


def _lower(text: str) -> str:
    """A sentence as the rest of a line; an abbreviation at its start stays as it is."""
    return text if text[1:2].isupper() else text[:1].lower() + text[1:]


def _below(folder: Path, value: Any) -> Any:
    """`value` with every relative path and `file:` reference in it made absolute below `folder`."""
    if isinstance(value, Path):
        return folder / value
    if isinstance(value, SecretRef):
        return value.under(folder)
    if isinstance(value, list | tuple):
        return type(value)(_below(folder, item) for item in value)
    if isinstance(value, dict):
        return {name: _below(folder, item) for name, item in value.items()}
    if isinstance(value, BaseModel):
        old = {name: getattr(value, name) for name in type(value).model_fields}
        new = {name: _below(folder, item) for name, item in old.items()}
        return value.model_copy(update={name: item for name, item in new.items() if item != old[name]})
    return value
