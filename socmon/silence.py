"""Silent sources: one that is expected and not heard for too long raises an alert of socmon's own, and ends it.

What is written goes the way of every record, and rules/socmon/silent_source.yml makes the alert. Who is silent is read
back from the journal (`Sources.silences`), so a restart neither forgets it nor tells it twice.
"""

import asyncio
import time
from collections.abc import Callable, Collection, Iterable, Iterator

from msgspec import Struct

from socmon import log, metrics
from socmon.correlating import Correlating
from socmon.errors import JournalError, StoreError
from socmon.event import OWN, SECOND_US, rfc3339
from socmon.intake import Intake
from socmon.journal import Journal
from socmon.own import Own
from socmon.seen import SERVICE, Expected, Silence, SilenceState, silence_fields
from socmon.store import Store
from socmon.store.triage import Change

RULE = "5c8b7c0e-2f0b-4d5f-9a57-6f1c9f3e7d18"  # rules/socmon/silent_source.yml
LOOK_S = 1.0
_WRITE_S = 5.0  # for one record; then it is tried again at the next look
_CLOSE_REASON = "tp"  # the source was silent, and is so no more

_log = log.get("sources")


class _Mark(Struct, frozen=True):
    """A moment on the watch's clock, and the last journal frame of that moment."""

    at_s: float
    frame: int


class Watch:
    """Looks for expected sources that fall silent, and for those that are heard again.

    Args:
        expected: the same as those of `correlating.sources`.
        clock: seconds that never step; silence is measured by it, so that a machine whose clock is set does not
            find all of its sources silent at once.
    """

    def __init__(
        self,
        expected: Iterable[Expected],
        *,
        intake: Intake,
        journal: Journal,
        correlating: Correlating,
        store: Store,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._expected = {each.name: each for each in expected}
        self._own = Own(intake, journal)
        self._intake = intake
        self._journal = journal
        self._correlating = correlating
        self._sources = correlating.sources
        self._store = store
        self._clock = clock
        # While we were down nothing can be said of anybody: everyone's time begins now.
        self._heard_s = dict.fromkeys(self._expected, clock())
        self._frames = dict.fromkeys(self._expected, 0)
        self._started_us = time.time_ns() // 1000
        self._mark = self._now()
        self._unsettled: int | None = self._mark.frame  # once a checkpoint holds it, ended silences' alerts are closed
        self._told_trouble = False

    async def run(self) -> None:
        """Look once a second, until cancelled."""
        for name, each in self._expected.items():
            metrics.SOURCE_INTERVAL_SECONDS[name].set(each.silent_after_s)
        while True:
            await self.look()
            await asyncio.sleep(LOOK_S)

    async def look(self) -> None:
        """Tell who has fallen silent and who is heard again; what cannot be written now is told at a later look."""
        self._listen()
        self._show()
        if self._intake.failing or self._correlating.failing:
            self._be_deaf()
            return
        if self._correlating.number < self._mark.frame:
            return  # what came until then is not all looked at yet
        turns = [*self._turns(self._mark.at_s)]
        try:
            for silence in turns:
                await self._write(silence)
            await self._settle()
            self._told_trouble = False
        except (JournalError, StoreError, TimeoutError) as error:
            self._complain(error)
            self._be_deaf({silence.name for silence in turns})
        self._mark = self._now()

    def _now(self) -> _Mark:
        return _Mark(self._clock(), self._journal.last_number)

    def _listen(self) -> None:
        """Note when each was heard, by the journal's frames, which no clock can set back."""
        now_s = self._clock()
        for name, row in self._sources.last.items():
            if row.frame > self._frames[name]:
                self._frames[name] = row.frame
                self._heard_s[name] = max(self._heard_s[name], now_s)
        for name, each in self._expected.items():
            if self._intake.holds_back(
                each.collector, each.peer
            ):  # it floods, and may be among what is not written yet
                self._heard_s[name] = now_s

    def _be_deaf(self, due: Collection[str] = ()) -> None:
        """It is we who take nothing in: nothing can be said of anybody, but of those that were found silent before."""
        now_s = self._clock()
        self._heard_s |= {name: now_s for name in self._expected if name not in due}

    def _show(self) -> None:
        for name in self._expected:
            metrics.SOURCE_SILENT[name].set(self._is_silent(name))
            if row := self._sources.last.get(name):
                metrics.SOURCE_LAST_EVENT[name].set(row.last_us / SECOND_US)
                if row.skew_us is not None:
                    metrics.SOURCE_SKEW_SECONDS[name].set(row.skew_us / SECOND_US)

    def _is_silent(self, name: str) -> bool:
        silence = self._sources.silences.get(name)
        return silence is not None and silence.state == "silent"

    def _turns(self, as_of_s: float) -> Iterator[Silence]:
        """What changes, by all that the journal held at `as_of_s`."""
        for name, each in self._expected.items():
            last, told = self._sources.last.get(name), self._sources.silences.get(name)
            if told is not None and told.state == "silent":
                if last is not None and last.frame > told.frame:
                    yield self._silence(name, "heard", told.since_us, last.last_us)
            elif as_of_s - self._heard_s[name] > each.silent_after_s:
                since_us = last.last_us if last else self._started_us
                if told is not None and told.since_us == since_us:
                    since_us = self._started_us  # it was removed from the configuration meanwhile: this is another one
                yield self._silence(name, "silent", since_us, time.time_ns() // 1000)
        for name, told in self._sources.silences.items():
            if told.state == "silent" and name not in self._expected:
                yield self._silence(name, "removed", told.since_us, time.time_ns() // 1000)

    def _silence(self, name: str, state: SilenceState, since_us: int, until_us: int) -> Silence:
        silent_s = max(0, until_us - since_us) // SECOND_US
        return Silence(name, state, since_us, silent_s, self._correlating.number)

    async def _write(self, silence: Silence) -> None:
        message = _MESSAGES[silence.state].format(name=silence.name, silent_s=silence.silent_s)
        fields = silence_fields(silence, self._expected.get(silence.name))
        async with asyncio.timeout(_WRITE_S):
            await self._own.write(SERVICE, message, fields)
        told = {"source": silence.name, "silent_s": silence.silent_s}
        if silence.state == "silent":
            _log.warning("source is silent", **told)
        else:
            _log.info("source is silent no more", state=silence.state, **told)
            self._unsettled = self._journal.last_number

    async def _settle(self) -> None:
        """Close the alerts of silences that are over, once all that the journal knows of them is stored."""
        if self._unsettled is None or self._correlating.committed < self._unsettled:
            return
        for alert_id, group in await self._store.open_alerts(RULE):
            silence = self._sources.silences.get(group.get("source", ""))
            if silence is not None and rfc3339(silence.since_us) != group.get("since"):
                silence = None  # a later one, which has an alert of its own
            if silence is None or silence.state != "silent":
                await self._close(alert_id, ending(silence))
        self._unsettled = None

    async def _close(self, alert_id: str, text: str) -> None:
        change = Change("close", reason=_CLOSE_REASON, text=text)
        await self._store.triage([alert_id], change, actor=OWN, now_us=time.time_ns() // 1000)

    def _complain(self, error: Exception) -> None:
        if not self._told_trouble:
            self._told_trouble = True
            reason = str(error) or f"the journal took nothing for {_WRITE_S:g} s"
            _log.warning("silence of sources cannot be told now, will try again", error=reason)


_MESSAGES: dict[SilenceState, str] = {
    "silent": "source {name} has been silent for {silent_s} s",
    "heard": "source {name} is heard again after {silent_s} s",
    "removed": "source {name} is no longer in the configuration; it was silent for {silent_s} s",
}


def ending(silence: Silence | None) -> str:
    """The comment with which the alert of a silence is closed, in both languages, as a rule's description is."""
    if silence is None:
        return "This silence is over. Lần im lặng này đã kết thúc."
    if silence.state == "removed":
        return "The source is no longer expected. Nguồn này không còn trong cấu hình giám sát."
    hours, seconds = divmod(silence.silent_s, 3600)
    span = f"{hours}:{seconds // 60:02}:{seconds % 60:02}"
    return f"Heard again after {span} (h:mm:ss) of silence. Đã nhận lại nhật ký sau {span} (giờ:phút:giây) im lặng."
