"""`socmon unit`: the units for systemd that ship with socmon, with the paths of this installation."""

import os
import sys
from pathlib import Path

import click
from msgspec import Struct

from socmon.cli import NOT_FOUND, PROBLEMS, CommandError, Options
from socmon.cli.output import as_json, write_csv, write_ndjson
from socmon.i18n import Message, mark
from socmon.resources import shipped
from socmon.text import printable

# What stands for the paths in the shipped files.
_COMMANDS = {"socmon-capture": "socmon.capture", "socmon": "socmon"}  # in /opt/socmon/bin, and their modules
_CONFIG = "/etc/socmon/config.yaml"
_UNITS = ("socmon-capture.service", "socmon.service", "socmon.socket", "socmon.sysusers", "socmon.tmpfiles")
_HIDDEN = ("/home", "/root", "/run/user", "/tmp", "/var/tmp")  # noqa: S108  by ProtectHome= and PrivateTmp=


class Unit(Struct, frozen=True):
    """One file; `written` is where it was, or would be, put, and `content` what is in it."""

    name: str
    written: str | None
    content: str


@click.command("unit")
@click.argument("name", required=False, type=click.Choice(_UNITS))
@click.option(
    "--install", "folder", type=click.Path(path_type=Path), metavar="DIR",
    help="Write the files there, such as /etc/systemd/system.",
)  # fmt: skip
@click.option("--force", is_flag=True, help="Overwrite files that are there.")
@click.option("--dry-run", is_flag=True, help="Show what would be written; change nothing.")
@click.pass_obj
def command(options: Options, name: str | None, folder: Path | None, *, force: bool, dry_run: bool) -> None:
    """Print the file NAME, or all, with the paths of this installation and of the configuration that -c names.

    The services and the socket go to /etc/systemd/system, the two others to sysusers.d and tmpfiles.d.
    """
    if folder is None and (force or dry_run):
        raise click.UsageError("--force and --dry-run go with --install")
    units = [_unit(each, options.config, folder) for each in ([name] if name else _UNITS)]
    if folder is not None:
        _install(units, folder, options, force=force, dry_run=dry_run)
    _warn(options)
    _write(units, options, dry_run=dry_run)


def _unit(name: str, config: Path, folder: Path | None) -> Unit:
    content = (shipped("systemd") / name).read_text("utf-8")
    for command, module in _COMMANDS.items():
        content = content.replace(f"/opt/socmon/bin/{command} ", f"{_command(command, module)} ")
    content = content.replace(_CONFIG, _quoted(str(config.absolute())))
    return Unit(name, None if folder is None else str(folder / name), content)


def _command(name: str, module: str) -> str:
    """A command of this installation, as a unit has it."""
    beside = Path(sys.executable).with_name(name)
    return _quoted(str(beside)) if beside.exists() else f"{_quoted(sys.executable)} -m {module}"


def _quoted(path: str) -> str:
    """A path as one word of a command line (systemd.service(5), "Command lines"; systemd.unit(5), "Specifiers").

    Raises:
        CommandError: a line of a unit cannot hold it: it would end there, or is no UTF-8.
    """
    if printable(path) != path:
        text = mark("a unit cannot name {path!r}: it has control characters, or is not UTF-8; rename it")
        raise CommandError(Message(text, path=path), PROBLEMS)
    escaped = path.replace("%", "%%").replace("$", "$$").replace("\\", "\\\\").replace('"', '\\"')
    return escaped if escaped == path and not any(map(str.isspace, path)) and "'" not in path else f'"{escaped}"'


def _install(units: list[Unit], folder: Path, options: Options, *, force: bool, dry_run: bool) -> None:
    """Write all, or nothing where one must not be overwritten."""
    if not folder.is_dir():
        text = mark("there is no folder {folder}; make it, or name another one")
        raise CommandError(options.tr(text, folder=printable(str(folder))), NOT_FOUND)
    there = [unit.name for unit in units if os.path.lexists(folder / unit.name)]  # a link that leads nowhere too
    if there and not force:
        text = mark("{files} would be overwritten in {folder}; add --force if that is meant")
        raise CommandError(options.tr(text, files=", ".join(there), folder=printable(str(folder))), PROBLEMS)
    for unit in [] if dry_run else units:
        part = folder / f".{unit.name}.part"
        part.unlink(missing_ok=True)
        # "x": what another put there meanwhile, such as a link to a file of his choice, is not written to.
        with part.open("x", encoding="utf-8") as file:
            file.write(unit.content)
            os.fchmod(file.fileno(), 0o644)
        part.replace(folder / unit.name)


def _warn(options: Options) -> None:
    """Of what the service, as it is hardened, could not see."""
    warning = click.style(options.tr("warning"), fg="yellow")
    for path in (sys.executable, os.path.abspath(options.config)):  # noqa: PTH100  a link is not followed, as in the unit
        if any(Path(path).is_relative_to(hidden) for hidden in _HIDDEN):
            text = mark("the service cannot see {path}; install socmon in /opt, keep its configuration in /etc")
            told = options.tr(text, path=printable(path))
            click.echo(f"{warning}  {told}", err=True)


def _write(units: list[Unit], options: Options, *, dry_run: bool) -> None:
    rows = [{"name": unit.name, "written": unit.written, "content": unit.content} for unit in units]
    match options.output:
        case "json":
            click.echo(as_json({"schema": "socmon.unit/v1", "dry_run": dry_run, "units": rows}))
        case "ndjson":
            write_ndjson(rows)
        case "csv":
            write_csv(rows, ("name", "written", "content"))
        case "human" if units[0].written is not None:
            text = mark("would write {path}") if dry_run else mark("wrote {path}")
            for unit in [] if options.quiet else units:
                click.echo(options.tr(text, path=printable(unit.written or "")))
        case "human":
            for unit in units:
                click.echo(unit.content if len(units) == 1 else f"# {unit.name}\n{unit.content}")
