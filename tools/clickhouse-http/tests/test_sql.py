"""Where an INSERT's data begin, and which format a statement names."""

from __future__ import annotations

import pytest

from clickhouse_http import sql


@pytest.mark.parametrize(
    ("text", "statement", "format_name", "data"),
    [
        (b"INSERT INTO t FORMAT CSV\n1", "INSERT INTO t ", "CSV", b"1"),
        (b"INSERT INTO t FORMAT CSV\r\n1", "INSERT INTO t ", "CSV", b"1"),
        (b"INSERT INTO t FORMAT CSV 1", "INSERT INTO t ", "CSV", b"1"),
        (b"INSERT INTO t FORMAT CSV;\n1", "INSERT INTO t ", "CSV", b"1"),
        (b"INSERT INTO t FORMAT CSV\n\n1", "INSERT INTO t ", "CSV", b"\n1"),
        (b"insert into t format RowBinary\n\x00\xff(", "insert into t ", "RowBinary", b"\x00\xff("),
        (b"INSERT INTO t VALUES (1)", "INSERT INTO t ", "Values", b" (1)"),
        (b"INSERT INTO t VALUES(1)", "INSERT INTO t ", "Values", b"(1)"),
        (b"INSERT INTO t (values, format) FORMAT TSV\n1", "INSERT INTO t (values, format) ", "TSV", b"1"),
        (b"INSERT INTO format FORMAT TSV\n1", "INSERT INTO format ", "TSV", b"1"),
        (b"INSERT INTO values VALUES (1)", "INSERT INTO values ", "Values", b" (1)"),
        (b"INSERT INTO db.select VALUES (1)", "INSERT INTO db.select ", "Values", b" (1)"),
        (b"INSERT INTO TABLE t VALUES (1)", "INSERT INTO TABLE t ", "Values", b" (1)"),
        (b"INSERT INTO `a FORMAT b` FORMAT CSV 1", "INSERT INTO `a FORMAT b` ", "CSV", b"1"),
        (
            b"INSERT INTO /* VALUES */ t -- FORMAT\nFORMAT CSV 1",
            "INSERT INTO /* VALUES */ t -- FORMAT\n",
            "CSV",
            b"1",
        ),
        (b" \n-- c\nINSERT INTO t FORMAT CSV 1", " \n-- c\nINSERT INTO t ", "CSV", b"1"),
        (
            b"INSERT INTO FUNCTION file('FORMAT', 'CSV', 'a Int8') VALUES (1)",
            "INSERT INTO FUNCTION file('FORMAT', 'CSV', 'a Int8') ",
            "Values",
            b" (1)",
        ),
    ],
)
def test_data_of_an_insert(text: bytes, statement: str, format_name: str, data: bytes) -> None:
    for at_end in (False, True):
        insert = sql.find_insert(text, at_end)
        assert insert
        assert (insert.statement, insert.format_name, text[insert.data_start :]) == (
            statement,
            format_name,
            data,
        )


@pytest.mark.parametrize(
    "text",
    [
        b"SELECT 1 FORMAT CSV",
        b"WITH x AS (SELECT 1) INSERT INTO t SELECT * FROM x",
        b"INSERT INTO t SELECT 1 FORMAT CSV",
        b"INSERT INTO t (a) WITH 1 AS x SELECT x",
        b"INSERT INTO t SELECT * FROM VALUES ('a Int8', 1)",
        b"INSERT INTO t FROM INFILE 'f' FORMAT CSV",
        b"INSERT INTO t",
        b"INSERT",
        b"",
        b"-- INSERT INTO t FORMAT CSV",
    ],
)
def test_statements_without_data(text: bytes) -> None:
    assert sql.find_insert(text, at_end=True) is None


@pytest.mark.parametrize("text", [b"INSERT INTO t FORMAT CSV\n1", b"INSERT INTO t (a) -- c\n VALUES (1)"])
def test_no_prefix_is_taken_for_something_else(text: bytes) -> None:
    whole = sql.find_insert(text, at_end=True)
    assert whole
    for length in range(len(text)):
        try:
            found = sql.find_insert(text[:length], at_end=False)
        except sql.Incomplete:
            continue
        assert found == whole, text[:length]


@pytest.mark.parametrize("text", [b"", b"  ", b"INS", b"INSERT INTO 'a", b"INSERT INTO t /* FORMAT CSV "])
def test_open_ends_are_incomplete(text: bytes) -> None:
    with pytest.raises(sql.Incomplete):
        sql.find_insert(text, at_end=False)


def test_input_function_is_recognised() -> None:
    with pytest.raises(sql.InputFunction):
        sql.find_insert(b"INSERT INTO t SELECT a FROM input('a Int8') FORMAT CSV\n1", at_end=False)


@pytest.mark.parametrize(
    ("statement", "format_name"),
    [
        ("SELECT 1", None),
        ("SELECT 1 FORMAT JSON", "JSON"),
        ("SELECT 1 format JSON;", "JSON"),
        ("SELECT 1 FORMAT JSON SETTINGS max_threads = 1", "JSON"),
        ("SELECT 'FORMAT CSV'", None),
        (r"SELECT 'it''s', '\' FORMAT CSV', '', 'x' FORMAT TSV", "TSV"),
        (f"SELECT '{'x' * 5_000_000}' FORMAT TSV", "TSV"),
        ("SELECT * FROM (SELECT 1 FORMAT CSV)", None),
        ("SELECT 1 -- FORMAT CSV", None),
    ],
)
def test_output_format(statement: str, format_name: str | None) -> None:
    assert sql.output_format(statement) == format_name


@pytest.mark.parametrize(
    ("statement", "expected"),
    [("SET a = 1", True), ("/* c */ use db", True), ("SELECT 1", False), ("", False), ("SETTINGS", False)],
)
def test_statements_that_change_the_session(statement: str, expected: bool) -> None:
    assert sql.changes_session(statement) is expected
