"""Named places where a crash test may kill this process; inert unless `SOCMON_FAILPOINT` is set at start.

`SOCMON_FAILPOINT=name` kills (-9) at the first hit, `name:7` at the seventh. `journal.write:7:100` makes the seventh
journal write stop after 100 bytes. Other names change behaviour once so that a test can show the damage is noticed;
those that end in `.hang` make a part of socmon stand still for good.
"""

import os
import signal
import threading

# journal.appended   a batch is in the journal, not yet matched
# alerts.committed   alerts are stored, the checkpoint is not
# centre.checked     the centre has checked a batch, nothing of it is stored
# centre.committed   the centre has stored a batch, the reply is not sent
# outbox.released    alerts are released, not yet sent
# outbox.replied     the centre's reply is here, the outbox is not marked
# journal.write      inside a journal write (third part: bytes that get through)
# file.position      collector `file` forgets where it was (a mutation: a test shows that the ledger notices)
# http.journalled    a batch of a request over HTTP is in the journal, the next one or the answer is not on its way
# restore.copied     a backup is copied and on the disk, the store is still the former one
# restore.decided    the copy counts, nothing else is changed
# restore.aside      the former store is put aside, and the copy is not in its place
# http.forget        collector `http` does not write down which requests it has (a mutation, from the start to the end)
# collector.hang     collector `file` waits for what never comes
# journal.hang       the journal's thread does not come back from a write
# loop.hang          the event loop is blocked
# store.hang         the store's thread does not come back from a commit
# worker.spin        a worker does not come back from a record that holds HARM; nothing else in it gets a turn
# worker.crash       a worker ends by a signal on such a record
# worker.refuse      a worker ends before it is ready, each one
NAMES = frozenset(
    {
        "journal.appended",
        "alerts.committed",
        "centre.checked",
        "centre.committed",
        "outbox.released",
        "outbox.replied",
        "journal.write",
        "file.position",
        "http.journalled",
        "http.forget",
        "restore.copied",
        "restore.decided",
        "restore.aside",
        "collector.hang",
        "journal.hang",
        "loop.hang",
        "store.hang",
        "worker.spin",
        "worker.crash",
        "worker.refuse",
    }
)

HARM = b"socmon-harmful"

_name, _, _rest = os.environ.get("SOCMON_FAILPOINT", "").partition(":")
_nth, _, _bytes = _rest.partition(":")
_left = int(_nth or 1)

if _name and _name not in NAMES:
    raise SystemExit(f"SOCMON_FAILPOINT: no failpoint is called {_name!r}; known: {', '.join(sorted(NAMES))}")


def hit(name: str) -> bool:
    """True the one time that failpoint `name` is due; False always when it was not armed at start."""
    global _left  # noqa: PLW0603  one process has one failpoint
    if name != _name:
        return False
    _left -= 1
    return _left == 0


def die(name: str) -> None:
    """Kill this process without any clean-up if failpoint `name` is due."""
    if hit(name):
        os.kill(os.getpid(), signal.SIGKILL)


def hang(name: str) -> None:
    """Never return if failpoint `name` is due: this thread hangs."""
    if hit(name):
        threading.Event().wait()


def armed(name: str) -> bool:
    """Whether failpoint `name` was armed at start; for one that is due whenever something holds HARM."""
    return name == _name


def harm(data: bytes) -> None:
    """Spin or crash on `data` that holds HARM, if that failpoint is armed."""
    if HARM in data:
        if _name == "worker.spin":
            sum(range(1 << 62))  # a loop in C that holds the interpreter's lock
        elif _name == "worker.crash":
            os.kill(os.getpid(), signal.SIGSEGV)


def torn(name: str) -> int | None:
    """How many bytes of the write at hand get through before the process dies; None when it is not due."""
    return int(_bytes or 0) if hit(name) else None
