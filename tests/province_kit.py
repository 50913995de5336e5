"""A province and its centre that run, for tests of what may befall the link between them."""

import json
import signal
import sqlite3
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from feed_kit import enrol
from field import ORG, Field, ended, wait_for
from ncsc_kit import keys_of

from socmon.feed.batch import BATCHES_PATH, pack

FILES = ["auth"]


class Province(Field):
    """Writes failures of sshd, and says whether the centre holds just what it holds itself.

    Attributes:
        lines: written so far.
    """

    lines = 0

    def more(self, count: int = 60) -> None:
        self.write("auth", self.lines, count)
        self.lines += count

    def of_all(self, name: str) -> int:
        """A figure of the centre's, over all organisations."""
        return sum(each[name] for each in self.stats()["organisations"].values())

    def backlog(self) -> int:
        """Alerts that wait for the centre."""
        found = self.reading().backlogs.get("ncsc")
        return found.pending + found.waiting if found else 0

    def dead(self) -> int:
        with closing(sqlite3.connect(f"file:{self.state}/socmon.db?mode=ro", uri=True)) as db:
            (count,) = db.execute("select count(*) from released where state = 'dead'").fetchone()
            return int(count)

    def stop_centre(self) -> None:
        assert self.centre is not None
        self.centre.send_signal(signal.SIGTERM)
        assert self.centre.wait(60) == 0

    def wait_until_settled(self) -> None:
        wait_for(self.settled, "everything delivered", timeout_s=90)

    def check_nothing_is_lost_or_doubled(self) -> None:
        """The set here is the set at the centre, each once, at its last revision."""
        reading = self.reading()
        held = {alert.id: alert.revision for alert in reading.alerts}
        assert held
        assert self.findings() == held == reading.acknowledged["ncsc"]
        assert (self.of_all("rows_stored_twice"), self.dead()) == (0, 0)


@contextmanager
def province_in(root: Path) -> Iterator[Province]:
    """A province whose daemon is configured and not started; its centre is neither."""
    with ended(Province(root / "province")) as place:
        enrol(keys_of(root), ORG)
        place.keep_feed_port()
        place.configure(FILES)
        yield place


def post(place: Province, messages: Sequence[bytes], batch_id: str = "by-hand") -> tuple[int, Any]:
    """What the centre answers to a batch that is sent by hand with the province's certificate: status, and the JSON."""
    headers, body = pack(messages, batch_id)
    return post_raw(place, headers, body)


def post_raw(place: Province, headers: dict[str, str], body: bytes) -> tuple[int, Any]:
    """As `post`, of any body."""
    keys = place.root.parent / "keys"
    tls = ssl.create_default_context(cafile=str(keys / "ca.pem"))
    tls.load_cert_chain(keys / "client.pem", keys / "client.key")
    request = urllib.request.Request(f"https://127.0.0.1:{place.feed_port}{BATCHES_PATH}", body, headers)
    try:
        with urllib.request.urlopen(request, timeout=30, context=tls) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code, json.loads(refused.read() or b"{}")
