"""Dashboards and alerting rules as files: generated, whole, explained, and over metrics that exist."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard
from prometheus_kit import (
    FOLDER,
    RULES,
    alerts,
    dashboards,
    metrics_in,
    needs_prometheus,
    queries,
    queries_of_all,
    rules,
)

from socmon import metrics

ROOT = Path(__file__).parents[2]
OPERATIONS = ROOT / "docs" / "operations.md"
# "Standard options, Unit" of Grafana; none is for 0 and 1.
UNITS = {"none", "short", "cps", "Bps", "pps", "bytes", "s", "percentunit", "dtdurations", "dateTimeFromNow"}
each_dashboard = pytest.mark.parametrize("dashboard", dashboards().values(), ids=list(dashboards()))


def panels(dashboard: dict[str, Any]) -> list[dict[str, Any]]:
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def promtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["promtool", *arguments], capture_output=True, text=True, timeout=100, check=False)


def test_the_dashboards_are_current(tmp_path: Path) -> None:
    for name in ("generate.py", "panels.yml"):
        (tmp_path / name).write_bytes((FOLDER / name).read_bytes())

    subprocess.run([sys.executable, str(tmp_path / "generate.py")], check=True, timeout=60)

    made = {path.name: path.read_text("utf-8") for path in tmp_path.glob("*.json")}
    assert made == {path.name: path.read_text("utf-8") for path in FOLDER.glob("*.json")}, "run make docs"


def test_every_panel_is_on_a_dashboard() -> None:
    source = yaml.safe_load((FOLDER / "panels.yml").read_text("utf-8"))

    shown = {name for each in source["dashboards"].values() for row in each["rows"].values() for name in row}

    assert shown == source["panels"].keys()


@each_dashboard
def test_a_dashboard_can_be_imported_anywhere(dashboard: dict[str, Any]) -> None:
    variables = [each["name"] for each in dashboard["templating"]["list"]]
    used = {name for _, query in raw_queries(dashboard) for name in re.findall(r"\$(\w+)", query)}

    assert re.fullmatch(r"socmon-[a-z]+", dashboard["uid"])
    assert "id" not in dashboard  # Grafana gives one
    assert variables[0] == "datasource"
    assert {panel["datasource"]["uid"] for panel in panels(dashboard)} == {"${datasource}"}
    assert used - {"__rate_interval", "__range"} == {*variables} - {"datasource"}


def raw_queries(dashboard: dict[str, Any]) -> list[tuple[str, str]]:
    return [(panel["title"], target["expr"]) for panel in panels(dashboard) for target in panel["targets"]]


def unknown(ours: Any, grafanas: Any, path: str = "") -> list[str]:
    """Where `ours` says what `grafanas` does not."""
    if isinstance(ours, dict):
        there = grafanas if isinstance(grafanas, dict) else {}
        return [each for key, value in ours.items() for each in unknown(value, there.get(key), f"{path}/{key}")]
    if isinstance(ours, list) and isinstance(grafanas, list) and len(ours) == len(grafanas):
        return [each for one, other in zip(ours, grafanas, strict=True) for each in unknown(one, other, path)]
    return [] if ours == grafanas else [f"{path}: {ours!r}"]


@each_dashboard
def test_grafanas_own_model_knows_all_of_a_dashboard(dashboard: dict[str, Any]) -> None:
    register_default_plugins()

    read = json.loads(json.dumps(Dashboard.from_json(dashboard), cls=JSONEncoder))

    assert unknown(dashboard, read) == []


@each_dashboard
def test_a_panel_has_its_unit_and_is_explained_in_both_languages(dashboard: dict[str, Any]) -> None:
    for panel in panels(dashboard):
        english, vietnamese = panel["description"].split("\n\n")
        assert panel["fieldConfig"]["defaults"]["unit"] in UNITS, panel["title"]
        assert english.endswith("."), panel["title"]
        assert not vietnamese.isascii(), panel["title"]


@each_dashboard
def test_panels_do_not_lie_over_each_other(dashboard: dict[str, Any]) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= 24
        taken |= cells
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(set(ids)) == len(ids)


def test_only_metrics_that_exist_are_asked_for() -> None:
    exist = {each.name for each in metrics.declared()} | {"up"}
    asked = {name for *_, query in queries_of_all() for name in metrics_in(query)}
    asked |= {name for rule in rules() for name in metrics_in(rule["expr"])}
    ours = {name for name in asked if not name.startswith("process_")}

    assert ours <= exist


def test_every_metric_of_ours_is_on_a_dashboard() -> None:
    shown = {name for *_, query in queries_of_all() for name in metrics_in(query)}

    unseen = {each.name for each in metrics.declared()} - shown

    # Their rates say the same as those of the collectors.
    assert unseen == {"socmon_journal_records_total", "socmon_journal_bytes_total"}


@each_dashboard
def test_variables_are_replaced_in_all_queries(dashboard: dict[str, Any]) -> None:
    assert [query for _, query in queries(dashboard) if "$" in query] == []


# ── alerting rules ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_every_alert_says_what_to_do_and_where_more_stands() -> None:
    text = OPERATIONS.read_text("utf-8")
    headings = {
        re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        for heading in re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    }

    for name, alert in alerts().items():
        page, _, heading = alert["annotations"]["runbook"].partition("#")
        assert alert["labels"]["severity"] in {"critical", "warning"}, name
        assert alert["annotations"]["summary"], name
        assert alert["annotations"]["description"].endswith("."), name
        assert page == "docs/operations.md", name
        assert heading in headings, name


def test_alerts_of_the_rules_and_of_the_page_are_the_same() -> None:
    explained = re.findall(r"^\| `(Socmon\w+)` \| (\w+) \|", OPERATIONS.read_text("utf-8"), re.MULTILINE)

    assert explained == [(name, alert["labels"]["severity"]) for name, alert in alerts().items()]


def test_labels_of_alerts_are_bounded() -> None:
    known = {"instance", "component", "reason", "rule", "source", "le"}

    grouped = {
        name
        for rule in rules()
        for labels in re.findall(r"\bby \(([^)]*)\)", rule["expr"])
        for name in labels.split(", ")
    }

    assert grouped <= known


def test_every_alert_is_tested_where_it_fires_and_where_it_does_not() -> None:
    tests = yaml.safe_load(RULES.with_name("rules.test.yml").read_text("utf-8"))["tests"]
    fires = {each["name"].split(":")[0] for each in tests if each["promql_expr_test"][-1]["exp_samples"]}
    well = {
        each["name"].split(":")[0] for each in tests if any("well" in one["series"] for one in each["input_series"])
    }

    assert fires == well == {*alerts()}


@needs_prometheus
def test_rules_and_their_tests_pass_promtool() -> None:
    checked = promtool("check", "rules", str(RULES))
    tested = promtool("test", "rules", str(RULES.with_name("rules.test.yml")))
    example = promtool("check", "config", str(RULES.with_name("prometheus.example.yml")))

    assert checked.returncode == 0, checked.stderr
    assert tested.returncode == 0, tested.stdout + tested.stderr
    assert example.returncode == 0, example.stderr
