"""The dashboards and rules that ship, read as Prometheus and Grafana read them; and a Prometheus of one's own."""

import json
import re
import socket
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from shutil import which
from typing import Any

import pytest
import yaml

from socmon.resources import shipped

FOLDER = shipped("dashboards")
RULES = FOLDER / "prometheus" / "rules.yml"

needs_prometheus = pytest.mark.skipif(
    which("prometheus") is None or which("promtool") is None, reason="the programs of prometheus are not installed"
)

_TRIES = 5  # another process may take the port that was free a moment ago
_STARTS_S = 30.0
# What Grafana puts in the place of its variables.
_VARIABLES = {"$__rate_interval": "5m", "$__range": "5m", "$instance": ".*", "$collector": ".*", "$forwarder": ".*"}
_METRIC = re.compile(r"\b(?:socmon_[a-z0-9_]+|process_[a-z_]+|up)\b")


def dashboards() -> dict[str, Any]:
    """File name → dashboard."""
    return {path.name: json.loads(path.read_text("utf-8")) for path in sorted(FOLDER.glob("*.json"))}


def queries(dashboard: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """(panel's title, PromQL) of each query, with values for the variables."""
    for panel in dashboard["panels"]:
        for target in panel.get("targets", ()):
            query = target["expr"]
            for name, chosen in _VARIABLES.items():
                query = query.replace(name, chosen)
            yield panel["title"], query


def queries_of_all() -> list[tuple[str, str, str]]:
    """(file, panel's title, PromQL) of each query of each dashboard."""
    return [(file, title, query) for file, each in dashboards().items() for title, query in queries(each)]


def rules() -> list[dict[str, Any]]:
    """Recording and alerting rules."""
    return [rule for group in yaml.safe_load(RULES.read_text("utf-8"))["groups"] for rule in group["rules"]]


def alerts() -> dict[str, dict[str, Any]]:
    """The alerting rules by name."""
    return {rule["alert"]: rule for rule in rules() if "alert" in rule}


def metrics_in(query: str) -> set[str]:
    """Names of the metrics that a query reads; of a histogram, its own name."""
    return {re.sub(r"_(bucket|sum|count)$", "", name) for name in _METRIC.findall(query)}


class Prometheus:
    """A Prometheus process that scrapes `target` every other second and evaluates the shipped rules.

    A page that a slow machine does not make in time would leave no series, and the target down.
    """

    def __init__(self, root: Path, target: str) -> None:
        root.mkdir()
        self._root = root
        self._config = root / "prometheus.yml"
        self._config.write_text(
            json.dumps(
                {
                    "global": {"scrape_interval": "2s", "scrape_timeout": "2s", "evaluation_interval": "1s"},
                    "rule_files": [str(RULES)],
                    "scrape_configs": [{"job_name": "socmon", "static_configs": [{"targets": [target]}]}],
                }
            )
        )
        self.url = ""
        self.process = self._start()

    def _start(self) -> "subprocess.Popen[bytes]":
        for attempt in range(_TRIES):
            with socket.create_server(("127.0.0.1", 0)) as free:
                address = f"127.0.0.1:{free.getsockname()[1]}"
            self.url = f"http://{address}"
            command = ["prometheus", f"--config.file={self._config}", f"--web.listen-address={address}"]
            command += [f"--storage.tsdb.path={self._root / f'data{attempt}'}", "--log.level=warn"]
            with (self._root / "prometheus.log").open("ab") as log:
                process = subprocess.Popen(command, stdout=log, stderr=log)
            if self._ready(process):
                return process
            process.kill()
            process.wait(10)
        raise AssertionError((self._root / "prometheus.log").read_text())

    def _ready(self, process: "subprocess.Popen[bytes]") -> bool:
        deadline = time.monotonic() + _STARTS_S
        while time.monotonic() < deadline and process.poll() is None:
            try:
                with urllib.request.urlopen(f"{self.url}/-/ready", timeout=2) as answer:
                    if answer.status == 200:
                        return True
            except OSError:
                time.sleep(0.05)
        return False

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The series that an instant query finds now; an invalid one raises HTTPError."""
        found: list[dict[str, Any]] = self._get("query", query=expression)["result"]
        return found

    def values(self, expression: str) -> list[float]:
        """What `query` finds, without labels; NaN, which Grafana does not draw, is left out."""
        numbers = [float(series["value"][1]) for series in self.query(expression)]
        return [number for number in numbers if number == number]  # noqa: PLR0124  NaN is not equal to itself

    def rules(self) -> list[dict[str, Any]]:
        """The loaded rules, with their health."""
        return [rule for group in self._get("rules")["groups"] for rule in group["rules"]]

    def stop(self) -> None:
        """End the process."""
        self.process.terminate()
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(10)

    def _get(self, path: str, **parameters: str) -> Any:
        address = f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(address, timeout=10) as answer:
            return json.loads(answer.read())["data"]


@contextmanager
def prometheus_in(root: Path, target: str) -> Iterator[Prometheus]:
    """A Prometheus that is ended whatever happens."""
    prometheus = Prometheus(root, target)
    try:
        yield prometheus
    finally:
        prometheus.stop()
