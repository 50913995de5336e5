"""Sender × link × receiver as one machine (hypothesis): whatever happens in whatever order, nothing is lost or doubled.

The outbox, the messages, their signatures, the centre's checks and its inbox are the real ones, on real files. The link
is a model: it loses requests and replies, doubles them, and brings old ones late. SOCMON_EXAMPLES=20 and
SOCMON_EXPLORE=1 look further.
"""

import os
import shutil
import tempfile
from pathlib import Path

import pytest
from feed_ends_kit import CentreEnd, Request, SenderEnd, empty_store, outcomes, spoilt
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from socmon.event import SECOND_US, Level
from socmon.store.triage import Verb

_MORE = int(os.environ.get("SOCMON_EXAMPLES", "1"))  # times as many examples
# Restored backups, and that no cursor waits at a hole in the end: not all orders of these are understood yet.
_EXPLORE = bool(os.environ.get("SOCMON_EXPLORE"))
# Nothing here outlives the test, and much is written.
_FOLDER = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
_MOST_ALERTS = 2  # it is their revisions that meet

NUMBERS = st.integers(1, _MOST_ALERTS)
LEVELS: st.SearchStrategy[Level] = st.sampled_from(["medium", "medium", "high", "critical"])
VERBS: st.SearchStrategy[Verb] = st.sampled_from(["ack", "close", "reopen"])
RARELY = st.sampled_from([False, False, False, True])
FATES = st.sampled_from(["answered", "answered", "request lost", "reply lost", "doubled"])


class Feed(RuleBasedStateMachine):
    """What may happen to a province, its link and its centre."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="socmon-machine", dir=_FOLDER))
        empty = self.folder / "empty.db"
        empty_store(empty)
        self.sender = SenderEnd(self.folder, empty)
        self.centre = CentreEnd(self.folder)
        self.requests: list[Request] = []  # all that were ever sent: any may arrive late, or again
        self.lost: list[Request] = []
        self.seen: dict[str, int] = {}
        self.went_back = False

    @initialize(number=NUMBERS, level=LEVELS)
    def first(self, number: int, level: Level) -> None:
        self.sender.put(number, level)

    @rule(number=NUMBERS, level=LEVELS, released=st.booleans())
    def alert(self, number: int, level: Level, *, released: bool) -> None:
        """New, or a revision."""
        self.sender.put(number, level)
        if released:
            self.release(4, dies=False)

    @rule(data=st.data(), verb=VERBS)
    def triage(self, data: st.DataObject, verb: Verb) -> None:
        self.sender.triage(data.draw(st.sampled_from(sorted(self.sender.alerts))), verb)

    @rule(limit=st.integers(1, 4), dies=RARELY)
    def release(self, limit: int, *, dies: bool) -> None:
        self.sender.now_us += 1
        self.sender.release(limit, dies=dies)

    @rule(fate=FATES, last=st.booleans(), skip=st.integers(0, 1), dies=RARELY)
    def send(self, fate: str, skip: int, *, last: bool, dies: bool) -> None:
        """A batch of one stream, or its last part alone, and what becomes of it on the way there and back."""
        batches = self.sender.waiting(4)
        if not batches:
            return
        batch = batches[-1 if last else 0]
        request = Request(batch[skip:] or batch, len(self.requests))
        self.requests.append(request)
        if fate == "request lost":
            self.lost.append(request)
            return
        reply = self.centre.take(request)
        if fate == "doubled":
            reply = self.centre.take(request)
        if fate != "reply lost":
            answers = outcomes(request, reply)
            assert {each.status for each in answers} <= {"accepted", "duplicate", "stale"}
            self.sender.settle(answers, dies=dies)

    @precondition(lambda self: self.requests)
    @rule(data=st.data())
    def arrives_again(self, data: st.DataObject) -> None:
        """Nobody waits for the answer any more."""
        number = data.draw(st.integers(0, len(self.requests) - 1))
        self.centre.take(self.requests[number])

    @precondition(lambda self: self.lost)
    @rule()
    def arrives_late(self) -> None:
        """What was taken for lost."""
        self.centre.take(self.lost.pop())

    @precondition(lambda self: self.sender.waiting(1))
    @rule(again=st.booleans())
    def damaged(self, *, again: bool) -> None:
        """The first that waits cannot be believed as it is: a dead letter, which a person may release again."""
        first = self.sender.waiting(1)[0][0]
        request = Request([spoilt(first)], len(self.requests))
        answers = outcomes(request, self.centre.take(request))
        self.sender.settle(answers)
        assert [each.status for each in answers] == ["rejected"]
        assert first.void or "dead" in self.sender.states()
        if again:
            self.sender.retry()

    @rule(data=st.data(), which=st.sampled_from(["sender", "receiver", "receiver amid a batch"]))
    def dies(self, data: st.DataObject, which: str) -> None:
        if which == "sender":
            self.sender.die()
        elif which == "receiver" or not self.requests:
            self.centre.die()
        else:
            number = data.draw(st.integers(0, len(self.requests) - 1))
            before = self.centre.findings()
            self.centre.take_and_die(self.requests[number])
            assert self.centre.findings() == before

    @rule(step_s=st.integers(-600, 600), prunes=st.booleans())
    def time_passes(self, step_s: int, *, prunes: bool) -> None:
        """Or the clock is set back. What is old then is pruned, now and then."""
        self.sender.now_us += step_s * SECOND_US
        if prunes:
            self.sender.prune()

    @precondition(lambda _self: _EXPLORE)
    @rule(keep=st.booleans())
    def sender_restored(self, *, keep: bool) -> None:
        self._restored(self.sender, keep=keep)

    @precondition(lambda _self: _EXPLORE)
    @rule(keep=st.booleans())
    def receiver_restored(self, *, keep: bool) -> None:
        self._restored(self.centre, keep=keep)
        self.seen = {}

    def _restored(self, end: "SenderEnd | CentreEnd", *, keep: bool) -> None:
        """Keep a backup, or put the last one back; then the sender connects anew, and resumes."""
        if keep:
            end.back_up()
        elif end.restore():
            self.went_back = True
            self.sender.resume(self.centre)

    @invariant()
    def nothing_is_doubled_and_no_cursor_passes_a_hole(self) -> None:
        self.centre.check_rows()

    @invariant()
    def sequences_have_no_holes(self) -> None:
        self.sender.check_sequences()

    @invariant()
    def no_revision_goes_back(self) -> None:
        now = self.centre.findings()
        assert all(now.get(uid, 0) >= revision for uid, revision in self.seen.items())
        self.seen = now

    @invariant()
    def nothing_is_acknowledged_or_invented(self) -> None:
        """What the sender takes for delivered is there; what is there is the sender's."""
        if self.went_back:
            return  # until all is delivered, one of both knows more than the other
        here, there = self.sender.revisions(), self.centre.findings()
        assert all(revision <= there.get(uid, 0) for uid, revision in self.sender.acknowledged().items())
        assert all(revision <= here.get(uid, 0) for uid, revision in there.items())

    def teardown(self) -> None:
        """A good link, at last: all is delivered, and what still comes late changes nothing."""
        try:
            self._drain()
            assert self.centre.findings() == self.sender.revisions()
            for request in self.requests:
                self.centre.take(request)
            assert self.centre.findings() == self.sender.revisions()
            assert self.sender.states() <= {"acknowledged", "retried"}
            self.centre.check_rows()
            if _EXPLORE:
                self.centre.check_complete()
        finally:
            self.sender.close()
            self.centre.close()
            shutil.rmtree(self.folder)

    def _drain(self) -> None:
        for _ in range(10 * _MOST_ALERTS):
            self.sender.now_us += 1
            self.sender.resume(self.centre)
            self.sender.retry()
            self.sender.release(500)
            batches = self.sender.waiting(500)
            if not batches:
                return
            for batch in batches:
                request = Request(batch, len(self.requests))
                self.sender.settle(outcomes(request, self.centre.take(request)))
        raise AssertionError("the backlog does not drain")


TestFeed = pytest.mark.timeout(300)(Feed.TestCase)
TestFeed.settings = settings(max_examples=60 * _MORE, stateful_step_count=40)
