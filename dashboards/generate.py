# ruff: noqa: INP001  a script; dashboards is no package
"""Writes the Grafana dashboards beside it from panels.yml; their JSON model: grafana.com/docs/grafana, "JSON model"."""

import json
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).parent
SCHEMA_VERSION = 41  # Grafana 11.6; later ones bring it up to date when it is imported
_ROW_WIDTH = 24
_HEIGHTS = {"graph": 8, "stat": 4, "bars": 8}
_TYPES = {"graph": "timeseries", "stat": "stat", "bars": "bargauge"}
_DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}

Json = dict[str, Any]


def dashboards() -> dict[str, str]:
    """File name → content of each dashboard."""
    source: Json = yaml.safe_load((HERE / "panels.yml").read_text("utf-8"))
    return {f"{name}.json": _text(_dashboard(name, each, source)) for name, each in source["dashboards"].items()}


def _text(dashboard: Json) -> str:
    return json.dumps(dashboard, indent=2, ensure_ascii=False) + "\n"


def _dashboard(name: str, about: Json, source: Json) -> Json:
    return {
        "uid": f"socmon-{name}",
        "title": about["title"],
        "description": f"{about['en']}\n\n{about['vi']}",
        "tags": ["socmon"],
        "schemaVersion": SCHEMA_VERSION,
        "editable": True,
        "graphTooltip": 1,  # one cross-hair in all panels
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "timezone": "browser",
        "links": [{"type": "dashboards", "tags": ["socmon"], "title": "socmon", "asDropdown": True, "keepTime": True}],
        "templating": {"list": _variables(about["variables"], source["variables"])},
        "panels": _panels(about["rows"], source["panels"], about["variables"]),
    }


def _variables(names: list[str], queries: dict[str, str]) -> list[Json]:
    datasource = {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus"}
    return [datasource, *(_variable(name, queries[name]) for name in names)]


def _variable(name: str, query: str) -> Json:
    return {
        "name": name,
        "label": name.capitalize(),
        "type": "query",
        "datasource": _DATASOURCE,
        "query": {"query": query, "refId": "variable"},
        "refresh": 2,  # when the time range changes
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"text": "All", "value": "$__all"},
    }


def _panels(rows: dict[str, list[str]], panels: Json, variables: list[str]) -> list[Json]:
    """A row's panels from left to right, wrapped where 24 columns are full."""
    placed: list[Json] = []
    top = 0
    for title, names in rows.items():
        placed.append(
            {"type": "row", "title": title, "collapsed": False, "panels": [], "gridPos": _place(0, top, 24, 1)}
        )
        left, top, height = 0, top + 1, 0
        for name in names:
            about = panels[name]
            kind = about.get("kind", "graph")
            width = about.get("width", 8 if kind == "graph" else 12)
            if left + width > _ROW_WIDTH:
                left, top, height = 0, top + height, 0
            placed.append(_panel(about, kind, variables) | {"gridPos": _place(left, top, width, _HEIGHTS[kind])})
            left, height = left + width, max(height, _HEIGHTS[kind])
        top += height
    return [panel | {"id": number} for number, panel in enumerate(placed, 1)]


def _place(left: int, top: int, width: int, height: int) -> dict[str, int]:
    return {"x": left, "y": top, "w": width, "h": height}


def _panel(about: Json, kind: str, variables: list[str]) -> Json:
    return {
        "type": _TYPES[kind],
        "title": about["title"],
        "description": f"{about['en']}\n\n{about['vi']}",
        "datasource": _DATASOURCE,
        "targets": [
            _target(chr(ord("A") + index), legend, _filtered(query, variables), kind)
            for index, (legend, query) in enumerate(about["queries"].items())
        ],
        "fieldConfig": {"defaults": _field(about, kind), "overrides": []},
        "options": _options(about, kind),
    }


def _filtered(query: str, variables: list[str]) -> str:
    """The query where only `variables` can be chosen: it takes in all values of the others."""
    for name in ("collector", "forwarder"):
        if name not in variables:
            query = query.replace(f'"${name}"', '".*"')
    return query


def _target(ref: str, legend: str, query: str, kind: str) -> Json:
    moment = {"instant": True, "range": False} if kind == "bars" else {"instant": False, "range": True}
    return {"refId": ref, "datasource": _DATASOURCE, "expr": query, "legendFormat": legend, **moment}


def _field(about: Json, kind: str) -> Json:
    field: Json = {"unit": about.get("unit", "none"), "thresholds": {"mode": "absolute", "steps": _steps(about)}}
    if kind == "graph":
        stacking = {"mode": "normal" if about.get("stacked") else "none", "group": "A"}
        field["custom"] = {
            "fillOpacity": 20 if about.get("stacked") else 5,
            "showPoints": "never",
            "stacking": stacking,
        }
    return field


def _steps(about: Json) -> list[Json]:
    if "bad_below" in about:
        return [{"color": "red", "value": None}, {"color": "green", "value": about["bad_below"]}]
    bad = [{"color": "red", "value": about["bad"]}] if "bad" in about else []
    return [{"color": "green", "value": None}, *bad]


def _options(about: Json, kind: str) -> Json:
    if kind == "graph":
        legend = {"displayMode": "list", "placement": "bottom", "showLegend": True}
        return {"legend": legend, "tooltip": {"mode": "multi", "sort": "desc"}}
    reduced = {"reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False}}
    if kind == "bars":
        return reduced | {"orientation": "horizontal", "displayMode": "gradient", "showUnfilled": True}
    return reduced | {"colorMode": "value", "graphMode": "none", "textMode": "name" if about.get("names") else "auto"}


if __name__ == "__main__":
    for name, text in dashboards().items():
        (HERE / name).write_text(text, "utf-8")
