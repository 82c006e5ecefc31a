"""ClickHouse's own Python client, many clients at once, and curl's way of sending large bodies."""

from __future__ import annotations

import datetime
import ipaddress
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import clickhouse_connect
import pytest
from clickhouse_connect.driver.client import Client as ConnectClient
from clickhouse_connect.driver.exceptions import DatabaseError

from .conftest import PATIENCE_SECONDS, Client, Tool

ROWS = [
    (
        1,
        "one",
        ["a", "b"],
        datetime.datetime(2026, 1, 2, 3, 4, 5),
        ipaddress.IPv6Address("2001:db8::1"),
        None,
        1.5,
    ),
    (2, "zwei", [], datetime.datetime(1970, 1, 1), ipaddress.IPv6Address("::ffff:192.0.2.1"), "x", -0.0),
]
COLUMNS = ["a", "s", "l", "t", "ip", "n", "f"]


@pytest.fixture(params=["", "lz4", "zstd", "gzip"])
def connect(shared_tool: Tool, request: pytest.FixtureRequest) -> Iterator[ConnectClient]:
    """clickhouse-connect, with each of its compressions of requests and replies."""
    client = clickhouse_connect.get_client(
        host="127.0.0.1", port=shared_tool.port, compress=request.param or False, database="default"
    )
    yield client
    client.close()


def test_clickhouse_connect_inserts_and_reads_back(connect: ConnectClient) -> None:
    table = "connect_" + uuid.uuid4().hex
    connect.command(
        f"CREATE TABLE {table} (a UInt64, s String, l Array(LowCardinality(String)), t DateTime('UTC'),"
        " ip IPv6, n Nullable(String), f Float64) ORDER BY a"
    )
    connect.insert(table, ROWS, column_names=COLUMNS)
    result = connect.query(
        f"SELECT * FROM {table} WHERE a >= {{low:UInt64}} ORDER BY a", parameters={"low": 1}
    )
    assert result.column_names == tuple(COLUMNS)
    assert [row[:3] + row[4:] for row in result.result_rows] == [row[:3] + row[4:] for row in ROWS]
    assert [row[3].replace(tzinfo=None) for row in result.result_rows] == [row[3] for row in ROWS]
    assert connect.command(f"SELECT count() FROM {table}", settings={"max_threads": 1}) == 2
    assert connect.raw_query(f"SELECT s FROM {table} ORDER BY a", fmt="CSV") == b'"one"\n"zwei"\n'
    connect.raw_insert(table, ["a", "s"], b"3,drei\n", fmt="CSV")
    with connect.query_rows_stream(f"SELECT a FROM {table} ORDER BY a") as stream:
        assert [row[0] for row in stream] == [1, 2, 3]


def test_clickhouse_connect_sees_errors(connect: ConnectClient) -> None:
    with pytest.raises(DatabaseError, match="no_such_table"):
        connect.query("SELECT * FROM no_such_table")
    assert connect.command("SELECT 1") == 1


def test_many_clients_at_once(shared_tool: Tool, client: Client, table: str) -> None:
    inserters, inserts, rows = 8, 10, 1000

    def work(worker: int) -> None:
        own = shared_tool.client()
        for insert in range(inserts):
            base = (worker * inserts + insert) * rows
            data = b"".join(b"%d,x\n" % (base + row) for row in range(rows))
            assert own.post(f"INSERT INTO {table} FORMAT CSV", data, async_insert=0).status == 200
            # One connection's statements see what it wrote before; others' are never seen in part.
            seen = own.run(f"SELECT countIf(a >= {base} AND a < {base + rows}), count() FROM {table}").split(
                "\t"
            )
            assert int(seen[0]) == rows
            assert int(seen[1]) % rows == 0
            assert own.post(f"SELECT nope FROM {table}").code == 47
        own.close()

    with ThreadPoolExecutor(inserters) as pool:
        list(pool.map(work, range(inserters), timeout=PATIENCE_SECONDS))
    total = inserters * inserts * rows
    assert client.run(f"SELECT count(), uniqExact(a) FROM {table}") == f"{total}\t{total}"


def test_connections_that_come_and_go(shared_tool: Tool) -> None:
    def once(number: int) -> str:
        client = shared_tool.client()
        try:
            return client.run(f"SELECT {number}")
        finally:
            client.close()

    with ThreadPoolExecutor(32) as pool:
        assert list(pool.map(once, range(500), timeout=PATIENCE_SECONDS)) == [str(n) for n in range(500)]


def test_curl_waits_for_100_continue(shared_tool: Tool, client: Client, table: str, tmp_path: Path) -> None:
    curl = shutil.which("curl")
    assert curl, "these tests need curl; on Debian and Ubuntu: apt-get install curl"
    data = tmp_path / "data.csv"
    data.write_bytes(b"".join(b"%d,%s\n" % (i, b"x" * 100) for i in range(50_000)))
    url = f"http://127.0.0.1:{shared_tool.port}/?query=INSERT+INTO+{table}+FORMAT+CSV"
    # Without the interim response curl would wait for this long.
    options = ["--silent", "--show-error", "--fail", "--expect100-timeout", str(PATIENCE_SECONDS)]
    subprocess.run(
        [curl, *options, "-H", "Expect: 100-continue", "--data-binary", f"@{data}", url],
        check=True,
        timeout=PATIENCE_SECONDS / 2,
    )
    assert client.run(f"SELECT count() FROM {table}") == "50000"
