"""What `socmon replay` says on standard error of what its answer may lack."""

from typing import TYPE_CHECKING

import click

from socmon.cli import Options
from socmon.cli.reading import tell_cut
from socmon.text import printable

if TYPE_CHECKING:
    from socmon.enrich import Assets
    from socmon.i18n import Translator
    from socmon.replaying import ArchiveReplay, Reading, Replay, Run

_UNKNOWN_SHOWN = 20


def tell(options: Options, run: "Run", assets: "Assets | None", *, form: str) -> bool:
    """Say all of it; whether the answer may lack something."""
    from socmon.replaying import ArchiveReplay, Replay

    tr = options.tr
    lacking = bool(run.late or run.evicted)
    if isinstance(run, Replay):
        lacking |= _tell_files(tr, run, form)
    elif isinstance(run, ArchiveReplay):
        lacking |= _tell_archive(tr, run)
    if run.evicted:
        _say(tr("{count} groups were too many to hold; some alerts may lack events", count=run.evicted))
    if assets and assets.unknown:
        _tell_unknown(tr, list(assets.unknown))
    return lacking


def _say(text: str) -> None:
    click.echo(printable(text), err=True)


def _tell_files(tr: "Translator", run: "Replay", form: str) -> bool:
    from socmon.replaying import LATENESS_S

    for reading in run.readings:
        _tell_file(tr, reading, form)
    if run.undated:
        text = tr(
            "{count} events have no time (standard input without --year); they are matched, not correlated",
            count=run.undated,
        )
        _say(text)
    if run.late:
        text = tr(
            "{count} events are more than {seconds} s behind earlier lines of their file and host; "
            "they are matched, not correlated",
            count=run.late,
            seconds=LATENESS_S,
        )
        _say(text)
    return bool(run.undated) or any(reading.trouble for reading in run.readings)


def _tell_file(tr: "Translator", reading: "Reading", form: str) -> None:
    name = reading.name
    if reading.trouble:
        text = tr(
            "cannot read all of {name}: {trouble}; the {lines} lines before that are used",
            name=name,
            trouble=reading.trouble,
            lines=reading.lines,
        )
        _say(text)
    if reading.unparsed:
        counts = {"name": name, "unparsed": reading.unparsed, "lines": reading.lines}
        if form == "auto":
            _say(tr("{name}: {unparsed} of {lines} lines could not be read in any known format", **counts))
        else:
            _say(tr("{name}: {unparsed} of {lines} lines could not be read as {form}", form=form, **counts))
    tell_cut(name, reading.cut)


def _tell_archive(tr: "Translator", run: "ArchiveReplay") -> bool:
    if run.late:
        text = tr("{count} events came too late for their source; they are matched, not correlated", count=run.late)
        _say(text)
    if run.trimmed:
        text = tr("{count} frames of the journal were trimmed before they could be read", count=run.trimmed)
        _say(text)
    if run.lost:
        _say(tr("a part of the journal is damaged: {count} records are lost", count=run.lost))
    return bool(run.trimmed or run.lost)


def _tell_unknown(tr: "Translator", hosts: list[str]) -> None:
    shown = ", ".join(hosts[:_UNKNOWN_SHOWN])
    if len(hosts) > _UNKNOWN_SHOWN:
        shown = tr("{hosts} and {count} more", hosts=shown, count=len(hosts) - _UNKNOWN_SHOWN)
    _say(tr("no agency owns these hosts, add them to the inventory: {hosts}", hosts=shown))
