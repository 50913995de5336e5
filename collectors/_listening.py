"""What listeners have in common: where they listen, whom they take records from, and warnings that cannot flood."""

import errno
import socket
from collections.abc import Sequence
from contextlib import ExitStack
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any

from pydantic import Field, field_validator

from socmon import activation
from socmon.component import CollectorSettings, Context
from socmon.errors import ComponentError

LOOPBACK = ("127.0.0.0/8", "::1/128")
BACKLOG = 512  # connections that may wait to be accepted; asyncio must be told it too
_REMEDIES = {
    errno.EADDRINUSE: "another program does; stop it, or choose another port",
    errno.EACCES: "permission denied; give socmon the capability CAP_NET_BIND_SERVICE, or choose a port above 1023",
    errno.EADDRNOTAVAIL: "this machine has no such address; correct address, or bring its interface up",
    errno.EAFNOSUPPORT: "this machine has no IPv6; choose an IPv4 address such as 0.0.0.0",
}


class ListenerSettings(CollectorSettings):
    """Options of every kind that listens."""

    address: str = Field(
        default="127.0.0.1",
        description="IP address to listen on. 0.0.0.0 stands for all of this machine's IPv4 addresses, "
        ":: for all of IPv6 and IPv4.",
    )
    port: int = Field(
        default=1514, ge=0, le=65_535, description="Port to listen on; 0 takes any free one and logs which."
    )
    allow: list[str] = Field(
        default=[*LOOPBACK],
        min_length=1,
        description="Networks that may send, such as 10.20.0.0/16; all others are refused. "
        "The default is this machine alone.",
    )

    @field_validator("address")
    @classmethod
    def _is_address(cls, text: str) -> str:
        try:
            return str(ip_address(text))
        except ValueError:
            raise ValueError(f"{text[:60]!r} is no IP address; write one such as 127.0.0.1") from None

    @field_validator("allow")
    @classmethod
    def _are_networks(cls, networks: list[str]) -> list[str]:
        return [str(_network(text)) for text in networks]

    def problems(self) -> list[str]:
        """What `socmon check` says of these settings."""
        if ip_address(self.address).is_loopback or any(not _network(text).is_loopback for text in self.allow):
            return []
        return [
            f"listens on {self.address}, and allow names this machine only; add the networks of the senders to allow"
        ]


def _network(text: str) -> IPv4Network | IPv6Network:
    try:
        return ip_network(text)
    except ValueError as error:
        try:
            meant = str(ip_network(text, strict=False))
        except ValueError:
            meant = "one such as 10.20.0.0/16 or 2001:db8::/32"
        raise ValueError(f"{text[:60]!r} is no network: {str(error)[:80]}; write {meant}") from None


class Allowed:
    """The networks that may send.

    Args:
        networks: valid ones; of IPv4-mapped senders the IPv4 address counts.
    """

    def __init__(self, networks: Sequence[str]) -> None:
        self._networks = [ip_network(text) for text in networks]

    def __contains__(self, peer: str) -> bool:
        address: IPv4Address | IPv6Address = ip_address(peer)
        return any(address in network for network in self._networks)


def listener_for(context: Context[Any], kind: socket.SocketKind) -> tuple[socket.socket, bool]:
    """The socket that the service manager opened for this collector, else one that is opened now.

    Args:
        context: of a collector whose settings are ListenerSettings.
        kind: SOCK_STREAM or SOCK_DGRAM.

    Returns:
        The socket, non-blocking, and whether it is inherited: then what waits in it outlives us.

    Raises:
        ComponentError: the address cannot be listened on, or what was inherited is of no use.
    """
    settings: ListenerSettings = context.settings
    inherited = activation.take(context.name, kind, settings.port)
    if inherited is None:
        listen = listen_tcp if kind == socket.SOCK_STREAM else listen_udp
        return listen(settings.address, settings.port), False
    address, port = inherited.getsockname()[:2]
    if address != settings.address or (settings.port and port != settings.port):
        context.log.warning(
            "the service manager's socket counts, not the configured address",
            address=address,
            port=port,
            configured=f"{settings.address} port {settings.port}",
        )
    return inherited, True


def listen_tcp(address: str, port: int) -> socket.socket:
    """A listening socket, non-blocking; on `::` it takes IPv4 too, from IPv4-mapped addresses (RFC 3493, section 3.7).

    Raises:
        ComponentError: the address cannot be listened on; the message says why, and what helps.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        listener = socket.create_server((address, port), family=family, backlog=BACKLOG, dualstack_ipv6=address == "::")
    except (OSError, ValueError) as error:
        raise cannot_listen(address, port, error) from error
    listener.settimeout(0)
    return listener


def listen_udp(address: str, port: int) -> socket.socket:
    """A socket for datagrams, non-blocking; on `::` it takes IPv4 too, as `listen_tcp` does.

    Raises:
        ComponentError: the address cannot be listened on; the message says why, and what helps.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with ExitStack() as undo:
        try:
            listener = undo.enter_context(socket.socket(family, socket.SOCK_DGRAM))
            if family == socket.AF_INET6:
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, address != "::")
            # Without SO_REUSEADDR: another socket with it would take our datagrams.
            listener.bind((address, port))
        except OSError as error:
            raise cannot_listen(address, port, error) from error
        undo.pop_all()
    listener.settimeout(0)
    return listener


def cannot_listen(address: str, port: int, error: OSError | ValueError) -> ComponentError:
    """Says where, why, and the remedy. ValueError is what `socket` raises where there is no IPv6."""
    number = error.errno if isinstance(error, OSError) else errno.EAFNOSUPPORT
    reason = _REMEDIES.get(number or 0)
    if reason is None:
        reason = f"{str(getattr(error, 'strerror', None) or error).lower()}; correct address and port"
    return ComponentError(f"cannot listen on {address} port {port}: {reason}")
