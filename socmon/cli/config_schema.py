"""The JSON Schema (2020-12) of a configuration, made from the settings of sections and of the installed kinds."""

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from socmon import registry
from socmon.component import Settings
from socmon.config import Config
from socmon.sections import SourceSettings, TopSettings

_GROUPS: Mapping[str, registry.Group] = {"collectors": "socmon.collectors", "forwarders": "socmon.forwarders"}
_NAMES = {"pattern": "^[a-z0-9_-]{1,40}$"}


def configuration_schema() -> dict[str, Any]:
    """The schema; what cannot be said in it, such as that names are unique, `socmon check` finds."""
    defaults = Config(Path(), Path())
    properties: dict[str, Any] = dict(_object(TopSettings)["properties"])
    definitions: dict[str, Any] = {}
    for section in (each.name for each in fields(Config) if each.name not in ("path", "state_dir")):
        if section == "sources":
            properties[section] = _named(_object(SourceSettings))
            continue
        if section not in _GROUPS:
            whole = _object(type(getattr(defaults, section)))
            definitions |= whole.pop("$defs", {})
            properties[section] = _nullable(whole)
            continue
        kinds = {kind: _component(_GROUPS[section], kind) for kind in registry.kinds(_GROUPS[section])}
        for kind, each in kinds.items():
            # Blocks within a component's: references to them count from the root of the whole.
            definitions |= each.pop("$defs", {})
            definitions[f"{section}.{kind}"] = each
        choices = [{"$ref": f"#/$defs/{section}.{kind}"} for kind in kinds]
        properties[section] = _named({"oneOf": choices})
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "socmon configuration",
        "type": "object",
        "additionalProperties": False,
        "properties": properties,
        "$defs": definitions,
    }


def _component(group: registry.Group, kind: str) -> dict[str, Any]:
    schema = _object(registry.find(group, kind).settings_type)
    kind_option = {"const": kind, "description": "What the component is."}
    schema["properties"] = {"kind": kind_option, **schema["properties"]}
    schema["required"] = ["kind", *schema.get("required", [])]
    return schema


def _object(model: type[Settings]) -> dict[str, Any]:
    return model.model_json_schema()


def _named(block: dict[str, Any]) -> dict[str, Any]:
    """A section of blocks, each under a name of its own."""
    return _nullable({"type": "object", "propertyNames": _NAMES, "additionalProperties": block})


def _nullable(schema: dict[str, Any]) -> dict[str, Any]:
    """A section may be named and left empty."""
    return schema | {"type": ["object", "null"]}
