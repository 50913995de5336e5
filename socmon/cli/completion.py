"""`socmon completion`: the script by which a shell completes commands, options and names."""

import click
from click.shell_completion import ShellComplete, get_completion_class

from socmon.cli import main

_PROGRAM, _VARIABLE = "socmon", "_SOCMON_COMPLETE"


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> None:
    """Print the script that lets SHELL complete commands, options, and names of the configuration.

    bash, 4.4 or newer, reads it as `~/.local/share/bash-completion/completions/socmon`, zsh as `_socmon` in a folder of
    its fpath, fish as `~/.config/fish/completions/socmon.fish`.
    """
    kind = get_completion_class(shell)
    assert kind is not None  # noqa: S101  click has these three
    # Not kind.source: for bash that starts one to ask its version, which need not be the one that will read this.
    click.echo(ShellComplete.source(kind(main, {}, _PROGRAM, _VARIABLE)), nl=False)
