"""session_id: what lasts longer than a request, and what does not."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator

import pytest

from clickhouse_http.errors import Code

from .conftest import PATIENCE_SECONDS, Client, Reply, Tool

# Once a client has sent that much, the server is reading: 6 MiB to receive and 4 MiB to send are Linux's limits.
_MORE_THAN_SOCKETS_HOLD = 32 << 20
MAX_BLOCK_SIZE = "SELECT value FROM system.settings WHERE name = 'max_block_size'"


@pytest.fixture
def session() -> str:
    return str(uuid.uuid4())


def test_temporary_tables_settings_and_database_last(client: Client, session: str) -> None:
    client.run("CREATE TEMPORARY TABLE tmp (a Int8)", session_id=session)
    client.run("INSERT INTO tmp VALUES (7)", session_id=session)
    client.run("SET max_block_size = 4321", session_id=session)
    client.run("USE system", session_id=session)
    assert client.run("SELECT a FROM tmp", session_id=session) == "7"
    assert client.run(MAX_BLOCK_SIZE, session_id=session) == "4321"
    assert client.run("SELECT currentDatabase()", session_id=session) == "system"
    # None of it is seen outside.
    assert client.post("SELECT a FROM tmp").code == Code.UNKNOWN_TABLE
    assert client.run(MAX_BLOCK_SIZE) != "4321"
    assert client.run("SELECT currentDatabase()") == "default"


def test_settings_and_database_of_the_url_do_not_last(client: Client, session: str) -> None:
    default = client.run(MAX_BLOCK_SIZE, session_id=session)
    client.run("SET max_threads = 3", session_id=session)
    for statement, expected in ((MAX_BLOCK_SIZE, "99"), ("SELECT getSetting('max_threads')", "1")):
        reply = client.run(statement, session_id=session, max_block_size=99, max_threads=1, database="system")
        assert reply == expected
    assert client.run(MAX_BLOCK_SIZE, session_id=session) == default
    assert client.run("SELECT getSetting('max_threads')", session_id=session) == "3"
    assert client.run("SELECT currentDatabase()", session_id=session) == "default"


def test_settings_are_put_back_after_a_failure(client: Client, session: str) -> None:
    default = client.run(MAX_BLOCK_SIZE, session_id=session)
    assert client.post("SELECT nope", session_id=session, max_block_size=99, database="system").code == 47
    assert client.post("SELECT 1", session_id=session, max_block_size=99, nope=1).code == Code.UNKNOWN_SETTING
    assert client.run(MAX_BLOCK_SIZE, session_id=session) == default
    assert client.run("SELECT currentDatabase()", session_id=session) == "default"


def test_readonly_requests_leave_a_session_writable(client: Client, session: str) -> None:
    assert client.get("SELECT 1", session_id=session).body == b"1\n"
    assert client.get("CREATE TEMPORARY TABLE r (a Int8)", session_id=session).code == Code.READONLY
    assert client.get("SET max_threads = 1", session_id=session).status == 200
    assert client.post("CREATE TEMPORARY TABLE r (a Int8)", session_id=session).status == 200


def test_inserts_in_a_session(client: Client, session: str) -> None:
    client.run("CREATE TEMPORARY TABLE tmp (a Int8)", session_id=session)
    assert client.post("INSERT INTO tmp FORMAT CSV", b"1\n2\n", session_id=session).status == 200
    assert client.post("INSERT INTO tmp FORMAT CSV", b"x\n", session_id=session).status == 400
    assert client.run("SELECT sum(a) FROM tmp", session_id=session) == "3"


def test_session_check_wants_an_existing_session(client: Client, session: str) -> None:
    reply = client.post("SELECT 1", session_id=session, session_check=1)
    assert (reply.status, reply.code) == (500, Code.SESSION_NOT_FOUND)
    client.run("SELECT 1", session_id=session)
    assert client.run("SELECT 1", session_id=session, session_check=1) == "1"


def test_session_ends_with_its_timeout_or_by_request(client: Client, session: str) -> None:
    client.run("SELECT 1", session_id=session, session_timeout=0)
    assert client.post("SELECT 1", session_id=session, session_check=1).code == Code.SESSION_NOT_FOUND
    client.run("SELECT 1", session_id=session)
    client.run("SELECT 1", session_id=session, close_session=1)
    assert client.post("SELECT 1", session_id=session, session_check=1).code == Code.SESSION_NOT_FOUND


def test_timeout_has_a_maximum(client: Client, session: str) -> None:
    reply = client.post("SELECT 1", session_id=session, session_timeout=3601)
    assert reply.code == Code.INVALID_SESSION_TIMEOUT


def test_session_takes_one_request_at_a_time(shared_tool: Tool, client: Client, session: str) -> None:
    table = "wait_" + session.replace("-", "")
    client.run(f"CREATE TABLE {table} (a String) ORDER BY a")
    reading = threading.Event()
    release = threading.Event()
    replies: list[Reply] = []

    def body() -> Iterator[bytes]:
        yield b"1" * _MORE_THAN_SOCKETS_HOLD + b"\n"
        reading.set()
        release.wait(PATIENCE_SECONDS)
        yield b"2\n"

    def insert() -> None:
        sender = shared_tool.client()
        replies.append(sender.post(f"INSERT INTO {table} FORMAT CSV", body(), session_id=session))
        sender.close()

    thread = threading.Thread(target=insert)
    thread.start()
    assert reading.wait(PATIENCE_SECONDS)
    assert client.post("SELECT 1", session_id=session).code == Code.SESSION_IS_LOCKED
    release.set()
    thread.join(PATIENCE_SECONDS)
    assert [reply.status for reply in replies] == [200]
    assert client.run(f"SELECT count() FROM {table}", session_id=session) == "2"
