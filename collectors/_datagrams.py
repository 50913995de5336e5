"""What the kernel keeps and drops of a UDP socket's datagrams (socket(7), sock_diag(7))."""

import socket
import struct
import sys
import time
from pathlib import Path

_SO_RCVBUFFORCE = 33  # include/uapi/asm-generic/socket.h; Python has no names for these
_SO_MEMINFO = 55
_SO_COOKIE = 57
_MEMINFO = struct.Struct("=9I")  # enum SK_MEMINFO_* of include/uapi/linux/sock_diag.h
_DROPS = 8  # of these; the same number as the column `drops` of /proc/net/udp
_COUNTER = 1 << 32
_BOOT = Path("/proc/sys/kernel/random/boot_id")
_AGAIN_S = 1.0


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

    Of a socket that outlives us the count goes on while we are down. So the journal keeps how much of it is told.

    Args:
        listener: a socket that nobody but us reads.
        journalled: what `due` last gave that came to the journal, of whatever socket; None if there is nothing.
    """

    def __init__(self, listener: socket.socket, journalled: bytes | None = None) -> None:
        self._listener = listener
        cookie = int.from_bytes(listener.getsockopt(socket.SOL_SOCKET, _SO_COOKIE, 8), sys.byteorder)
        # A cookie is never used again until the machine starts anew; an inode number may be.
        self._socket = f"{_BOOT.read_text('ascii').strip()} {cookie} ".encode()
        ours = journalled is not None and journalled.startswith(self._socket)
        self._told = int(journalled[len(self._socket) :]) if ours and journalled else 0
        self._given: tuple[int, float] = (0, 0.0)

    def take(self) -> int:
        """How many were dropped and not told yet; they are told now. 1 µs.

        Raises:
            OSError: the kernel does not know SO_MEMINFO; Linux does from 4.12 on.
        """
        meminfo = self._listener.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, _MEMINFO.size)
        drops: int = _MEMINFO.unpack(meminfo)[_DROPS]
        new = (drops - self._told) % _COUNTER
        self._told = drops
        return new

    def due(self) -> bytes | None:
        """What is told by now, for the journal; None when it was given a moment ago, or there is nothing to say.

        Given again each second: a record that carries it may be dropped, or wait over its quota.
        """
        given, given_s = self._given
        now_s = time.monotonic()
        if not self._told or (given == self._told and now_s - given_s < _AGAIN_S):
            return None
        self._given = (self._told, now_s)
        return self._socket + str(self._told).encode()
