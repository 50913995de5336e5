"""A small service manager: it holds sockets, and passes them to what it starts, as systemd does (sd_listen_fds(3))."""

import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import pytest

from socmon import activation
from socmon.demo import handover

_FIRST = 500  # where no test has descriptors of its own


def launched(command: Sequence[str], sockets: Mapping[str, socket.socket]) -> tuple[list[str], list[int]]:
    """`command` as a process that gets `sockets` under their names; and the descriptors that it must inherit."""
    descriptors = {name: each.fileno() for name, each in sockets.items()}
    return handover.command(descriptors, command), [*descriptors.values()]


@contextmanager
def passed(monkeypatch: pytest.MonkeyPatch, *sockets: tuple[str, socket.socket]) -> Iterator[None]:
    """This process, as if it had been started with `sockets` under these names."""
    for descriptor, (_, each) in enumerate(sockets, _FIRST):
        os.dup2(each.fileno(), descriptor)
    names = ":".join(name for name, _ in sockets)
    try:
        with monkeypatch.context() as patch:
            patch.setattr(activation, "_FIRST", _FIRST)
            patch.setattr(activation, "_inherited", [])
            activation.begin({"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": str(len(sockets)), "LISTEN_FDNAMES": names})
            yield
    finally:
        for descriptor in range(_FIRST, _FIRST + len(sockets)):
            os.close(descriptor)


def udp_socket(port: int = 0, *, buffer_bytes: int = 8 * 1024 * 1024) -> socket.socket:
    """A datagram socket on loopback as a unit with ReceiveBuffer= makes it, where we may."""
    held = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    held.bind(("127.0.0.1", port))
    try:
        held.setsockopt(socket.SOL_SOCKET, 33, buffer_bytes)  # SO_RCVBUFFORCE
    except PermissionError:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
    return held


def tcp_socket(port: int = 0) -> socket.socket:
    """A listening socket on loopback."""
    return socket.create_server(("127.0.0.1", port))
