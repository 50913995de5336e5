"""Certificates that are wrong, on either side of a real link: nothing is lost or given up, and a file mends it.

One daemon and one centre run through all of it; neither is ever restarted.
"""

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest
from certificate_kit import Stranger, expired, not_yet_valid
from fault_kit import Used
from field import ORG, Field, field_in, wait_for

from socmon.feed.keys import Authority, Credentials, KeyFiles, generate, generate_signing

OTHER = "000.00.00.H61"
NOBODY = "000.00.00.H99"
BLOCKED = "destination cannot be used until a person acts, alerts wait"
AGAIN = "destination can be used again"
RENEWED = "keys renewed"


@dataclass
class Link:
    """A province and its centre that run, with the authority that both trust."""

    place: Field
    keys: Path
    authority: Authority
    lines: int = 0
    offsets: dict[str, int] = field(default_factory=dict)

    def put(self, name: str, credentials: Credentials) -> None:
        """Replace certificate and key, each in one step, as a renewal does."""
        for kind, content in (("key", credentials.key), ("pem", credentials.cert)):
            replace(self.keys / f"{name}.{kind}", content)

    def more(self) -> None:
        self.place.write("auth", self.lines, 60)
        self.lines += 60

    def mark(self) -> None:
        """From here on the logs are asked."""
        self.offsets = {log: (self.place.root / log).stat().st_size for log in ("daemon.log", "centre.log")}

    def said(self, log: str, event: str) -> list[dict[str, Any]]:
        return self.place.events(log, event, self.offsets[log])

    def answered(self) -> dict[str, int]:
        return dict(self.place.reading().acknowledged["ncsc"])

    def waits(self) -> bool:
        backlog = self.place.reading().backlogs["ncsc"]
        return backlog.pending + backlog.waiting > 0

    def dead(self) -> int:
        with closing(sqlite3.connect(f"file:{self.place.state}/socmon.db?mode=ro", uri=True)) as db:
            (count,) = db.execute("select count(*) from released where state = 'dead'").fetchone()
            return int(count)

    def stored_twice(self) -> int:
        return sum(each["rows_stored_twice"] for each in self.place.stats()["organisations"].values())


def replace(path: Path, content: bytes) -> None:
    new = path.with_name(f".{path.name}.new")
    new.write_bytes(content)
    new.replace(path)


@pytest.fixture(scope="module")
def link(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Link]:
    root = tmp_path_factory.mktemp("certificates")
    authority = Authority()
    (root / "keys").mkdir()
    with field_in(root / "province") as place:
        made = Link(place, root / "keys", authority)
        made.put("ca", authority.credentials)
        made.put("centre", authority.server())
        made.put("client", authority.client(ORG))
        names = ("ca.pem", "ca.key", "centre.pem", "centre.key", "client.pem", "client.key")
        generate_signing(KeyFiles(*(made.keys / name for name in names)), ORG)
        place.start_centre(organisations=[ORG, OTHER])
        place.configure(["auth"])
        made.more()
        place.start_daemon()
        wait_for(place.settled, "the first alerts delivered")
        yield made
        assert place.daemon is not None
        assert place.centre is not None
        assert (place.daemon.poll(), place.centre.poll()) == (None, None)
        place.stop_daemon()
        assert place.journalled() == place.sent


@dataclass(frozen=True)
class Fault:
    """What is wrong.

    Attributes:
        wrong: makes it so, by replacing files only.
        reason: what the daemon says of it.
        centre: (event, reason) that the centre must say; None if it has nothing to say.
        renews: whether the centre is to notice other keys of its own.
    """

    wrong: Callable[[Link], None]
    reason: str
    centre: tuple[str, str | None] | None = None
    renews: bool = False


def unlink(name: str) -> Callable[[Link], None]:
    return lambda link: (link.keys / name).unlink()


def garbage(name: str) -> Callable[[Link], None]:
    return lambda link: replace(link.keys / name, b"-----BEGIN CERTIFICATE-----\nxin ch\xc3\xa0o\n")


def folder_in_place_of(name: str) -> Callable[[Link], None]:
    def wrong(link: Link) -> None:
        (link.keys / name).unlink()
        (link.keys / name).mkdir()

    return wrong


def client_of_validity(change: Callable[[Path, Path], None]) -> Callable[[Link], None]:
    def wrong(link: Link) -> None:
        copy = link.keys / "copy.pem"
        shutil.copy(link.keys / "client.pem", copy)
        change(copy, link.keys / "ca.key")
        copy.replace(link.keys / "client.pem")

    return wrong


FAULTS: dict[int, dict[str, Fault]] = {
    22: {
        "expired": Fault(client_of_validity(expired), "own_expired"),
        "not yet valid": Fault(client_of_validity(not_yet_valid), "own_not_yet_valid"),
        "not enrolled": Fault(
            lambda link: link.put("client", link.authority.client(NOBODY)), "not_enrolled", ("request refused", None)
        ),
        "without its key": Fault(unlink("client.key"), "own_unreadable"),
        "with a key that cannot be read": Fault(folder_in_place_of("client.key"), "own_unreadable"),
        "with another's key": Fault(
            lambda link: replace(link.keys / "client.key", Authority().client(ORG).key), "own_unusable"
        ),
    },
    23: {
        "of another organisation": Fault(
            lambda link: link.put("client", link.authority.client(OTHER)), "foreign_source", ("request refused", None)
        ),
    },
    24: {
        "of an unknown authority": Fault(
            lambda link: link.put("client", Authority().client(ORG)),
            "refused_untrusted",
            ("client refused at the handshake", "client_untrusted"),
        ),
        "none": Fault(unlink("client.pem"), "own_unreadable"),
        "of an authority that became garbage": Fault(
            garbage("ca.pem"), "own_unusable", ("keys cannot be renewed, the last ones stay", None)
        ),
    },
    25: {
        "of an unknown authority": Fault(
            lambda link: link.put("centre", Authority().server()), "server_untrusted", renews=True
        ),
        "of another name": Fault(
            lambda link: link.put("centre", link.authority.server(["centre.example"])), "server_name", renews=True
        ),
    },
}


def restore(link: Link, kept: dict[str, bytes]) -> None:
    for name, content in kept.items():
        path = link.keys / name
        if path.is_dir():
            path.rmdir()
        if not path.exists() or path.read_bytes() != content:
            replace(path, content)


@pytest.mark.timeout(480)
@pytest.mark.parametrize("name", FAULTS[22])
def test_fault_22_client_certificate_that_cannot_be_used(link: Link, used: Used, name: str) -> None:
    holds_everything_back_and_its_cure_lets_everything_through_once(link, FAULTS[22][name], used)


@pytest.mark.timeout(480)
@pytest.mark.parametrize("name", FAULTS[23])
def test_fault_23_source_of_another_organisation(link: Link, used: Used, name: str) -> None:
    holds_everything_back_and_its_cure_lets_everything_through_once(link, FAULTS[23][name], used)


@pytest.mark.timeout(480)
@pytest.mark.parametrize("name", FAULTS[24])
def test_fault_24_certificate_that_nobody_trusts(link: Link, used: Used, name: str) -> None:
    holds_everything_back_and_its_cure_lets_everything_through_once(link, FAULTS[24][name], used)


@pytest.mark.timeout(480)
@pytest.mark.parametrize("name", FAULTS[25])
def test_fault_25_wrong_certificate_of_the_centre(link: Link, used: Used, name: str) -> None:
    holds_everything_back_and_its_cure_lets_everything_through_once(link, FAULTS[25][name], used)


def holds_everything_back_and_its_cure_lets_everything_through_once(link: Link, fault: Fault, used: Used) -> None:
    place = link.place
    for process in place.started:  # all faults share them
        used.started([*map(str, cast("list[str]", process.args))])
    kept = {path.name: path.read_bytes() for path in link.keys.iterdir() if path.is_file()}
    wait_for(place.settled, "all before it delivered")
    stored, answered = place.findings(), link.answered()
    link.mark()

    fault.wrong(link)
    if fault.renews:
        wait_for(lambda: link.said("centre.log", RENEWED), "the centre notices its new keys")
    link.more()

    wait_for(lambda: link.said("daemon.log", BLOCKED), "the daemon says what is wrong")
    if fault.centre:
        event, reason = fault.centre
        wait_for(lambda: link.said("centre.log", event), "the centre says what is wrong")
        assert reason in {None, link.said("centre.log", event)[0].get("reason")}
    tried = len(link.said("daemon.log", "component failed, will restart"))
    retried = lambda: len(link.said("daemon.log", "component failed, will restart")) >= tried + 2  # noqa: E731
    wait_for(retried, "it is tried again all the same")
    assert link.waits()
    assert (place.findings(), link.answered(), link.dead()) == (stored, answered, 0)
    # Now, for between the files that are put back one after the other it may meet another fault.
    (blocked,) = link.said("daemon.log", BLOCKED)

    restore(link, kept)

    wait_for(place.settled, "everything delivered after the renewal")
    wait_for(lambda: link.said("daemon.log", AGAIN), "the daemon says that it is over")
    assert (blocked["level"], blocked["destination"], blocked["reason"]) == ("error", "ncsc", fault.reason)
    assert blocked["remedy"]
    assert len(link.said("daemon.log", AGAIN)) == 1
    reading = place.reading()
    assert place.findings() != stored
    assert place.findings() == {alert.id: alert.revision for alert in reading.alerts} == link.answered()
    assert (link.stored_twice(), link.dead()) == (0, 0)


STRANGERS: dict[str, tuple[str, Callable[[Path, Path], None] | None]] = {
    "server_untrusted": ("unknown", None),
    "server_name": ("named", None),
    "server_expired": ("known", expired),
    "server_not_yet_valid": ("known", not_yet_valid),
}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("reason", STRANGERS)
def test_fault_25_server_with_a_wrong_certificate_is_told_nothing(tmp_path: Path, reason: str) -> None:
    whose, change = STRANGERS[reason]
    keys = generate(tmp_path / "keys", ORG)
    unknown = generate(tmp_path / "unknown", ORG)
    named = generate(tmp_path / "named", ORG, hosts=["centre.example"])
    shown = {"unknown": unknown, "named": named, "known": keys}[whose]
    cert, own = tmp_path / "shown.pem", {path: path.read_bytes() for path in (keys.ca,)}
    shutil.copy(shown.centre, cert)
    if change:
        change(cert, shown.ca_key)
    with field_in(tmp_path / "province") as place:
        if whose == "named":
            keys.ca.write_bytes(named.ca.read_bytes())
        place.keep_feed_port()
        with Stranger(place.feed_port, cert, shown.centre_key).running() as stranger:
            place.configure(["auth"])
            place.write("auth", 0, 60)
            place.start_daemon()
            wait_for(lambda: stranger.called >= 2, "it is tried, and tried again")
            wait_for(lambda: place.events("daemon.log", BLOCKED), "the daemon says what is wrong")
            wait_for(lambda: sum(each.pending for each in place.reading().backlogs.values()), "alerts wait for it")

        (blocked,) = place.events("daemon.log", BLOCKED)
        assert (blocked["reason"], stranger.told) == (reason, b"")
        for path, content in own.items():
            path.write_bytes(content)
        place.start_centre()
        wait_for(place.settled, "everything delivered to the right one")
        assert place.findings() == {alert.id: alert.revision for alert in place.reading().alerts}
        assert place.findings()
        place.stop_daemon()
