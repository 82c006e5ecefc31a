"""Native blocks as newer protocol revisions expect them.

A client that sends `client_protocol_version` (clickhouse-go, and so Grafana; clickhouse-connect) expects
two things in every Native block that the engine, which writes revision 0, leaves out: a BlockInfo in
front of it, and from revision 54454 on a byte per column that says how the column is serialized.

The bytes of the columns stay as they are, but to find where one column ends and the next begins its
layout has to be walked.  Types whose layout is not known here (AggregateFunction states, Variant,
Dynamic, JSON) are refused with NOT_IMPLEMENTED.  One difference to a server remains: in revision 0 the
engine leaves the time zone out of `DateTime('zone')`; the values are the same instants.

Source: ClickHouse's `NativeWriter.cpp`, `ProtocolDefines.h` and the `Serialization*` classes.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from .errors import ClickHouseError, Code

_REVISION_WITH_BLOCK_INFO = 51903
_REVISION_WITH_CUSTOM_SERIALIZATION = 54454

# Field 1 is_overflows = 0, field 2 bucket_num = -1, end of fields.
_BLOCK_INFO = b"\x01\x00" + b"\x02\xff\xff\xff\xff" + b"\x00"
_DEFAULT_SERIALIZATION = b"\x00"

_U64 = struct.Struct("<Q")
# LowCardinality: low byte is the index type, these flags say that a dictionary is part of the column.
_LC_HAS_DICTIONARY = 0x100 | 0x200
_LC_INDEX_BYTES = (1, 2, 4, 8)

_FIXED_BYTES = {
    name: size
    for size, names in {
        1: "UInt8 Int8 Bool Enum8 Nothing",
        2: "UInt16 Int16 Date Enum16 BFloat16",
        4: "UInt32 Int32 Float32 DateTime Date32 IPv4 Time Decimal32",
        8: "UInt64 Int64 Float64 DateTime64 Time64 Decimal64",
        16: "UInt128 Int128 UUID IPv6 Decimal128",
        32: "UInt256 Int256 Decimal256",
    }.items()
    for name in names.split()
}
_ALIASES = {
    "Point": "Tuple(Float64, Float64)",
    "Ring": "Array(Point)",
    "LineString": "Array(Point)",
    "Polygon": "Array(Ring)",
    "MultiLineString": "Array(LineString)",
    "MultiPolygon": "Array(Polygon)",
}

Skip = Callable[[bytes, int, int], int]
"""(data, position, rows) -> position after the column's data."""


@dataclass(frozen=True)
class _Layout:
    """How a column of some type lies in a block."""

    prefix_bytes: int
    """In front of the data, once per column: 8 for every LowCardinality inside the type."""
    skip: Skip


def at_revision(data: bytes, revision: int) -> bytes:
    """Rewrites Native blocks of revision 0 for a client that speaks `revision`."""
    if revision < _REVISION_WITH_BLOCK_INFO:
        return data
    mark = _DEFAULT_SERIALIZATION if revision >= _REVISION_WITH_CUSTOM_SERIALIZATION else b""
    out: list[bytes] = []
    position = 0
    while position < len(data):
        start = position
        columns, position = _varint(data, position)
        rows, position = _varint(data, position)
        out += (_BLOCK_INFO, data[start:position])
        for _ in range(columns):
            start = position
            _, position = _string(data, position)
            type_name, position = _string(data, position)
            out += (data[start:position], mark)
            start = position
            if rows:
                layout = _layout(type_name.decode())
                position = layout.skip(data, position + layout.prefix_bytes, rows)
            out.append(data[start:position])
    return b"".join(out)


def _varint(data: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7


def _string(data: bytes, position: int) -> tuple[bytes, int]:
    length, position = _varint(data, position)
    return data[position : position + length], position + length


@lru_cache(maxsize=1024)
def _layout(type_name: str) -> _Layout:
    name, arguments = _split_type(_ALIASES.get(type_name, type_name))
    if name in _FIXED_BYTES:
        return _fixed(_FIXED_BYTES[name])
    if name.startswith("Interval"):
        return _fixed(8)
    if name == "FixedString":
        return _fixed(int(arguments[0]))
    if name == "Decimal":
        return _fixed(_decimal_bytes(int(arguments[0])))
    if name == "String":
        return _Layout(0, _skip_strings)
    if name == "LowCardinality":
        return _low_cardinality(arguments[0])
    if name == "SimpleAggregateFunction":
        return _layout(arguments[1])
    if name == "Nullable":
        inner = _layout(arguments[0])
        return _Layout(inner.prefix_bytes, lambda data, at, rows: inner.skip(data, at + rows, rows))
    if name == "Tuple":
        return _sequence([_layout(_without_name(argument)) for argument in arguments])
    if name in ("Array", "Map"):
        return _behind_offsets(_sequence([_layout(argument) for argument in arguments]))
    raise ClickHouseError(
        Code.NOT_IMPLEMENTED,
        f"FORMAT Native with client_protocol_version is not supported for type {type_name}",
    )


def _fixed(size: int) -> _Layout:
    return _Layout(0, lambda data, at, rows: at + size * rows)


def _decimal_bytes(precision: int) -> int:
    return 4 if precision <= 9 else 8 if precision <= 18 else 16 if precision <= 38 else 32


def _skip_strings(data: bytes, position: int, rows: int) -> int:
    for _ in range(rows):
        length, position = _varint(data, position)
        position += length
    return position


def _sequence(parts: list[_Layout]) -> _Layout:
    """Columns of the same number of rows, one after the other."""

    def skip(data: bytes, position: int, rows: int) -> int:
        for part in parts:
            position = part.skip(data, position, rows)
        return position

    return _Layout(sum(part.prefix_bytes for part in parts), skip)


def _behind_offsets(inner: _Layout) -> _Layout:
    """Array and Map: an end offset per row, then all rows' elements as one column."""

    def skip(data: bytes, position: int, rows: int) -> int:
        if not rows:
            return position
        (elements,) = _U64.unpack_from(data, position + 8 * (rows - 1))
        return inner.skip(data, position + 8 * rows, elements)

    return _Layout(inner.prefix_bytes, skip)


def _low_cardinality(argument: str) -> _Layout:
    # The dictionary of LowCardinality(Nullable(T)) is a column of T: NULL is a reserved entry of it.
    name, arguments = _split_type(argument)
    dictionary = _layout(arguments[0] if name == "Nullable" else argument)

    def skip(data: bytes, position: int, rows: int) -> int:
        if not rows:
            return position
        (flags,) = _U64.unpack_from(data, position)
        position += 8
        if flags & _LC_HAS_DICTIONARY:
            (entries,) = _U64.unpack_from(data, position)
            position = dictionary.skip(data, position + 8, entries)
        indexes: int = _U64.unpack_from(data, position)[0]
        return position + 8 + indexes * _LC_INDEX_BYTES[flags & 0xFF]

    return _Layout(8, skip)


_TYPE = re.compile(r"\s*(\w+)\s*(?:\((.*)\))?\s*", re.DOTALL)
_ELEMENT_NAME = re.compile(r"\s*(?:`(?:[^`\\]|\\.)*`|\w+)\s+(?=\w)")


def _split_type(type_name: str) -> tuple[str, list[str]]:
    """`Map(String, Array(UInt8))` -> `Map`, [`String`, `Array(UInt8)`]."""
    match = _TYPE.fullmatch(type_name)
    if not match:
        raise ClickHouseError(Code.NOT_IMPLEMENTED, f"Cannot read the type {type_name}")
    return match[1], _split_arguments(match[2] or "")


_ARGUMENT_PART = re.compile(r"""'(?:[^'\\]|\\.)*'|`(?:[^`\\]|\\.)*`|[(),]|[^'`(),]+""")


def _split_arguments(text: str) -> list[str]:
    arguments = [""]
    depth = 0
    for part in _ARGUMENT_PART.findall(text):
        depth += (part == "(") - (part == ")")
        if part == "," and depth == 0:
            arguments.append("")
        else:
            arguments[-1] += part
    return [argument.strip() for argument in arguments if argument.strip()]


def _without_name(argument: str) -> str:
    """A Tuple's element may have a name: `a UInt8`."""
    return argument[match.end() :] if (match := _ELEMENT_NAME.match(argument)) else argument
