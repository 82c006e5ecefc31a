"""Native blocks for clients of newer revisions: every column has to be found, whatever lies before it."""

from __future__ import annotations

import pytest

from clickhouse_http.errors import Code

from .conftest import Client

BLOCK_INFO = b"\x01\x00\x02\xff\xff\xff\xff\x00"
ROWS = 3
# Type and values; `number` is 0, 1, 2.
COLUMNS = [
    ("UInt8", "number"),
    ("Bool", "number = 1"),
    ("Int16", "number"),
    ("Date", "number"),
    ("Enum8('a' = 0, 'b, (c' = 1, 'd' = 2)", "number::Int8"),
    ("DateTime", "number"),
    ("IPv4", "'10.0.0.1'"),
    ("Float32", "number"),
    ("UInt64", "number"),
    ("DateTime64(3)", "number"),
    ("IntervalDay", "number"),
    ("IPv6", "'::1'"),
    ("UUID", "'61f0c404-5cb3-11e7-907b-a6006ad3dba0'"),
    ("UInt256", "number"),
    ("Decimal(9, 2)", "number"),
    ("Decimal(18, 2)", "number"),
    ("Decimal(38, 2)", "number"),
    ("Decimal(76, 2)", "number"),
    ("FixedString(5)", "'abc'"),
    ("String", "repeat('x', 200 * number)"),
    ("Nullable(String)", "['a', NULL, 'c'][number + 1]"),
    ("LowCardinality(String)", "toString(number)"),
    ("LowCardinality(Nullable(String))", "if(number = 1, NULL, 'x')"),
    ("Array(UInt32)", "range(number)"),
    ("Array(Array(String))", "[[toString(number)], [], ['a', 'b']]"),
    ("Array(LowCardinality(String))", "arrayMap(x -> toString(x), range(number))"),
    ("Array(Nullable(UInt8))", "[NULL, 1]"),
    ("Tuple(UInt8, String)", "(number, toString(number))"),
    ("Tuple(a UInt8, `b c` LowCardinality(String))", "(1, 'x')"),
    ("Map(LowCardinality(String), Array(UInt8))", "map('k', [1, 2], toString(number), [])"),
    ("SimpleAggregateFunction(sum, UInt64)", "number"),
    ("Point", "(1., 2.)"),
    ("Polygon", "[[(0., 0.), (10., 0.), (10., 10.)]]"),
]


def selected(index: int) -> str:
    type_name, values = COLUMNS[index]
    quoted = type_name.replace("'", "\\'")
    return f"CAST({values}, '{quoted}') AS column{index}"


@pytest.mark.parametrize(("revision", "mark"), [(54453, b""), (54454, b"\x00"), (54460, b"\x00")])
def test_every_type_is_walked(client: Client, revision: int, mark: bytes) -> None:
    # Expected from blocks of one column each: where there is only one, nothing has to be found.
    expected = BLOCK_INFO + bytes([len(COLUMNS), ROWS])
    for index, (type_name, _) in enumerate(COLUMNS):
        block = client.post(f"SELECT {selected(index)} FROM numbers({ROWS}) FORMAT Native").body
        name = f"column{index}".encode()
        header = bytes([len(name)]) + name + bytes([len(type_name)]) + type_name.encode()
        assert block.startswith(bytes([1, ROWS]) + header), block
        expected += header + mark + block[2 + len(header) :]
    everything = ", ".join(selected(index) for index in range(len(COLUMNS)))
    sql = f"SELECT {everything} FROM numbers({ROWS}) FORMAT Native"
    assert client.post(sql, client_protocol_version=revision).body == expected


def test_old_revisions_get_the_block_as_it_is(client: Client) -> None:
    sql = "SELECT number, toString(number) FROM numbers(10) FORMAT Native"
    assert client.post(sql, client_protocol_version=50000).body == client.post(sql).body


def test_many_blocks(client: Client) -> None:
    sql = "SELECT number FROM numbers(10) SETTINGS max_block_size = 2, max_threads = 1 FORMAT Native"
    blocks = client.post(sql, client_protocol_version=54460).body.split(BLOCK_INFO)
    assert blocks[0] == b""
    # A block is: 1 column, its number of rows, then the column.
    assert [block[:2] for block in blocks[1:]] == [b"\x01\x02"] * 5


def test_types_without_a_known_layout_are_refused(client: Client) -> None:
    reply = client.post("SELECT uniqState(1) FORMAT Native", client_protocol_version=54460)
    assert (reply.status, reply.code) == (501, Code.NOT_IMPLEMENTED)
    assert "AggregateFunction" in reply.text
