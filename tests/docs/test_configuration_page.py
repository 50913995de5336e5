"""docs/configuration.md and docs/metrics.md are what the code says."""

import runpy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from socmon.component import Settings
from socmon.config import load
from socmon.resources import shipped

DOCS = Path(__file__).parents[2] / "docs"


def generator() -> dict[str, Any]:
    return runpy.run_path(str(DOCS / "generate.py"))


def test_page_of_options_is_current() -> None:
    assert (DOCS / "configuration.md").read_text("utf-8") == generator()["reference"](), "run `make docs`"


def test_page_of_metrics_is_current() -> None:
    assert (DOCS / "metrics.md").read_text("utf-8") == generator()["metrics_page"](), "run `make docs`"


def test_page_of_options_has_each_option_of_each_component_and_section() -> None:
    config = load(shipped("config.example.yaml"))
    page = (DOCS / "configuration.md").read_text("utf-8")

    parts = {f"### {role}: kind {each.kind}": each.settings for role in ("collectors", "forwarders")
             for each in getattr(config, role)}  # fmt: skip
    parts |= {f"## {name}": value for name, value in vars_of(config).items() if isinstance(value, Settings)}
    for heading, settings in parts.items():
        table = page.split(f"{heading}\n", 1)[1].split("\n#", 1)[0]
        shown = [line.split("`")[1] for line in table.splitlines() if line.startswith("| `")]
        assert shown == list(options_of(type(settings))), heading


def options_of(model: type[Settings], prefix: str = "") -> Iterator[str]:
    """Each option, and below a block its own."""
    for name, field in model.model_fields.items():
        yield prefix + name
        if isinstance(field.annotation, type) and issubclass(field.annotation, Settings):
            yield from options_of(field.annotation, f"{prefix}{name}.")


def vars_of(config: object) -> dict[str, Any]:
    return {name: getattr(config, name) for name in type(config).__dataclass_fields__}  # type: ignore[attr-defined]  # a Config is a dataclass
