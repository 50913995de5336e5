"""Sealed segments under zstd, in blocks, so that one frame can be read without unpacking the rest.

`zstd -d` gives the segment back byte for byte: the blocks are ordinary zstd frames, and the table of their sizes behind
them is a skippable frame (Zstandard Seekable Format, facebook/zstd, contrib/seekable_format, version 0.1.0).
"""

from bisect import bisect_right
from itertools import accumulate
from struct import Struct as Layout
from struct import iter_unpack

import zstandard

from socmon.journal.files import File

BLOCK_BYTES = 1024 * 1024
_LEVEL = 3

_SKIPPABLE = Layout("<II")  # magic, size of what follows
_ENTRY = "<II"  # compressed size, unpacked size
_ENTRY_BYTES = 8
_FOOTER = Layout("<IBI")  # entries, descriptor (0: no checksums), magic
_SKIPPABLE_MAGIC = 0x184D2A5E
_FOOTER_MAGIC = 0x8F92EAB1


def compress_file(raw: File, packed: File) -> None:
    """Write all of `raw` to the empty file `packed`, and sync it. Raises OSError."""
    compressor = zstandard.ZstdCompressor(level=_LEVEL, write_checksum=True)
    table = b""
    read = written = 0
    while block := raw.read_at(read, BLOCK_BYTES):
        data = compressor.compress(block)
        packed.write_at(written, data)
        table += len(data).to_bytes(4, "little") + len(block).to_bytes(4, "little")
        read += len(block)
        written += len(data)
    footer = _FOOTER.pack(len(table) // _ENTRY_BYTES, 0, _FOOTER_MAGIC)
    packed.write_at(written, _SKIPPABLE.pack(_SKIPPABLE_MAGIC, len(table) + len(footer)) + table + footer)
    packed.sync()


class CompressedFile:
    """The unpacked bytes of a compressed segment; a damaged block reads as zeros. Owns the file it is given."""

    def __init__(self, packed: File) -> None:
        self._packed = packed
        sizes = _read_table(packed)
        self._packed_at = [0, *accumulate(size for size, _ in sizes)]
        self._unpacked_at = [0, *accumulate(size for _, size in sizes)]
        self._block_at = -1
        self._block = b""

    def read_at(self, offset: int, size: int) -> bytes:
        """`size` bytes from `offset`; fewer where the file ends."""
        data = b""
        while len(data) < size and offset + len(data) < self.size():
            index = bisect_right(self._unpacked_at, offset + len(data)) - 1
            start = offset + len(data) - self._unpacked_at[index]
            piece = self._unpack(index)[start : start + size - len(data)]
            if not piece:
                break
            data += piece
        return data

    def size(self) -> int:
        """Length in bytes, unpacked."""
        return self._unpacked_at[-1]

    def close(self) -> None:
        """Close the compressed file."""
        self._packed.close()

    def _unpack(self, index: int) -> bytes:
        if index != self._block_at:
            start, end = self._packed_at[index : index + 2]
            first, last = self._unpacked_at[index : index + 2]
            self._block = _unpack_block(self._packed.read_at(start, end - start), last - first)
            self._block_at = index
        return self._block


def _unpack_block(data: bytes, size: int) -> bytes:
    try:
        # The block states its own size, and that is what would be allocated: it may lie.
        if zstandard.frame_content_size(data) == size:
            return zstandard.ZstdDecompressor().decompress(data)
    except zstandard.ZstdError:
        pass
    return bytes(size)


def _read_table(packed: File) -> list[tuple[int, int]]:
    """(compressed, unpacked) size of each block; none if the table is damaged."""
    end = packed.size() - _FOOTER.size
    footer = packed.read_at(end, _FOOTER.size) if end >= 0 else b""
    if len(footer) != _FOOTER.size:
        return []
    entries, descriptor, magic = _FOOTER.unpack(footer)
    table_bytes = entries * _ENTRY_BYTES
    if magic != _FOOTER_MAGIC or descriptor != 0 or table_bytes > end:
        return []
    sizes = list(iter_unpack(_ENTRY, packed.read_at(end - table_bytes, table_bytes)))
    blocks_end = end - table_bytes - _SKIPPABLE.size
    sound = sum(size for size, _ in sizes) == blocks_end and all(unpacked <= BLOCK_BYTES for _, unpacked in sizes)
    return sizes if sound else []
