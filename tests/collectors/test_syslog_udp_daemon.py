"""From senders over UDP to an alert in the store, through the real daemon; every record is accounted for."""

import socket
from pathlib import Path

from field import Field, failure_line, field_in, wait_for

NAME = "equipment"


def start(place: Field, **options: object) -> int:
    """A daemon that listens; its port."""
    place.configure([], collectors={NAME: {"kind": "syslog_udp", "port": 0, **options}}, forwarders={})
    place.start_daemon()
    wait_for(lambda: place.port(NAME), "the collector says where it listens")
    port = place.port(NAME)
    assert port is not None
    return port


def test_a_brute_force_told_over_udp_raises_alerts_and_the_ledger_balances(tmp_path: Path) -> None:
    with field_in(tmp_path / "province") as place, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.connect(("127.0.0.1", start(place)))
        for number in range(120):
            sender.send(f"<38>{failure_line(number)}\n".encode())
        sender.send(b"no syslog at all")
        wait_for(lambda: place.account(NAME).received == 121, "all of it received")
        place.stop_daemon()

        found = place.account(NAME)
        assert (found.evaluated, found.unparsed, found.dropped, found.in_flight) == (120, 1, {}, 0)
        assert len(place.journalled()[NAME]) == found.journalled == 121
        brute_force = [alert for alert in place.reading().alerts if alert.level == "high"]
        assert {alert.group["src_ip"] for alert in brute_force} == {f"203.0.113.{last}" for last in range(1, 11)}
        assert {event.peer for alert in brute_force for event in alert.evidence} == {"127.0.0.1"}


def test_what_the_kernel_drops_stands_in_the_ledger(tmp_path: Path) -> None:
    messages = [f"<38>{failure_line(number)}".encode() for number in range(5000)]
    with field_in(tmp_path / "province") as place, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.connect(("127.0.0.1", start(place, receive_buffer_bytes=64 * 1024)))
        for message in messages:
            sender.send(message)
        wait_for(lambda: place.account(NAME).received == len(messages), "all of it accounted for")
        place.stop_daemon()

        found = place.account(NAME)
        assert set(found.dropped) <= {"kernel", "buffer_full"}
        assert found.received == found.evaluated + sum(found.dropped.values()) == len(messages)
        assert len(place.journalled()[NAME]) == found.journalled
        assert set(place.journalled()[NAME]) <= {message.decode() for message in messages}


def test_an_orderly_stop_journals_what_the_kernel_holds(tmp_path: Path) -> None:
    messages = [f"<38>{failure_line(number)}".encode() for number in range(3000)]
    with field_in(tmp_path / "province") as place, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.connect(("127.0.0.1", start(place)))
        for message in messages:
            sender.send(message)
        place.stop_daemon()

        found = place.account(NAME)
        assert found.received == len(messages)
        assert place.journalled()[NAME] == [message.decode() for message in messages][: found.journalled]
        assert found.journalled + found.dropped.get("kernel", 0) == len(messages)
