"""Compressed requests and replies, in HTTP's way and in ClickHouse's."""

from __future__ import annotations

import gzip
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import lz4.block
import lz4.frame
import pytest
import zstandard

from clickhouse_http import framing
from clickhouse_http.errors import ClickHouseError, Code

from .conftest import Client

TEXT = b"".join(b"%d,row %d\n" % (i, i) for i in range(2000))


def frame(method: int, packed: bytes, plain_size: int) -> bytes:
    body = struct.pack("<BII", method, len(packed) + 9, plain_size) + packed
    return framing._checksum(body) + body


def lz4_frame(data: bytes) -> bytes:
    return frame(0x82, lz4.block.compress(data, store_size=False), len(data))


def zstd_frame(data: bytes) -> bytes:
    return frame(0x90, zstandard.ZstdCompressor().compress(data), len(data))


def zstd_frame_without_size(data: bytes) -> bytes:
    return frame(0x90, zstandard.ZstdCompressor(write_content_size=False).compress(data), len(data))


def plain_frame(data: bytes) -> bytes:
    return frame(0x02, data, len(data))


@pytest.mark.parametrize("encoding", ["gzip", "lz4", "zstd"])
def test_reply_in_the_encoding_that_is_accepted(client: Client, encoding: str) -> None:
    undo = {"gzip": gzip.decompress, "lz4": lz4.frame.decompress, "zstd": zstandard.decompress}[encoding]
    for parameters in ({}, {"enable_http_compression": 1}):
        reply = client.post("SELECT repeat('x', 10000)", headers={"Accept-Encoding": encoding}, **parameters)
        assert reply.headers["Content-Encoding"] == encoding
        assert len(reply.body) < 1000
        assert undo(reply.body) == b"x" * 10000 + b"\n"


def test_reply_is_plain_unless_compression_is_accepted_and_enabled(client: Client) -> None:
    assert client.post("SELECT 1").body == b"1\n"
    assert client.post("SELECT 1", headers={"Accept-Encoding": "br, identity"}).body == b"1\n"
    reply = client.post("SELECT 1", headers={"Accept-Encoding": "gzip"}, enable_http_compression=0)
    assert (reply.body, reply.headers["Content-Encoding"]) == (b"1\n", None)


def test_errors_are_plain(client: Client) -> None:
    reply = client.post("SELECT nope", headers={"Accept-Encoding": "gzip"}, compress=1)
    assert reply.text.startswith("Code: 47.")


@pytest.mark.parametrize("codec", ["NONE", "LZ4", "ZSTD(1)"])
def test_frames_are_those_that_the_engine_writes(client: Client, codec: str) -> None:
    # A column's file in a MergeTree part is a sequence of the same frames.
    client.run(
        f"CREATE OR REPLACE TABLE frames (a UInt32 CODEC({codec})) ENGINE = MergeTree ORDER BY tuple()"
        " SETTINGS min_bytes_for_wide_part = 0"
    )
    client.run("INSERT INTO frames SELECT number FROM numbers(100000)")
    part = client.run("SELECT path FROM system.parts WHERE table = 'frames' AND active FORMAT TSVRaw")
    data = Path(part, "a.bin").read_bytes()
    assert b"".join(framing.decompressed([data])) == struct.pack("<100000I", *range(100_000))


def test_reply_in_frames(client: Client) -> None:
    reply = client.post("SELECT number FROM numbers(500000)", compress=1)
    expected = "".join(f"{i}\n" for i in range(500_000)).encode()
    assert b"".join(framing.decompressed([reply.body])) == expected
    assert reply.body[16] == 0x82
    assert client.post("SELECT 1 WHERE 0", compress=1).body == b""


CONTENT_ENCODINGS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "lz4": lz4.frame.compress,
    "zstd": zstandard.compress,
}


@pytest.mark.parametrize("encoding", CONTENT_ENCODINGS)
def test_request_in_an_encoding(client: Client, table: str, encoding: str) -> None:
    compress = CONTENT_ENCODINGS[encoding]
    headers = {"Content-Encoding": encoding}
    insert = f"INSERT INTO {table} FORMAT CSV"
    # Two members one after the other are one body.
    data = compress(TEXT) + compress(TEXT)
    assert client.post(insert, data, headers).status == 200
    assert client.post(insert, (data[i : i + 100] for i in range(0, len(data), 100)), headers).status == 200
    assert client.run(f"SELECT count(), uniqExact(a) FROM {table}") == "8000\t2000"
    assert client.request("POST", "/", compress(b"SELECT 1"), headers).body == b"1\n"


@pytest.mark.parametrize("encoding", CONTENT_ENCODINGS)
def test_request_whose_encoding_is_broken_or_cut(client: Client, table: str, encoding: str) -> None:
    headers = {"Content-Encoding": encoding}
    data = CONTENT_ENCODINGS[encoding](TEXT)
    insert = f"INSERT INTO {table} FORMAT CSV"
    assert client.post(insert, data[:-1], headers).code == Code.CANNOT_READ_ALL_DATA
    assert client.post(insert, b"not compressed at all", headers).code == Code.CANNOT_DECOMPRESS
    assert client.run(f"SELECT count() FROM {table}") == "0"


def test_unknown_encoding_is_refused(client: Client, table: str) -> None:
    reply = client.post(f"INSERT INTO {table} FORMAT CSV", b"1,a\n", {"Content-Encoding": "br"})
    assert reply.code == Code.UNKNOWN_COMPRESSION_METHOD
    assert client.run(f"SELECT count() FROM {table}") == "0"


@pytest.mark.parametrize("pack", [lz4_frame, zstd_frame, zstd_frame_without_size, plain_frame])
def test_request_in_frames(client: Client, table: str, pack: Callable[[bytes], bytes]) -> None:
    insert = f"INSERT INTO {table} FORMAT CSV"
    data = pack(TEXT[:5000]) + pack(b"") + pack(TEXT[5000:])
    if pack is lz4_frame:
        data = pack(TEXT[:5000]) + pack(TEXT[5000:])
    assert client.post(insert, data, decompress=1).status == 200

    def pieces() -> Iterator[bytes]:
        for start in range(0, len(data), 777):
            yield data[start : start + 777]

    assert client.post(insert, pieces(), decompress=1).status == 200
    assert client.post(insert, gzip.compress(data), {"Content-Encoding": "gzip"}, decompress=1).status == 200
    assert client.run(f"SELECT count(), uniqExact(a) FROM {table}") == "6000\t2000"


@pytest.mark.parametrize("pack", [lz4_frame, zstd_frame, plain_frame])
def test_damaged_frames_are_refused(client: Client, table: str, pack: Callable[[bytes], bytes]) -> None:
    insert = f"INSERT INTO {table} FORMAT CSV"
    whole = pack(TEXT)
    for cut in (1, 15, 20, len(whole) - 1):
        assert client.post(insert, pack(TEXT) + whole[:cut], decompress=1).code == Code.CANNOT_READ_ALL_DATA
    for flipped in (0, 15, 25, len(whole) - 1):
        damaged = bytearray(whole)
        damaged[flipped] ^= 1
        assert client.post(insert, bytes(damaged), decompress=1).code == Code.CHECKSUM_DOESNT_MATCH
    assert client.run(f"SELECT count() FROM {table}") == "0"


@pytest.mark.parametrize(
    ("damaged", "code"),
    [
        (frame(0x77, b"abc", 3), Code.UNKNOWN_COMPRESSION_METHOD),
        (frame(0x82, b"abc", 3), Code.CANNOT_DECOMPRESS),
        (frame(0x90, b"abc", 3), Code.CANNOT_DECOMPRESS),
        (frame(0x90, zstandard.compress(b"x" * 100), 99), Code.CANNOT_DECOMPRESS),
        (frame(0x82, lz4.block.compress(b"x" * 100, store_size=False), 101), Code.CANNOT_DECOMPRESS),
        (frame(0x02, b"abc", 4), Code.CANNOT_DECOMPRESS),
        (b"1,a\n2,b\n" * 100, Code.UNKNOWN_COMPRESSION_METHOD),
        (bytes(16) + struct.pack("<BII", 0x82, 100, (1 << 30) + 1), Code.TOO_LARGE_SIZE_COMPRESSED),
        (bytes(16) + struct.pack("<BII", 0x02, 8, 0), Code.TOO_LARGE_SIZE_COMPRESSED),
    ],
)
def test_frames_that_lie(damaged: bytes, code: Code) -> None:
    with pytest.raises(ClickHouseError) as error:
        list(framing.decompressed([damaged]))
    assert error.value.code == code
