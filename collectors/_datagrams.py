"""What the kernel keeps and drops of a UDP socket's datagrams (socket(7), sock_diag(7))."""

import socket
import struct

_SO_RCVBUFFORCE = 33  # include/uapi/asm-generic/socket.h; Python has no names for these
_SO_MEMINFO = 55
_MEMINFO = struct.Struct("=9I")  # enum SK_MEMINFO_* of include/uapi/linux/sock_diag.h
_DROPS = 8  # of these; the same number as the column `drops` of /proc/net/udp
_COUNTER = 1 << 32


def widen(listener: socket.socket, wished_bytes: int) -> int:
    """Give the receive buffer `wished_bytes` where the kernel lets us; never less than it has.

    Returns:
        What it has now, in the unit of SO_RCVBUF and of net.core.rmem_max. The kernel sets aside twice as much, for
        what it needs around each datagram (socket(7)).
    """
    if _size_of(listener) < wished_bytes:
        try:
            listener.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, wished_bytes)
        except PermissionError:  # without CAP_NET_ADMIN, net.core.rmem_max is the limit
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, wished_bytes)
    return _size_of(listener)


def _size_of(listener: socket.socket) -> int:
    return listener.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) // 2


class KernelDrops:
    """Datagrams that the kernel dropped because the receive buffer was full, or because they were damaged.

    Args:
        listener: a socket that nobody but us reads.
    """

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self._told = 0

    def take(self) -> int:
        """How many were dropped since the last call; 1 µs.

        Raises:
            OSError: the kernel does not know SO_MEMINFO; Linux does from 4.12 on.
        """
        meminfo = self._listener.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, _MEMINFO.size)
        drops: int = _MEMINFO.unpack(meminfo)[_DROPS]
        new = (drops - self._told) % _COUNTER
        self._told = drops
        return new
