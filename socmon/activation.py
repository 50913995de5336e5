"""Sockets that the service manager opened for us, and keeps while we are down (sd_listen_fds(3), systemd.socket(5)).

They are taken over once, before any thread or child of ours is there. The descriptors stay open as long as the process
lives; whoever uses one gets a duplicate. So a component that is restarted finds it again, with all that waits in it.
"""

import asyncio
import os
import socket
from collections.abc import MutableMapping

from socmon import log
from socmon.errors import ComponentError, ConfigError

_FIRST = 3  # SD_LISTEN_FDS_START
_VARIABLES = ("LISTEN_PID", "LISTEN_PIDFDID", "LISTEN_FDS", "LISTEN_FDNAMES")
_SETTLED_S = 1.0  # after the start all components have taken what is theirs
_WORDS = {socket.SOCK_STREAM: "a stream socket", socket.SOCK_DGRAM: "a datagram socket"}
_OPTIONS = {socket.SOCK_STREAM: "ListenStream=", socket.SOCK_DGRAM: "ListenDatagram="}

_log = log.get("activation")


class _Inherited:
    """One descriptor that was passed to us.

    Attributes:
        name: FileDescriptorName= of its unit, by default the unit's own name.
        taken_by: the component that it serves; "" while it serves none.
    """

    def __init__(self, name: str, descriptor: int) -> None:
        self.name = name
        self.taken_by = ""
        self._descriptor = descriptor
        os.set_inheritable(descriptor, False)  # noqa: FBT003  it takes this by position only

    def duplicate(self) -> socket.socket | None:
        """A socket of the caller's own; None where the descriptor is none, such as that of a FIFO."""
        copy = os.dup(self._descriptor)
        try:
            return socket.socket(fileno=copy)
        except OSError:
            os.close(copy)
            return None


_inherited: list[_Inherited] = []


def begin(environment: MutableMapping[str, str] = os.environ) -> None:
    """Take over what was passed to this process, and take the variables that say so out of the environment.

    Raises:
        ConfigError: the variables contradict themselves or what is open.
    """
    found = {name: environment.pop(name, "") for name in _VARIABLES}
    if found["LISTEN_PID"] != str(os.getpid()):
        return  # nothing, or meant for a process that started us
    count = found["LISTEN_FDS"]
    if not (count.isascii() and count.isdigit()):
        raise ConfigError([f"environment: LISTEN_FDS is {count[:20]!r}, and must be a number; see the socket unit"])
    names = found["LISTEN_FDNAMES"].split(":") if found["LISTEN_FDNAMES"] else ["unknown"] * int(count)
    if len(names) != int(count):
        raise ConfigError([f"environment: LISTEN_FDNAMES has {len(names)} names for {count} sockets"])
    for descriptor, name in enumerate(names, _FIRST):
        try:
            _inherited.append(_Inherited(name, descriptor))
        except OSError as error:
            raise ConfigError(
                [f"environment: LISTEN_FDS is {count}, and descriptor {descriptor} is not open"]
            ) from error


def take(component: str, kind: socket.SocketKind, port: int) -> socket.socket | None:
    """The socket that is meant for `component`: the one of its name, else the one of this kind on `port`.

    Args:
        port: that of the configuration; 0 is none.

    Returns:
        A duplicate that the caller closes; None where nothing was passed that is meant for it.

    Raises:
        ComponentError: what has its name is of no use to it.
    """
    named = [each for each in _inherited if each.name == component]
    for each in named or [each for each in _inherited if each.taken_by in ("", component)]:
        duplicate = each.duplicate()
        if duplicate is None:
            continue
        internet = duplicate.family in (socket.AF_INET, socket.AF_INET6)
        if internet and duplicate.type == kind and (named or duplicate.getsockname()[1] == port != 0):
            return _checked(each, duplicate, component)
        duplicate.close()
    if named:
        raise ComponentError(
            f"the socket that the service manager passes as {component!r} is not {_WORDS[kind]} of IPv4 or IPv6; "
            f"use {_OPTIONS[kind]} with an address and a port in its unit",
            retry=False,
        )
    return None


def _checked(inherited: _Inherited, duplicate: socket.socket, component: str) -> socket.socket:
    what = f"the socket that the service manager passes as {inherited.name!r}"
    problem = ""
    if inherited.taken_by not in ("", component):
        problem = f"{what} serves {inherited.taken_by!r}, which has its port; give each its own"
    elif duplicate.type == socket.SOCK_STREAM and not duplicate.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        problem = f"{what} does not listen; use Accept=no in its unit"
    if problem:
        duplicate.close()
        raise ComponentError(problem, retry=False)
    inherited.taken_by = component
    duplicate.settimeout(0)
    return duplicate


async def tell_untaken() -> None:
    """Warn of what was passed and serves nobody: its senders wait, or lose what they send."""
    await asyncio.sleep(_SETTLED_S)
    for each in _inherited:
        if not each.taken_by:
            _log.warning("a socket of the service manager serves no collector", name=each.name)
