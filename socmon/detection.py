"""What detection runs by, as a configuration says: rules, the inventory of agencies, limits."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from socmon import log, metrics
from socmon.config import Config
from socmon.enrich import Assets, load_inventory
from socmon.event import SECOND_US
from socmon.resources import shipped
from socmon.sections import DetectionSettings
from socmon.sigma import RuleSet, load_rules
from socmon.sigma.joining import Limits
from socmon.sigma.logsource_files import load_log_sources
from socmon.sigma.rule_cache import RuleCache, cache_folder

# The sections that it is made from; what else is configured stays as it is until the daemon is started again.
SECTIONS = ("rules", "assets", "detection")

_LINE = re.compile(r":[0-9]+: ")

_log = log.get("daemon")


@dataclass(frozen=True, slots=True)
class Detection:
    """What detection runs by.

    Attributes:
        assets: None where there is no inventory.
        problems: what was refused of rules, inventory and tables of log sources, `path:line: …`.
        table_problems: those of tables.
        workers: processes that match; 0 is none.
        distrusted: what others could have written of the cache of rules, which so was not used, and why.
    """

    rules: RuleSet
    assets: Assets | None
    limits: Limits
    problems: tuple[str, ...]
    table_problems: tuple[str, ...] = ()
    workers: int = 0
    distrusted: str | None = None

    def worse_than(self, other: "Detection") -> list[str]:
        """The problems that `other` does not have, in whatever line of their file."""
        known = {_LINE.sub(": ", problem, count=1) for problem in other.problems}
        return [problem for problem in self.problems if _LINE.sub(": ", problem, count=1) not in known]


def rule_paths(config: Config) -> list[Path]:
    """Where the configuration's rules are."""
    return [*([shipped("rules")] if config.rules.shipped else []), *config.rules.paths]


def rule_cache(config: Config | None) -> RuleCache | None:
    """Where what rule files state is kept from one start to the next."""
    folder = cache_folder(config.state_dir if config else None)
    return RuleCache(folder) if folder else None


def configured_rules(
    config: Config | None, more: Iterable[Path] = (), *, cache: RuleCache | None = None
) -> tuple[RuleSet, list[str]]:
    """A configuration's rules and those at `more`, and what is wrong with its tables of log sources, `path:line: …`.

    Without a configuration they are those that ship with socmon.

    Args:
        cache: None for `rule_cache` of the configuration.
    """
    cache = cache or rule_cache(config)
    if config is None:
        return load_rules([shipped("rules"), *more], cache=cache), []
    sources, problems = load_log_sources(config.detection.logsources)
    placeholders = config.detection.placeholders
    rules = load_rules([*rule_paths(config), *more], placeholders=placeholders, sources=sources, cache=cache)
    return rules, problems


def load_detection(config: Config) -> Detection:
    """Load it; what cannot be used is among the problems, the others go on.

    Takes seconds where rules are new: not for the event loop.
    """
    cache = rule_cache(config)
    rules, table_problems = configured_rules(config, cache=cache)
    problems = [*table_problems, *(str(error) for error in rules.errors)]
    assets = None
    if config.assets.paths:
        inventory = load_inventory(config.assets.paths)
        assets = Assets(inventory)
        problems += inventory.problems
    return Detection(
        rules,
        assets,
        limits(config.detection),
        tuple(problems),
        tuple(table_problems),
        workers=config.detection.workers,
        distrusted=cache.distrusted if cache else None,
    )


def tell_refused(detection: Detection) -> None:
    """Log what was refused, or may not be meant so, and show how much runs."""
    metrics.RULES_LOADED.set(len(detection.rules.rules))
    metrics.RULES_REFUSED.set(len(detection.rules.errors))
    if detection.distrusted:
        _log.warning("cache of rules not used, others could have written it", cache=detection.distrusted)
    rules = {str(error) for error in detection.rules.errors}
    for problem in detection.problems:
        if problem in rules:
            _log.error("rule refused, the others go on", problem=problem)
        elif problem in detection.table_problems:
            _log.error("log source refused, the others go on", problem=problem)
        else:
            _log.error("asset refused, the others go on", problem=problem)
    for warning in detection.rules.warnings:
        _log.warning("rule may not mean what it says", problem=str(warning))


def limits(settings: DetectionSettings) -> Limits:
    """The bounds of correlation, in its own units."""
    return Limits(
        suppress_us=settings.suppress_s * SECOND_US,
        lateness_us=settings.lateness_s * SECOND_US,
        max_alert_us=settings.max_alert_h * 3600 * SECOND_US,
        max_skew_us=settings.max_skew_h * 3600 * SECOND_US,
        max_groups=settings.max_groups,
        max_members=settings.max_members,
    )
