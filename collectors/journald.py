"""The journal of systemd: of this machine, or of others as systemd-journal-remote receives it.

journalctl(1) reads the files, as JSON (systemd.journal-fields(7), JOURNAL_EXPORT_FORMATS: "Journal JSON Format").
"""

import asyncio
import re
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Literal

import msgspec
from msgspec import Struct
from pydantic import Field, field_validator

from collectors._beating import beating
from collectors._journalctl import Journalctl
from collectors._journals import Sequence, decode, encode, journals_in, own_machine
from socmon.component import BEAT_S, Collector, CollectorSettings, Context
from socmon.errors import ComponentError
from socmon.event import SECOND_US, Record, Source
from socmon.log import Rarely
from socmon.worker import Worker

BATCH_RECORDS = 1000
MAX_JOURNALS = 200  # each has a process while it is followed
HANG_S = 300.0
HOLD_S = 30.0  # until a journal that cannot be read is tried again, while others can
# As JSON a character may take six bytes, and a byte that is no text four.
_WIDEST = 6
_ROOM_BYTES = 64 * 1024  # for the other fields
_MATCH = re.compile(r"[A-Z_][A-Z0-9_]{0,63}=.{1,1000}")
_FIELD = re.compile(r"_?[A-Z][A-Z0-9_]{0,62}")
_UNIT = re.compile(r"[^-\s][^\s]{0,255}")
_REMOTE = "remote-"  # what systemd-journal-remote begins its files' names with
# What rules and people read. Others, such as a whole core dump, journalctl does not print then.
FIELDS = (
    *("MESSAGE", "MESSAGE_ID", "PRIORITY", "SYSLOG_FACILITY", "SYSLOG_IDENTIFIER", "SYSLOG_PID", "UNIT", "USER_UNIT"),
    *("_HOSTNAME", "_MACHINE_ID", "_TRANSPORT", "_SOURCE_REALTIME_TIMESTAMP", "_PID", "_UID", "_GID", "_COMM", "_EXE"),
    *("_CMDLINE", "_SYSTEMD_UNIT", "_SYSTEMD_USER_UNIT", "_SYSTEMD_SLICE", "_AUDIT_SESSION", "_AUDIT_LOGINUID"),
    *("_SELINUX_CONTEXT", "CONTAINER_ID", "CONTAINER_NAME", "IMAGE_NAME"),
)


class JournaldSettings(CollectorSettings):
    """Options of `kind: journald`."""

    directory: Path = Field(
        default=Path("/var/log/journal"),
        description="Folder of journal files, absolute; folders of machines in it are looked into as well. What "
        "systemd-journal-remote receives lies in /var/log/journal/remote, a journal that is kept in memory in "
        "/run/log/journal.",
    )
    units: list[str] = Field(
        default=[], max_length=50, description="Only entries of these units, such as ssh.service; empty for all."
    )
    matches: list[str] = Field(
        default=[],
        max_length=50,
        description="Only entries that match, such as _TRANSPORT=audit; see journalctl(1). Empty for all.",
    )
    fields: list[str] = Field(
        default=[],
        max_length=50,
        description="Fields to keep besides those that docs/formats.md lists, such as COREDUMP_EXE; all in capitals.",
    )
    start: Literal["now", "beginning"] = Field(
        default="now",
        description="Where to begin when the collector starts for the first time: with what comes, or with all that "
        "is there. Journals that appear later are read from the beginning.",
    )
    max_bytes: int = Field(
        default=65_536,
        ge=256,
        le=1_048_576,
        description="Longest field of an entry, in characters. The rest of a longer one is cut off and the cut counted "
        "as too_long.",
    )
    poll_s: float = Field(
        default=1.0, gt=0, le=60, description="Seconds between looks for new, rotated and removed journal files."
    )
    format: str = Field(default="journald", description="How to read a record: as journalctl prints an entry in JSON.")

    @field_validator("directory")
    @classmethod
    def _is_absolute(cls, path: Path) -> Path:
        if not path.is_absolute():
            raise ValueError(f"{str(path)!r} is not absolute; write it from the root, such as /var/log/journal")
        return path

    @field_validator("units")
    @classmethod
    def _are_units(cls, units: list[str]) -> list[str]:
        for unit in units:
            if not _UNIT.fullmatch(unit):
                raise ValueError(f"{unit[:60]!r} is no unit; write one such as ssh.service")
        return units

    @field_validator("fields")
    @classmethod
    def _are_fields(cls, names: list[str]) -> list[str]:
        for name in names:
            if not _FIELD.fullmatch(name):
                raise ValueError(f"{name[:70]!r} is no field of the journal; write one such as COREDUMP_EXE")
        return names

    @field_validator("matches")
    @classmethod
    def _are_matches(cls, matches: list[str]) -> list[str]:
        for match in matches:
            if not _MATCH.fullmatch(match):
                raise ValueError(f"{match[:60]!r} is no match; write one such as _TRANSPORT=audit")
        return matches


class _Entry(Struct, rename={"cursor": "__CURSOR"}):
    """What must be known of an entry to go on behind it."""

    cursor: str


class _Journal:
    """One journal, and how far it was read.

    Attributes:
        reached: the number of the last entry read, of each sequence.
        from_us: of a sequence that is not in `reached`, entries before this time are passed over; 0 for none.
        changed: its files are others than those that are being read.
    """

    def __init__(self, name: str, source: Source) -> None:
        self.name = name
        self.source = source
        self.reached: dict[str, int] = {}
        self.from_us = 0
        self.sequences: list[Sequence] = []
        self.changed = False

    def look(self, sequences: list[Sequence]) -> None:
        """Take in which files there are now."""
        if list(map(_files, sequences)) != list(map(_files, self.sequences)):
            self.changed = True
        self.sequences = sequences
        known = {sequence.id for sequence in sequences}
        self.reached = {key: number for key, number in self.reached.items() if key in known}


def _files(sequence: Sequence) -> tuple[str, tuple[str, ...], bool]:
    return sequence.id, sequence.paths, sequence.live


class JournaldCollector(Collector[JournaldSettings]):
    """Follows each journal in a folder. A record is an entry as journalctl prints it, one JSON object.

    What was read is known by the numbers of entries, so neither clocks nor journals that come late or in disorder make
    it skip or repeat any.
    """

    settings_type: ClassVar[type[JournaldSettings]] = JournaldSettings

    def __init__(self, context: Context[JournaldSettings]) -> None:
        super().__init__(context)
        self._worker = Worker(f"collector {context.name}")
        self._rarely = Rarely()
        self._journals: dict[str, _Journal] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._held_until: dict[str, float] = {}
        self._damaged: set[str] = set()
        self._machine = ""
        self._too_many = 0
        self._since_us: int | None = None  # when the collector was first started

    async def run(self) -> None:
        """Follow the journals until cancelled; once.

        Raises:
            ComponentError: none can be read, or the folder cannot; journalctl is missing.
        """
        try:
            self._machine = await self._worker.run(own_machine)
            while True:
                await self._look()
                with beating(self.context):
                    await self._wait()
        finally:
            for task in self._tasks.values():
                task.cancel()
            if self._tasks:
                await asyncio.wait(self._tasks.values())
            self._worker.close()

    # ── which journals there are ─────────────────────────────────────────────────────────────────────────────────

    async def _look(self) -> None:
        """See which files there are, and begin with what is not being read."""
        folder = self.settings.directory
        try:
            with beating(self.context):
                async with asyncio.timeout(HANG_S):
                    found, damaged = await self._worker.run(journals_in, folder)
        except TimeoutError as error:
            text = f"cannot read {folder}: no answer for {HANG_S:g} s; check the disk and its mount"
            raise ComponentError(text) from error
        self._tell_damaged(damaged)
        self._adopt(found)
        now_s = asyncio.get_running_loop().time()
        for name, journal in self._journals.items():
            journal.look(found.get(name, []))
            if name not in self._tasks and now_s >= self._held_until.get(name, 0.0):
                self._tasks[name] = asyncio.create_task(self._follow(journal), name=f"{self.context.name}: {name}")

    def _adopt(self, found: Mapping[str, list[Sequence]]) -> None:
        """Settle where to begin in the journals that are new."""
        stored: dict[str, tuple[int, dict[str, int]]] = {}
        if is_first := self._since_us is None:
            positions = {name: self.context.position(name) for name in found}
            stored = {name: decode(data, name) for name, data in positions.items() if data is not None}
            self._since_us = min((since_us for since_us, _ in stored.values()), default=time.time_ns() // 1000)
        new = [name for name in found if name not in self._journals]
        # Those that were followed before go first: whoever may add journals may not end the collection of others.
        new.sort(key=lambda name: name not in stored)
        room = MAX_JOURNALS - len(self._journals)
        for name in new[:room]:
            journal = self._journals[name] = _Journal(name, self.source(self._peer(name)))
            if name in stored:
                journal.reached = stored[name][1]
                self._tell_if_gone(journal, found[name])
            elif is_first and self.settings.start == "now":
                if stored:  # it may have been there at the very first start, or have come while we were not
                    journal.from_us = self._since_us
                else:
                    journal.reached = {sequence.id: sequence.last for sequence in found[name]}
            self.context.log.info("following journal", journal=name)
        self._tell_too_many(len(new) - room)

    def _peer(self, name: str) -> str:
        """Whose journal it is: the host that sent it to systemd-journal-remote, or this one."""
        folder, _, base = name.rpartition("/")
        if base.startswith(_REMOTE):
            return base.removeprefix(_REMOTE)
        if not folder:
            return base
        host = socket.gethostname() if folder == self._machine else folder
        return host if base == "system" else f"{host}/{base}"

    # ── reading ──────────────────────────────────────────────────────────────────────────────────────────────────

    async def _wait(self) -> None:
        """Until the next look is due; what ends meanwhile is settled."""
        now_s = asyncio.get_running_loop().time
        until_s = now_s() + self.settings.poll_s
        while self._tasks and (left_s := until_s - now_s()) > 0:
            await asyncio.wait(self._tasks.values(), timeout=left_s, return_when=asyncio.FIRST_COMPLETED)
            self._settle()
        await asyncio.sleep(max(0.0, until_s - now_s()))

    def _settle(self) -> None:
        """Lay aside the journals that cannot be read.

        Raises:
            ComponentError: none can be read.
        """
        now_s = asyncio.get_running_loop().time()
        for name in [name for name, task in self._tasks.items() if task.done()]:
            task = self._tasks.pop(name)
            error = task.exception()
            if error is None:
                continue
            self._held_until[name] = now_s + HOLD_S
            if not isinstance(error, ComponentError) or all(
                now_s < self._held_until.get(other, 0.0) for other in self._journals
            ):
                raise error
            self.context.log.warning("journal cannot be read, the others go on", journal=name, error=str(error))
            self.context.counters.error("unreadable")

    async def _follow(self, journal: _Journal) -> None:
        """Read what is there, the oldest first, then what comes, until other files are there."""
        journal.changed = False
        for sequence in journal.sequences:
            reached = journal.reached.get(sequence.id, 0)
            if sequence.live or sequence.last > reached:
                if 0 < reached < sequence.first - 1:
                    self._tell_gone(journal, at_most=sequence.first - 1 - reached)
                await self._read(journal, sequence)

    async def _read(self, journal: _Journal, sequence: Sequence) -> None:
        now_s = asyncio.get_running_loop().time
        heard_s = now_s()
        longest_bytes = self.settings.max_bytes * _WIDEST + _ROOM_BYTES
        async with Journalctl(self._arguments(journal, sequence), longest_bytes) as entries:
            while not (sequence.live and journal.changed):
                lines = await entries.lines(BEAT_S / 2)
                if lines is None:
                    await entries.check(following=sequence.live)
                    # What the options left out was read too.
                    journal.reached[sequence.id] = max(sequence.last, journal.reached.get(sequence.id, 0))
                    return
                if lines:
                    await self._pass_on(journal, sequence, lines)
                    heard_s = now_s()
                elif not sequence.live and now_s() > heard_s + HANG_S:
                    raise ComponentError(f"cannot read {sequence.paths[0]}: no answer for {HANG_S:g} s; check its disk")

    def _arguments(self, journal: _Journal, sequence: Sequence) -> list[str]:
        reached = journal.reached.get(sequence.id, 0)
        if reached or not journal.from_us:
            # A cursor of the number alone: journalctl begins with the first entry that has it, or a greater one.
            # --after-cursor would pass over that one where the entry of the cursor is gone.
            begin = f"--cursor=s={sequence.id};i={reached + 1:x}"
        else:
            begin = f"--since=@{journal.from_us // SECOND_US}.{journal.from_us % SECOND_US:06}"
        return [
            *("--output=json", "--all", "--quiet", "--no-pager", "--no-tail"),
            f"--output-fields={','.join((*FIELDS, *self.settings.fields))}",
            *(["--follow"] if sequence.live else []),
            *(f"--file={path}" for path in sequence.paths),
            *(f"--unit={unit}" for unit in self.settings.units),
            begin,
            *self.settings.matches,
        ]

    async def _pass_on(self, journal: _Journal, sequence: Sequence, lines: list[bytes]) -> None:
        records, now_us = [], time.time_ns() // 1000
        reached = dict(journal.reached)
        for line in lines:
            number = _number(line)
            if number is None:
                self._tell_unread(journal)
                continue
            reached[sequence.id] = number
            position = (journal.name, encode(self._since_us or 0, reached))
            records.append(Record(self._cut(journal, line), journal.source, now_us, position))
        self.context.counters.received(len(lines), sum(map(len, lines)))
        for start in range(0, len(records), BATCH_RECORDS):
            await self.context.emit(records[start : start + BATCH_RECORDS])
        journal.reached = reached

    def _cut(self, journal: _Journal, line: bytes) -> bytes:
        """`line` with no field longer than `max_bytes`."""
        most = self.settings.max_bytes
        if len(line) <= most:
            return line
        fields = msgspec.json.decode(line)
        if all(value is None or len(value) <= most for value in fields.values()):
            return line
        self.context.counters.error("too_long")
        if times := self._rarely.times("too_long"):
            self.context.log.warning("message cut at max_bytes", peer=journal.source.peer, times=times)
        return msgspec.json.encode({name: value and value[:most] for name, value in fields.items()})

    # ── what is told ─────────────────────────────────────────────────────────────────────────────────────────────

    def _tell_if_gone(self, journal: _Journal, sequences: list[Sequence]) -> None:
        """Of a position no sequence of which is there any more nobody knows what came after it."""
        if journal.reached and not journal.reached.keys() & {sequence.id for sequence in sequences}:
            self._tell_gone(journal)

    def _tell_gone(self, journal: _Journal, at_most: int | None = None) -> None:
        self.context.log.warning(
            "journal entries may be gone that were not read, the next ones follow",
            journal=journal.name,
            at_most=at_most,
        )
        self.context.counters.error("vacuumed")

    def _tell_unread(self, journal: _Journal) -> None:
        """An entry that is no entry, or that is so long that not even its number can be told."""
        self.context.counters.dropped(1, "too_long")
        if times := self._rarely.times("unread"):
            self.context.log.warning("journal entry too long, it is dropped", journal=journal.name, times=times)

    def _tell_damaged(self, paths: list[str]) -> None:
        for path in set(paths) - self._damaged:
            self.context.log.warning("no journal file, it is passed over", path=path)
            self.context.counters.error("unreadable")
        self._damaged = set(paths)

    def _tell_too_many(self, left_out: int) -> None:
        if left_out > self._too_many:
            self.context.log.error(
                "too many journals, some are not followed; divide directory",
                followed=MAX_JOURNALS,
                not_followed=left_out,
            )
            self.context.counters.error("too_many_files")
        self._too_many = max(0, left_out)


def _number(line: bytes) -> int | None:
    """The number of an entry; None if it is not told."""
    try:
        cursor = msgspec.json.decode(line, type=_Entry).cursor
        return int(cursor.split(";i=", 1)[1].split(";", 1)[0], 16)
    except (msgspec.MsgspecError, UnicodeDecodeError, LookupError, ValueError):
        return None
