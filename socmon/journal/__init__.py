"""The append-only log between intake and matching: segments, checksums, replay, retention (docs/adr/0001)."""

from socmon.journal.archive import Archive
from socmon.journal.batch import Batch, Drop
from socmon.journal.frames import MAX_FRAME_BYTES, Frame, UnwritableError
from socmon.journal.journal import Journal
from socmon.journal.reading import Reader

__all__ = ["MAX_FRAME_BYTES", "Archive", "Batch", "Drop", "Frame", "Journal", "Reader", "UnwritableError"]
