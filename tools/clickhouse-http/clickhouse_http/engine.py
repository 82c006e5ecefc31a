"""The ClickHouse engine: the only module that touches chDB.

One `Engine` holds the data directory for the life of the process (ClickHouse's engine is one per
process and one per directory).  A `Connection` is a ClickHouse session with its own database,
settings and temporary tables; it costs 0.4 ms, so every request gets a fresh one unless it names a
session.  A connection runs one statement at a time; different connections run in parallel, with
Python's interpreter lock released.
"""

from __future__ import annotations

import fcntl
import itertools
import json
import os
import re
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from chdb.state import connect

from .errors import ClickHouseError, Code, from_engine

# What the engine is handed at a time: each hand-over costs a thread switch.
_APPEND_BYTES = 1 << 20
# Tells inserts apart in the engine's list of running queries.
_insert_numbers = itertools.count(1)
_SETTING_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*")


class CannotStart(Exception):
    """The engine cannot use the data directory; the text says why and what to do."""


@dataclass(frozen=True)
class Summary:
    """What a statement read and wrote; becomes the `X-ClickHouse-Summary` header."""

    read_rows: int
    read_bytes: int
    written_rows: int
    written_bytes: int
    result_rows: int
    result_bytes: int


@dataclass(frozen=True)
class Classification:
    """The engine's own opinion of a text, without running it."""

    statements: int
    """0 if the text does not parse."""
    read_only: bool


class Connection:
    """One chDB connection: one ClickHouse session."""

    def __init__(self, path: str, errors: InsertErrors) -> None:
        self._connection = _engine_call(connect, path)
        self._errors = errors

    def classify(self, sql: str) -> Classification:
        """Parses a text with the engine's parser."""
        # Only the inner object of the package's connection has this method.
        answer = self._connection._conn.classify_query(sql)
        return Classification(answer["statement_count"], answer["query_class"].name == "READ_ONLY")

    def use_database(self, name: str) -> None:
        """Makes a database the current one."""
        self._run(f"USE {_identifier(name)}")

    def current_database(self) -> str:
        """The current database's name."""
        return self._column("SELECT currentDatabase()")[0]

    def set(self, settings: Mapping[str, str | None]) -> None:
        """Changes settings; None puts one back to its default."""
        if not settings:
            return
        assignments = []
        for name, value in settings.items():
            if not _SETTING_NAME.fullmatch(name):
                raise ClickHouseError(Code.UNKNOWN_SETTING, f"Unknown setting '{name}'")
            assignments.append(f"{name} = {'DEFAULT' if value is None else _literal(value)}")
        self._run("SET " + ", ".join(assignments))

    def changed_settings(self, names: Iterable[str]) -> dict[str, str | None]:
        """The values that `set` has to be given to put these settings back; None means the default."""
        wanted = ", ".join(_literal(name) for name in names)
        names_and_values = self._column(
            f"SELECT arrayJoin([name, value]) FROM system.settings WHERE changed AND name IN ({wanted})"
        )
        changed = dict(zip(names_and_values[::2], names_and_values[1::2], strict=True))
        return {name: changed.get(name) for name in names}

    def query(self, sql: str, format_name: str, parameters: Mapping[str, str]) -> tuple[bytes, Summary]:
        """Runs one statement; `format_name` applies if the statement names none. The result is held whole."""
        result = _engine_call(self._connection.query, sql, format_name, dict(parameters))
        data: bytes = result.bytes()
        summary = Summary(
            read_rows=result.storage_rows_read(),
            read_bytes=result.storage_bytes_read(),
            written_rows=result.rows_written(),
            written_bytes=result.bytes_written(),
            result_rows=result.rows_read(),
            result_bytes=len(data),
        )
        return data, summary

    def insert(
        self, statement: str, format_name: str, parameters: Mapping[str, str], data: Iterable[bytes]
    ) -> Summary:
        """Streams `data` into an INSERT without its FORMAT clause.

        The data are read to their end first: if they raise, nothing of them is stored, and a client that
        sends slowly holds up no other insert.

        # Errors
        What the engine says. The package's `finish` returns normally when a table or a view did not
        take a block (too many parts, no space left), so `InsertErrors` asks the engine whether the
        insert raised anything.
        """
        # Unlike a query, an insert takes its parameters from the connection.
        self.set({f"param_{name}": value for name, value in parameters.items()})
        mark = f"/* insert {next(_insert_numbers)} */"
        with _MemoryFile(data) as whole, self._errors.one_insert():
            # On a line of its own, since the statement may end in a comment.
            with _engine_call(self._connection.send_insert, f"{statement}\n{mark}", format_name) as inserter:
                query_id = self._errors.query_id(mark)
                for piece in whole.pieces():
                    _engine_call(inserter.append, piece)
                result = _engine_call(inserter.finish)
            self._errors.check(query_id)
        return Summary(
            read_rows=result.rows_written,
            read_bytes=result.bytes_written,
            written_rows=result.rows_written,
            written_bytes=result.bytes_written,
            result_rows=result.rows_written,
            result_bytes=result.bytes_written,
        )

    def close(self) -> None:
        """Ends the session."""
        self._connection.close()

    def _run(self, sql: str) -> bytes:
        return bytes(_engine_call(self._connection.query, sql, "TSVRaw").bytes())

    def _column(self, sql: str) -> list[str]:
        return self._run(sql).decode().split("\n")[:-1]


class InsertErrors:
    """What the engine has recorded about failed inserts: `system.errors` names the query of each error.

    It holds the latest error of each code only, so inserts run one after the other: none takes the
    place of another one's error.
    """

    def __init__(self, path: str) -> None:
        self._connection = _engine_call(connect, path)
        self._insert = threading.Lock()

    @contextmanager
    def one_insert(self) -> Iterator[None]:
        """Holds off other inserts; what is called within asks about this one."""
        with self._insert:
            yield

    def query_id(self, mark: str) -> str:
        """The id of the running query whose text holds `mark`; empty if there is none."""
        rows = self._ask(
            "SELECT query_id FROM system.processes WHERE query_id != queryID()"
            f" AND position(query, {_literal(mark)}) > 0"
        )
        return rows[0][0] if rows else ""

    def check(self, query_id: str) -> None:
        """Raises what the query has raised."""
        rows = self._ask(
            "SELECT code, name, last_error_message FROM system.errors"
            f" WHERE query_id != '' AND query_id = {_literal(query_id)} ORDER BY last_error_time DESC LIMIT 1"
        )
        for code, name, message in rows:
            raise ClickHouseError(int(code), message, name)

    def close(self) -> None:
        self._connection.close()

    def _ask(self, text: str) -> list[list[str]]:
        data = _engine_call(self._connection.query, text, "JSONCompactStringsEachRow").bytes()
        return [json.loads(line) for line in data.splitlines()]


class Engine:
    """The engine with its data directory."""

    def __init__(self, path: Path, grants: Sequence[str] = ()) -> None:
        """Opens the directory, making it if need be.

        With `grants`, such as `SELECT ON helios.*`, statements have these rights only; else all.

        # Errors
        `CannotStart` if the directory cannot be written to or another process has it.
        """
        directory = _usable_directory(path)
        self._path = f"{directory}?config-file={_configuration(directory, grants)}" if grants else str(directory)
        try:
            self._errors = InsertErrors(self._path)
            self._control = Connection(self._path, self._errors)
        except ClickHouseError as error:
            raise CannotStart(f"the engine cannot open {path}: {error.message}") from error
        self.version = self._control._column("SELECT version()")[0]
        self.timezone = self._control._column("SELECT timezone()")[0]

    def connect(self) -> Connection:
        """A fresh session."""
        return Connection(self._path, self._errors)

    def kill_queries(self) -> None:
        """Cancels every running statement; each fails with QUERY_WAS_CANCELLED in its own thread."""
        self._control._run("KILL QUERY WHERE query_id != queryID() ASYNC")

    def close(self) -> None:
        """Lets go of the directory once the last connection is closed, too."""
        self._control.close()
        self._errors.close()


def _engine_call(function: Callable[..., Any], *arguments: Any) -> Any:
    """Calls into chDB, whose errors are of several types with ClickHouse's text in them."""
    try:
        return function(*arguments)
    except Exception as error:
        raise from_engine(error) from error


class _MemoryFile:
    """All of some data, in a file without a name: outside of this process's own memory."""

    def __init__(self, data: Iterable[bytes]) -> None:
        self._file = os.fdopen(os.memfd_create("clickhouse_http-insert"), "w+b", buffering=_APPEND_BYTES)
        try:
            self._file.writelines(data)
        except BaseException:
            self._file.close()
            raise
        self._file.seek(0)

    def pieces(self) -> Iterator[bytes]:
        """The same bytes in order."""
        while piece := self._file.read(_APPEND_BYTES):
            yield piece

    def __enter__(self) -> _MemoryFile:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


def _literal(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _identifier(name: str) -> str:
    return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"


def _configuration(directory: Path, grants: Sequence[str]) -> Path:
    """Writes a configuration in which the engine's one user, `default`, has these rights only."""
    users = directory / "rights-users.xml"
    queries = "".join(f"<query>GRANT {escape(grant)}</query>" for grant in grants)
    users.write_text(
        "<clickhouse><profiles><default/></profiles><quotas><default/></quotas><users><default><no_password/>"
        "<networks><ip>::/0</ip></networks><profile>default</profile><quota>default</quota>"
        f"<grants>{queries}</grants></default></users></clickhouse>",
        encoding="utf-8",
    )
    configuration = directory / "rights.xml"
    configuration.write_text(
        f"<clickhouse><user_directories><users_xml><path>{escape(str(users))}</path></users_xml></user_directories></clickhouse>",
        encoding="utf-8",
    )
    return configuration


def _usable_directory(path: Path) -> Path:
    """Checks what the engine would report as a stack trace, and says it in a sentence."""
    path = path.absolute()
    if "?" in str(path):
        raise CannotStart(f"the data directory's name must not hold a question mark: {path}")
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise CannotStart(
            f"cannot write to the data directory {path} ({error.strerror}); choose another with --path"
        ) from error
    owner = _owner(path)
    if owner:
        raise CannotStart(
            f"the data directory {path} is in use by {owner}; stop it or choose another with --path"
        )
    return path


def _owner(path: Path) -> str | None:
    """Who holds the directory: ClickHouse's engine keeps a lock on the file `status` while it runs."""
    try:
        status = os.open(path / "status", os.O_RDWR)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(status, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        process = re.search(rb"PID: (\d+)", os.read(status, 4096))
        return f"process {process[1].decode()}" if process else "another process"
    finally:
        os.close(status)
    return None
