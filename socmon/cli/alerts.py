"""`socmon alerts`: what is done with alerts."""

import click

from socmon.cli.alerts_test import test


@click.group("alerts")
def command() -> None:
    """Test the way of an alert."""


command.add_command(test)
