"""Where what rule files state is kept: of the daemon in its state directory, of commands with whoever runs them."""

import os
from pathlib import Path

import pytest
from click.testing import CliRunner
from rule_cache_kit import tree
from structlog.testing import capture_logs

from socmon.cli import main
from socmon.config import load
from socmon.detection import load_detection, tell_refused


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "state").mkdir()
    tree(tmp_path / "rules")
    config = tmp_path / "config.yaml"
    config.write_text(f"state_dir: {tmp_path}/state\nrules: {{shipped: false, paths: [rules]}}\n")
    return config


def kept(folder: Path) -> list[str]:
    return [file.name for file in folder.glob("rules-*.cache")]


def test_the_daemon_keeps_it_in_its_state_directory_where_its_users_commands_find_it(config: Path) -> None:
    load_detection(load(config))
    before = kept(config.parent / "state" / "cache")

    for command in (["check"], ["rules", "list"], ["rules", "test"]):
        CliRunner().invoke(main, ["-c", str(config), *command])

    assert len(before) == 1
    assert kept(config.parent / "state" / "cache") == before


def test_a_check_makes_no_state_directory(config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "state").rmdir()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))

    CliRunner().invoke(main, ["-c", str(config), "check"])

    assert not (tmp_path / "state").exists()
    assert len(kept(tmp_path / "home" / "socmon")) == 1


def test_the_daemon_tells_of_a_cache_that_others_could_have_written(config: Path) -> None:
    told = []
    folder = config.parent / "state" / "cache"
    load_detection(load(config))
    (folder / kept(folder)[0]).chmod(0o666)
    for _ in range(2):
        with capture_logs() as logged:
            tell_refused(load_detection(load(config)))
        told.append([line["cache"] for line in logged if line["event"].startswith("cache of rules not used")])

    first, second = told
    assert first == [f"{folder / kept(folder)[0]}: others may write to it"]
    assert second == []  # it was written anew


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_command_of_root_leaves_nothing_in_the_state_of_the_daemons_user(config: Path) -> None:
    os.chown(config.parent / "state", 65534, 65534)

    CliRunner().invoke(main, ["-c", str(config), "rules", "list"])

    assert list((config.parent / "state").iterdir()) == []
