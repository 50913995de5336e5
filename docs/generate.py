# ruff: noqa: INP001  a script; docs is no package
"""Writes docs/configuration.md, every option, and docs/sources.md, every kind that ships with socmon.

The words on a kind are a page beside its code, such as collectors/file.md beside collectors/file.py.
"""

import inspect
import re
from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from socmon import metrics, registry
from socmon.component import CollectorSettings, ForwarderSettings, Settings
from socmon.config import Config
from socmon.secrets import SecretRef
from socmon.sections import SourceSettings, TopSettings

PAGE = Path(__file__).with_name("configuration.md")
METRICS_PAGE = Path(__file__).with_name("metrics.md")
SOURCES_PAGE = Path(__file__).with_name("sources.md")

_HEAD = """\
# Configuration

Every option. Written by `docs/generate.py` from the settings themselves; do not edit. `config.example.yaml` shows them
all in their places, with their defaults.

One YAML file, by default `/etc/socmon/config.yaml`, and the files `conf.d/*.yaml` beside it, in the order of their
names. Sections are merged; nothing may be set twice. Relative paths count from the folder of the main file.
`socmon check` tells every mistake at once, with file and line. A change of sections `rules`, `assets` and `detection`
takes effect at a reload, any other at the next start; `socmon report` reads `reports` each time.

A *reference to a secret* is `file:PATH`, a file that socmon can read, or `credential:NAME`, a systemd credential.
"""
_METRICS_HEAD = """\
# Metrics

Served at `/metrics` (section `http` of the configuration). Written by `docs/generate.py`; do not edit.

A `component` is the name of a collector or forwarder in the configuration, a `forwarder` that of a forwarder, a
`source` a name of section `sources`, a `rule` the id of a rule; `reason`, `level` and `status` are of fixed lists. The
usual `process_…` metrics (CPU, memory, open files) are served too. Dashboards and alerts over all of them:
[operations.md](operations.md#grafana-and-prometheus).

| Metric | Type | Labels | Meaning |
|---|---|---|---|
"""
_COLLECTORS = """\
A block a source: a name of your own (1 to 40 of a-z, 0-9, _ and -; no forwarder may have the same), its `kind`, and the
options of that kind.
"""
_FORWARDERS = """\
A block a destination, in the same form. Destinations do not wait for each other.
"""
_SOURCES = """\
A block a source that must not fall silent: a name of your own (1 to 40 of a-z, 0-9, _ and -), and what is known of it.
"""
_GROUPS: Mapping[str, tuple[registry.Group, str]] = {
    "collectors": ("socmon.collectors", _COLLECTORS),
    "forwarders": ("socmon.forwarders", _FORWARDERS),
}
_SOURCES_HEAD = """\
# Sources and destinations

For each kind of collector and forwarder: what it is, its options, what the other side needs, and how it may lose or
repeat. Written by `docs/generate.py` from the pages beside the code and from the settings; do not edit.
[configuration.md](configuration.md) has all sections.

**What is common.** A collector's records are safe from a kill of socmon when they are in the journal, and from a power
cut when that is on disk: `journal.fsync` ([semantics.md](semantics.md)). What was lost before is counted by reason in
`socmon_collector_dropped_records_total` and in the ledger (`dropped`); what went wrong and ended nothing, in
`socmon_component_errors_total` (`error`). A kind whose senders can wait loses nothing while socmon is slow.
"""
_OPTIONS_OF_ALL: Mapping[str, tuple[str, type[Settings]]] = {
    "collectors": ("Every collector has these options besides its own.", CollectorSettings),
    "forwarders": ("Every forwarder has these options besides its own.", ForwarderSettings),
}
_FENCE = re.compile(r"^```.*?^```$\n?", re.MULTILINE | re.DOTALL)
_TABLE = "| Option | Value | Default | Meaning |\n|---|---|---|---|\n"
_TYPES: Mapping[str, str] = {
    "string": "text",
    "integer": "whole number",
    "number": "number",
    "boolean": "`true` or `false`",
}
_BOUNDS: Mapping[str, str] = {
    "exclusiveMinimum": "more than {}",
    "minimum": "at least {}",
    "maximum": "at most {}",
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "minItems": "at least {}",
    "pattern": "as `{}`",
}


def reference() -> str:
    """The page."""
    return "\n".join([_HEAD, *_sections()])


def _sections() -> Iterator[str]:
    defaults = Config(Path(), Path())
    for section in [each.name for each in fields(Config) if each.name != "path"]:
        if section in _GROUPS:
            yield from _kinds(section)
        elif section == "sources":
            yield f"## sources\n\n{_SOURCES}\n{_table(SourceSettings)}"
        elif section == "state_dir":
            yield f"## Outside every section\n\n{_table(TopSettings)}"
        else:
            yield f"## {section}\n\n{_table(type(getattr(defaults, section)))}"


def _kinds(section: str) -> Iterator[str]:
    group, text = _GROUPS[section]
    yield f"## {section}\n\n{text}"
    for kind in registry.kinds(group):
        if registry.owner(registry.registered(group, kind)) == "socmon":
            yield f"### {section}: kind {kind}\n\n{_table(registry.find(group, kind).settings_type)}"


def sources() -> str:
    """The page of all kinds."""
    return "\n".join([_SOURCES_HEAD, *_source_parts()])


def _source_parts() -> Iterator[str]:
    for section, (group, _) in _GROUPS.items():
        text, common = _OPTIONS_OF_ALL[section]
        yield f"## {section}\n\n{text}\n\n{_table(common)}"
        for kind in registry.kinds(group):
            if registry.owner(registry.registered(group, kind)) == "socmon":
                component = registry.find(group, kind)
                yield _described(beside(component).read_text("utf-8"), component.settings_type, common)


def beside(component: type[Any]) -> Path:
    """The page of a kind."""
    return Path(inspect.getfile(component)).with_suffix(".md")


def _described(page: str, model: type[Settings], common: type[Settings]) -> str:
    """A kind's page, its own options after its first paragraphs, and headings and links as they are needed here."""
    first, heading, rest = page.partition("\n## ")
    own = [name for name in model.model_fields if name not in common.model_fields or name in model.__annotations__]
    text = f"{first.rstrip()}\n\n{_table(model, own)}{heading}{rest}" if own else page
    outside = _FENCE.split(text)
    fences = [*_FENCE.findall(text), ""]
    moved = [re.sub(r"^#", "###", part, flags=re.MULTILINE).replace("](../docs/", "](") for part in outside]
    return "".join(part + fence for part, fence in zip(moved, fences, strict=True))


def _table(model: type[Settings], only: list[str] | None = None) -> str:
    return _TABLE + "".join(_rows(model, only))


def _rows(model: type[Settings], only: list[str] | None = None, prefix: str = "") -> Iterator[str]:
    """A row an option; below a block those of its own, as `BLOCK.OPTION`."""
    schema = model.model_json_schema()
    required = schema.get("required", [])
    for name, option in schema["properties"].items():
        if only is not None and name not in only:
            continue
        annotation = model.model_fields[name].annotation
        default = "required" if name in required else _default(option["default"])
        if isinstance(annotation, type) and issubclass(annotation, Settings):
            yield f"| `{prefix}{name}` | options | as below | {option['description']} |\n"
            yield from _rows(annotation, prefix=f"{prefix}{name}.")
            continue
        value = _value(option)
        if annotation == SecretRef:
            value = "reference to a secret"
        elif annotation == SecretRef | None:
            value = "reference to a secret; or `null`"
        yield f"| `{prefix}{name}` | {value} | {default} | {option['description']} |\n"


def _value(option: Mapping[str, Any]) -> str:
    if "anyOf" in option:
        return "; or ".join(_value(choice) for choice in option["anyOf"])
    if "$ref" in option:
        return "block"
    if "enum" in option:
        return ", ".join(f"`{choice}`" for choice in option["enum"])
    if option["type"] == "null":
        return "`null`"
    if option["type"] == "object":
        return f"names and {_value(option['additionalProperties'])}"
    if option["type"] == "array":
        kind = "list of " + " or ".join(_value(item) for item in option["items"].get("anyOf", [option["items"]]))
    else:
        kind = "path" if option.get("format") == "path" else _TYPES[option["type"]]
    return ", ".join([kind, *_bounds(option)])


def _bounds(option: Mapping[str, Any]) -> Iterator[str]:
    for key, text in _BOUNDS.items():
        if key in option:
            shown = option[key]
            yield text.format(f"{shown:,}" if isinstance(shown, int) else shown)


def _default(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return f"`{value}`".lower().replace("none", "null")
    if isinstance(value, list) and value and isinstance(value[0], dict):
        blocks = (
            ", ".join(f"{name}: {_default(held).strip('`')}" for name, held in each.items() if held) for each in value
        )
        return f"`[{', '.join(f'{{{block}}}' for block in blocks)}]`"
    return f"`{value}`" if value not in ("", [], {}) else "empty"


def metrics_page() -> str:
    """Every metric, in the order in which they are declared."""
    rows = [
        f"| `{each.name}` | {each.kind} | {' '.join(f'`{label}`' for label in each.labels) or '-'} | {each.help} |\n"
        for each in metrics.declared()
    ]
    return _METRICS_HEAD + "".join(rows)


if __name__ == "__main__":
    PAGE.write_text(reference(), encoding="utf-8")
    METRICS_PAGE.write_text(metrics_page(), encoding="utf-8")
    SOURCES_PAGE.write_text(sources(), encoding="utf-8")
