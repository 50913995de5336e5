"""Kinds through entry points."""

import sys
from pathlib import Path

import pytest
import standin

from socmon import registry
from socmon.component import Forwarder
from socmon.errors import ConfigError


def test_kinds_are_listed_without_importing_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    standin.install(tmp_path, monkeypatch)

    assert registry.kinds("socmon.collectors") == [
        *(
            "file",
            "http",
            "journald",
            "kafka",
            "mqtt",
            "netflow",
            "packets",
            "pcap",
            "pigeon",
            "syslog_tcp",
            "syslog_udp",
        ),
    ]
    assert registry.kinds("socmon.forwarders") == ["file", "kafka", "mqtt", "ncsc", "syslog", "webhook"]
    assert "pigeons" not in sys.modules


def test_kind_is_its_class() -> None:
    assert issubclass(registry.find("socmon.forwarders", "file"), Forwarder)


def test_kind_of_another_package_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    standin.install(tmp_path, monkeypatch)

    assert registry.find("socmon.collectors", "pigeon").__name__ == "PigeonCollector"


def test_unknown_kind_is_told_with_what_may_be_meant() -> None:
    with pytest.raises(ConfigError, match="no kind of forwarders is called 'nscs'; did you mean 'ncsc'"):
        registry.find("socmon.forwarders", "nscs")


@pytest.mark.parametrize(
    ("source", "entry", "problem"),
    [
        (
            "import no_such_module_x",
            "pigeon = pigeons:Pigeon",
            "needs the Python module 'no_such_module_x'; install it into",
        ),
        (
            "from os import no_such_name",
            "pigeon = pigeons:Pigeon",
            "cannot be imported from pigeons:Pigeon: .*no_such_name",
        ),
        ("", "pigeon = pigeons:Pigeon", "cannot be imported from pigeons:Pigeon: .*install pigeons-dist again"),
        ("class Pigeon: ...", "pigeon = pigeons:Pigeon", "of pigeons-dist is no Collector with a settings_type"),
        (standin.COLLECTOR, "pigeon = pigeons:PigeonSettings", "of pigeons-dist is no Collector with a settings_type"),
    ],
)
def test_kind_that_cannot_be_loaded_is_a_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, entry: str, problem: str
) -> None:
    standin.install(tmp_path, monkeypatch, source=source, entry=entry)

    with pytest.raises(ConfigError, match=problem):
        registry.find("socmon.collectors", "pigeon")


def test_kind_that_two_packages_claim_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    standin.install(tmp_path, monkeypatch, entry="file = pigeons:PigeonCollector")

    with pytest.raises(
        ConfigError, match="kind 'file' of collectors is provided by pigeons-dist and socmon; uninstall all"
    ):
        registry.find("socmon.collectors", "file")


def test_nothing_shadows_our_packages_here() -> None:
    assert registry.shadowed() == []


def test_distribution_that_brings_a_package_of_our_name_is_warned_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    standin.install(tmp_path, monkeypatch, module="forwarders", source="", group="other.group")

    assert registry.shadowed() == [
        (
            "the Python package 'forwarders' of socmon is also provided by forwarders-dist; "
            "install socmon into a virtual environment of its own"
        )
    ]


def test_package_of_our_name_found_first_is_warned_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "collectors").mkdir()
    (tmp_path / "collectors" / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "collectors", raising=False)

    (warning,) = registry.shadowed()

    assert f"'collectors' of socmon is also provided by {tmp_path}" in warning
