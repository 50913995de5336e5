"""The command: options before and after, exit codes, laziness, `check` and `kinds`."""

import csv
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from socmon import __version__, cli
from socmon.cli import Options, main
from socmon.errors import ComponentError, ConfigError
from socmon.resources import shipped

RULE = """\
title: Someone was here
id: 9f2c1c52-4d0e-4b8e-9d1e-0c7c7c7b1a01
logsource: {product: linux, service: sshd}
detection:
  selection: {outcome: failure}
  condition: selection
level: low
"""


def socmon(*args: str, **env: str | None) -> Result:
    return CliRunner(env={"SOCMON_CONFIG": None, "NO_COLOR": None, **env}).invoke(main, args)


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> Callable[[click.Command], None]:
    """Make a command known as `socmon stand-in`."""

    def known(command: click.Command) -> None:
        module = ModuleType("socmon.cli.stand-in")
        module.command = command  # type: ignore[attr-defined]  # a module made on the spot
        monkeypatch.setitem(sys.modules, "socmon.cli.stand-in", module)
        monkeypatch.setattr(cli, "COMMANDS", {**cli.COMMANDS, "stand-in": "Stand in."})

    return known


@pytest.fixture
def seen(stand_in: Callable[[click.Command], None]) -> list[Options]:
    """The options that `socmon stand-in` was called with."""
    got: list[Options] = []
    stand_in(click.Command("stand-in", callback=click.pass_obj(got.append)))
    return got


def failing(error: BaseException) -> click.Command:
    def fail() -> None:
        raise error

    return click.Command("stand-in", callback=fail)


def test_help_lists_every_command_and_imports_none() -> None:
    heavy = ["aiohttp", "pydantic", "yaml", "sigma", "structlog", "prometheus_client", "msgspec", "sqlite3", "asyncio"]
    script = (
        "import sys; from socmon.cli import main\n"
        "try: main(['--help'])\n"
        f"except SystemExit: print('imported:', *({set(heavy)!r} & set(sys.modules)))"
    )

    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout

    assert [line.split()[0] for line in shown.partition("Commands:\n")[2].splitlines() if line.startswith("  ")] == [
        *cli.COMMANDS
    ]
    assert shown.endswith("imported:\n")


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_of_the_table_exists_and_explains_itself(name: str) -> None:
    result = socmon(name, "--help")

    assert result.exit_code == 0
    assert result.stdout.startswith(f"Usage: socmon {name} [OPTIONS]")


def test_module_runs_like_the_command() -> None:
    done = subprocess.run([sys.executable, "-m", "socmon", "--version"], capture_output=True, text=True, check=True)

    assert done.stdout == f"socmon {__version__}\n"


@pytest.mark.parametrize(
    "args",
    [
        ["-c", "/x.yaml", "-o", "json", "--color", "never", "-q", "-vv", "stand-in"],
        ["stand-in", "-c", "/x.yaml", "-o", "json", "--color", "never", "-q", "-vv"],
        ["-o", "csv", "-q", "--color", "never", "stand-in", "-o", "json", "-c", "/x.yaml", "-vv"],
    ],
)
def test_global_options_may_stand_before_and_after_the_command(args: list[str], seen: list[Options]) -> None:
    result = socmon(*args)

    assert (result.exit_code, seen) == (0, [Options(Path("/x.yaml"), "json", "never", quiet=True, verbose=2)])


def test_options_have_defaults(seen: list[Options]) -> None:
    socmon("stand-in")

    assert seen == [Options(Path("/etc/socmon/config.yaml"), "human", "auto", quiet=False, verbose=0)]


def test_configuration_is_named_by_option_then_environment(seen: list[Options]) -> None:
    socmon("stand-in", SOCMON_CONFIG="/env.yaml")
    socmon("-c", "/before.yaml", "stand-in", SOCMON_CONFIG="/env.yaml")
    socmon("stand-in", "-c", "/after.yaml", SOCMON_CONFIG="/env.yaml")

    assert [str(options.config) for options in seen] == ["/env.yaml", "/before.yaml", "/after.yaml"]


def test_commands_of_a_group_take_the_global_options_too(stand_in: Callable[[click.Command], None]) -> None:
    got: list[str] = []

    @click.command()
    @click.option("-o", "--out")
    @click.pass_obj
    def gen(options: Options, out: str) -> None:
        got.extend([str(options.config), options.output, out])

    stand_in(click.Group("stand-in", commands={"gen": gen}))

    result = socmon("-o", "json", "stand-in", "gen", "-o", "here", "-c", "/x.yaml")

    assert (result.exit_code, got) == (0, ["/x.yaml", "json", "here"])


@pytest.mark.parametrize(
    ("args", "env", "colored"),
    [
        (["--color", "always"], None, True),
        (["--color", "always"], "1", True),
        (["--color", "never"], None, False),
        ([], "1", False),
        ([], "", None),
        ([], None, None),
    ],
)
def test_color_follows_option_and_no_color(
    args: list[str], env: str | None, colored: bool | None, stand_in: Callable[[click.Command], None]
) -> None:
    got: list[bool | None] = []

    def look() -> None:
        got.append(click.get_current_context().color)

    stand_in(click.Command("stand-in", callback=look))

    socmon(*args, "stand-in", NO_COLOR=env)
    socmon("stand-in", *args, NO_COLOR=env)

    assert got == [colored, colored]


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (ConfigError(["a.yaml:1: x", "a.yaml:2: y"]), 78, "socmon: a.yaml:1: x\nsocmon: a.yaml:2: y\n"),
        (ComponentError("the port is taken"), 1, "socmon: the port is taken\n"),
        (
            PermissionError(13, "Permission denied", "/var/log/auth.log"),
            77,
            "socmon: /var/log/auth.log: permission denied; run as user socmon, or give this user the right\n",
        ),
        (KeyboardInterrupt(), 130, "\nsocmon: aborted\n"),
        (click.Abort(), 1, "socmon: aborted\n"),
        (click.exceptions.Exit(7), 7, ""),
        (
            KeyError("\x1b[1m"),
            70,
            "socmon: KeyError: '\\x1b[1m'; this is a bug of socmon, run it again with -v and report what it prints\n",
        ),
    ],
)
def test_error_becomes_its_exit_code(
    error: BaseException, code: int, said: str, stand_in: Callable[[click.Command], None]
) -> None:
    stand_in(failing(error))

    result = socmon("stand-in")

    assert (result.exit_code, result.stderr, result.stdout) == (code, said, "")


def test_bug_shows_its_traceback_only_when_asked(stand_in: Callable[[click.Command], None]) -> None:
    stand_in(failing(ZeroDivisionError("by zero")))

    result = socmon("stand-in", "-v")

    assert result.exit_code == 70
    assert result.stderr.startswith("Traceback (most recent call last):\n")
    assert result.stderr.endswith("socmon: ZeroDivisionError: by zero; this is a bug of socmon, report it\n")


def test_what_a_command_returns_is_its_exit_code(stand_in: Callable[[click.Command], None]) -> None:
    stand_in(click.Command("stand-in", callback=lambda: 5))

    assert socmon("stand-in").exit_code == 5


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["chek"], "Did you mean 'check'?"),
        (["-o", "xml", "check"], "'xml' is not one of"),
        (["check", "--nope"], "--nope"),
    ],
)
def test_wrong_usage_exits_with_2(args: list[str], said: str) -> None:
    result = socmon(*args)

    assert result.exit_code == 2
    assert said in result.stderr


def test_reader_that_goes_away_is_no_error_to_speak_of() -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)

    with os.fdopen(write_end, "wb") as gone:
        done = subprocess.run(
            [sys.executable, "-m", "socmon", "kinds"], stdout=gone, stderr=subprocess.PIPE, text=True, check=False
        )

    assert done.stderr == ""


def test_kinds_are_listed_in_every_form() -> None:
    rows = [
        {"role": "collector", "kind": "file", "package": "socmon"},
        {"role": "forwarder", "kind": "file", "package": "socmon"},
        {"role": "forwarder", "kind": "ncsc", "package": "socmon"},
    ]

    assert [line.split() for line in socmon("kinds").stdout.splitlines()] == [
        ["ROLE", "KIND", "PACKAGE"],
        *[list(row.values()) for row in rows],
    ]
    assert json.loads(socmon("kinds", "-o", "json").stdout) == {"schema": "socmon.kinds/v1", "kinds": rows}
    assert [json.loads(line) for line in socmon("kinds", "-o", "ndjson").stdout.splitlines()] == rows
    assert list(csv.DictReader(io.StringIO(socmon("kinds", "-o", "csv").stdout))) == rows


def configured(folder: Path, **more: str) -> Path:
    """A configuration in which nothing is wrong."""
    (folder / "auth.log").touch()
    (folder / "alerts").touch()
    (folder / "rules").mkdir()
    (folder / "rules" / "one.yml").write_text(RULE)
    parts = {
        "state_dir": f"{folder}/state",
        "collectors": f"{{auth: {{kind: file, paths: [{folder}/auth.log]}}}}",
        "forwarders": "{out: {kind: file, path: alerts}}",
        "rules": "{paths: [rules], shipped: false}",
        **more,
    }
    path = folder / "config.yaml"
    path.write_text("".join(f"{name}: {value}\n" for name, value in parts.items()))
    return path


def checked(path: Path) -> tuple[int, dict[str, Any]]:
    result = socmon("check", "-c", str(path), "-o", "json")
    return result.exit_code, json.loads(result.stdout)


def test_check_of_what_is_right_says_ok_and_changes_nothing(tmp_path: Path) -> None:
    path = configured(tmp_path)
    before = sorted(tmp_path.rglob("*"))

    result = socmon("check", "-c", str(path))

    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == f"{path}: ok, 1 collector, 1 rule, 1 forwarder\n"
    assert sorted(tmp_path.rglob("*")) == before


def test_check_in_json_counts_what_it_found(tmp_path: Path) -> None:
    assert checked(configured(tmp_path)) == (
        0,
        {
            "schema": "socmon.check/v1",
            "ok": True,
            "collectors": ["auth"],
            "forwarders": ["out"],
            "rules": 1,
            "problems": [],
            "warnings": [],
        },
    )


def test_check_tells_every_problem_of_the_configuration(tmp_path: Path) -> None:
    path = configured(tmp_path, http="{prot: 1}", log="{level: loud}")

    result = socmon("check", "-c", str(path))

    assert result.exit_code == 78
    assert "http.prot: unknown key; did you mean 'port'?" in result.stderr
    assert "log.level: input should be 'debug'" in result.stderr
    assert result.stderr.endswith(f"{path}: 2 to be mended\n")


def test_check_warns_of_a_bad_rule_with_its_line(tmp_path: Path) -> None:
    path = configured(tmp_path)
    (tmp_path / "rules" / "two.yml").write_text(RULE.replace("condition: selection", "condition: selektion"))

    code, found = checked(path)

    assert (code, found["rules"]) == (0, 1)
    assert any(warning.startswith(f"rule refused: {tmp_path}/rules/two.yml:") for warning in found["warnings"])


def test_check_warns_of_what_is_not_there_yet(tmp_path: Path) -> None:
    path = configured(
        tmp_path,
        collectors="{auth: {kind: file, paths: [/none/*.log]}}",
        forwarders=(
            "{out: {kind: ncsc, url: 'https://x', ca: alerts, cert: c.pem, key: 'credential:k', org_id: 000.00.00.H07}}"
        ),
        rules="{shipped: false}",
    )

    code, found = checked(path)

    assert (code, found["problems"]) == (0, [])
    assert [warning.split("; ")[0] for warning in found["warnings"]] == [
        "rules: none is loaded, nothing will be detected",
        "collectors.auth.paths: /none/*.log does not exist (yet)",
        f"forwarders.out.cert: {tmp_path}/c.pem does not exist (yet)",
        "forwarders.out.key: credential:k: this process has no $CREDENTIALS_DIRECTORY",
    ]


def test_check_warns_when_nothing_comes_in_or_goes_out(tmp_path: Path) -> None:
    code, found = checked(configured(tmp_path, collectors="{}", forwarders="{}"))

    assert code == 0
    assert found["warnings"] == [
        "collectors: none is configured; see section `collectors`",
        "forwarders: none is configured; see section `forwarders`",
    ]


def test_check_refuses_a_state_folder_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "taken").touch()

    code, found = checked(configured(tmp_path, state_dir="taken/state"))

    assert (code, found["problems"]) == (78, [f"state_dir: {tmp_path}/taken is no folder; name another one"])


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read and write everything")
def test_check_refuses_what_this_user_may_not_touch(tmp_path: Path) -> None:
    path = configured(tmp_path, state_dir="locked/state")
    (tmp_path / "locked").mkdir(mode=0o500)
    (tmp_path / "auth.log").chmod(0)

    code, found = checked(path)

    assert code == 78
    assert found["problems"][0].startswith(
        f"state_dir: this user may not make {tmp_path}/locked/state in {tmp_path}/locked"
    )
    assert found["problems"][1].startswith(f"collectors.auth.paths: this user may not read {tmp_path}/auth.log")


def test_check_of_the_shipped_example_finds_no_mistake_in_it() -> None:
    code, found = checked(shipped("config.example.yaml"))

    assert [problem for problem in found["problems"] if not problem.startswith("state_dir: this user may not")] == []
    assert found["collectors"] == ["auth"]
    assert code in {0, 78}
