"""Completion: what real shells are offered, names from the configuration, and that nothing heavy is imported for it."""

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from store_kit import Place, clean
from terminal_kit import needs_tmux, terminal

from socmon.cli import COMMANDS, main

SHELLS = ("bash", "zsh", "fish")
HEAVY = {"pydantic", "aiohttp", "sigma", "cryptography", "prometheus_client", "structlog", "re2", "rich"}
BIN = Path(sys.executable).parent


def script(shell: str) -> str:
    return CliRunner().invoke(main, ["completion", shell]).stdout


def offered(line: str, *, config: Path | None = None) -> list[str]:
    """What bash is offered at the end of `line`."""
    words = [*shlex.split(line), *([""] if line.endswith(" ") else [])]
    environment = clean() | {"PATH": f"{BIN}:{os.environ['PATH']}"}
    if config:
        environment["SOCMON_CONFIG"] = str(config)
    asked = f"COMP_WORDS=({shlex.join(words)}); COMP_CWORD={len(words) - 1}; _socmon_completion socmon"
    command = ["bash", "--norc", "--noprofile", "-c", f'{script("bash")}\n{asked}; printf "%s\\n" "${{COMPREPLY[@]}}"']
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60, check=True)
    assert done.stderr == ""
    return done.stdout.split()


@pytest.fixture
def place(tmp_path: Path) -> Place:
    place = Place(tmp_path)
    place.config.write_text(
        "state_dir: state\ncollectors: {auth: {kind: file}, edge: {kind: syslog_tcp}}\n"
        "forwarders: {ncsc: {kind: ncsc}, local: {kind: file}}\n"
    )
    return place


def test_commands_options_and_choices_are_offered() -> None:
    assert offered("socmon ") == [*COMMANDS]
    assert offered("socmon sta") == ["status"]
    assert offered("socmon alerts l") == ["list"]
    assert offered("socmon status --w") == ["--watch"]
    assert offered("socmon -o nd") == ["ndjson"]
    assert offered("socmon alerts list --level hi") == ["high", "high+"]
    assert offered("socmon alerts list --status ") == ["open", "acknowledged", "closed", "recurring"]
    assert offered("socmon completion ") == list(SHELLS)


def test_names_of_the_configuration_are_offered(place: Place) -> None:
    assert offered("socmon feed queue ", config=place.config) == ["local", "ncsc"]
    assert offered("socmon logtest --collector e", config=place.config) == ["edge"]
    assert offered(f"socmon -c {place.config} alerts test --to n") == ["ncsc"]


@pytest.mark.parametrize("text", ["collectors: [", None])
def test_a_configuration_that_cannot_be_read_offers_nothing_and_says_nothing(place: Place, text: str | None) -> None:
    if text is None:
        place.config.unlink()
    else:
        place.config.write_text(text)

    assert offered("socmon logtest --collector ", config=place.config) == []


@pytest.mark.parametrize("words", ["socmon ", *(f"socmon {name} --" for name in COMMANDS)])
def test_nothing_heavy_is_imported_to_complete(words: str) -> None:
    code = (
        "import sys; from socmon.cli import main\n"
        "try: main(prog_name='socmon')\n"
        f"except SystemExit: print('imported:', *sorted({HEAVY!r} & set(sys.modules)))"
    )
    line = shlex.split(words) + ([""] if words.endswith(" ") else [])
    told = {"COMP_WORDS": " ".join(line), "COMP_CWORD": str(len(line) - 1), "_SOCMON_COMPLETE": "bash_complete"}

    shown = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=clean() | told, timeout=60, check=True
    ).stdout

    assert shown.splitlines()[:-1]
    assert shown.splitlines()[-1] == "imported:"


@needs_tmux
@pytest.mark.parametrize("shell", SHELLS)
def test_a_real_shell_completes_when_tab_is_pressed(shell: str, tmp_path: Path) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    file = tmp_path / "script"
    file.write_text(script(shell))
    plain = {"bash": ["--norc", "--noprofile"], "zsh": ["-f"], "fish": ["--no-config"]}[shell]
    ready = {"zsh": "autoload -U compinit && compinit -u -D && "}.get(shell, "")
    with terminal() as screen:
        screen.start(
            [shell, *plain, "-i"],
            rows=40,
            PATH=f"{BIN}:{os.environ['PATH']}",
            HOME=str(tmp_path),
            ZDOTDIR=str(tmp_path),
        )
        screen.begun()  # what is typed before it reads keys, a shell may throw away
        screen.typed(f"{ready}source {file} && echo re''ady")
        screen.keys("Enter")
        screen.shows("ready")
        screen.typed("socmon statu")
        screen.keys("Tab")
        screen.shows("socmon status")
        screen.typed("--wat")
        screen.keys("Tab")
        screen.shows("socmon status --watch")
