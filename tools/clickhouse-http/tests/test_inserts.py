"""INSERTs whose data are in the body: formats, streaming, deduplication, and bodies that are not whole."""

from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote

import pytest

from clickhouse_http.errors import Code

from .conftest import PATIENCE_SECONDS, Client, Start, Tool

ROWS = "SELECT number::UInt32 AS a, concat('row ', toString(number)) AS s FROM numbers(1000)"
FORMATS = [
    "ArrowStream",
    "CSV",
    "CSVWithNames",
    "JSONEachRow",
    "Native",
    "Parquet",
    "RowBinary",
    "RowBinaryWithNamesAndTypes",
    "TSV",
    "TabSeparated",
    "Values",
]


def count(client: Client, table: str) -> int:
    return int(client.run(f"SELECT count() FROM {table}"))


@pytest.mark.parametrize("format_name", FORMATS)
@pytest.mark.parametrize("way", ["url", "body", "chunked"])
def test_every_format_arrives_whole(client: Client, table: str, format_name: str, way: str) -> None:
    data = client.post(f"{ROWS} FORMAT {format_name}").body
    statement = f"INSERT INTO {table} (a, s) FORMAT {format_name}"
    if way == "url":
        reply = client.post(statement, data)
    elif way == "body":
        reply = client.request("POST", "/", statement.encode() + b"\n" + data)
    else:
        reply = client.post(statement, (data[i : i + 997] for i in range(0, len(data), 997)))
    assert (reply.status, reply.body) == (200, b""), reply.text
    assert reply.summary["written_rows"] == 1000
    difference = f"(SELECT * FROM {table}) EXCEPT ({ROWS})"
    assert client.run(f"SELECT count() FROM ({difference})") == "0"
    assert count(client, table) == 1000


@pytest.mark.parametrize(
    "text",
    [
        "INSERT INTO {t} VALUES (1, 'a'), (2, 'b')",
        "INSERT INTO {t} (s, a) VALUES ('a', 1), ('b', 1 + 1);\n",
        "insert into {t} format CSV 1,a\n2,b\n",
        'INSERT INTO {t} FORMAT JSONEachRow;\n{{"a":1,"s":"a"}}{{"a":2,"s":"b"}}',
        "/* FORMAT TSV */ INSERT INTO {t} -- VALUES\n SETTINGS async_insert = 0 FORMAT CSV\r\n1,a\r\n2,b\r\n",
        "INSERT INTO {t} SELECT number + 1, char(97 + number) FROM numbers(2) FORMAT CSV",
        "INSERT INTO {t} WITH 1 AS one SELECT number + one, char(97 + number) FROM numbers(2)",
    ],
)
def test_statement_and_data_in_one_body(client: Client, table: str, text: str) -> None:
    whole = text.format(t=table).encode()
    expected = "[(1,'a'),(2,'b')]"
    for pieces in (whole, (whole[i : i + 1] for i in range(len(whole)))):
        reply = client.request("POST", "/", pieces)
        assert reply.status == 200, reply.text
        assert client.run(f"SELECT groupArray((a, s)) FROM (SELECT * FROM {table} ORDER BY a)") == expected
        client.run(f"TRUNCATE TABLE {table}")


def test_data_begin_in_the_url_and_go_on_in_the_body(client: Client, table: str) -> None:
    assert client.post(f"INSERT INTO {table} FORMAT CSV\n1,a", b"2,b\n").status == 200
    assert count(client, table) == 2


def test_parameters_of_an_insert(client: Client, table: str) -> None:
    reply = client.post("INSERT INTO {t:Identifier} FORMAT CSV", b"1,a\n", param_t=table)
    assert reply.status == 200, reply.text
    assert count(client, table) == 1


def test_omitted_columns_take_their_defaults(client: Client) -> None:
    client.run(
        "CREATE OR REPLACE TABLE d (a UInt32, b UInt32 DEFAULT a * 2, s String DEFAULT 'x') ORDER BY a"
    )
    data = client.post("SELECT 21::UInt32 AS a FORMAT ArrowStream").body
    assert client.post("INSERT INTO d (a) FORMAT ArrowStream", data).status == 200
    assert client.run("SELECT * FROM d") == "21\t42\tx"


def test_empty_body_is_no_rows(client: Client, table: str) -> None:
    for format_name in ("CSV", "JSONEachRow", "RowBinary", "Native"):
        assert client.post(f"INSERT INTO {table} FORMAT {format_name}").status == 200
    assert count(client, table) == 0


def test_insert_from_input_function_is_refused(client: Client, table: str) -> None:
    sql = f"INSERT INTO {table} SELECT a, s FROM input('a UInt32, s String') FORMAT CSV"
    reply = client.post(sql, b"1,a\n")
    assert (reply.status, reply.code) == (501, Code.NOT_IMPLEMENTED)


@pytest.mark.parametrize(
    ("target", "data", "status", "code"),
    [
        ("no_such_table FORMAT CSV", b"1,a\n", 404, Code.UNKNOWN_TABLE),
        ("{t} (no_such_column) FORMAT CSV", b"1\n", 500, 16),
        ("{t} FORMAT NoSuchFormat", b"1,a\n", 404, Code.UNKNOWN_FORMAT),
        ("{t} FORMAT CSV", b"1,a\nx,y\n", 400, Code.CANNOT_PARSE_INPUT_ASSERTION_FAILED),
        ("{t} FORMAT ArrowStream", b"this is not Arrow" * 10, 400, Code.INCORRECT_DATA),
        ("{t} FORMAT RowBinary", b"\x01\x00", 500, Code.CANNOT_READ_ALL_DATA),
    ],
)
def test_failed_insert_stores_nothing_and_stays_in_step(
    client: Client, table: str, target: str, data: bytes, status: int, code: int
) -> None:
    for body in (data, (piece for piece in (data, b"\n" * 300_000))):
        reply = client.post(f"INSERT INTO {target.format(t=table)}", body)
        assert (reply.status, reply.code) == (status, code), reply.text
        assert client.run("SELECT 1") == "1"
    assert count(client, table) == 0


def test_block_that_a_table_does_not_take_is_an_error(client: Client) -> None:
    client.run(
        "CREATE OR REPLACE TABLE parts (a UInt32) ORDER BY a"
        " SETTINGS parts_to_throw_insert = 1, parts_to_delay_insert = 0"
    )
    client.run("SYSTEM STOP MERGES parts")
    assert client.post("INSERT INTO parts FORMAT CSV", b"1\n").status == 200
    data = client.post("SELECT number::UInt32 AS a FROM numbers(100) FORMAT ArrowStream").body
    for format_name, body in (("CSV", b"2\n"), ("ArrowStream", data)):
        reply = client.post(f"INSERT INTO parts FORMAT {format_name}", body)
        assert (reply.status, reply.code) == (500, 252), reply.text
        assert reply.text.startswith("Code: 252. DB::Exception: Too many parts (1 ")
        assert "(TOO_MANY_PARTS) (version " in reply.text
        assert "X-ClickHouse-Summary" in reply.headers
    assert count(client, "parts") == 1


def test_inserts_that_fail_together_all_fail(shared_tool: Tool, client: Client) -> None:
    client.run(
        "CREATE OR REPLACE TABLE together (a UInt32) ORDER BY a"
        " SETTINGS parts_to_throw_insert = 1, parts_to_delay_insert = 0"
    )
    client.run("SYSTEM STOP MERGES together")
    assert client.post("INSERT INTO together FORMAT CSV", b"1\n").status == 200

    def insert(_: int) -> int:
        own = shared_tool.client()
        reply = own.post("INSERT INTO together FORMAT CSV", b"2\n" * 1000)
        own.close()
        return reply.status

    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(insert, range(60))) == {500}
    assert count(client, "together") == 1


def test_error_after_the_headers_is_marked_in_the_body(client: Client, table: str) -> None:
    reply = client.post(f"INSERT INTO {table} FORMAT CSV", b"x,y\n", send_progress_in_http_headers=1)
    assert (reply.status, reply.code) == (200, None)
    tag = reply.headers["X-ClickHouse-Exception-Tag"]
    mark = b"\r\n__exception__\r\n"
    begin, message, end = reply.body.split(mark)[0], reply.body.split(mark)[1], reply.body.split(mark)[2]
    assert (begin, end) == (b"", b"")
    head, _, rest = message.partition(b"\r\n")
    text, _, length = rest.rpartition(b"\n")
    assert head.decode() == tag
    assert length.decode() == f"{len(text) + 1} {tag}"
    assert text.startswith(b"Code: 27. DB::Exception: ")
    reply = client.post(f"INSERT INTO {table} FORMAT CSV", b"1,y\n", send_progress_in_http_headers=1)
    assert (reply.status, reply.body) == (200, b"")


def test_block_that_a_view_does_not_take_is_an_error_though_others_were_written(client: Client) -> None:
    client.run("DROP TABLE IF EXISTS picky_view")
    client.run("CREATE OR REPLACE TABLE picky (a UInt32) ORDER BY a")
    client.run("CREATE OR REPLACE TABLE picked (a UInt32) ORDER BY a")
    client.run(
        "CREATE MATERIALIZED VIEW picky_view TO picked AS SELECT a + throwIf(a = 55) AS a FROM picky"
    )
    rows = "".join(f"{n}\n" for n in range(100)).encode()
    small = {"max_insert_block_size": 10, "min_insert_block_size_rows": 10, "min_insert_block_size_bytes": 1}
    for body, settings in ((rows, {}), (rows, small), (b"55\n", {})):
        reply = client.post("INSERT INTO picky FORMAT CSV", body, **settings)
        assert (reply.status, reply.code) == (500, 395), reply.text
    # What came before is not held against the next one.
    assert client.post("INSERT INTO picky FORMAT CSV", b"1\n").status == 200
    assert client.post("INSERT INTO picky FORMAT CSV", b"").status == 200


def test_full_disk_is_an_error(start: Start, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = f"mount -t tmpfs -o size=16m none '{disk}' && exec \"$@\""
    tool = start(data=disk / "data", under=("unshare", "--map-root-user", "--mount", "sh", "-c", mount, "sh"))
    client = tool.client()
    client.run("CREATE TABLE t (n UInt64, s String) ORDER BY n")
    rows = "SELECT number AS n, randomString(1000) AS s FROM numbers(10000) FORMAT ArrowStream"
    data = client.post(rows).body
    replies = [client.post("INSERT INTO t FORMAT ArrowStream", data) for _ in range(3)]
    stored = sum(reply.status == 200 for reply in replies)
    assert stored < len(replies)
    assert count(client, "t") == 10_000 * stored
    failed = replies[-1]
    assert (failed.status, failed.code) == (500, 243), failed.text


def test_insert_token_stores_a_block_once_also_in_views(client: Client) -> None:
    window = "SETTINGS non_replicated_deduplication_window = 100"
    client.run("DROP TABLE IF EXISTS dedup_view")
    client.run(f"CREATE OR REPLACE TABLE dedup (a UInt32, n UInt64) ORDER BY a {window}")
    client.run(
        "CREATE OR REPLACE TABLE dedup_sum (a UInt32, n UInt64) ENGINE = SummingMergeTree"
        f" ORDER BY a {window}"
    )
    client.run(
        "CREATE MATERIALIZED VIEW dedup_view TO dedup_sum AS SELECT a, sum(n) AS n FROM dedup GROUP BY a"
    )
    data = client.post(
        "SELECT (number % 7)::UInt32 AS a, number AS n FROM numbers(1000) FORMAT ArrowStream"
    ).body
    sums = "SELECT (SELECT count() FROM dedup), (SELECT sum(n) FROM dedup), (SELECT sum(n) FROM dedup_sum)"

    def insert(token: str) -> None:
        reply = client.post(
            "INSERT INTO dedup FORMAT ArrowStream",
            data,
            insert_deduplication_token=token,
            async_insert=0,
            deduplicate_blocks_in_dependent_materialized_views=1,
        )
        assert reply.status == 200, reply.text

    insert("one")
    insert("one")
    assert client.run(sums) == "1000\t499500\t499500"
    insert("two")
    assert client.run(sums) == "2000\t999000\t999000"


@pytest.mark.parametrize("encoding", ["counted", "chunked"])
@pytest.mark.parametrize("format_name", ["CSV", "ArrowStream", "RowBinary"])
def test_insert_that_is_cut_off_stores_nothing(
    shared_tool: Tool, client: Client, table: str, encoding: str, format_name: str
) -> None:
    # Cut where what has arrived is whole by itself: rows end there, for Arrow a record batch.
    data = client.post(f"{ROWS} FORMAT {format_name}").body
    data = data.removesuffix(b"\xff\xff\xff\xff\0\0\0\0")
    target = "/?query=" + quote(f"INSERT INTO {table} FORMAT {format_name}")
    with socket.create_connection(("127.0.0.1", shared_tool.port), PATIENCE_SECONDS) as connection:
        head = f"POST {target} HTTP/1.1\r\nHost: x\r\n"
        if encoding == "counted":
            connection.sendall(f"{head}Content-Length: {len(data) + 1}\r\n\r\n".encode() + data)
        else:
            connection.sendall(
                f"{head}Transfer-Encoding: chunked\r\n\r\n{len(data):x}\r\n".encode() + data + b"\r\n"
            )
        connection.shutdown(socket.SHUT_WR)
        # The tool closes the connection when it has given up the insert.
        assert connection.recv(1) == b""
    assert count(client, table) == 0


@pytest.mark.parametrize("chunk", [b"xyz\r\n", b"-5\r\nabc", b"3\r\nabcdef\r\n", b"0x3\r\nabc\r\n"])
def test_broken_chunked_encoding_is_refused_and_closes(
    shared_tool: Tool, client: Client, table: str, chunk: bytes
) -> None:
    with socket.create_connection(("127.0.0.1", shared_tool.port), PATIENCE_SECONDS) as connection:
        target = "/?query=" + quote(f"INSERT INTO {table} FORMAT CSV")
        connection.sendall(
            f"POST {target} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".encode() + chunk
        )
        connection.shutdown(socket.SHUT_WR)
        reply = read_to_end(connection)
    assert reply.startswith(b"HTTP/1.1 400 ")
    assert b"\r\nConnection: close\r\n" in reply
    assert count(client, table) == 0


def test_content_length_that_is_not_a_number_is_refused(shared_tool: Tool) -> None:
    with socket.create_connection(("127.0.0.1", shared_tool.port), PATIENCE_SECONDS) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: many\r\n\r\nSELECT 1")
        connection.shutdown(socket.SHUT_WR)
        assert read_to_end(connection).startswith(b"HTTP/1.1 400 ")


def test_large_insert_is_streamed_with_bounded_memory(start: Start) -> None:
    tool = start()
    client = tool.client()
    client.run("CREATE TABLE n (a UInt32, s String) ENGINE = Null")
    piece = client.post("SELECT number::UInt32, repeat('x', 1000) FROM numbers(2000) FORMAT RowBinary").body
    pieces = 200
    assert len(piece) * pieces > 400_000_000
    before = tool.peak_memory_bytes()
    # By default the engine itself gathers blocks of up to 1,048,449 rows, here 1 GB.
    reply = client.post(
        "INSERT INTO n FORMAT RowBinary",
        (piece for _ in range(pieces)),
        max_insert_block_size=10_000,
        min_insert_block_size_bytes=10_000_000,
    )
    assert reply.status == 200, reply.text
    assert reply.summary["written_rows"] == 2000 * pieces
    assert tool.peak_memory_bytes() - before < 200_000_000


def test_insert_whose_data_never_begin_is_refused(client: Client) -> None:
    pieces = (b"INSERT INTO t (" if i == 0 else b"a, " * 10_000 for i in range(100))
    reply = client.request("POST", "/", pieces)
    assert (reply.status, reply.code) == (413, Code.QUERY_IS_TOO_LARGE)


def read_to_end(connection: socket.socket) -> bytes:
    pieces = []
    while piece := connection.recv(65536):
        pieces.append(piece)
    return b"".join(pieces)
