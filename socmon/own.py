"""socmon's own records: what it has to say goes the way of every other record, and rules make alerts of it."""

import asyncio
import time

import msgspec
from msgspec import Struct

from socmon.errors import JournalError
from socmon.event import OWN, Record, Source
from socmon.intake import Intake
from socmon.journal import Journal
from socmon.parsers.own import OwnLine

_READ_AHEAD = 8  # batches
_TRY_S = 30.0
_AGAIN_S = 5.0


class Written(Struct, frozen=True):
    """Where a record stands in the journal, and when it was written there."""

    seq: int
    time_us: int


class Own:
    """The internal source. Its records are of collector `socmon`, with the service they are about as the peer."""

    def __init__(self, intake: Intake, journal: Journal) -> None:
        self._intake = intake
        self._journal = journal

    async def write(self, service: str, message: str, fields: dict[str, str]) -> Written:
        """Journal one record; return when it is written. Waits as long as senders must wait; the caller bounds that.

        Args:
            service: the service of its log source; the product is `socmon`.
            message: a sentence.
            fields: what rules read of it.

        Raises:
            JournalError: no frame could hold the record, or the journal cannot be read.
        """
        now_us = time.time_ns() // 1000
        data = msgspec.json.encode(OwnLine(service, now_us, message, fields))
        source = Source(collector=OWN, peer=service, format=OWN)
        before = self._journal.last_number
        await self._intake.emit([Record(data, source, now_us)])
        return await asyncio.to_thread(self._find, before, data)

    async def insist(self, service: str, message: str, fields: dict[str, str]) -> None:
        """Journal one record, however often that must be tried; it may then stand there twice."""
        while True:
            try:
                async with asyncio.timeout(_TRY_S):
                    await self.write(service, message, fields)
                    return
            except (TimeoutError, JournalError):
                await asyncio.sleep(_AGAIN_S)

    def _find(self, after: int, data: bytes) -> Written:
        """Where the record is that was written behind frame `after`."""
        with self._journal.reader(after=after) as reader:
            while batches := reader.read(_READ_AHEAD):
                for batch in batches:
                    for record in batch.records:
                        if record.data == data and record.source.collector == OWN:
                            return Written(record.seq, batch.written_us)
        raise JournalError("a record of socmon's own could not be journalled; the log says why")
