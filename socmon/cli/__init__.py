"""The command `socmon`: global options, sub-commands imported only when used, one table of exit codes.

A command is the attribute `command` of `socmon.cli.NAME` (- is _); it may return its exit code, and gets Options by
`click.pass_obj`. Exit codes: 0 ok, 1 ran and found problems, 2 usage, 4 daemon unreachable, 5 not found, 6 not allowed,
7 partly done, 8 the centre refused, 70 bug, 77 privilege missing, 78 configuration invalid (70, 77 and 78 as in
sysexits.h), 130 interrupted, 141 nobody reads the result any more (as a shell reports SIGPIPE).
"""

import errno
import io
import os
import select
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from socmon import __version__
from socmon.errors import ConfigError, NotFoundError, SocmonError
from socmon.i18n import LANGS, Lang, Translator, language, mark, translator
from socmon.text import printable

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from click.shell_completion import CompletionItem

PROBLEMS = 1
USAGE = 2
UNREACHABLE = 4
NOT_FOUND = 5
NOT_ALLOWED = 6
PARTLY = 7
REFUSED = 8
BUG = 70
NO_PRIVILEGE = 77
BAD_CONFIG = 78
INTERRUPTED = 130
READER_GONE = 141

COMMANDS: Mapping[str, str] = {
    "run": "Run the daemon in the foreground.",
    "status": "Say whether all is well: daemon, ledger, alerts, deliveries.",
    "alerts": "Look at alerts, triage them, and test their way.",
    "sources": "List where logs come from: last heard, silent, clock off.",
    "tail": "Follow alerts as they come (= alerts tail -f).",
    "logtest": "Show what a log line becomes, and which rules match or miss.",
    "config": "Show the whole configuration and its schema, or reload it.",
    "check": "Check configuration, rules and secrets; change nothing.",
    "parse": "Show what the parsers make of log lines.",
    "show-packet": "Show one packet of a capture file, taken apart.",
    "feed": "Show the outbox; approve, withdraw, retry, drop, pause.",
    "db": "Back up, restore and verify the store; prune it.",
    "report": "Report an incident on paper, when the feed is down.",
    "replay": "Run old logs through the rules and show the alerts.",
    "rules": "List the rules, and run the test cases beside them.",
    "keys": "Make keys and certificates for the feed.",
    "ncsc": "Run the simulated national centre; say who may send.",
    "demo": "Show all of it at work on this machine.",
    "unit": "Show or write the units for systemd.",
    "kinds": "List the kinds of collectors and forwarders.",
    "completion": "Print the script by which bash, zsh or fish completes.",
}

ALIASES: Mapping[str, str] = {"explain": "logtest", "validate": "check"}


class CommandError(SocmonError):
    """A command could not do what it was asked.

    Attributes:
        code: the exit code, from the table above.
    """

    def __init__(self, message: str, code: int) -> None:
        self.code = code
        super().__init__(message)


Output = Literal["human", "json", "ndjson", "csv"]


@dataclass(slots=True)
class Options:
    """What the global options say, for every command.

    Attributes:
        verbose: how often -v was given.
        lang: None leaves it to the environment.
        zone: of the times that people are shown; None is this machine's.
    """

    config: Path = Path("/etc/socmon/config.yaml")
    output: Output = "human"
    color: Literal["auto", "always", "never"] = "auto"
    quiet: bool = False
    verbose: int = 0
    lang: Lang | None = None
    zone: "ZoneInfo | None" = None

    @property
    def tr(self) -> Translator:
        """Says texts in the reader's language."""
        return translator(self.lang or language(os.environ))

    @property
    def colored(self) -> bool | None:
        """Whether to colour; None leaves it to whether the stream is a terminal, as `click.Context.color` does."""
        if self.color == "auto":
            return False if os.environ.get("NO_COLOR") else None
        return self.color == "always"


class Socmon(click.Group):
    """The top command: finds sub-commands by name, and turns every error into its exit code."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  click's signature
        """In the order of the table: what is used daily comes first."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002  click's signature
        """Import a command and give it the global options too, so that they may stand after it."""
        name = ALIASES.get(cmd_name, cmd_name)
        if name not in COMMANDS:
            return None
        command = import_module(f"socmon.cli.{name.replace('-', '_')}").command
        _add_options(command)
        return command  # type: ignore[no-any-return]  # a module imported by name has no types

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does it, with suggestions from the table."""
        try:
            return super().resolve_command(ctx, args)
        except click.NoSuchCommand as error:
            raise click.NoSuchCommand(error.command_name, possibilities=COMMANDS, ctx=ctx) from None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002  click's
        """From the table: help must not import what it lists."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list["CompletionItem"]:
        """From the table, as help: a shell asks at each press of a key."""
        from click.shell_completion import CompletionItem

        names = [CompletionItem(name, help=text) for name, text in COMMANDS.items() if name.startswith(incomplete)]
        return names + click.Command.shell_complete(self, ctx, incomplete)

    def invoke(self, ctx: click.Context) -> Any:
        """As click does it; but a reader that went away is told apart, which click would call failure."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            raise _ReaderGoneError if reader_gone() else error from error

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run, and exit with the code of the table above; `standalone_mode` is always on."""
        options = kwargs.setdefault("obj", None) or Options()
        kwargs |= {"obj": options, "standalone_mode": False}
        _let_everything_be_written()
        try:
            code = super().main(*args, **kwargs)
            sys.stdout.flush()  # here, where a full disk can still be told
        except Exception as error:  # noqa: BLE001  the outermost place: whatever it is, it needs an exit code
            code = explain(error, options)
            if isinstance(error, OSError | _ReaderGoneError):
                _abandon_output()
        sys.exit(code if isinstance(code, int) else 0)


class _ReaderGoneError(Exception):
    """Whoever read the result has seen enough, as `head` does."""


def explain(error: Exception, options: Options) -> int:
    """Say on standard error what happened, and return the exit code for it."""
    tr = options.tr
    if isinstance(error, _ReaderGoneError) or (isinstance(error, BrokenPipeError) and reader_gone()):
        return READER_GONE
    match error:
        case click.ClickException():
            error.show()
            return error.exit_code
        case click.Abort():
            _complain(tr("aborted"))
            return INTERRUPTED if isinstance(error.__cause__, KeyboardInterrupt) else PROBLEMS
        case ConfigError():
            for problem in error.problems:
                _complain(problem)
            return BAD_CONFIG
        case CommandError():
            text, code = tr(error.args[0]), error.code
        case SocmonError():
            # What it was raised with: str() of it would not know its translation.
            text = tr(error.args[0]) if error.args else ""
            code = NOT_FOUND if isinstance(error, NotFoundError) else PROBLEMS
        case PermissionError():
            what = error.filename or error
            text = tr("{what}: permission denied; run as user socmon, or give this user the right", what=what)
            code = NO_PRIVILEGE
        case OSError(errno=errno.ENOSPC):
            text = tr("cannot write the result: no space left on device; free some, or write it elsewhere")
            code = PROBLEMS
        case _:
            return _report_bug(error, verbose=options.verbose > 0)
    _complain(text)
    return code


def _report_bug(error: Exception, *, verbose: bool) -> int:
    if verbose:
        import traceback

        click.echo("".join(traceback.format_exception(error)), err=True, nl=False)
    remedy = "report it" if verbose else "run it again with -v and report what it prints"
    _complain(f"{type(error).__name__}: {str(error)[:500]}; this is a bug of socmon, {remedy}")
    return BUG


def reader_gone() -> bool:
    """Whether standard output is a pipe that nobody reads any more; a pipe that broke elsewhere is another matter."""
    try:
        watch = select.poll()
        watch.register(sys.stdout.fileno(), 0)
        return any(event & select.POLLERR for _, event in watch.poll(0))
    except (OSError, ValueError):  # standard output may be no file
        return False


def _let_everything_be_written() -> None:
    """A terminal that knows ASCII only shows the rest as escapes; it must not end the program that prints it."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _abandon_output() -> None:
    """Send what is left in the buffer nowhere: at the exit Python would fail on it again, with a code of its own."""
    with suppress(OSError, ValueError):  # standard output may be no file
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _complain(text: str) -> None:
    click.echo(f"socmon: {printable(text)}", err=True)


def _set(ctx: click.Context, param: click.Parameter, value: Any) -> None:
    """Keep a global option where it was given; the command's own place wins over the one before it."""
    options = ctx.ensure_object(Options)
    if value:
        setattr(options, str(param.name), value)
    ctx.color = options.colored


def _set_zone(ctx: click.Context, _param: click.Parameter, name: str | None) -> None:
    if name:
        from zoneinfo import ZoneInfo

        options = ctx.ensure_object(Options)
        try:
            options.zone = ZoneInfo(name)
        except (KeyError, ValueError, OSError) as error:
            text = mark("no time zone is called {name!r}; use an IANA name such as Asia/Ho_Chi_Minh")
            raise click.BadParameter(options.tr(text, name=name)) from error


def _options(*, envvar: str | None = None) -> Sequence[click.Option]:
    """The global options; `envvar` is read for the configuration's path, by the top command only."""

    def option(*names: str, text: str, callback: Callable[..., None] = _set, **settings: Any) -> click.Option:
        return click.Option(names, help=text, expose_value=False, callback=callback, **settings)

    default = "Configuration (default: /etc/socmon/config.yaml, or what SOCMON_CONFIG names)."
    path = click.Path(path_type=Path)
    forms, colors = click.Choice(["human", "json", "ndjson", "csv"]), click.Choice(["auto", "always", "never"])
    return (
        option("-c", "--config", text=default, type=path, metavar="FILE", envvar=envvar),
        option("-o", "--output", text="Form of the result (default: human).", type=forms),
        option("--color", text="Colours (default: auto; NO_COLOR is honoured).", type=colors),
        option("--lang", text="Language of what people read (default: from LC_ALL, LANG).", type=click.Choice(LANGS)),
        option(
            "--tz", text="IANA zone of the times shown (default: this machine's).", metavar="ZONE", callback=_set_zone
        ),
        option("-q", "--quiet", text="Say only what went wrong.", is_flag=True),
        option("-v", "--verbose", text="Say more; of a bug, where it happened.", count=True),
    )


def _add_options(command: click.Command) -> None:
    """Let the global options stand after a command too, where it has no option of that name; once is enough."""
    taken = {name for param in command.params for name in param.opts}
    command.params += [option for option in _options() if taken.isdisjoint(option.opts)]
    if isinstance(command, click.Group):
        for each in command.commands.values():
            _add_options(each)


@click.group(
    "socmon",
    cls=Socmon,
    params=list(_options(envvar="SOCMON_CONFIG")),
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, message="socmon %(version)s")
def main() -> None:
    """Collect logs, detect incidents by Sigma rules, deliver alerts upward."""
