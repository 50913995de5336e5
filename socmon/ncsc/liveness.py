"""Who is heard: the last heartbeat of each organisation, who is silent after three missed ones, whose clock is off."""

import time
from collections.abc import Callable, Iterable, Mapping

from msgspec import Struct

from socmon.feed.heartbeat import EVERY_S, MISSED, Heartbeat, moment
from socmon.log import get

MAX_SKEW_S = 60.0

log = get("ncsc")


class Heard(Struct, frozen=True):
    """A heartbeat as it came.

    Attributes:
        received_us: by the centre's clock.
        skew_s: the sender's clock less the centre's: positive where the sender's is ahead.
        certificate_expires: of the certificate that was shown, as the handshake had it; "" if unknown.
    """

    beat: Heartbeat
    received_us: int
    skew_s: float
    certificate_expires: str = ""

    @property
    def clock_off(self) -> bool:
        """Whether the sender's clock is off by more than `MAX_SKEW_S`."""
        return abs(self.skew_s) > MAX_SKEW_S


class Liveness:
    """Knows when each was heard last.

    Args:
        before: heartbeats of an earlier run.
        steady: seconds that never step; silence is measured by them.
        wall: seconds since 1970 UTC, by the centre's clock.
    """

    def __init__(
        self,
        before: Mapping[str, Heard],
        *,
        every_s: float = EVERY_S,
        steady: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.last = dict(before)
        self._silent_after_s = MISSED * every_s
        self._steady = steady
        self._wall = wall
        # While we were down nothing can be said of anybody: everyone's time begins when it is first asked for.
        self._heard_s: dict[str, float] = {}
        self._told: set[str] = set()
        self._off: set[str] = set()

    def hear(self, org_id: str, beat: Heartbeat, certificate_expires: str = "") -> Heard:
        """Take a heartbeat in.

        Raises:
            ParseError: its time is none.
        """
        now_s = self._wall()
        skew_s = moment(beat.time).timestamp() - now_s
        heard = Heard(beat, round(now_s * 1_000_000), round(skew_s, 3), certificate_expires)
        self.last[org_id] = heard
        self._heard_s[org_id] = self._steady()
        self._tell_clock(org_id, heard)
        return heard

    def silent(self, org_id: str) -> bool:
        """Whether an organisation that is enrolled has missed its last three heartbeats."""
        now_s = self._steady()
        return now_s - self._heard_s.setdefault(org_id, now_s) > self._silent_after_s

    def look(self, enrolled: Iterable[str]) -> None:
        """Tell who has fallen silent since the last look, and who is heard again; forget whom nobody expects."""
        expected = set(enrolled)
        now = {org_id for org_id in expected if self.silent(org_id)}
        for org_id in sorted(now - self._told):
            log.warning("organisation is silent", organisation=org_id, missed=MISSED)
        for org_id in sorted((self._told & expected) - now):
            log.info("organisation is heard again", organisation=org_id)
        self._told = now
        for org_id in self._heard_s.keys() - expected:
            del self._heard_s[org_id]

    def _tell_clock(self, org_id: str, heard: Heard) -> None:
        if heard.clock_off and org_id not in self._off:
            self._off.add(org_id)
            log.warning("clock of an organisation is off", organisation=org_id, skew_s=heard.skew_s)
        elif not heard.clock_off and org_id in self._off:
            self._off.discard(org_id)
            log.info("clock of an organisation is right again", organisation=org_id, skew_s=heard.skew_s)
