"""From senders over TCP to an alert in the store, through the real daemon; every record is accounted for."""

import socket
from pathlib import Path

from field import Field, failure_line, field_in, wait_for
from tcp_kit import counted, lines

NAME = "network"


def connect(place: Field) -> socket.socket:
    wait_for(lambda: place.port(NAME), "the collector says where it listens")
    return socket.create_connection(("127.0.0.1", place.port(NAME)), timeout=60)


def test_a_brute_force_told_over_tcp_raises_alerts_and_the_ledger_balances(tmp_path: Path) -> None:
    messages = [failure_line(number).encode() for number in range(120)]
    with field_in(tmp_path / "province") as place:
        place.configure([], tcp=[NAME], forwarders={})
        place.start_daemon()
        with connect(place) as first, connect(place) as second:
            first.sendall(lines(*messages[:60]))
            second.sendall(
                counted(*[b"<38>" + message for message in messages[60:]], b"no syslog at all") + b"99 <38>N"
            )
        wait_for(lambda: place.account(NAME).received == 122, "all of it received")
        place.stop_daemon()

        found = place.account(NAME)
        assert (found.evaluated, found.unparsed, found.dropped, found.in_flight) == (120, 1, {"incomplete": 1}, 0)
        assert len(place.journalled()[NAME]) == found.journalled == 121
        brute_force = [alert for alert in place.reading().alerts if alert.level == "high"]
        assert {alert.group["src_ip"] for alert in brute_force} == {f"203.0.113.{last}" for last in range(1, 11)}
        assert {alert.count for alert in brute_force} == {12}
        assert {event.peer for alert in brute_force for event in alert.evidence} == {"127.0.0.1"}


def test_an_orderly_stop_of_the_daemon_journals_what_a_sender_had_sent(tmp_path: Path) -> None:
    messages = [failure_line(number).encode() for number in range(20_000)]
    with field_in(tmp_path / "province") as place:
        place.configure([], tcp=[NAME], forwarders={})
        place.start_daemon()
        with connect(place) as sender:
            sender.sendall(lines(*messages))
            wait_for(lambda: place.account(NAME).received, "the first messages journalled")
            place.stop_daemon()

        assert place.journalled()[NAME] == [message.decode() for message in messages]
        place.start_daemon()  # a slow machine may not match all of it in the time that a stop has
        wait_for(lambda: place.account(NAME).evaluated == 20_000, "all of it is matched")
        place.stop_daemon()
        found = place.account(NAME)
        assert (found.received, found.in_flight) == (20_000, 0)
