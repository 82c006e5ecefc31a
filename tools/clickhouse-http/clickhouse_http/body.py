"""The request body as a stream of chunks; never more than one chunk in memory.

`RequestBody` takes the body off the connection: counted (Content-Length) or chunked.  What a client
compressed as a whole (Content-Encoding) or in ClickHouse's frames (decompress=1) is unpacked by
`decoded`.  A body that ends early is an error at every layer: half an INSERT must not look whole.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from email.message import Message
from io import BufferedIOBase
from typing import Protocol

import lz4.frame
import zstandard

from . import framing
from .errors import ClickHouseError, Code

_READ_BYTES = 1 << 20
# zstd packs up to about 30,000 : 1; small slices of input keep the decompressed piece bounded, too.
_INFLATE_SLICE_BYTES = 4096
_MAX_LINE_BYTES = 65536
_CHUNK_SIZE = re.compile(rb"[0-9A-Fa-f]{1,16}")


class ClientDisconnected(ConnectionError):
    """The connection ended inside the body: there is nobody to reply to."""


class MalformedBody(ConnectionError):
    """The chunked encoding is broken: where the next request begins is unknown."""


class RequestBody:
    """The body's raw bytes, in order, once."""

    def __init__(self, stream: BufferedIOBase, headers: Message) -> None:
        self._stream = stream
        self._chunks = self._read(headers)

    def __iter__(self) -> Iterator[bytes]:
        return self._chunks

    def drain(self, limit: int) -> bool:
        """Reads and forgets what is left, so that the next request on the connection can be read.

        Returns False if more than `limit` bytes were left: then the connection has to be closed.
        """
        left = limit
        for chunk in self._chunks:
            left -= len(chunk)
            if left < 0:
                return False
        return True

    def _read(self, headers: Message) -> Iterator[bytes]:
        if "chunked" in headers.get("Transfer-Encoding", "").lower():
            return self._read_chunked()
        length = headers.get("Content-Length", "0").strip()
        if not length.isdecimal():
            raise MalformedBody(f"Content-Length is not a number: {length!r}")
        return self._read_counted(int(length))

    def _read_counted(self, left: int) -> Iterator[bytes]:
        while left:
            data = self._stream.read(min(left, _READ_BYTES))
            if not data:
                raise ClientDisconnected("the connection ended inside the body")
            left -= len(data)
            yield data

    def _read_chunked(self) -> Iterator[bytes]:
        """RFC 9112 section 7.1; chunk extensions and trailers are read and ignored."""
        while True:
            size_text = self._line().split(b";", 1)[0].strip()
            if not _CHUNK_SIZE.fullmatch(size_text):
                raise MalformedBody(f"chunk size is not a number: {size_text[:20]!r}")
            size = int(size_text, 16)
            if size == 0:
                while self._line().strip():
                    pass
                return
            yield from self._read_counted(size)
            if self._line().strip():
                raise MalformedBody("chunk is longer than its size")

    def _line(self) -> bytes:
        line = self._stream.readline(_MAX_LINE_BYTES)
        if not line.endswith(b"\n"):
            raise ClientDisconnected("the connection ended inside the chunked body")
        return line


class _Decompressor(Protocol):
    """What zlib's, lz4's and zstandard's incremental decompressors have in common."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes | None: ...
    def decompress(self, data: bytes) -> bytes: ...


def _gzip() -> _Decompressor:
    return zlib.decompressobj(wbits=31)


def _deflate() -> _Decompressor:
    return zlib.decompressobj(wbits=15)


def _zstd() -> _Decompressor:
    return zstandard.ZstdDecompressor().decompressobj()


def _lz4() -> _Decompressor:
    decompressor: _Decompressor = lz4.frame.LZ4FrameDecompressor()
    return decompressor


_DECOMPRESSORS: dict[str, Callable[[], _Decompressor]] = {
    "gzip": _gzip,
    "x-gzip": _gzip,
    "deflate": _deflate,
    "zstd": _zstd,
    "lz4": _lz4,
}


def decoded(chunks: Iterable[bytes], content_encoding: str, framed: bool) -> Iterator[bytes]:
    """Undoes the request's Content-Encoding and, if `framed`, ClickHouse's own compression."""
    encoding = content_encoding.strip().lower()
    if encoding not in ("", "identity"):
        if encoding not in _DECOMPRESSORS:
            known = ", ".join(sorted(_DECOMPRESSORS))
            raise ClickHouseError(
                Code.UNKNOWN_COMPRESSION_METHOD, f"Unknown Content-Encoding {encoding!r}; known are {known}"
            )
        chunks = _inflated(chunks, encoding)
    return framing.decompressed(chunks) if framed else iter(chunks)


def _inflated(chunks: Iterable[bytes], encoding: str) -> Iterator[bytes]:
    """Decompresses one or more concatenated members and insists on the end of the last one."""
    decompressor: _Decompressor | None = None
    for chunk in chunks:
        for start in range(0, len(chunk), _INFLATE_SLICE_BYTES):
            piece = chunk[start : start + _INFLATE_SLICE_BYTES]
            while piece:
                if decompressor is None or decompressor.eof:
                    decompressor = _DECOMPRESSORS[encoding]()
                try:
                    plain = decompressor.decompress(piece)
                except (zlib.error, zstandard.ZstdError, RuntimeError) as error:
                    raise ClickHouseError(
                        Code.CANNOT_DECOMPRESS, f"Cannot decompress the {encoding} body: {error}"
                    ) from error
                if plain:
                    yield plain
                piece = (decompressor.unused_data or b"") if decompressor.eof else b""
    if decompressor is not None and not decompressor.eof:
        raise ClickHouseError(
            Code.CANNOT_READ_ALL_DATA, f"Cannot read all data: the {encoding} body ends before its end mark"
        )
