"""Fault 31, personal data in a field, and 32, TLP:RED: a real daemon sends to a receiver that is not socmon.

What the receiver has decrypted and unzipped is searched for every name, number and secret that the logs were full of.
"""

import json
import os
import subprocess
import sys
import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from field import ORG, Field, field_in, wait_for

from socmon.feed.privacy import PseudonymKey

TESTS = Path(__file__).parents[1]
USER, HOST, INSIDE = "nguyenthihoa", "cchc-db-07", "10.77.3.21"
PERSONAL = {
    "e-mail": "hoa.nt@vinhlong.gov.vn",
    "e-mail, percent-encoded": "hoa.nt%40vinhlong.gov.vn",
    "e-mail, in JSON": "hoa.nt\\u0040vinhlong.gov.vn",
    "telephone": "0912345678",
    "telephone, parted": "0912.345.678",
    "telephone, in full-width digits": "\uff10\uff19\uff11\uff12\uff13\uff14\uff15\uff16\uff17\uff18",
    "telephone, with invisible signs": "0912\u200b345\u200b678",
    "citizen id": "086199012345",
    "citizen id, percent-encoded": "%3086199012345",
    "bank card": "9704 1234 5678 9017",
    "card without spaces": "4111111111111111",
}
WORD = "Dongnai2026abc"
# Each holds WORD as a secret, in a form that somebody has to know, or to undo.
DISGUISED = {
    "Vietnamese": f"mật khẩu: {WORD}",
    "XML": f"<password>{WORD}</password>",
    "a name in escapes": f"pass%77ord={WORD}",
    "an option": f"sqlcmd -S db -U sa -P {WORD}",
    "hexadecimal text of auditd": f"proctitle={WORD.encode().hex().upper()}",
}
# How else the names of the alert stand in its lines; the user and host that their events name have their domains.
OTHERWISE = {
    "host without its domain": f"reached {HOST} again",
    "user without the domain": f"session of {USER} opened",
    "address in escapes": "peer 10%2e77.3.21 gone",
    "address in full-width digits": "peer \uff11\uff10.77.3.21 gone",
    "address as a number": f"peer {int(ip_address(INSIDE))} gone",
    "address with dashes": "peer ip-10-77-3-21 gone",
    "address backwards": "peer 21.3.77.10.in-addr.arpa gone",
    "another inside": "peer fd00::7:21: gone",
}
SECRETS = {"password": "Tinh@2026xyz", "token": "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJob2EifQ.c2lnbmF0dXJl"}
NAMES = (USER, HOST, INSIDE)
OTHER_NAMES = ("10.77.3.21", "10-77-3-21", "21.3.77.10", str(int(ip_address(INSIDE))), "fd00::7:21")
# A source that was never heard: it is called as its host is.
SOURCES = {HOST: {"collector": "auth", "host": "nobody", "silent_after_s": 0.5}}
KEEPING = {"users": "keep", "hosts": "keep", "internal_ips": "keep", "raw": "masked"}
SWITCHED_OFF = """
from socmon.feed import message, privacy
privacy.without = privacy._remembered = lambda text: (text, [])
privacy.masked = lambda text: (text, 0)
privacy.secret_places = lambda text, folded: []
message.tlp_of = lambda tags, default: default
from forwarders.ncsc import NcscForwarder
from socmon.outgoing import AUTOMATIC
NcscForwarder.admit = lambda self, alert: AUTOMATIC
"""
RULES = """\
title: {title}
id: {id}
logsource: {{product: linux}}
detection:
  selection:
    message|contains: {contains}
  condition: selection
level: high
tags: [{tag}]
"""
RED_WORD = "chuyện-đỏ"
RED = "9f2c1c52-4d0e-4b8e-9d1e-0c7c7c7b1a99"
LEAK = "9f2c1c52-4d0e-4b8e-9d1e-0c7c7c7b1a98"


def lines() -> Iterator[str]:
    """Lines of syslog: each kind of personal data and each secret, by a user, on a host, from an internal address."""
    stamp = f"Nov 27 08:00:{{:02}} {HOST} sshd[{{:03}}]: "
    failed = f"Failed password for {USER} from {INSIDE} port 22 ssh2"
    held = [*PERSONAL.values(), f"mysql -u {USER} -p{SECRETS['password']}", f"token={SECRETS['token']}"]
    held += [*DISGUISED.values(), *OTHERWISE.values()]
    for number, each in enumerate(held):
        yield f"{stamp.format(number, number)}{failed}, {each} end"
    yield f"{stamp.format(30, 30)}{failed}"
    for number, each in enumerate(PERSONAL.values(), 31):
        name = each.replace(" ", "")
        yield f"{stamp.format(number, number)}Failed password for {name} from 203.0.113.5 port 22 ssh2"
    yield f"{stamp.format(59, 99)}Accepted password for {USER} from 203.0.113.6 port 22 ssh2: {RED_WORD}"


def rule(folder: Path, name: str, **values: str) -> None:
    (folder / f"{name}.yml").write_text(RULES.format(**values), encoding="utf-8")


@contextmanager
def receiving(place: Field) -> Iterator[tuple[int, Path]]:
    """A receiver's port, and the file of what it has got."""
    keys, received = place.root.parent / "keys", place.root / "received"
    command = [sys.executable, str(TESTS / "plain_receiver.py"), str(keys / "centre.pem"), str(keys / "centre.key")]
    receiver = subprocess.Popen([*command, str(keys / "ca.pem"), str(received)], stdout=subprocess.PIPE, text=True)
    place.started.append(receiver)
    assert receiver.stdout is not None
    yield int(receiver.stdout.readline()), received


@dataclass(frozen=True)
class Sent:
    """What a receiver got, as text, as events and as heartbeats; and what `socmon feed queue` showed then."""

    text: str
    events: list[dict[str, Any]]
    beats: list[dict[str, Any]]
    queue: list[dict[str, Any]]

    def told(self, what: str) -> set[str]:
        """What the messages say was `removed`, `pseudonymised` or `kept`."""
        accounts = (event["data"]["unmapped"]["vn_soc"]["pii"] for event in self.events)
        return {word for account in accounts for word in account.get(what, [])}

    def holds(self, words: Iterable[str]) -> set[str]:
        """Those of `words` that somebody finds in it: as it is, in what its strings say, and as a reader reads that."""
        said = "\n".join([self.text, *(text for event in self.events for text in strings(event))])
        read = "".join(char for char in unquote(said) if unicodedata.category(char) != "Cf")
        whole = said + unicodedata.normalize("NFKC", read)
        return {word for word in words if word in whole}

    def holds_word(self) -> bool:
        """Whether the secret of DISGUISED is in it, in letters or in hexadecimal digits."""
        return bool(self.holds([WORD, WORD.encode().hex().upper()]))


def strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for held in value.values() if isinstance(value, dict) else value:
            yield from strings(held)


def sent(root: Path, planted: str = "", *, silent: bool = False, **settings: Any) -> Sent:
    """What a daemon sends of the alerts of `lines`; with `silent`, until a heartbeat tells of a silent source too.

    `planted` is run in the daemon before anything else: what it takes away is seen to matter.
    """
    with field_in(root / "province") as place, receiving(place) as (port, received):
        rules = place.root / "rules"
        rules.mkdir()
        (place.root / "pseudonym.key").write_text("0123456789abcdef" * 2)
        rule(rules, "leak", title="A leak", id=LEAK, contains="Failed password", tag="attack.t1110")
        rule(rules, "red", title="A red matter", id=RED, contains=RED_WORD, tag="tlp.red")
        place.sent["auth"] = list(lines())
        (place.root / "auth").write_text("".join(f"{line}\n" for line in lines()), encoding="utf-8")
        place.feed_port = port
        place.configure(["auth"], rules={"paths": ["rules"], "shipped": False}, sources=SOURCES)
        path = place.root / "config.yaml"
        config = json.loads(path.read_text())
        # It has no key to sign receipts with.
        config["forwarders"]["ncsc"] |= {"centre_key": None, "heartbeat_s": 0.2, **settings}
        path.write_text(json.dumps(config))
        (place.root / "sitecustomize.py").write_text(planted)
        found = os.pathsep.join([str(place.root), os.environ.get("PYTHONPATH", "")])
        place.start_daemon(environment={"PYTHONPATH": found})
        wait_for(lambda: place.settled() and received.exists(), "delivery")
        wait_for(
            lambda: any(beat["silent_sources"] for beat in beats(received)), "a heartbeat that tells who is silent"
        )
        command = [sys.executable, "-m", "socmon", "-c", str(path), "-o", "json", "feed", "queue", "--state", "held"]
        queue = json.loads(subprocess.run(command, capture_output=True, check=True, timeout=60).stdout)["rows"]
        place.stop_daemon()
        text = received.read_text(encoding="utf-8")
        bodies = [body for body in map(json.loads, text.splitlines()) if isinstance(body, list)]
        return Sent(text, [event for body in bodies for event in body], beats(received), queue)


def beats(received: Path) -> list[dict[str, Any]]:
    """The heartbeats among what was received."""
    whole = map(json.loads, received.read_text(encoding="utf-8").split("\n")[:-1])
    return [each for each in whole if "silent_sources" in each]


def test_fault_31_by_default_nothing_of_a_person_or_a_host_leaves(tmp_path: Path) -> None:
    got = sent(tmp_path, privacy={"pseudonym_key": "file:pseudonym.key"})

    assert got.holds([*PERSONAL.values(), *SECRETS.values(), *NAMES]) == set()
    assert got.events
    assert got.told("removed") == {"internal_ip", "raw_data"}
    assert got.told("pseudonymised") == {"device.hostname", "user.name"}
    assert got.told("kept") == set()
    assert "203.0.113.5" in got.text
    assert not got.holds_word()


def test_fault_31_no_short_name_odd_address_or_disguised_secret_leaves_in_masked_lines(tmp_path: Path) -> None:
    got = sent(tmp_path, silent=True, privacy={"pseudonym_key": "file:pseudonym.key", "raw": "masked"})

    assert got.holds([*PERSONAL.values(), *SECRETS.values(), *NAMES, *OTHER_NAMES]) == set()
    assert not got.holds_word()
    assert {name for beat in got.beats for name in beat["silent"]} == {
        PseudonymKey(b"0123456789abcdef" * 2, ORG).pseudonym("h", HOST)
    }
    # The lines did leave, with other words in the places.
    assert got.holds(["session of u-", "reached h-", "peer [internal_ip] gone"]) == {
        "session of u-", "reached h-", "peer [internal_ip] gone"
    }  # fmt: skip


def test_fault_31_nothing_of_a_person_leaves_in_lines_and_names_that_are_to_be_kept(tmp_path: Path) -> None:
    got = sent(tmp_path, silent=True, privacy=KEEPING)

    assert got.holds([*PERSONAL.values(), *SECRETS.values()]) == set()
    assert not got.holds_word()
    # The policy is switched off for names: then they leave, and the search does find them.
    assert {name for beat in got.beats for name in beat["silent"]} == {HOST}
    assert got.holds(NAMES) == {*NAMES}
    assert got.told("removed") == {"bank_card", "citizen_id", "email", "phone", "secret"}
    assert got.told("kept") == {"device.hostname", "internal_ip", "raw_data", "user.name"}


def test_fault_31_the_search_finds_all_where_the_control_is_switched_off(tmp_path: Path) -> None:
    got = sent(tmp_path, SWITCHED_OFF, privacy=KEEPING)

    assert got.holds([*PERSONAL.values(), *SECRETS.values()]) == {*PERSONAL.values(), *SECRETS.values()}
    assert got.holds_word()
    assert got.holds(OTHER_NAMES) == {*OTHER_NAMES}
    assert RED_WORD in got.text


def test_fault_32_a_red_alert_is_held_and_shown_with_its_reason(tmp_path: Path) -> None:
    got = sent(tmp_path, privacy=KEEPING, tlp="CLEAR")

    assert got.holds([RED, RED_WORD, "A red matter"]) == set()
    assert [(row["state"], row["code"], row["title"]) for row in got.queue] == [
        ("held", "TLP:RED never leaves", "A red matter")
    ]
    assert {event["data"]["unmapped"]["vn_soc"]["tlp"] for event in got.events} == {"CLEAR"}
