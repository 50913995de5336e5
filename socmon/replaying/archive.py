"""Replay of a journal's archive, exactly as the daemon took it in (docs/adr/0074)."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from socmon.enrich import Assets
from socmon.journal import Archive, Batch
from socmon.matching import Matched
from socmon.replaying.run import Found, Place, Run, inline, named
from socmon.sigma import RuleSet
from socmon.sigma.correlator import Correlator
from socmon.sigma.joining import Limits
from socmon.workers.asides import FILE_NAME, Asides


class ArchiveReplay(Run):
    """One pass over the journal in `directory`, frame by frame; received times, sources, formats, anchors are its own.

    Without a bound of time, and by the rules, inventory and limits of the daemon, alerts are those that it has stored.

    Args:
        since_us, until_us: received times of frames, both included; None has no bound.
        assets: say whose an event is.
        limits: of correlation.

    Attributes:
        asides: records that the daemon has set aside, as they do harm; they are not looked at here either.

    Raises:
        JournalError: what is there is no journal, or cannot be opened.
    """

    def __init__(
        self,
        directory: Path,
        rules: RuleSet,
        *,
        since_us: int | None = None,
        until_us: int | None = None,
        assets: Assets | None = None,
        limits: Limits | None = None,
    ) -> None:
        self._archive = Archive(directory, since_us=since_us, until_us=until_us)
        self.asides = Asides.as_written(directory.parent / FILE_NAME, str(self._archive.incarnation))
        limits = (limits or Limits())._replace(keep_events=None)
        correlator = Correlator(rules.rules, self._archive.incarnation, limits)
        super().__init__(correlator, inline(rules, assets=assets, asides=self.asides))
        self._name = named(str(directory))
        self._undecoded = 0

    @property
    def done(self) -> float | None:
        """See Run; by frames."""
        archive = self._archive
        frames = archive.last_number + 1 - archive.first_number
        return (archive.number + 1 - archive.first_number) / frames if frames > 0 else 1.0

    @property
    def trimmed(self) -> int:
        """Frames that the daemon trimmed before they could be read."""
        return self._archive.trimmed

    @property
    def lost(self) -> int:
        """Records that damage of the journal has cost."""
        return self._archive.lost + self._undecoded

    def matches(self) -> Iterator[tuple[Place, Sequence[str]]]:
        """See Run."""
        for matched in self._each():
            for match in matched.matches:
                yield Place(self._name, match.event.record.seq), match.rules

    def each_alert(self) -> Iterator[Found]:
        """See Run; in the order of their first event, as the files' are."""
        for matched in self._each():
            if matched.tick:
                self._correlator.tick(matched.written_us)
            self._correlator.process(matched.matches, matched.highs)
            self._hold()
        yield from self._finished(self._places)

    def _each(self) -> Iterator[Matched]:
        for matched in self._matching(self._batches()):
            self._undecoded += matched.damaged
            self._take(matched)
            yield matched

    def _batches(self) -> Iterator[Batch]:
        frames = iter(self._archive)
        while (batch := self._wait_for(frames)) is not None:
            yield batch

    def _places(self, seqs: Iterable[int]) -> list[Place]:
        return [Place(self._name, seq) for seq in sorted(seqs)]
