"""The configuration read anew while the daemon runs: what detection runs by is exchanged, or all stays as it is.

A reload that changed nothing is told by a record of socmon's own; rules/socmon/reload_failed.yml makes an alert of it.
"""

import asyncio
import re
import time
from dataclasses import fields
from typing import Any

from msgspec import Struct

from socmon import log, metrics
from socmon.config import Config, Wiring, load
from socmon.correlating import Correlating
from socmon.detection import SECTIONS, Detection, load_detection, tell_refused
from socmon.errors import ConfigError, JournalError, SocmonError
from socmon.garbage import settle
from socmon.intake import until
from socmon.notify import Manager
from socmon.own import Own

SERVICE = "reload"
TELL_AGAIN_S = 5.0  # between two tries to journal a record, each of which may take as long
_PLACE = re.compile(r"([^\n]{1,200}?:[0-9]+): ")
_MOST_PLACES = 3
_MOST_ACTORS = 200  # characters
_OF_COMMANDS = ("path", "reports")  # the daemon has no use for them

_log = log.get("reload")


class Reloaded(Struct, frozen=True):
    """What became of one reload.

    Attributes:
        ok: it is in force.
        invalid: it is not, for the configuration is wrong: `problems` says what, with path and line.
        problems: why it is not in force, each with its remedy.
        rules: that are in force now.
        changed: rules that begin empty, by id: they are new, or not what they were.
        gone: rules that were in force before, by id.
        needs_restart: options that changed and are not in force, as `http` or `collectors.auth`.
        frame: the journal's frame after which it is in force.
    """

    ok: bool
    invalid: bool = False
    problems: list[str] = []
    rules: int = 0
    changed: list[str] = []
    gone: list[str] = []
    needs_restart: list[str] = []
    frame: int = 0


class Reloading:
    """Reads the configuration again when asked; those who ask while one is being read share the next.

    Args:
        config: what runs.
        detection: what was made of it.
    """

    def __init__(
        self, config: Config, detection: Detection, *, correlating: Correlating, manager: Manager, own: Own
    ) -> None:
        self._started_with = config
        self._detection = detection
        self._correlating = correlating
        self._manager = manager
        self._own = own
        self._untold: dict[str, str] | None = None  # the fields of a record that could not be journalled yet
        self._asked = asyncio.Event()
        self._actors: dict[str, None] = {}
        self._answer: asyncio.Future[Reloaded] | None = None
        _succeeded()

    def ask(self, actor: str) -> asyncio.Future[Reloaded]:
        """Begin a reload for `actor`; the answer comes when it is over."""
        if self._answer is None:
            self._answer = asyncio.get_running_loop().create_future()
        self._actors[actor] = None
        self._asked.set()
        return self._answer

    async def run(self) -> None:
        """Reload whenever asked, until cancelled."""
        while True:
            if self._untold is None:
                await self._asked.wait()
            if self._untold is None or await until(self._asked, TELL_AGAIN_S):
                await self._answer_all()
            if self._untold is not None:
                await self._tell(self._untold)

    async def _answer_all(self) -> None:
        """One reload for all who asked by now."""
        self._asked.clear()
        answer, self._answer = self._answer, None
        actors, self._actors = list(self._actors), {}
        self._manager.reloading()
        reloaded = await self._reload(actors)
        settle()
        self._manager.ready()
        if answer is not None and not answer.done():
            answer.set_result(reloaded)
        self._untold = None if reloaded.ok else _told_of(reloaded, actors)

    async def _tell(self, fields: dict[str, str]) -> None:
        """Journal the record of a failed reload; one that cannot be journalled is tried again while it is the last."""
        count = int(fields["problems"])
        message = f"configuration not reloaded, what runs is kept: {count} problem{'s' if count > 1 else ''}"
        try:
            async with asyncio.timeout(TELL_AGAIN_S):
                await self._own.write(SERVICE, message, fields)
        except (JournalError, TimeoutError) as error:
            reason = str(error) or f"the journal took nothing for {TELL_AGAIN_S:g} s"
            _log.warning("a failed reload cannot be journalled now, will try again", error=reason)
        else:
            self._untold = None

    async def _reload(self, actors: list[str]) -> Reloaded:
        _log.info("configuration reload asked for", actors=actors)
        try:
            config, detection = await asyncio.to_thread(self._read)
            await self._correlating.exchange(detection)
        except ConfigError as error:
            return self._kept(Reloaded(ok=False, invalid=True, problems=error.problems))
        except SocmonError as error:
            return self._kept(Reloaded(ok=False, problems=[f"{error}; mend that, and reload again"]))
        before, self._detection = self._detection, detection
        return self._told(before, detection, _needs_restart(self._started_with, config))

    def _read(self) -> tuple[Config, Detection]:
        """What there is to read; in a thread.

        Raises:
            ConfigError: the configuration is wrong, or what it names is refused and was not before.
        """
        config = load(self._started_with.path)
        detection = load_detection(config)
        if worse := detection.worse_than(self._detection):
            raise ConfigError(worse)
        return config, detection

    def _kept(self, reloaded: Reloaded) -> Reloaded:
        metrics.CONFIG_RELOAD_SUCCESS.set(0)
        _log.error("configuration not reloaded, what runs is kept", problems=reloaded.problems)
        return reloaded

    def _told(self, before: Detection, now: Detection, needs_restart: list[str]) -> Reloaded:
        _succeeded()
        tell_refused(now)
        old = {rule.id: rule.hash for rule in before.rules.rules}
        reloaded = Reloaded(
            ok=True,
            rules=len(now.rules.rules),
            changed=[rule.id for rule in now.rules.rules if old.pop(rule.id, None) != rule.hash],
            gone=list(old),
            needs_restart=needs_restart,
            frame=self._correlating.exchanged,
        )
        _log.info(
            "configuration reloaded",
            rules=reloaded.rules,
            changed=len(reloaded.changed),
            gone=len(reloaded.gone),
            frame=reloaded.frame,
        )
        if needs_restart:
            _log.warning("options changed that need a restart, they are not in force", options=needs_restart)
        return reloaded


def _told_of(reloaded: Reloaded, actors: list[str]) -> dict[str, str]:
    """What rules read of a failed reload, and destinations get to see: the places of problems, never what stands there.

    A problem quotes the configuration, where somebody may have put a password into the wrong line.
    """
    places = [found[1] for problem in reloaded.problems if (found := _PLACE.match(problem))]
    return {
        "state": "refused" if reloaded.invalid else "failed",
        "actors": ", ".join(actors)[:_MOST_ACTORS],
        "problems": str(len(reloaded.problems)),
        "places": " ".join(dict.fromkeys(places[:_MOST_PLACES])),
    }


def _succeeded() -> None:
    metrics.CONFIG_RELOAD_SUCCESS.set(1)
    metrics.CONFIG_RELOADED.set(time.time())


def _needs_restart(running: Config, read: Config) -> list[str]:
    """What was changed and is not exchanged: sections, and components by their names."""
    found: list[str] = []
    for name in (each.name for each in fields(Config) if each.name not in (*SECTIONS, *_OF_COMMANDS)):
        old, new = getattr(running, name), getattr(read, name)
        if not isinstance(old, tuple):
            found += [name] if old != new else []
            continue
        before, after = _by_name(old), _by_name(new)
        changed = [each for each in {**before, **after} if before.get(each) != after.get(each)]
        found += [f"{name}.{each}" for each in changed]
    return found


def _by_name(wirings: tuple[Wiring, ...]) -> dict[str, Any]:
    return {wiring.name: wiring for wiring in wirings}
