"""The command: options before and after, exit codes, laziness, and `kinds`."""

import csv
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import click
import pytest
from click.testing import CliRunner, Result
from store_kit import Place, alert, valid

from socmon import __version__, cli
from socmon.cli import Options, main
from socmon.errors import ComponentError, ConfigError


def socmon(*args: str, **env: str | None) -> Result:
    return CliRunner(env={"SOCMON_CONFIG": None, "NO_COLOR": None, **env}).invoke(main, args)


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> Callable[[click.Command], None]:
    """Make a command known as `socmon stand-in`."""

    def known(command: click.Command) -> None:
        module = ModuleType("socmon.cli.stand_in")
        module.command = command  # type: ignore[attr-defined]  # a module made on the spot
        monkeypatch.setitem(sys.modules, "socmon.cli.stand_in", module)
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


def test_looking_at_alerts_imports_nothing_that_the_daemon_alone_needs(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.put(alert(1))
    heavy = [
        "aiohttp",
        "pydantic",
        "sigma",
        "structlog",
        "prometheus_client",
        "asyncio",
        "sqlite_utils",
        "rich",
        "wcwidth",
    ]
    for args in (["alerts", "list"], ["alerts", "tail"], ["alerts", "show", "0"], ["status"]):
        script = (
            "import sys; from socmon.cli import main\n"
            f"try: main(['-c', {str(place.config)!r}, *{args!r}])\n"
            f"except SystemExit: print('imported:', *({set(heavy)!r} & set(sys.modules)))"
        )
        shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
        assert shown.endswith("imported:\n"), args


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
        {"role": "collector", "kind": "http", "package": "socmon"},
        {"role": "collector", "kind": "journald", "package": "socmon"},
        {"role": "collector", "kind": "kafka", "package": "socmon"},
        {"role": "collector", "kind": "mqtt", "package": "socmon"},
        {"role": "collector", "kind": "netflow", "package": "socmon"},
        {"role": "collector", "kind": "packets", "package": "socmon"},
        {"role": "collector", "kind": "pcap", "package": "socmon"},
        {"role": "collector", "kind": "syslog_tcp", "package": "socmon"},
        {"role": "collector", "kind": "syslog_udp", "package": "socmon"},
        {"role": "forwarder", "kind": "file", "package": "socmon"},
        {"role": "forwarder", "kind": "kafka", "package": "socmon"},
        {"role": "forwarder", "kind": "mqtt", "package": "socmon"},
        {"role": "forwarder", "kind": "ncsc", "package": "socmon"},
        {"role": "forwarder", "kind": "syslog", "package": "socmon"},
        {"role": "forwarder", "kind": "webhook", "package": "socmon"},
    ]

    assert [line.split() for line in socmon("kinds").stdout.splitlines()] == [
        ["ROLE", "KIND", "PACKAGE"],
        *[list(row.values()) for row in rows],
    ]
    assert json.loads(socmon("kinds", "-o", "json").stdout) == {"schema": "socmon.kinds/v1", "kinds": rows}
    assert valid(json.loads(socmon("kinds", "-o", "json").stdout), "kinds.v1")
    assert [line.split("  ")[0] for line in socmon("kinds", "--lang", "vi").stdout.splitlines()] == [
        "VAI TRÒ",
        *["nguồn thu"] * sum(row["role"] == "collector" for row in rows),
        *["nơi nhận"] * sum(row["role"] == "forwarder" for row in rows),
    ]
    assert [json.loads(line) for line in socmon("kinds", "-o", "ndjson").stdout.splitlines()] == rows
    assert list(csv.DictReader(io.StringIO(socmon("kinds", "-o", "csv").stdout))) == rows
