"""One HTTP request, from its first byte to the reply.

`_answer` is the way of a request: who is it, which statement, on which connection, run, reply.  Every
failure becomes a `ClickHouseError` and is answered in one place, and what is left of the body is read
in any case: otherwise the next request on the connection would be looked for inside of it.
"""

from __future__ import annotations

import hmac
import socket
import sys
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any

from . import reply, statement
from .body import MalformedBody, RequestBody, decoded
from .engine import Connection
from .errors import ClickHouseError, Code
from .request import Request, multipart_fields, parse

if TYPE_CHECKING:
    from .server import ClickHouseServer

# What a failed request may still send; beyond that the connection is closed instead.
_MAX_DRAIN_BYTES = 1 << 30
# A client that neither sends nor takes anything for so long is gone.
_SOCKET_TIMEOUT_SECONDS = 300
_PLAIN_TEXT = {"Content-Type": "text/plain; charset=UTF-8"}


class RequestHandler(BaseHTTPRequestHandler):
    """Serves the requests of one connection, one after the other, in the connection's own thread."""

    protocol_version = "HTTP/1.1"
    timeout = _SOCKET_TIMEOUT_SECONDS
    disable_nagle_algorithm = True
    wbufsize = 1 << 16

    server: ClickHouseServer
    _started_at: float
    # Once the request has been understood: an error before that has no query.
    _request: Request | None

    def do_GET(self) -> None:
        """A statement in the URL that changes nothing; /ping."""
        self._serve()

    def do_HEAD(self) -> None:
        """Like GET, without the reply's body."""
        self._serve()

    def do_POST(self) -> None:
        """A statement in the URL, in the body, or begun in the one and continued in the other."""
        self._serve()

    def do_PUT(self) -> None:
        """The same as POST."""
        self._serve()

    def _serve(self) -> None:
        self._started_at = time.monotonic()
        self._request = None
        with self.server.busy(self.connection):
            try:
                self._serve_in_step()
            except MalformedBody as error:
                # Where the next request begins is unknown from here on.
                self.close_connection = True
                self._fail(ClickHouseError(Code.BAD_ARGUMENTS, f"Malformed HTTP body: {error}"))
            except TimeoutError:
                self.close_connection = True
                self._fail(ClickHouseError(Code.SOCKET_TIMEOUT, "Timeout exceeded while reading the body"))
            except OSError as error:
                self.close_connection = True
                self._log(f"client gone: {error}")

    def _serve_in_step(self) -> None:
        """Answers and leaves the connection at the beginning of the next request."""
        body = RequestBody(self.rfile, self.headers)
        try:
            self._answer(body)
        except ClickHouseError as error:
            # Before the reply: a client that is still sending would not read it.
            self._drain(body)
            self._fail(error)
        except OSError:
            raise
        except Exception as error:
            traceback.print_exc()
            self._drain(body)
            self._fail(ClickHouseError(Code.UNKNOWN_EXCEPTION, f"Bug in clickhouse_http: {error!r}"))
        else:
            try:
                self._drain(body)
            except OSError:
                # The reply is out: there is nothing more to say.
                self.close_connection = True

    def _drain(self, body: RequestBody) -> None:
        if not body.drain(_MAX_DRAIN_BYTES):
            self.close_connection = True

    def _answer(self, body: RequestBody) -> None:
        request = parse(self.command, self.path, self.headers)
        if self._is_health_check(request):
            self._reply(HTTPStatus.OK, b"Ok.\n", {"Content-Type": "text/html; charset=UTF-8"})
            return
        if request.path not in ("/", "/query"):
            text = f"There is no handle {request.path}\n\nUse / for statements and /ping for health checks.\n"
            self._reply(HTTPStatus.NOT_FOUND, text.encode(), _PLAIN_TEXT)
            return
        self._authenticate(request)
        chunks = decoded(body, self.headers.get("Content-Encoding", ""), request.decompress_body)
        content_type = self.headers.get("Content-Type", "")
        if content_type.lower().startswith("multipart/form-data"):
            form = multipart_fields(content_type, statement.whole(chunks))
            request = parse(self.command, self.path, self.headers, form)
        self._request = request
        what = statement.read(request.query, chunks)
        with self._connection(request) as connection:
            outcome = statement.run(connection, request, what)
        headers, data = reply.render(outcome, request, self.server.engine.timezone)
        self._reply(HTTPStatus.OK, data, headers)
        self._log(f"{outcome.summary.result_rows} rows: {' '.join(what.text.split())[:200]}")

    def _is_health_check(self, request: Request) -> bool:
        if request.path in ("/ping", "/replicas_status"):
            return True
        return request.path == "/" and self.command in ("GET", "HEAD") and not request.query

    def _authenticate(self, request: Request) -> None:
        user, password = request.credentials.user, request.credentials.password
        expected = self.server.users.get(user)
        if expected is None or not hmac.compare_digest(expected.encode(), password.encode()):
            raise ClickHouseError(
                Code.AUTHENTICATION_FAILED,
                f"{user}: Authentication failed: password is incorrect, or there is no user with such name",
            )

    @contextmanager
    def _connection(self, request: Request) -> Iterator[Connection]:
        """The session that the request names, or a connection of its own."""
        if request.session:
            with self.server.sessions.acquire(request.credentials.user, request.session) as connection:
                yield connection
            return
        connection = self.server.engine.connect()
        try:
            yield connection
        finally:
            connection.close()

    def _fail(self, error: ClickHouseError) -> None:
        headers = {**_PLAIN_TEXT, "X-ClickHouse-Exception-Code": str(error.code)}
        text = error.text(self.server.engine.version)
        if self._request is None:
            self._reply(error.status, text.encode() + b"\n", headers)
        elif self._request.headers_first:
            # The server has sent its headers, with status 200, before the statement failed.
            tag = reply.exception_tag()
            headers = {**_PLAIN_TEXT, **reply.headers_of_error(self._request), reply.TAG_HEADER: tag}
            self._reply(HTTPStatus.OK, reply.late_exception(text, tag), headers)
        else:
            headers |= reply.headers_of_error(self._request)
            headers[reply.TAG_HEADER] = reply.exception_tag()
            self._reply(error.status, text.encode() + b"\n", headers)
        self._log(f"error {error.code}: {error.message}")

    def _reply(self, status: HTTPStatus, data: bytes, headers: Mapping[str, str]) -> None:
        if self.server.stopping:
            self.close_connection = True
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("X-ClickHouse-Server-Display-Name", socket.gethostname())
        self.send_header("Content-Length", str(len(data)))
        if self.close_connection:
            self.send_header("Connection", "close")
        try:
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)
            self.wfile.flush()
        except OSError as error:
            self.close_connection = True
            self._log(f"client gone before the reply: {error}")

    def _log(self, text: str) -> None:
        if self.server.verbose:
            milliseconds = (time.monotonic() - self._started_at) * 1000
            print(f"{self.command} {milliseconds:.1f} ms, {text}", file=sys.stderr, flush=True)

    def handle_expect_100(self) -> bool:
        """Tells the client to send its body; flushed, because it waits for that."""
        proceed = super().handle_expect_100()
        self.wfile.flush()
        return proceed

    def version_string(self) -> str:
        """The Server header."""
        return "clickhouse_http (chDB)"

    def log_message(self, format: str, *args: Any) -> None:
        """Keeps the base class from logging every request to stderr."""
