"""Packets of an interface over a ring that is shared with the kernel (packet(7), TPACKET_V3)."""

import ctypes
import errno
import fcntl
import mmap
import socket
import struct
from collections.abc import Callable

from socmon.errors import ComponentError

BLOCK_BYTES = 1024 * 1024
RETIRE_MS = 40  # a block that is not full is ours after this
MAX_SNAPLEN = 262_144

# linux/if_packet.h, linux/if_ether.h, linux/if_arp.h, asm-generic/socket.h; Python has no names for these.
_SOL_PACKET = 263
_ADD_MEMBERSHIP, _RX_RING, _STATISTICS, _VERSION, _IGNORE_OUTGOING = 1, 5, 6, 10, 23
_TPACKET_V3 = 2
_MR_PROMISC = 1
_ETH_P_ALL = 3
_SO_ATTACH_FILTER = 26
_SIOCGIFHWADDR = 0x8927
_STATUS_USER, _STATUS_VLAN_VALID, _STATUS_VLAN_TPID_VALID = 1, 1 << 4, 1 << 6
_FRAME_BYTES = 2048  # only a measure of the ring: a packet takes what it needs of a block
_HEADER = struct.Struct("=6I2H2IH")  # struct tpacket3_hdr, up to tp_vlan_tpid
_STATUS_AT = 8  # of struct tpacket_block_desc; then the number of packets, and where the first is
_VLAN_AT = 12  # behind the two addresses of an Ethernet header
_RETURN = 0x06  # BPF_RET | BPF_K
_INSTRUCTION = struct.Struct("=HBBI")  # struct sock_filter

ETHERNET, RAW = 1, 101  # LINKTYPE_ of the capture files
LOOPBACK = 772
# ARPHRD_ETHER, ARPHRD_LOOPBACK; then tun, raw IP, and tunnels, whose packets begin with the IP header.
_LINKS = {1: ETHERNET, LOOPBACK: ETHERNET, 0xFFFE: RAW, 519: RAW, 768: RAW, 769: RAW, 776: RAW}

Packet = tuple[float, bytes]


class Ring:
    """An interface, open for reading.

    Args:
        interface: its name.
        compiled: gives the instructions of a filter for a link type (struct sock_filter); None takes all packets.
        buffer_mib: room for packets while we are busy.
        snaplen: bytes of a packet that are kept.
        promiscuous: take what is for others too.
        ignore_outgoing: leave out what this machine sends.

    Attributes:
        link: LINKTYPE_ of the packets.

    Raises:
        PermissionError: without CAP_NET_RAW.
        ComponentError: the interface cannot be read like this.
    """

    def __init__(
        self,
        interface: str,
        *,
        compiled: Callable[[int], bytes] | None = None,
        buffer_mib: int = 64,
        snaplen: int = MAX_SNAPLEN,
        promiscuous: bool = False,
        ignore_outgoing: bool = False,
    ) -> None:
        # Of protocol 0, it gets nothing until it is bound: no packet of another interface, or that the filter refuses.
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, 0)
        try:
            self._index, hardware = self._interface(interface)
            self.link = _LINKS[hardware]
            _attach(self._socket, _cut(compiled(self.link) if compiled else b"", snaplen))
            # On the loopback, each packet that goes out comes in as well.
            if ignore_outgoing or hardware == LOOPBACK:
                self._socket.setsockopt(_SOL_PACKET, _IGNORE_OUTGOING, 1)
            self._ring = self._shared(buffer_mib)
            self._socket.bind((interface, _ETH_P_ALL))
            if promiscuous:
                request = struct.pack("=iHH8s", self._index, _MR_PROMISC, 0, b"")
                self._socket.setsockopt(_SOL_PACKET, _ADD_MEMBERSHIP, request)
        except BaseException:
            self._socket.close()
            raise
        self._name = interface
        self._blocks = buffer_mib
        self._block = 0  # the one that is read, or that is the next to be
        self._at = 0  # where its next packet begins
        self._left = 0  # packets in it that are not read yet

    def fileno(self) -> int:
        """Readable while there is a block to read."""
        return self._socket.fileno()

    def read(self, most: int) -> list[Packet]:
        """Up to `most` packets, each with its time in seconds since 1970; fewer when there are no more."""
        packets: list[Packet] = []
        while most and (self._left or self._begin()):
            count = min(most, self._left)
            self._take(count, packets)
            self._left -= count
            most -= count
            if not self._left:
                self._give_back()
        return packets

    def statistics(self) -> tuple[int, int]:
        """Packets that the kernel saw since the last call, and how many of them it dropped; it counts anew then."""
        seen, drops, _ = struct.unpack("=3I", self._socket.getsockopt(_SOL_PACKET, _STATISTICS, 12))
        return seen, drops

    def shut(self) -> None:
        """Let nothing more in; what is in the ring can still be read."""
        _attach(self._socket, _INSTRUCTION.pack(_RETURN, 0, 0, 0))

    def failed(self) -> bool:
        """Whether the interface is down; it may come up again.

        Raises:
            ComponentError: it is gone, or another one has its name.
        """
        number = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)  # which also takes it off the socket
        try:
            same = socket.if_nametoindex(self._name) == self._index
        except OSError:
            same = False
        if not same:
            raise ComponentError(f"interface {self._name} is gone; a new start will look for it again")
        return number != 0

    def close(self) -> None:
        """Let go of the interface."""
        self._ring.close()
        self._socket.close()

    def _interface(self, name: str) -> tuple[int, int]:
        """Its index and its kind of hardware, ARPHRD_."""
        try:
            index = socket.if_nametoindex(name)
            asked = struct.pack("=16s16x", name.encode())
            hardware: int = struct.unpack_from("=H", fcntl.ioctl(self._socket, _SIOCGIFHWADDR, asked), 16)[0]
        except (OSError, struct.error) as error:
            raise ComponentError(f"there is no interface {name!r}; `ip link` lists them") from error
        if hardware not in _LINKS:
            raise ComponentError(f"interface {name!r} is of kind {hardware} (linux/if_arp.h), which is not read")
        return index, hardware

    def _shared(self, blocks: int) -> mmap.mmap:
        size_bytes = blocks * BLOCK_BYTES
        frames = size_bytes // _FRAME_BYTES
        request = struct.pack("=7I", BLOCK_BYTES, blocks, _FRAME_BYTES, frames, RETIRE_MS, 0, 0)
        try:
            self._socket.setsockopt(_SOL_PACKET, _VERSION, _TPACKET_V3)
            self._socket.setsockopt(_SOL_PACKET, _RX_RING, request)
            return mmap.mmap(self._socket.fileno(), size_bytes, flags=mmap.MAP_SHARED | mmap.MAP_POPULATE)
        except OSError as error:
            if error.errno != errno.ENOMEM:
                raise
            raise ComponentError(f"no memory for a buffer of {blocks} MiB; use a smaller --buffer") from error

    def _begin(self) -> bool:
        """Whether there is a block with packets that is ours; then it is begun."""
        while not self._left:
            start = self._block * BLOCK_BYTES
            status, self._left, first = struct.unpack_from("=3I", self._ring, start + _STATUS_AT)
            if not status & _STATUS_USER:
                self._left = 0
                return False
            self._at = start + first
            if not self._left:
                self._give_back()
        return True

    def _give_back(self) -> None:
        struct.pack_into("=I", self._ring, self._block * BLOCK_BYTES + _STATUS_AT, 0)
        self._block = (self._block + 1) % self._blocks

    def _take(self, count: int, packets: list[Packet]) -> None:
        ring, at, ethernet = self._ring, self._at, self.link == ETHERNET
        for _ in range(count):
            step, second, nanosecond, kept, _, status, begin, _, _, tci, tpid = _HEADER.unpack_from(ring, at)
            begin += at
            if status & _STATUS_VLAN_VALID and ethernet:
                kind = tpid if status & _STATUS_VLAN_TPID_VALID else 0x8100
                behind = begin + _VLAN_AT
                frame = ring[begin:behind] + struct.pack(">HH", kind, tci) + ring[behind : begin + kept]
            else:
                frame = ring[begin : begin + kept]
            packets.append((second + nanosecond / 1e9, frame))
            at += step
        self._at = at


def _cut(instructions: bytes, snaplen: int) -> bytes:
    """The filter with what it takes cut to `snaplen` bytes: the kernel keeps as many as the filter returns."""
    program = instructions or _INSTRUCTION.pack(_RETURN, 0, 0, snaplen)
    steps = _INSTRUCTION.iter_unpack(program)
    return b"".join(
        _INSTRUCTION.pack(code, true, false, snaplen if code == _RETURN and value else value)
        for code, true, false, value in steps
    )


def _attach(opened: socket.socket, instructions: bytes) -> None:
    program = ctypes.create_string_buffer(instructions, len(instructions))
    count = len(instructions) // _INSTRUCTION.size
    opened.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("@HP", count, ctypes.addressof(program)))
