"""`socmon db prune`: what may go by the configuration, and who lets it go."""

import time

from socmon.cli import Options
from socmon.cli.locks import holder
from socmon.config import Config, load
from socmon.store.holding import hold
from socmon.store.pruning import Bounds, Pruned, prune_file, would_prune, young_us
from socmon.store.reading import consult


def would_go(options: Options, age_us: int | None, max_bytes: int | None) -> Pruned:
    """What would go of the store now."""
    config = load(options.config)
    bounds = _bounds(config, age_us, max_bytes)
    return consult(config.state_dir / "socmon.db", lambda reader: would_prune(reader.db, bounds))


def pruned(options: Options, age_us: int | None, max_bytes: int | None) -> Pruned:
    """Let it go, step by step: the daemon that runs does it, or this process."""
    config = load(options.config)
    if holder(config.state_dir / "lock") is None:
        with hold(config.state_dir):
            return prune_file(config.state_dir / "socmon.db", _bounds(config, age_us, max_bytes))
    from socmon.cli.control_client import asking

    gone = 0
    while True:
        with asking(config.state_dir) as ask:
            step = ask("store.prune", Pruned, age_us=age_us, max_bytes=max_bytes)
        gone += step.alerts
        if not step.more:
            return Pruned(gone, step.used_bytes, more=False)


def _bounds(config: Config, age_us: int | None, max_bytes: int | None) -> Bounds:
    now_us = time.time_ns() // 1000
    young = now_us - young_us(config.detection.max_alert_h, config.detection.max_skew_h)
    return Bounds(None if age_us is None else now_us - age_us, max_bytes, young)
