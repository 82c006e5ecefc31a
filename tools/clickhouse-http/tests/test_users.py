"""Who may log in, and the three ways to say who one is."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path

import pytest

from clickhouse_http.errors import Code

from .conftest import Client, Reply, Tool


@pytest.fixture(scope="module")
def users(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A tool with two users."""
    data: Path = tmp_path_factory.mktemp("users") / "data"
    tool = Tool(data, "--user", "helios:s3:cret", "--user", "empty:")
    yield tool.client()
    tool.close()


def basic(text: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(text.encode()).decode()}


def select(client: Client, target: str = "/", headers: dict[str, str] | None = None) -> Reply:
    return client.request("POST", target, b"SELECT 1", headers)


@pytest.mark.parametrize(
    ("target", "headers"),
    [
        ("/?user=helios&password=s3%3Acret", {}),
        ("/", {"X-ClickHouse-User": "helios", "X-ClickHouse-Key": "s3:cret"}),
        ("/", basic("helios:s3:cret")),
        ("/?user=empty", {}),
        ("/", {"X-ClickHouse-User": "empty"}),
        ("/", basic("empty:")),
    ],
)
def test_right_credentials(users: Client, target: str, headers: dict[str, str]) -> None:
    assert select(users, target, headers).body == b"1\n"


@pytest.mark.parametrize(
    ("target", "headers"),
    [
        ("/", {}),
        ("/?user=helios", {}),
        ("/?user=helios&password=wrong", {}),
        ("/?user=default", {}),
        ("/", {"X-ClickHouse-User": "helios", "X-ClickHouse-Key": "wrong"}),
        ("/", {"X-ClickHouse-Key": "s3:cret"}),
        ("/", basic("helios:wrong")),
        ("/", {"Authorization": "Basic !!!"}),
        ("/", {"Authorization": "Bearer token"}),
        # A mixture is refused, even of right ones.
        ("/?user=helios&password=s3%3Acret", basic("helios:s3:cret")),
        ("/?user=helios&password=s3%3Acret", {"X-ClickHouse-User": "helios", "X-ClickHouse-Key": "s3:cret"}),
    ],
)
def test_wrong_credentials(users: Client, target: str, headers: dict[str, str]) -> None:
    reply = select(users, target, headers)
    assert (reply.status, reply.code) == (403, Code.AUTHENTICATION_FAILED)
    assert select(users, "/?user=empty").body == b"1\n"


def test_ping_needs_no_user(users: Client) -> None:
    assert users.request("GET", "/ping").body == b"Ok.\n"


def test_default_user_has_no_password(client: Client) -> None:
    assert select(client).body == b"1\n"
    assert select(client, "/?user=default&password=").body == b"1\n"
    assert select(client, "/?password=x").code == Code.AUTHENTICATION_FAILED


def test_statements_have_the_granted_rights_only(tmp_path: Path) -> None:
    tool = Tool(tmp_path / "data", "--grant", "CREATE DATABASE, CREATE TABLE ON d.*", "--grant", "SELECT ON d.*")
    try:
        client = tool.client()

        def ask(sql: str) -> Reply:
            return client.request("POST", "/", sql.encode())

        assert ask("CREATE DATABASE d").status == 200
        assert ask("CREATE TABLE d.t (a UInt8) ORDER BY a").status == 200
        assert ask("SELECT count() FROM d.t").body == b"0\n"
        refused = ask("INSERT INTO d.t VALUES (1)")
        assert (refused.code, b"INSERT" in refused.body) == (Code.ACCESS_DENIED, True)
        assert ask("CREATE DATABASE e").code == Code.ACCESS_DENIED
    finally:
        tool.close()
