"""Sockets passed by a service manager: who gets which, and what is said when none fits."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from manager_kit import launched, passed, tcp_socket, udp_socket
from structlog.testing import capture_logs

from socmon import activation
from socmon.errors import ComponentError, ConfigError

UDP, TCP = socket.SOCK_DGRAM, socket.SOCK_STREAM


@pytest.fixture
def held() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def taken(component: str, kind: socket.SocketKind, port: int) -> object:
    """Where the socket that `component` gets is bound; None if it gets none."""
    got = activation.take(component, kind, port)
    if got is None:
        return None
    with got:
        assert not got.getblocking()
        assert not os.get_inheritable(got.fileno())
        return got.getsockname()


def test_a_socket_goes_to_the_collector_of_its_name_else_to_that_of_its_kind_and_port(
    monkeypatch: pytest.MonkeyPatch, held: ExitStack
) -> None:
    named, by_port, stream = (held.enter_context(each) for each in (udp_socket(), udp_socket(), tcp_socket()))
    port = by_port.getsockname()[1]
    with passed(monkeypatch, ("equipment", named), ("socmon.socket", by_port), ("unknown", stream)):
        assert taken("equipment", UDP, port) == named.getsockname()
        assert taken("other", UDP, port) == by_port.getsockname()
        assert taken("third", UDP, 0) is None
        assert taken("network", TCP, port) is None
        assert taken("network", TCP, stream.getsockname()[1]) == stream.getsockname()
        assert taken("equipment", UDP, port) == named.getsockname()  # a restart of the component


def test_one_name_may_stand_for_a_stream_and_a_datagram_socket(
    monkeypatch: pytest.MonkeyPatch, held: ExitStack
) -> None:
    udp, tcp = held.enter_context(udp_socket()), held.enter_context(tcp_socket())
    with passed(monkeypatch, ("syslog", tcp), ("syslog", udp)):
        assert taken("syslog", UDP, 0) == udp.getsockname()


def test_two_collectors_never_share_a_socket(monkeypatch: pytest.MonkeyPatch, held: ExitStack) -> None:
    udp = held.enter_context(udp_socket())
    port = udp.getsockname()[1]
    with passed(monkeypatch, ("equipment", udp)):
        assert taken("first", UDP, port) == udp.getsockname()
        assert taken("second", UDP, port) is None
        with pytest.raises(ComponentError, match="serves 'first', which has its port"):
            taken("equipment", UDP, 0)


def test_what_has_the_name_and_is_of_no_use_is_told_with_the_remedy(
    monkeypatch: pytest.MonkeyPatch, held: ExitStack, tmp_path: Path
) -> None:
    udp, tcp = held.enter_context(udp_socket()), held.enter_context(tcp_socket())
    unbound = held.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
    local = held.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
    local.bind(str(tmp_path / "log"))
    with passed(monkeypatch, ("a", udp), ("b", tcp), ("c", unbound), ("d", local)):
        for component, kind, problem in [
            ("a", TCP, "'a' is not a stream socket of IPv4 or IPv6; use ListenStream="),
            ("b", UDP, "'b' is not a datagram socket of IPv4 or IPv6; use ListenDatagram="),
            ("c", TCP, "'c' does not listen; use Accept=no"),
            ("d", UDP, "'d' is not a datagram socket of IPv4 or IPv6"),
        ]:
            with pytest.raises(ComponentError, match=problem) as caught:
                activation.take(component, kind, 0)
            assert not caught.value.retry


async def test_one_that_serves_nobody_is_warned_of(monkeypatch: pytest.MonkeyPatch, held: ExitStack) -> None:
    monkeypatch.setattr(activation, "_SETTLED_S", 0)
    first, second = held.enter_context(udp_socket()), held.enter_context(udp_socket())
    with passed(monkeypatch, ("equipment", first), ("left", second)), capture_logs() as logged:
        taken("equipment", UDP, 0)
        await activation.tell_untaken()

    assert [(entry["event"], entry["name"]) for entry in logged] == [
        ("a socket of the service manager serves no collector", "left")
    ]


@pytest.mark.parametrize(
    ("environment", "problem"),
    [
        ({"LISTEN_FDS": "many"}, "LISTEN_FDS is 'many', and must be a number"),
        ({"LISTEN_FDS": "2", "LISTEN_FDNAMES": "a:b:c"}, "LISTEN_FDNAMES has 3 names for 2 sockets"),
        ({"LISTEN_FDS": "1"}, "descriptor 700 is not open"),
    ],
)
def test_variables_that_cannot_be_true_end_the_start(
    environment: dict[str, str], problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(activation, "_FIRST", 700)
    monkeypatch.setattr(activation, "_inherited", [])

    with pytest.raises(ConfigError, match=problem):
        activation.begin({"LISTEN_PID": str(os.getpid()), **environment})


def test_what_was_meant_for_another_process_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(activation, "_inherited", [])
    environment = {"LISTEN_PID": str(os.getppid()), "LISTEN_FDS": "1", "HOME": "/"}

    activation.begin(environment)

    assert (activation._inherited, environment) == ([], {"HOME": "/"})


def test_children_of_a_started_process_get_neither_the_sockets_nor_the_variables(held: ExitStack) -> None:
    sockets = {"a": held.enter_context(udp_socket()), "b": held.enter_context(tcp_socket())}
    program = """
import subprocess, sys
from socmon import activation
activation.begin()
print([each.name for each in activation._inherited])
look = "import os; print([name for name in os.environ if 'LISTEN' in name], sorted(os.listdir('/proc/self/fd')))"
subprocess.run([sys.executable, "-c", look], check=True, close_fds=False)
"""
    command, descriptors = launched([sys.executable, "-u", "-c", program], sockets)

    done = subprocess.run(command, pass_fds=descriptors, stdout=subprocess.PIPE, text=True, timeout=60, check=True)

    assert done.stdout.splitlines() == ["['a', 'b']", "[] ['0', '1', '2', '3']"]  # 3 is the listing itself
