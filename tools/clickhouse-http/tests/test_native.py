"""Native blocks for clients of newer revisions: every column has to be found, whatever lies before it."""

from __future__ import annotations

import pytest

from clickhouse_http.errors import Code

from .conftest import Client

BLOCK_INFO = b"\x01\x00\x02\xff\xff\xff\xff\x00"
ROWS = 3
COLUMNS = {
    "UInt8": "number::UInt8",
    "Bool": "number = 1",
    "Int16": "number::Int16",
    "Date": "toDate(number)",
    "Enum8('a' = 0, 'b, (c' = 1, 'd' = 2)": "number::Int8::Enum8('a' = 0, 'b, (c' = 1, 'd' = 2)",
    "DateTime('UTC')": "toDateTime(number, 'UTC')",
    "IPv4": "toIPv4('10.0.0.1')",
    "Float32": "number::Float32",
    "UInt64": "number",
    "DateTime64(3)": "toDateTime64(number, 3)",
    "IntervalDay": "toIntervalDay(number)",
    "IPv6": "toIPv6('::1')",
    "UUID": "toUUID('61f0c404-5cb3-11e7-907b-a6006ad3dba0')",
    "UInt256": "number::UInt256",
    "Decimal(9, 2)": "number::Decimal(9, 2)",
    "Decimal(18, 2)": "number::Decimal(18, 2)",
    "Decimal(38, 2)": "number::Decimal(38, 2)",
    "Decimal(76, 2)": "number::Decimal(76, 2)",
    "FixedString(5)": "toFixedString('abc', 5)",
    "String": "repeat('x', 200 * number)",
    "Nullable(String)": "if(number = 1, NULL, toString(number))",
    "LowCardinality(String)": "toLowCardinality(toString(number))",
    "LowCardinality(Nullable(String))": "CAST(if(number = 1, NULL, 'x') AS LowCardinality(Nullable(String)))",
    "Array(UInt32)": "range(number)::Array(UInt32)",
    "Array(Array(String))": "[[toString(number)], [], ['a', 'b']]",
    "Array(LowCardinality(String))": "arrayMap(x -> toString(x), range(number))::Array(LowCardinality(String))",
    "Array(Nullable(UInt8))": "[NULL, 1]::Array(Nullable(UInt8))",
    "Tuple(UInt8, String)": "(number::UInt8, toString(number))",
    "Tuple(a UInt8, `b c` LowCardinality(String))": (
        "CAST((1, 'x') AS Tuple(a UInt8, `b c` LowCardinality(String)))"
    ),
    "Map(LowCardinality(String), Array(UInt8))": (
        "CAST(map('k', [1, 2], toString(number), []) AS Map(LowCardinality(String), Array(UInt8)))"
    ),
    "SimpleAggregateFunction(sum, UInt64)": "CAST(number AS SimpleAggregateFunction(sum, UInt64))",
    "Point": "(1., 2.)::Point",
    "Polygon": "[[(0., 0.), (10., 0.), (10., 10.)]]::Polygon",
}


def single_column(client: Client, expression: str) -> bytes:
    """A block of one column without the numbers of columns and rows: name, type and data."""
    block = client.post(f"SELECT {expression} AS c FROM numbers({ROWS}) FORMAT Native").body
    assert block[:2] == bytes([1, ROWS])
    return block[2:]


@pytest.mark.parametrize(("revision", "mark"), [(54453, b""), (54454, b"\x00"), (54460, b"\x00")])
def test_every_type_is_walked(client: Client, revision: int, mark: bytes) -> None:
    # Expected from blocks of one column each, where nothing has to be walked to find the end.
    expected = BLOCK_INFO + bytes([len(COLUMNS), ROWS])
    for type_name, expression in COLUMNS.items():
        column = single_column(client, expression)
        name_and_type = b"\x01c" + bytes([len(type_name)]) + type_name.encode()
        assert column.startswith(name_and_type), (type_name, column[:60])
        expected += name_and_type + mark + column[len(name_and_type) :]
    select = ", ".join(f"{expression} AS c" for expression in COLUMNS.values())
    # Columns of the same name are allowed if they are told apart by position only.
    names = [f"c{i}" for i in range(len(COLUMNS))]
    select = ", ".join(
        f"{expression} AS {name}" for name, expression in zip(names, COLUMNS.values(), strict=True)
    )
    reply = client.post(
        f"SELECT {select} FROM numbers({ROWS}) FORMAT Native", client_protocol_version=revision
    )
    actual = reply.body
    for name in names:
        actual = actual.replace(bytes([len(name)]) + name.encode(), b"\x01c", 1)
    assert actual == expected


def test_old_revisions_get_the_block_as_it_is(client: Client) -> None:
    sql = "SELECT number, toString(number) FROM numbers(10) FORMAT Native"
    assert client.post(sql, client_protocol_version=50000).body == client.post(sql).body


def test_many_blocks(client: Client) -> None:
    sql = "SELECT number FROM numbers(10) SETTINGS max_block_size = 2, max_threads = 1 FORMAT Native"
    body = client.post(sql, client_protocol_version=54460).body
    blocks = body.split(BLOCK_INFO)
    assert blocks[0] == b""
    assert sum(block[1] for block in blocks[1:]) == 10
    assert len(body) - len(client.post(sql).body) == (len(BLOCK_INFO) + 1) * (len(blocks) - 1)


def test_types_without_a_known_layout_are_refused(client: Client) -> None:
    reply = client.post("SELECT uniqState(1) FORMAT Native", client_protocol_version=54460)
    assert (reply.status, reply.code) == (501, Code.NOT_IMPLEMENTED)
    assert "AggregateFunction" in reply.text
