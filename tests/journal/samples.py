"""Small records and journals for the tests of the journal."""

from pathlib import Path

from socmon.event import Record, Source
from socmon.journal import Batch, Journal

NOW_US = 1_770_000_000_000_000
SSHD = Source(collector="auth", peer="/var/log/auth.log", format="syslog", chosen="detected")


def record(number: int, *, size_bytes: int = 40, source: Source = SSHD) -> Record:
    """A record that tells its number, with a position in the stream `auth.log`."""
    data = f"sshd[{number}]: Failed password ".encode().ljust(size_bytes, b".")
    return Record(data, source, NOW_US + number, position=("auth.log", str(number).encode()))


def fill(journal: Journal, batches: int, *, each: int = 3, size_bytes: int = 40) -> list[Batch]:
    """Append batches of `each` records, numbered on from the journal's next sequence."""
    made = []
    for _ in range(batches):
        seqs = range(journal.next_seq, journal.next_seq + each)
        records = [record(seq, size_bytes=size_bytes) for seq in seqs]
        made.append(journal.append(records, written_us=NOW_US + seqs.start * 1_000_000))
    return made


def fill_until_refused(journal: Journal, appended: list[Batch]) -> None:
    """Append batches, and add them to `appended`, until the journal raises."""
    while True:
        appended += fill(journal, 1)


def sealed(directory: Path) -> list[Path]:
    """The segment files of a journal except the active one, oldest first."""
    return sorted(path for path in directory.iterdir() if ".seg" in path.name)[:-1]
