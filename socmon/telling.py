"""What detection tells people as it goes: which sources cannot be read, and what correlation did and holds."""

import copy
from collections.abc import Mapping

from socmon import log, metrics
from socmon.matching import Unparsed
from socmon.sigma.correlator import Correlator, Tally

_MAX_TOLD = 1_000  # sources: peers' addresses can be made up

_log = log.get("correlating")


class Telling:
    """Remembers what it has told."""

    def __init__(self) -> None:
        self._told: set[tuple[str, str]] = set()
        self._shown = Tally()  # what the metrics show of the correlator's

    def unparsed(self, samples: Mapping[tuple[str, str], Unparsed]) -> None:
        """Show the first record of each source that cannot be read, so that somebody can find out why.

        Args:
            samples: by (collector, peer).
        """
        for source, sample in samples.items():
            if source not in self._told and len(self._told) < _MAX_TOLD:
                self._told.add(source)
                component, peer = source
                _log.warning(
                    "record cannot be parsed, later ones of its source are only counted",
                    component=component,
                    source=peer,
                    seq=sample.seq,
                    error=sample.error,
                )

    def restored(self, correlator: Correlator) -> None:
        """What `correlator` did so far was told by a run before, or is told already."""
        self._shown = copy.deepcopy(correlator.tally)

    def measure(self, correlator: Correlator) -> None:
        """Let the metrics show what `correlator` did since, and holds."""
        tally = correlator.tally
        groups, members = correlator.size
        metrics.GROUPS.set(groups)
        metrics.MEMBERS.set(members)
        shown, self._shown = self._shown, copy.deepcopy(tally)
        metrics.LATE_MATCHES.reach(tally.late)
        metrics.MISSING_GROUP_FIELD.reach(tally.missing_field)
        metrics.NOT_NUMERIC.reach(tally.not_numeric)
        metrics.EVICTED_GROUPS.reach(tally.evicted)
        metrics.ALERTS_REVISED.inc(tally.joined - shown.joined)
        for level, count in tally.opened.items():
            metrics.ALERTS_OPENED[level].inc(count - shown.opened.get(level, 0))
