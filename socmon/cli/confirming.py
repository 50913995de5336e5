"""Asking before what cannot be taken back easily."""

import sys

import click

from socmon.cli import Options
from socmon.i18n import mark


def confirm(options: Options, question: str, *, yes: bool, trial: bool = True) -> None:
    """Return if it is to be done: `yes` says so, or the person at the terminal.

    Args:
        trial: the command has --dry-run.

    Raises:
        Abort: the person says no.
        UsageError: there is nobody to ask.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        with_trial = mark("nobody can be asked here; add --yes to do it, or --dry-run to see what it would do")
        text = with_trial if trial else mark("nobody can be asked here; add --yes to do it")
        raise click.UsageError(options.tr(text))
    click.confirm(question, abort=True, err=True)
