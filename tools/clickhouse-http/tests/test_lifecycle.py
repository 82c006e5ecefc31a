"""Start, stop, and what stands in the way of a start."""

from __future__ import annotations

import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

import pytest

from .conftest import (
    PACKAGE_DIRECTORY,
    PATIENCE_SECONDS,
    Reply,
    Start,
    Tool,
    command,
    environment_without,
    wait_until,
)


def run(*arguments: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments),
        cwd=PACKAGE_DIRECTORY,
        env=env,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )


def test_ready_line_names_the_url_and_the_port_file_the_port(start: Start) -> None:
    tool = start()
    word, url = tool.ready_line.split()[:2]
    assert word == "ready"
    assert url == f"http://127.0.0.1:{tool.port}/"
    assert tool.client().request("GET", "/ping").body == b"Ok.\n"
    assert tool.port_file.read_text() == f"{tool.port}\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_stops_within_seconds_despite_idle_connections(start: Start, number: signal.Signals) -> None:
    tool = start()
    idle = tool.client()
    idle.run("SELECT 1")
    never_used = socket.create_connection(("127.0.0.1", tool.port), PATIENCE_SECONDS)
    began = time.monotonic()
    assert tool.stop(number) == 0
    assert time.monotonic() - began < 10
    assert tool.stderr() == ""
    assert not tool.port_file.exists()
    idle.close()
    never_used.close()


def test_stop_cancels_a_statement_that_does_not_end(start: Start) -> None:
    tool = start()
    replies: list[Reply] = []
    endless = "SELECT count() FROM numbers(1000000000000) WHERE NOT ignore(sipHash64(number))"
    thread = threading.Thread(target=lambda: replies.append(tool.client().post(endless)))
    thread.start()
    watcher = tool.client()
    wait_until(
        lambda: watcher.run("SELECT count() FROM system.processes WHERE query LIKE '%sipHash64%'") == "2"
    )
    began = time.monotonic()
    assert tool.stop() == 0
    assert time.monotonic() - began < 10
    thread.join(PATIENCE_SECONDS)
    assert [reply.code for reply in replies] == [394]


def test_stop_lets_a_running_statement_end(start: Start) -> None:
    tool = start()
    replies: list[Reply] = []
    short = "SELECT sum(sleepEachRow(0.1)) FROM numbers(10) SETTINGS max_block_size = 1"
    thread = threading.Thread(target=lambda: replies.append(tool.client().post(short)))
    thread.start()
    watcher = tool.client()
    wait_until(
        lambda: watcher.run("SELECT count() FROM system.processes WHERE query LIKE '%sleepEachRow%'") == "2"
    )
    assert tool.stop() == 0
    thread.join(PATIENCE_SECONDS)
    assert [(reply.status, reply.body) for reply in replies] == [(200, b"0\n")]
    assert replies[0].headers["Connection"] == "close"


def test_stop_abandons_an_insert_that_is_still_being_sent(start: Start) -> None:
    tool = start()
    tool.client().run("CREATE TABLE t (a UInt32) ORDER BY a")
    sender = begin_insert(tool, "t", b"1\n2\n3\n")
    assert tool.stop() == 0
    sender.close()
    again = start(data=tool.data)
    assert again.client().run("SELECT count() FROM t") == "0"


def test_stop_abandons_a_client_that_does_not_take_its_reply(start: Start) -> None:
    tool = start()
    with socket.create_connection(("127.0.0.1", tool.port), PATIENCE_SECONDS) as stuck:
        stuck.sendall(b"GET /?query=SELECT+repeat('x',1000)+FROM+numbers(100000) HTTP/1.1\r\nHost: x\r\n\r\n")
        assert stuck.recv(1)
        assert tool.stop() == 0
    assert "abandoned" in tool.stderr()


def test_acknowledged_rows_survive_a_kill(start: Start) -> None:
    tool = start()
    client = tool.client()
    client.run("CREATE TABLE t (a UInt32) ORDER BY a")
    client.run("INSERT INTO t VALUES (1), (2)", async_insert=0)
    unfinished = begin_insert(tool, "t", b"7\n" * 100_000)
    tool.process.kill()
    tool.process.wait(PATIENCE_SECONDS)
    unfinished.close()
    assert tool.port_file.exists()
    again = start(data=tool.data)
    assert again.client().run("SELECT groupArray(a) FROM t") == "[1,2]"
    assert again.port_file.read_text() == f"{again.port}\n"


def test_port_in_use_is_one_clear_line(start: Start, tmp_path: Path) -> None:
    tool = start()
    result = run("--path", str(tmp_path / "other"), "--port", str(tool.port))
    assert result.returncode == 1
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1
    assert f"port {tool.port}" in result.stderr
    assert "--port 0" in result.stderr
    assert not (tmp_path / "other").exists()


def test_directory_in_use_is_one_clear_line(start: Start) -> None:
    tool = start()
    result = run("--path", str(tool.data), "--port", "0")
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.count("\n") == 1
    assert f"in use by process {tool.process.pid}" in result.stderr
    assert "--path" in result.stderr
    assert tool.client().run("SELECT 1") == "1"


def test_unusable_directory_is_one_clear_line(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    result = run("--path", str(file), "--port", "0")
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.count("\n") == 1
    assert str(file) in result.stderr


def test_address_that_is_not_here_is_one_clear_line(tmp_path: Path) -> None:
    result = run("--path", str(tmp_path / "data"), "--host", "192.0.2.1", "--port", "0")
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.count("\n") == 1
    assert "192.0.2.1" in result.stderr


def test_port_file_that_cannot_be_written_is_one_clear_line(tmp_path: Path) -> None:
    result = run(
        "--path", str(tmp_path / "data"), "--port", "0", "--port-file", str(tmp_path / "no" / "port")
    )
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.count("\n") == 1
    assert str(tmp_path / "no" / "port") in result.stderr


@pytest.mark.parametrize("package", ["chdb", "lz4", "zstandard", "clickhouse_cityhash"])
def test_missing_package_names_the_installer(tmp_path: Path, package: str) -> None:
    result = run(
        "--path", str(tmp_path / "data"), "--port", "0", env=environment_without(package, tmp_path / "shadow")
    )
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.count("\n") == 1
    assert f"package {package} " in result.stderr
    assert "install.sh" in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("--path", "x", "--port", "65536"),
        ("--path", "x", "--port", "http"),
        ("--path", "x", "--user", "me"),
    ],
)
def test_wrong_arguments_exit_with_2(arguments: tuple[str, ...]) -> None:
    result = run(*arguments)
    assert result.returncode == 2
    assert "usage:" in result.stderr


def test_help_shows_every_flag_and_an_example() -> None:
    result = run("--help")
    assert result.returncode == 0
    for expected in ("--path", "--port", "--host", "--user", "--port-file", "--verbose", "example:", "curl"):
        assert expected in result.stdout


def test_verbose_reports_requests(start: Start) -> None:
    tool = start("--verbose")
    client = tool.client()
    client.run("SELECT\n 1")
    client.post("SELECT nope")
    assert tool.stop() == 0
    lines = tool.stderr().splitlines()
    assert lines[0].startswith("POST ")
    assert lines[0].endswith("1 rows: SELECT 1")
    assert "error 47" in lines[1]


def begin_insert(tool: Tool, table: str, data: bytes) -> socket.socket:
    """Sends the first part of an INSERT and waits until the tool has begun to take it."""
    connection = socket.create_connection(("127.0.0.1", tool.port), PATIENCE_SECONDS)
    connection.sendall(
        f"POST /?query=INSERT+INTO+{table}+FORMAT+CSV HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
        f"Expect: 100-continue\r\n\r\n".encode()
    )
    # The interim response says that the request is being served.
    assert connection.recv(100).startswith(b"HTTP/1.1 100")
    connection.sendall(f"{len(data):x}\r\n".encode() + data + b"\r\n")
    return connection
