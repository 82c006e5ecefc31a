"""ClickHouse's own compression of HTTP bodies: `compress=1` for replies, `decompress=1` for requests.

A body is a sequence of frames:

    checksum            16 bytes   CityHash128 (ClickHouse's version, 1.0.2) of everything below
    method               1 byte    0x82 LZ4, 0x90 ZSTD, 0x02 none
    compressed size      4 bytes   little endian; counts the 9 bytes from the method to here's end, too
    uncompressed size    4 bytes   little endian
    compressed data

Source: ClickHouse's `CompressionInfo.h` and `CompressedReadBufferBase.cpp`.  Delta, T64 and the other
codecs of columns do not occur in a client's frames and are refused.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator

import lz4.block
import zstandard
from clickhouse_cityhash.cityhash import CityHash128

from .errors import ClickHouseError, Code

_NONE, _LZ4, _ZSTD = 0x02, 0x82, 0x90
_CHECKSUM_BYTES = 16
_HEADER = struct.Struct("<BII")
_REPLY_FRAME_BYTES = 1 << 20
# ClickHouse's own bound (DBMS_MAX_COMPRESSED_SIZE), so that what a server takes is taken here, too.
_MAX_FRAME_BYTES = 1 << 30


def _checksum(data: bytes) -> bytes:
    """CityHash128 as it stands on the wire: the package returns the high half first."""
    value = CityHash128(data)
    return struct.pack("<QQ", value >> 64, value & 0xFFFF_FFFF_FFFF_FFFF)


def compressed(data: bytes) -> bytes:
    """Packs a reply's body into LZ4 frames."""
    frames: list[bytes] = []
    for start in range(0, len(data), _REPLY_FRAME_BYTES):
        plain = data[start : start + _REPLY_FRAME_BYTES]
        packed = lz4.block.compress(plain, store_size=False)
        frame = _HEADER.pack(_LZ4, len(packed) + _HEADER.size, len(plain)) + packed
        frames += (_checksum(frame), frame)
    return b"".join(frames)


def decompressed(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Unpacks a request's body frame by frame; holds one frame at a time."""
    pending = bytearray()
    source = iter(chunks)

    def fill(count: int) -> bool:
        """Reads until `count` bytes are pending; False if the body ends before."""
        while len(pending) < count:
            chunk = next(source, None)
            if chunk is None:
                return False
            pending.extend(chunk)
        return True

    while fill(1):
        if not fill(_CHECKSUM_BYTES + _HEADER.size):
            raise _cut_short()
        method, packed_size, plain_size = _HEADER.unpack_from(pending, _CHECKSUM_BYTES)
        if method not in _UNPACK:
            raise ClickHouseError(
                Code.UNKNOWN_COMPRESSION_METHOD,
                f"Unknown compression method 0x{method:02x}: the body is damaged, or not compressed at all",
            )
        if not _HEADER.size <= packed_size <= _MAX_FRAME_BYTES or plain_size > _MAX_FRAME_BYTES:
            raise ClickHouseError(
                Code.TOO_LARGE_SIZE_COMPRESSED,
                f"A compressed frame claims to hold {plain_size} bytes in {packed_size}: the body is damaged",
            )
        end = _CHECKSUM_BYTES + packed_size
        if not fill(end):
            raise _cut_short()
        checksum, frame = bytes(pending[:_CHECKSUM_BYTES]), bytes(pending[_CHECKSUM_BYTES:end])
        del pending[:end]
        if _checksum(frame) != checksum:
            raise ClickHouseError(Code.CHECKSUM_DOESNT_MATCH, "Checksum doesn't match: corrupted data")
        yield _unpack(method, frame[_HEADER.size :], plain_size)


def _unpack_plain(packed: bytes, plain_size: int) -> bytes:
    return packed


def _unpack_lz4(packed: bytes, plain_size: int) -> bytes:
    plain: bytes = lz4.block.decompress(packed, uncompressed_size=plain_size)
    return plain


def _unpack_zstd(packed: bytes, plain_size: int) -> bytes:
    # The library allocates what the zstd header claims, so that claim is checked against the frame's.
    if zstandard.frame_content_size(packed) > plain_size:
        raise zstandard.ZstdError("the data are larger than the frame's header says")
    # A maximum of 0 would mean that there is none.
    return zstandard.ZstdDecompressor().decompress(packed, max_output_size=plain_size or 1)


_UNPACK: dict[int, Callable[[bytes, int], bytes]] = {
    _NONE: _unpack_plain,
    _LZ4: _unpack_lz4,
    _ZSTD: _unpack_zstd,
}


def _unpack(method: int, packed: bytes, plain_size: int) -> bytes:
    try:
        plain = _UNPACK[method](packed, plain_size)
    except (lz4.block.LZ4BlockError, zstandard.ZstdError) as error:
        raise ClickHouseError(Code.CANNOT_DECOMPRESS, f"Cannot decompress a frame: {error}") from error
    if len(plain) != plain_size:
        raise ClickHouseError(
            Code.CANNOT_DECOMPRESS, f"A frame holds {len(plain)} bytes but its header says {plain_size}"
        )
    return plain


def _cut_short() -> ClickHouseError:
    return ClickHouseError(
        Code.CANNOT_READ_ALL_DATA, "Cannot read all data: the body ends inside a compressed frame"
    )
