"""Statements that return something: where they come from, settings, parameters, formats, errors."""

from __future__ import annotations

import json

import pytest

from clickhouse_http.errors import Code

from .conftest import Client

BOUNDARY = "----boundary"


def multipart(**fields: str) -> tuple[bytes, dict[str, str]]:
    """A form as the `clickhouse` crate sends it."""
    body = "".join(
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in fields.items()
    )
    content_type = f"multipart/form-data; boundary={BOUNDARY}"
    return f"{body}--{BOUNDARY}--\r\n".encode(), {"Content-Type": content_type}


def test_health_checks(client: Client) -> None:
    for target in ("/ping", "/replicas_status", "/"):
        assert client.request("GET", target).body == b"Ok.\n"
        head = client.request("HEAD", target)
        assert (head.status, head.body) == (200, b"")
    assert client.request("POST", "/ping", b"ignored").body == b"Ok.\n"


def test_unknown_path_is_404_and_says_what_there_is(client: Client) -> None:
    reply = client.request("POST", "/metrics", b"x" * 100_000)
    assert reply.status == 404
    assert "/ping" in reply.text


def test_statement_in_url_body_or_both(client: Client) -> None:
    assert client.get("SELECT 1").body == b"1\n"
    assert client.post("SELECT 1").body == b"1\n"
    assert client.request("POST", "/", b"SELECT 1").body == b"1\n"
    assert client.request("PUT", "/", b"SELECT 1").body == b"1\n"
    assert client.post("SELECT 1,", b"2").body == b"1\t2\n"
    assert client.request("POST", "/", iter([b"SEL", b"ECT ", b"1"])).body == b"1\n"


def test_statement_in_a_form(client: Client) -> None:
    body, headers = multipart(query="SELECT {a:UInt32} + 1, {s:String}", param_a="41", param_s="it's ü")
    assert client.request("POST", "/", body, headers).text == "42\tit\\'s ü\n"


def test_external_tables_are_refused(client: Client) -> None:
    body, headers = multipart(query="SELECT * FROM t", t="1")
    body = body.replace(b'name="t"', b'name="t"; filename="t"')
    reply = client.request("POST", "/", body, headers)
    assert (reply.status, reply.code) == (501, Code.NOT_IMPLEMENTED)


def test_parameters_in_the_url(client: Client) -> None:
    reply = client.post(
        "SELECT {n:UInt64} + 1, {s:String}, {a:Array(String)}",
        param_n=41,
        param_s="a'b\\\\c",
        param_a="['x','y']",
    )
    assert reply.body == b"42\ta\\'b\\\\c\t['x','y']\n"
    assert client.post("SELECT {n:UInt64}").code == 456


def test_settings_in_the_url_last_for_one_request(client: Client) -> None:
    value = "SELECT value FROM system.settings WHERE name = 'max_block_size'"
    default = client.run(value)
    assert client.run(value, max_block_size=1234) == "1234"
    assert client.run(value) == default
    assert client.run("SELECT getSetting('async_insert')", async_insert=0) == "false"


def test_unknown_setting_is_404(client: Client) -> None:
    reply = client.post("SELECT 1", no_such_setting=1)
    assert (reply.status, reply.code) == (404, Code.UNKNOWN_SETTING)
    assert "no_such_setting" in reply.text


def test_setting_name_that_is_sql_is_refused(client: Client) -> None:
    reply = client.request("POST", "/?max_threads%3D1%2Cmax_block_size=7", b"SELECT 1")
    assert reply.code == Code.UNKNOWN_SETTING


def test_database_in_url_and_header(client: Client) -> None:
    client.run("CREATE DATABASE IF NOT EXISTS `odd ``name\\\\` ENGINE = Atomic")
    select = b"SELECT currentDatabase() FORMAT TSVRaw"
    assert client.request("POST", "/?database=odd%20%60name%5C", select).body == b"odd `name\\\n"
    headers = {"X-ClickHouse-Database": "system"}
    assert client.request("POST", "/", select, headers).body == b"system\n"
    reply = client.post("SELECT 1", database="no_such_database")
    assert (reply.status, reply.code) == (404, Code.UNKNOWN_DATABASE)


@pytest.mark.parametrize(
    ("sql", "default_format", "expected_format", "body"),
    [
        ("SELECT 1 AS a", None, "TabSeparated", b"1\n"),
        ("SELECT 1 AS a", "CSVWithNames", "CSVWithNames", b'"a"\n1\n'),
        ("SELECT 1 AS a FORMAT JSONEachRow", "CSV", "JSONEachRow", b'{"a":1}\n'),
        ("SELECT 1 AS a FORMAT CSV SETTINGS max_threads = 1;", None, "CSV", b"1\n"),
        ("SELECT 'FORMAT CSV' -- FORMAT JSON\n", None, "TabSeparated", b"FORMAT CSV\n"),
    ],
)
def test_output_format(
    client: Client, sql: str, default_format: str | None, expected_format: str, body: bytes
) -> None:
    parameters = {"default_format": default_format} if default_format else {}
    reply = client.post(sql, **parameters)
    assert (reply.body, reply.headers["X-ClickHouse-Format"]) == (body, expected_format)


def test_content_types(client: Client) -> None:
    def content_type(format_name: str) -> str:
        return client.post(f"SELECT 1 FORMAT {format_name}").headers["Content-Type"]

    assert content_type("JSON") == "application/json; charset=UTF-8"
    assert content_type("CSV") == "text/csv; charset=UTF-8; header=absent"
    assert content_type("TSV") == "text/tab-separated-values; charset=UTF-8"
    assert content_type("Native") == "application/octet-stream"
    assert content_type("Pretty") == "text/plain; charset=UTF-8"


def test_format_of_the_header(client: Client) -> None:
    reply = client.request("POST", "/", b"SELECT 1 AS a", {"X-ClickHouse-Format": "JSONEachRow"})
    assert reply.body == b'{"a":1}\n'


def test_headers_describe_the_result(client: Client) -> None:
    reply = client.post("SELECT number FROM numbers(10)", query_id="mine-1")
    assert reply.headers["X-ClickHouse-Query-Id"] == "mine-1"
    assert reply.headers["X-ClickHouse-Timezone"] == client.run("SELECT timezone()")
    assert reply.summary["read_rows"] == reply.summary["result_rows"] == 10
    assert reply.summary["result_bytes"] == len(reply.body)
    assert reply.summary["elapsed_ns"] > 0


def test_query_id_cannot_add_headers(client: Client) -> None:
    reply = client.post("SELECT 1", query_id="a\r\nSet-Cookie: b")
    assert reply.status == 200
    assert "Set-Cookie" not in reply.headers


@pytest.mark.parametrize(
    ("sql", "status", "code"),
    [
        ("SELECT", 400, Code.SYNTAX_ERROR),
        ("", 400, Code.SYNTAX_ERROR),
        ("  \n", 400, Code.SYNTAX_ERROR),
        ("SELECT * FROM no_such_table", 404, Code.UNKNOWN_TABLE),
        ("SELECT no_such_function(1)", 404, Code.UNKNOWN_FUNCTION),
        ("SELECT 1 FORMAT NoSuchFormat", 404, Code.UNKNOWN_FORMAT),
        ("SELECT throwIf(1)", 500, 395),
        (
            "SELECT sleepEachRow(1) FROM numbers(60) SETTINGS max_execution_time = 1, max_block_size = 1",
            408,
            159,
        ),
        ("SELECT toUInt8('abc')", 400, Code.CANNOT_PARSE_TEXT),
    ],
)
def test_errors_have_clickhouse_codes_and_statuses(client: Client, sql: str, status: int, code: int) -> None:
    reply = client.request("POST", "/", sql.encode())
    assert (reply.status, reply.code) == (status, code)
    assert reply.text.startswith(f"Code: {code}. DB::Exception: ")
    assert reply.text.count("DB::Exception") == 1
    assert reply.text.count("(version ") == 1
    name = client.run(f"SELECT errorCodeToName({code})")
    assert f" ({name}) (version " in reply.text
    # The connection is still in step.
    assert client.run("SELECT 1") == "1"


def test_codes_are_the_engines(client: Client) -> None:
    codes = {int(code): code.name for code in Code}
    numbers = list(codes)
    names = json.loads(
        client.run(f"SELECT arrayMap(c -> errorCodeToName(c), {numbers}) AS n FORMAT JSONCompact")
    )["data"][0][0]
    assert dict(zip(numbers, names, strict=True)) == codes


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1; SELECT 2",
        "CREATE TABLE multi (a Int8) ENGINE = Memory; SELECT 1",
        "INSERT INTO multi VALUES (1); SELECT 1",
        "INSERT INTO multi VALUES (1); nonsense",
    ],
)
def test_several_statements_are_refused_and_none_is_run(client: Client, sql: str) -> None:
    client.run("DROP TABLE IF EXISTS multi")
    if sql.startswith("INSERT"):
        client.run("CREATE TABLE multi (a Int8) ENGINE = Memory")
    reply = client.request("POST", "/", sql.encode())
    assert (reply.status, reply.code) == (400, Code.SYNTAX_ERROR)
    assert "Multi-statements are not allowed" in reply.text
    if sql.startswith("INSERT"):
        assert client.run("SELECT count() FROM multi") == "0"
    else:
        assert client.run("EXISTS TABLE multi") == "0"


def test_one_statement_may_end_with_a_semicolon(client: Client) -> None:
    assert client.run("SELECT ';' ; -- the end ;\n") == ";"


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE TABLE g (a Int8) ENGINE = Memory",
        "INSERT INTO g VALUES (1)",
        "DROP TABLE g",
        "SYSTEM FLUSH LOGS",
    ],
)
def test_get_and_readonly_change_nothing(client: Client, sql: str) -> None:
    for reply in (client.get(sql), client.post(sql, readonly=1), client.post(sql, readonly=2)):
        assert (reply.status, reply.code) == (500, Code.READONLY)
    assert client.run("EXISTS TABLE g") == "0"


def test_get_may_set_settings(client: Client) -> None:
    assert client.get("SELECT getSetting('max_threads')", max_threads=1).body == b"1\n"


def test_statement_that_is_not_utf8_is_refused(client: Client) -> None:
    reply = client.request("POST", "/", b"SELECT '\xff'")
    assert (reply.status, reply.code) == (400, Code.SYNTAX_ERROR)


def test_statement_that_is_too_long_is_refused(client: Client) -> None:
    reply = client.request("POST", "/", b"SELECT '" + b"x" * (17 << 20) + b"'")
    assert (reply.status, reply.code) == (413, Code.QUERY_IS_TOO_LARGE)
    assert client.run("SELECT 1") == "1"


def test_numbers_in_the_url_have_to_be_numbers(client: Client) -> None:
    for parameters in (
        {"readonly": "x"},
        {"client_protocol_version": "-1"},
        {"session_id": "a", "session_timeout": "1s"},
    ):
        assert client.post("SELECT 1", **parameters).code == Code.BAD_ARGUMENTS


def test_large_result(client: Client) -> None:
    reply = client.post("SELECT number FROM numbers(3000000) FORMAT RowBinary")
    assert len(reply.body) == 24_000_000
