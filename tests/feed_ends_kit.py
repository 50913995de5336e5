"""Both ends of the feed in one process, with real files and without a network, for a test that plays what lies between.

What a kill is: the transaction that is open is never committed, and the file is opened anew, as SQLite recovers it.
"""

import math
import shutil
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from hashlib import sha256
from pathlib import Path

import msgspec
from feed_kit import KEY, ORG, START_US, alert

from forwarders import _ncsc_answers as answers
from socmon.event import Alert, Level
from socmon.feed import receipt
from socmon.feed.batch import CONTENT_DIGEST, Cursor, pack, read_reply
from socmon.feed.checking import Item
from socmon.feed.keyring import Signer, key_set
from socmon.feed.keys import signing_key
from socmon.feed.message import Sender, render
from socmon.feed.server import FeedServer, Stored, Trust
from socmon.feed.signing import Key, canonical, normal
from socmon.feed.vocabulary import stream_of
from socmon.feed.void import render_void
from socmon.ncsc.counts import cursors_of
from socmon.ncsc.inbox import Inbox
from socmon.ncsc.taken import Taken
from socmon.outgoing import Outcome, Place, Release, Released, Void
from socmon.store import Routing, Store, outbox, pruning, queue, resuming, triage

DESTINATION = "ncsc"
_CENTRE_KEY = signing_key()
_SENDER = Sender(org_id=ORG)
outbox._MOST_S = math.inf  # how fast the machine is today changes nothing
# A disk that stays is for crashes of the machine; here only processes die.
_FAST = "pragma synchronous = off"

Epoch = tuple[str, str]  # stream and epoch


class Request:
    """A batch on its way: its bytes, and what they were made of."""

    def __init__(self, part: Sequence[Released], number: int) -> None:
        self.part = part
        self.batch_id = f"batch-{number}"
        self.headers, self.body = pack([item.body for item in part], self.batch_id)


class SenderEnd:
    """A store, and what detection knows: `alerts`, which the journal gives again after each death."""

    def __init__(self, folder: Path, template: Path) -> None:
        self._path = folder / "socmon.db"
        shutil.copyfile(template, self._path)
        self.alerts: dict[str, Alert] = {}
        self.given: dict[Epoch, set[int]] = {}
        self.now_us = START_US
        self.open()

    def open(self) -> None:
        self.store = Store(self._path, destinations=[DESTINATION])
        self.db.execute(_FAST)

    @property
    def db(self) -> sqlite3.Connection:
        return self.store._db

    def die(self) -> None:
        self.db.close()
        self.open()

    def close(self) -> None:
        self.db.close()

    def put(self, number: int, level: Level) -> None:
        """Detection says that alert `number` is new, or goes on."""
        before = self.alerts.get(alert(number).id)
        revision = before.revision + 1 if before else 1
        now = alert(number, revision=revision, count=revision, level=level)
        self.alerts[now.id] = now
        self.store.commit_now([now], 1, self.now_us, None)

    def triage(self, alert_id: str, verb: triage.Verb) -> None:
        change = triage.Change(verb, reason="fp" if verb == "close" else "")
        with self.store._transaction() as db:
            triage.apply(db, [alert_id], change, triage.Saying("test", self.now_us, [DESTINATION]))

    def release(self, limit: int, *, dies: bool = False) -> None:
        routing = Routing(DESTINATION, lambda each: stream_of(each.level), _rendered, _voided)
        self.db.execute("begin immediate")
        problems = outbox.release(self.db, routing, limit=limit, now_us=self.now_us, before_us=self.now_us)
        assert problems == []
        if dies:
            self.die()
        else:
            self.db.execute("commit")

    def waiting(self, limit: int) -> list[list[Released]]:
        return outbox.waiting(self.db, DESTINATION, limit)

    def settle(self, outcomes: Sequence[Outcome], *, dies: bool = False) -> None:
        self.db.execute("begin immediate")
        outbox.settle(self.db, outcomes, self.now_us)
        if dies:
            self.die()
        else:
            self.db.execute("commit")

    def prune(self) -> None:
        with self.store._transaction() as db:
            pruning.prune_settled(db, self.now_us)

    def revisions(self) -> dict[str, int]:
        """As they are sent: over those of the centre's that the sender did not know of."""
        lifted = "coalesce((select revisions from lifted where alert_id = alert.id), 0)"
        return dict(self.db.execute(f"select id, revision + analyst_revision + {lifted} from alert").fetchall())

    def acknowledged(self) -> dict[str, int]:
        return outbox.acknowledged(self.db, DESTINATION)

    def back_up(self) -> None:
        _copy(self.db, self._path.with_suffix(".backup"))

    def restore(self) -> bool:
        """Put the last backup back, then let detection say again what it knows; False if there is none."""
        backup = self._path.with_suffix(".backup")
        if not backup.exists():
            return False
        self.db.close()
        _put_back(backup, self._path)
        self.open()
        self.store.commit_now([*self.alerts.values()], 1, self.now_us, None)
        return True

    def resume(self, centre: "CentreEnd") -> None:
        """What the sender does on connecting: it compares its streams with the centre's cursors."""
        places = {each.stream: Place(each.epoch, each.seq, each.last, each.beyond) for each in centre.cursors()}
        with self.store._transaction() as db:
            resuming.resume(db, DESTINATION, places, self.now_us)

    def retry(self) -> None:
        """A person releases all dead letters again."""
        with self.store._transaction() as db:
            queue.release_again(db, queue.dead(db, DESTINATION), by="test", now_us=self.now_us)

    def states(self) -> set[str]:
        return {state for (state,) in self.db.execute("select distinct state from released")}

    def check_sequences(self) -> None:
        """In each epoch all from 1 up to the next one were given, each once (the index sees to that)."""
        for stream, epoch, seq in self.db.execute("select stream, epoch, seq from released"):
            self.given.setdefault((stream, epoch), set()).add(seq)
        for stream, epoch, next_seq in self.db.execute("select stream, epoch, next_seq from stream"):
            assert self.given.get((stream, epoch), set()) >= set(range(1, next_seq)), (stream, epoch)


def _rendered(each: Alert, release: Release) -> bytes:
    return render(each, release, _SENDER, KEY)


def _voided(void: Void) -> bytes:
    return render_void(void.release, void.to_seq, void.reason, ORG, KEY, void.alert_id)


def _keys(_org_id: str) -> dict[str, Key]:
    return {KEY.kid: KEY}


def _encoding(request: Request) -> str:
    return request.headers.get("Content-Encoding", "identity")


class _Nowhere:
    """The server is asked for its checks and replies alone; the inbox is called directly, in this thread."""

    async def store(self, organisation: str, items: Sequence[Item]) -> Stored:
        raise AssertionError(organisation, len(items))

    async def cursors(self, organisation: str) -> list[Cursor]:
        raise AssertionError(organisation)


class CentreEnd:
    """An inbox behind the checks of the server, which signs what it answers."""

    def __init__(self, folder: Path) -> None:
        signing = folder / "centre.jwks"
        signing.write_bytes(key_set([_CENTRE_KEY], private=True))
        self._path = folder / "centre.sqlite"
        self.open()
        self._server = FeedServer(_Nowhere(), [ORG], Trust(_keys, signer=Signer(lambda: signing)))

    def open(self) -> None:
        self._inbox = Inbox(self._path)
        self._inbox._open()
        self.db.execute(_FAST)

    @property
    def db(self) -> sqlite3.Connection:
        return self._inbox._db

    def die(self) -> None:
        self.db.close()
        self.open()

    def close(self) -> None:
        self.db.close()

    def take(self, request: Request) -> bytes:
        """Commit what `request` brings; the reply."""
        items = self._server._check(request.body, _encoding(request), request.headers[CONTENT_DIGEST], ORG)
        stored = self._inbox._store(ORG, items)
        return msgspec.json.encode(self._server._reply(request.batch_id, items, stored))

    def take_and_die(self, request: Request) -> None:
        """Killed amid the transaction."""
        items = self._server._check(request.body, _encoding(request), request.headers[CONTENT_DIGEST], ORG)
        self.db.execute("begin immediate")
        self._inbox._taken = Taken(self.db)
        for item in items:
            self._inbox._take(ORG, item)
        self.die()

    def findings(self) -> dict[str, int]:
        return dict(tuple(row) for row in self.db.execute("select uid, revision from findings"))

    def back_up(self) -> None:
        _copy(self.db, self._path.with_suffix(".backup"))

    def restore(self) -> bool:
        """Put the last backup back; False if there is none."""
        backup = self._path.with_suffix(".backup")
        if not backup.exists():
            return False
        self.db.close()
        _put_back(backup, self._path)
        self.open()
        return True

    def cursors(self) -> list[Cursor]:
        return [Cursor(**row) for row in cursors_of(self.db, ORG)]

    def check_complete(self) -> None:
        """No cursor of a newest epoch waits at a hole."""
        assert [each for each in self.cursors() if each.beyond] == []

    def check_rows(self) -> None:
        """No revision of a finding is stored twice, and no cursor has passed a sequence that is not here."""
        twice = "select uid from events where status = 'stored' group by uid, revision having count(*) > 1"
        assert self.db.execute(twice).fetchall() == []
        for source, epoch, committed in self.db.execute("select source, epoch, committed from streams").fetchall():
            ranges = self.db.execute(
                "select seq, seq from events where source = ?1 and epoch = ?2"
                " union all select seq, seq from quarantine where source = ?1 and epoch = ?2"
                " union all select first, last from voided where source = ?1 and epoch = ?2",
                (source, epoch),
            )
            held = {seq for first, last in ranges for seq in range(first, last + 1)}
            assert set(range(1, committed + 1)) <= held, (source, epoch, committed)


def spoilt(item: Released) -> Released:
    """Another content under the same signature, as if its row had been written anew."""
    event = msgspec.json.decode(item.body)
    return msgspec.structs.replace(item, body=canonical(event | {"time": "2026-01-01T00:00:00Z"}))


def outcomes(request: Request, reply: bytes) -> list[Outcome]:
    """What the forwarder makes of a reply."""
    sent = {answers.message_id(item): item.release.seq for item in request.part}
    read = read_reply(reply, request.batch_id, sent)
    digests = [sha256(normal(item.body)).hexdigest() for item in request.part]
    receipt.check(read, digests, {_CENTRE_KEY.kid: _CENTRE_KEY})
    return answers.outcomes(request.part, read, receipt.kept(read, digests), lambda: KEY, "the centre")


def _copy(db: sqlite3.Connection, path: Path) -> None:
    with closing(sqlite3.connect(path)) as copy:
        db.backup(copy)


def _put_back(backup: Path, path: Path) -> None:
    for companion in ("-wal", "-shm"):
        path.with_name(path.name + companion).unlink(missing_ok=True)
    shutil.copyfile(backup, path)


def empty_store(path: Path) -> None:
    """A new store to copy: making one takes long."""
    with closing(Store(path)._db) as db:
        db.execute("pragma journal_mode = delete")
