"""A request's statement: found in URL and body, checked, and run on a connection.

chDB's package is more permissive than a server (it runs several statements in one text) and knows
nothing of HTTP's rules (GET changes nothing; settings in the URL last for one request).  The
difference is made up for here.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain

from . import sql
from .engine import Connection, Summary
from .errors import ClickHouseError, Code
from .request import Request

# A statement's own text; the data of an INSERT do not count. The engine refuses longer ones than
# max_query_size (256 KiB) anyway, unless that setting is raised.
_MAX_STATEMENT_BYTES = 16 << 20
# The part of an INSERT in front of its data, as max_query_size: column lists of thousands of names fit.
_MAX_INSERT_HEAD_BYTES = 256 << 10


@dataclass(frozen=True)
class Statement:
    """What to run."""

    text: str
    insert_format: str | None
    """The format of `data`, if the statement is an INSERT whose data follow."""
    data: Iterable[bytes]
    starts_with: bytes
    """The beginning of text and data together, as the client sent them."""


@dataclass(frozen=True)
class Outcome:
    """What came of it."""

    data: bytes
    format: str | None
    """The format of `data`; None for an INSERT, which returns nothing."""
    summary: Summary
    elapsed_ns: int


def read(query: str, chunks: Iterator[bytes]) -> Statement:
    """Finds the statement; of an INSERT's data only the first chunk is read.

    A statement in the URL goes on in the body, on a line of its own.

    # Errors
    QUERY_IS_TOO_LARGE; SYNTAX_ERROR for an empty or non-UTF-8 text; NOT_IMPLEMENTED for input().
    """
    try:
        head, insert = _read_head(query.encode() + b"\n" if query else b"", chunks)
        if insert:
            data = chain((head[insert.data_start :],), chunks)
            return Statement(insert.statement, insert.format_name, data, head)
        text = (head + whole(chunks)).decode()
    except sql.InputFunction:
        raise ClickHouseError(
            Code.NOT_IMPLEMENTED,
            "INSERT ... SELECT ... FROM input() with data is not supported by this tool's engine package;"
            " insert the data into a table first",
        ) from None
    except UnicodeDecodeError as error:
        raise ClickHouseError(
            Code.SYNTAX_ERROR, f"Syntax error: the statement is not UTF-8 (byte {error.start})"
        ) from error
    if not text.strip():
        raise ClickHouseError(Code.SYNTAX_ERROR, "Syntax error: empty query")
    return Statement(text, None, (), text.encode())


def whole(chunks: Iterable[bytes]) -> bytes:
    """All of a body that holds a statement and no data."""
    pieces = []
    size = 0
    for chunk in chunks:
        size += len(chunk)
        if size > _MAX_STATEMENT_BYTES:
            raise ClickHouseError(
                Code.QUERY_IS_TOO_LARGE, f"The statement is longer than {_MAX_STATEMENT_BYTES >> 20} MiB"
            )
        pieces.append(chunk)
    return b"".join(pieces)


def run(connection: Connection, request: Request, statement: Statement) -> Outcome:
    """Runs a statement with the request's database, settings and parameters.

    # Errors
    READONLY, SYNTAX_ERROR for several statements, and whatever the engine says.
    """
    _check(connection, request, statement)
    started = time.perf_counter_ns()
    with _for_this_request(connection, request, statement):
        if statement.insert_format:
            format_name = None
            data = b""
            summary = connection.insert(
                statement.text, statement.insert_format, request.parameters, statement.data
            )
        else:
            data, summary = connection.query(statement.text, request.default_format, request.parameters)
            # Only now: a text that the engine refuses for its length need not be read through here.
            format_name = sql.output_format(statement.text) or request.default_format
    return Outcome(data, format_name, summary, time.perf_counter_ns() - started)


def _read_head(head: bytes, chunks: Iterator[bytes]) -> tuple[bytes, sql.Insert | None]:
    """Reads until the data of an INSERT begin, or until it is known to be something else."""
    while True:
        try:
            return head, sql.find_insert(head, at_end=False)
        except sql.Incomplete:
            if len(head) > _MAX_INSERT_HEAD_BYTES:
                raise ClickHouseError(
                    Code.QUERY_IS_TOO_LARGE,
                    f"No data in the first {_MAX_INSERT_HEAD_BYTES >> 10} KiB of the INSERT",
                ) from None
        # Twice as much each time, so that looking again stays linear in the length.
        more = _at_least(len(head) or 1, chunks)
        if not more:
            return head, sql.find_insert(head, at_end=True)
        head += more


def _at_least(size: int, chunks: Iterator[bytes]) -> bytes:
    """The next `size` bytes or more; fewer only at the end."""
    gathered = bytearray()
    for chunk in chunks:
        gathered += chunk
        if len(gathered) >= size:
            break
    return bytes(gathered)


def _check(connection: Connection, request: Request, statement: Statement) -> None:
    """Refuses what the engine's package would run but a server does not."""
    if statement.insert_format is None or statement.insert_format == "Values":
        # Of INSERT ... VALUES the data are looked at, too: what follows a semicolon would be ignored.
        classification = connection.classify(statement.starts_with.decode(errors="replace"))
        if classification.statements > 1:
            raise ClickHouseError(Code.SYNTAX_ERROR, "Syntax error: Multi-statements are not allowed")
        harmless = classification.read_only or classification.statements == 0
    else:
        harmless = False
    if request.read_only and not harmless and not sql.changes_session(statement.text):
        raise ClickHouseError(
            Code.READONLY,
            "Cannot execute query in readonly mode. Use POST for statements that change something",
        )


@contextmanager
def _for_this_request(connection: Connection, request: Request, statement: Statement) -> Iterator[None]:
    """Applies the request's database and settings; a session gets its own back afterwards.

    Only SET and USE are meant to outlast the request.
    """
    if request.session is None or sql.changes_session(statement.text):
        if request.database:
            connection.use_database(request.database)
        connection.set(request.settings)
        yield
        return
    database = connection.current_database()
    settings = connection.changed_settings(request.settings) if request.settings else {}
    try:
        if request.database:
            connection.use_database(request.database)
        # SET changes all of its settings or, if one is refused, none.
        connection.set(request.settings)
        try:
            yield
        finally:
            connection.set(settings)
    finally:
        if request.database:
            connection.use_database(database)
