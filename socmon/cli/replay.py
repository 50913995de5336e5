"""`socmon replay`: old log files, or the journal's archive, through the real engine."""

from __future__ import annotations  # what they name is imported where it is used: a shell only asks for the options

import errno
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from resource import RLIMIT_NOFILE, getrlimit, setrlimit
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from socmon.cli import INTERRUPTED, PROBLEMS, Options
from socmon.cli.output import write_rows
from socmon.cli.progress import Look, Progress, can_show, columns
from socmon.cli.reading import format_option, timezone_option, year_option
from socmon.cli.replay_forms import ALERTS, ARCHIVE_ALERTS, MATCHES, alert_row, match_rows, summary_row
from socmon.cli.shown import tell_refused
from socmon.errors import ConfigError
from socmon.garbage import settle
from socmon.i18n import mark
from socmon.resources import shipped
from socmon.text import printable

if TYPE_CHECKING:
    from types import FrameType

    from socmon.cli.replay_summary import Summary
    from socmon.config import Config
    from socmon.enrich import Assets
    from socmon.replaying import Run
    from socmon.sigma import RuleSet
    from socmon.workers import Pool

_CONFIGURED = ""  # the journal of the configuration's state_dir

_paths = click.Path(path_type=Path)


@click.command("replay")
@click.argument("files", nargs=-1, metavar="FILE…")
@click.option(
    "--journal",
    is_flag=False,
    flag_value=_CONFIGURED,
    metavar="[DIR]",
    help="Read what the daemon has journalled, instead of files (default: the configuration's).",
)
@click.option("--since", metavar="TIME", help="Of the journal: received at or after: 30m, 2h, 7d ago, or ISO 8601.")
@click.option("--until", metavar="TIME", help="Of the journal: received at or before, in the same form.")
@click.option("--rules", "rule_paths", multiple=True, type=_paths, help="Instead of the shipped rules.")
@click.option("--assets", "asset_paths", multiple=True, type=_paths, help="Whose hosts are whose: inventories.")
@click.option(
    "--logsources",
    "table_paths",
    multiple=True,
    type=_paths,
    help="Tables of log sources, besides the shipped one and those of the configuration.",
)
@click.option("--matches", is_flag=True, help="Print each event that a rule matches, instead of alerts.")
@click.option(
    "-j",
    "--jobs",
    default=1,
    type=click.IntRange(1, 256),
    metavar="N",
    help="Match in N processes; the result is the same (default: in this one).",
)
@click.option("--progress/--no-progress", default=None, help="Show how far it is (default: on a terminal).")
@click.option("--summary", is_flag=True, help="Add the summary that people are shown to -o json and ndjson.")
@format_option
@year_option
@timezone_option
@click.pass_context
def command(context: click.Context, /, **given: Any) -> int:
    """Run log files (.gz too) through the rules and show the alerts; needs no daemon, no store and no clock.

    Of the configuration, if there is one, only detection.placeholders and detection.logsources are used.

    Several files are read side by side, in the order of time, however they are named; alerts come in the order of
    their first event. A stamp without a year gets the latest one that puts it at most a day after FILE was last
    written; standard input (-) needs --year for that. Of a line over 64 KiB only that much is read. With --format pcap
    they are capture files, and the events of their packets count as lines.

    With --journal it reads what the daemon has journalled, sealed and compressed segments too, and disturbs nothing:
    would a new rule have fired last month? Then rules, inventory and limits are the configuration's, where --rules
    and --assets name no others, and events are as they were received.

    Ctrl-C ends it with what was found so far. Exits with 1 when the answer may lack something: a rule, asset or log
    source was refused, a file could not be read to its end, the journal is damaged or was trimmed meanwhile, or
    events could not be correlated. What could be used has run all the same.
    """
    options = context.ensure_object(Options)
    _check(context, options, **given)
    return _Job(options, given).run()


class _Job:
    """One call of the command."""

    def __init__(self, options: Options, given: dict[str, Any]) -> None:
        self._options = options
        self._given = given
        self._problems = False
        self._progress: Progress | None = None
        self._pool: Pool | None = None
        people = options.output == "human"
        drawn = sys.stderr.isatty()
        wanted = people and drawn if given["progress"] is None else given["progress"]
        if wanted and not options.quiet:
            archive = given["journal"] is not None
            self._progress = Progress(options.tr, sys.stderr, drawn=drawn, of_journal=archive)

    def run(self) -> int:
        """Do it; the exit code."""
        from socmon.cli.configured import configured
        from socmon.cli.replay_told import tell

        if self._progress is not None:
            self._progress.say(self._options.tr("loading rules"))
        config = configured(self._options, needed=False)
        rules = self._rules(config)
        assets = self._assets(config)
        settle()
        run = self._made(config, rules, assets)
        with self._workers(run, rules, assets), _stopped_by_ctrl_c(run):
            summary = self._written(run, rules)
        if self._options.output == "human" and not self._options.quiet:
            self._summarize(summary)
        self._problems |= tell(self._options, run, assets, form=self._given["format_name"])
        if run.stopped:
            return INTERRUPTED
        return PROBLEMS if self._problems else 0

    def _rules(self, config: Config | None) -> RuleSet:
        from socmon.detection import rule_cache, rule_paths
        from socmon.sigma import load_rules
        from socmon.sigma.logsource_files import load_log_sources
        from socmon.sigma.stated import NO_PLACEHOLDERS

        placeholders = NO_PLACEHOLDERS if config is None else config.detection.placeholders
        tables = [] if config is None else config.detection.logsources
        sources, table_problems = load_log_sources([*tables, *self._given["table_paths"]])
        archive = self._given["journal"] is not None
        paths = rule_paths(config) if archive and config is not None else [shipped("rules")]
        paths = self._given["rule_paths"] or paths
        rules = load_rules(paths, placeholders=placeholders, sources=sources, cache=rule_cache(config))
        self._clear()
        tell_refused(self._options, rules, table_problems)
        if not rules.rules:
            raise ConfigError(["no rule could be loaded; name a folder with Sigma rules by --rules"])
        self._problems |= bool(table_problems or rules.errors)
        return rules

    def _assets(self, config: Config | None) -> Assets | None:
        from socmon.enrich import Assets, load_inventory

        archive = self._given["journal"] is not None
        paths = self._given["asset_paths"] or (config.assets.paths if archive and config is not None else ())
        inventory = load_inventory(paths)
        for problem in inventory.problems:
            text = self._options.tr("asset refused: {problem}", problem=problem)
            click.echo(printable(text), err=True)
        self._problems |= bool(inventory.problems)
        return Assets(inventory) if paths else None

    @contextmanager
    def _workers(self, run: Run, rules: RuleSet, assets: Assets | None) -> Iterator[None]:
        """Let other processes match, if there are to be some."""
        jobs, given = self._given["jobs"], self._given
        if jobs == 1:
            yield
            return
        from socmon.replaying import ArchiveReplay
        from socmon.replaying.pooled import Pooled
        from socmon.workers import Asides, Pool, Recipe

        archive = isinstance(run, ArchiveReplay)
        asides = run.asides if isinstance(run, ArchiveReplay) else Asides()
        known = len(asides)
        with Pool(jobs, Recipe(rules, assets, live=archive, year=given["year"]), asides=asides) as pool:
            self._pool = pool
            run.match_by(Pooled(pool, jobs, streams=1 if given["matches"] else max(1, len(given["files"]))))
            yield
        self._problems |= len(asides) > known

    def _made(self, config: Config | None, rules: RuleSet, assets: Assets | None) -> Run:
        from socmon.cli.asking import time_of
        from socmon.cli.place import STATE_DIR
        from socmon.detection import limits
        from socmon.replaying import ArchiveReplay, Replay

        given = self._given
        if given["journal"] is None:
            _allow_many_files()
            form, year, zone = given["format_name"], given["year"], given["timezone"]
            return Replay(given["files"], rules, format=form, year=year, zone=zone, assets=assets)
        state = STATE_DIR if config is None else config.state_dir
        return ArchiveReplay(
            Path(given["journal"]) if given["journal"] else state / "journal",
            rules,
            since_us=time_of(self._options, "--since", given["since"]),
            until_us=time_of(self._options, "--until", given["until"]),
            assets=assets,
            limits=None if config is None else limits(config.detection),
        )

    def _written(self, run: Run, rules: RuleSet) -> Summary:
        """Write the result as it comes."""
        from socmon.cli.replay_summary import peak_bytes, summary_of
        from socmon.replaying.timeline import Timeline

        matches, archive = self._given["matches"], self._given["journal"] is not None
        began_s = time.monotonic()
        alerts = Timeline()

        def summary() -> Summary:
            workers = [] if self._pool is None else [peak_bytes(pid) for pid in self._pool.pids]
            took_s = time.monotonic() - began_s
            return summary_of(run, rules, took_s, None if matches else alerts, worker_bytes=max(workers, default=None))

        def alert_rows() -> Iterator[dict[str, Any]]:
            events = self._options.output in {"json", "ndjson"}
            for item in run.each_alert():
                alerts.add((item.alert.first_us,))
                yield alert_row(item, archive=archive, events=events)

        rows = match_rows(run) if matches else alert_rows()
        if self._progress is not None:
            self._follow(run, self._progress)
            rows = self._progress.aside(rows)
        form = MATCHES if matches else ARCHIVE_ALERTS if archive else ALERTS
        after = (lambda: {"summary": summary_row(summary())}) if self._given["summary"] else dict
        write_rows(rows, self._options.output, form, after=after)
        self._clear()
        return summary()

    def _follow(self, run: Run, progress: Progress) -> None:
        tr, matches = self._options.tr, self._given["matches"]

        def look() -> None:
            if progress.due:
                if matches:
                    found = tr("{count} matches", count=f"{run.counts.matches:,}")
                else:
                    found = tr.many("{count} alert", "{count} alerts", sum(run.levels.values()))
                progress.show(Look(run.done, run.counts.records, found))

        run.on_batch = look

    def _summarize(self, summary: Summary) -> None:
        from socmon.cli.replay_summary import summary_lines

        width = columns(sys.stderr) if sys.stderr.isatty() else 100
        blocks = can_show(sys.stderr, "▁█")
        for line in summary_lines(summary, self._options.tr, self._options.zone, width=width, blocks=blocks):
            click.echo(printable(line), err=True)

    def _clear(self) -> None:
        if self._progress is not None:
            self._progress.clear()


@contextmanager
def _stopped_by_ctrl_c(run: Run) -> Iterator[None]:
    """Once, it ends the reading; a second time, all."""

    def stop(_signal: int, _frame: FrameType | None) -> None:
        if run.stopped:
            raise KeyboardInterrupt
        run.stop()

    before = signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _check(
    context: click.Context, options: Options, *, files: tuple[str, ...], journal: str | None, **given: Any
) -> None:
    """Refuse what cannot be meant, and what cannot be a log, before anything is read; a pipe can be one."""
    from socmon.replaying import STDIN

    if journal is None and not files:
        raise click.UsageError(options.tr(mark("Missing argument 'FILE…'; or read the journal by --journal")))
    if journal is None and (given["since"] or given["until"]):
        raise click.UsageError(
            options.tr(mark("--since and --until are times of receipt: they go with --journal only"))
        )
    if journal is not None:
        told = [name for name in ("format_name", "year", "timezone") if _is_stated(context, name)]
        if files or told:
            text = mark(
                "--journal goes without FILE, --format, --year and --timezone: it knows how its records are read"
            )
            raise click.UsageError(options.tr(text))
    for name in files:
        if name != STDIN:
            _check_file(name)


def _is_stated(context: click.Context, name: str) -> bool:
    return context.get_parameter_source(name) is ParameterSource.COMMANDLINE


def _check_file(name: str) -> None:
    if Path(name).is_dir():
        raise click.UsageError(f"cannot read {printable(name)}: is a directory; name the files in it")
    if not Path(name).exists():
        raise click.UsageError(f"cannot read {printable(name)}: no such file")
    if not os.access(name, os.R_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), name)


def _allow_many_files() -> None:
    """Raise the number of files that may be open, as all of them are at once; the usual 1,024 are soon too few."""
    _, hard = getrlimit(RLIMIT_NOFILE)
    setrlimit(RLIMIT_NOFILE, (hard, hard))
