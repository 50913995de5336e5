"""Asking before what cannot be taken back easily."""

import sys

import click

from socmon.cli import Options


def confirm(options: Options, question: str, *, yes: bool) -> None:
    """Return if it is to be done: `yes` says so, or the person at the terminal.

    Raises:
        Abort: the person says no.
        UsageError: there is nobody to ask.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        text = options.tr("nobody can be asked here; add --yes to do it, or --dry-run to see what it would do")
        raise click.UsageError(text)
    click.confirm(question, abort=True, err=True)
