"""`socmon run`: the daemon."""

import click

from socmon.cli import Options


@click.command("run")
@click.pass_obj
def command(options: Options) -> None:
    """Run the daemon with the configuration that `-c` names."""
    from socmon import config, daemon

    daemon.run(config.load(options.config))
