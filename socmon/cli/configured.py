"""The configuration for commands that also do without one."""

import click

from socmon.cli import Options
from socmon.config import Config, load
from socmon.i18n import mark
from socmon.text import printable


def configured(options: Options, *, needed: bool = True) -> Config | None:
    """The configuration; None, and that is said where its rules are `needed`, if there is none at the default place.

    Raises:
        ConfigError: it is not valid, or one that was named is not there.
    """
    if options.config == Options().config and not options.config.exists():
        if needed and not options.quiet:
            text = mark("no configuration at {path}: only the shipped rules are used")
            click.echo(printable(options.tr(text, path=options.config)), err=True)
        return None
    return load(options.config)
