"""The tool as a process of its own, and a plain HTTP client for it."""

from __future__ import annotations

import http.client
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

PACKAGE_DIRECTORY = Path(__file__).resolve().parent.parent
# Far beyond what anything here takes; a test that hangs fails with it.
PATIENCE_SECONDS = 30


@dataclass(frozen=True)
class Reply:
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def code(self) -> int | None:
        """ClickHouse's error code; None if the request succeeded."""
        value = self.headers.get("X-ClickHouse-Exception-Code")
        return int(value) if value else None

    @property
    def summary(self) -> dict[str, int]:
        return {name: int(value) for name, value in json.loads(self.headers["X-ClickHouse-Summary"]).items()}


class Client:
    """One keep-alive connection."""

    def __init__(self, port: int) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_SECONDS)

    def request(
        self, method: str, target: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> Reply:
        """Sends exactly this; a body without a length (an iterator) goes out chunked."""
        self.connection.request(method, target, body, headers or {})
        response = self.connection.getresponse()
        return Reply(response.status, response.headers, response.read())

    def post(self, sql: str, body: Any = None, headers: Any = None, **parameters: Any) -> Reply:
        """The statement in the URL, data in the body."""
        return self.request("POST", "/?" + urlencode({"query": sql, **parameters}), body, headers)

    def get(self, sql: str, **parameters: Any) -> Reply:
        return self.request("GET", "/?" + urlencode({"query": sql, **parameters}))

    def run(self, sql: str, **parameters: Any) -> str:
        """The text of a statement that has to succeed, sent in the body."""
        reply = self.request("POST", "/?" + urlencode(parameters), sql.encode())
        assert reply.status == 200, reply.text
        return reply.text.removesuffix("\n")

    def close(self) -> None:
        self.connection.close()


class Tool:
    """A running `python -m clickhouse_http`."""

    def __init__(self, data: Path, *options: str, port: int = 0, under: tuple[str, ...] = ()) -> None:
        """`under` is a program and its arguments that runs the tool."""
        self.data = data
        self.port_file = data.with_name(data.name + ".port")
        self.process = subprocess.Popen(
            [
                *under,
                *command("--path", str(data), "--port", str(port), "--port-file", str(self.port_file), *options),
            ],
            cwd=PACKAGE_DIRECTORY,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout
        # Blocks until the tool is ready or has ended.
        self.ready_line = self.process.stdout.readline()
        if not self.ready_line:
            _, errors = self.process.communicate(timeout=PATIENCE_SECONDS)
            raise AssertionError(f"the tool ended with {self.process.returncode}: {errors}")

    @property
    def port(self) -> int:
        return int(self.ready_line.split()[1].rstrip("/").rpartition(":")[2])

    def client(self) -> Client:
        return Client(self.port)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Sends a signal and returns the exit code."""
        self.process.send_signal(number)
        return self.process.wait(timeout=PATIENCE_SECONDS)

    def stderr(self) -> str:
        """What an ended tool said."""
        assert self.process.stderr
        return self.process.stderr.read()

    def peak_memory_bytes(self) -> int:
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
        raise AssertionError("no VmHWM in /proc")

    def close(self) -> None:
        self.process.kill()
        self.process.communicate(timeout=PATIENCE_SECONDS)


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "clickhouse_http", *arguments]


@pytest.fixture(scope="session")
def shared_tool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tool]:
    """One tool for all tests that do not stop it; its stderr must stay empty: no bug was met."""
    tool = Tool(tmp_path_factory.mktemp("shared") / "data")
    yield tool
    code = tool.stop()
    errors = tool.stderr()
    tool.close()
    assert (code, errors) == (0, "")


@pytest.fixture
def client(shared_tool: Tool) -> Iterator[Client]:
    """A connection to the shared tool."""
    client = shared_tool.client()
    yield client
    client.close()


_table_numbers = itertools.count()


@pytest.fixture
def table(client: Client) -> str:
    """An empty table (a UInt32, s String) with a name of its own."""
    name = f"t{next(_table_numbers)}"
    client.run(f"CREATE TABLE {name} (a UInt32, s String) ENGINE = MergeTree ORDER BY a")
    return name


Start = Callable[..., Tool]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts tools of the test's own; those still running at its end are killed."""
    tools: list[Tool] = []

    def start(
        *options: str, data: Path | None = None, port: int = 0, under: tuple[str, ...] = ()
    ) -> Tool:
        tools.append(Tool(data or tmp_path / "data", *options, port=port, under=under))
        return tools[-1]

    yield start
    for tool in tools:
        tool.close()


def environment_without(package: str, directory: Path) -> dict[str, str]:
    """An environment in which importing `package` fails."""
    (directory / package).mkdir(parents=True)
    (directory / package / "__init__.py").write_text("raise ImportError('not installed')\n")
    return {**os.environ, "PYTHONPATH": str(directory)}


def wait_until(condition: Callable[[], bool]) -> None:
    """Polls for what other processes do; fails after `PATIENCE_SECONDS`."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "the condition did not become true"
