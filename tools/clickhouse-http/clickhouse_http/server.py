"""The listening socket, the open connections, and an orderly stop.

A thread per connection (the standard library's server): clients are few, and the engine releases the
interpreter lock while it works.
"""

from __future__ import annotations

import socket
import socketserver
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from .engine import Engine
from .handler import RequestHandler
from .session import Sessions

# Running requests may end by themselves for so long after a signal; then they are cancelled.
_GRACE_SECONDS = 2.0
_CANCEL_SECONDS = 2.0


class ClickHouseServer(socketserver.ThreadingTCPServer):
    """Serves HTTP for one engine.

    The port is taken at construction, so that a taken one is reported before the engine starts;
    connections wait until `start`.
    """

    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True
    request_queue_size = 256

    engine: Engine
    sessions: Sessions

    def __init__(self, host: str, port: int, users: Mapping[str, str], verbose: bool) -> None:
        """Takes the port.

        # Errors
        `OSError` if the address cannot be had.
        """
        if ":" in host:
            self.address_family = socket.AF_INET6
        super().__init__((host, port), RequestHandler)
        self.users = users
        self.verbose = verbose
        self.stopping = False
        # Every open connection, and whether a request is being served on it.
        self._connections: dict[socket.socket, bool] = {}
        self._changed = threading.Condition()

    @property
    def url(self) -> str:
        """Where the server is reached; with the real port if 0 was asked for."""
        host, port = self.server_address[:2]
        name = f"[{host!s}]" if self.address_family == socket.AF_INET6 else str(host)
        return f"http://{name}:{port}/"

    @property
    def port(self) -> int:
        """The port in use."""
        return int(self.server_address[1])

    def start(self, engine: Engine) -> None:
        """Begins to serve, in a thread of its own."""
        self.engine = engine
        self.sessions = Sessions(engine)
        threading.Thread(target=self.serve_forever, args=(0.1,), name="accept", daemon=True).start()

    def stop(self) -> bool:
        """Stops accepting, lets running requests end, cancels those that do not.

        Returns False if a request could not be cancelled in time.
        """
        self.stopping = True
        self.shutdown()
        self.server_close()
        self._stop_reading(only_idle=True)
        if not self._wait_until_idle(_GRACE_SECONDS):
            self.engine.kill_queries()
            self._stop_reading(only_idle=False)
            if not self._wait_until_idle(_CANCEL_SECONDS):
                return False
        self.sessions.close_idle()
        return True

    @contextmanager
    def busy(self, connection: socket.socket) -> Iterator[None]:
        """Marks a connection as serving a request."""
        self._mark(connection, True)
        try:
            yield
        finally:
            self._mark(connection, False)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """A connection's life; overridden to know which are open."""
        self._mark(request, False)
        try:
            super().process_request_thread(request, client_address)
        finally:
            with self._changed:
                self._connections.pop(request, None)
                self._changed.notify_all()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Reports bugs only: a connection that breaks between requests is nothing to report."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)

    def _mark(self, connection: socket.socket, serving: bool) -> None:
        with self._changed:
            self._connections[connection] = serving
            self._changed.notify_all()

    def _stop_reading(self, only_idle: bool) -> None:
        """Makes what a client sends end here; what it is owed can still be sent to it."""
        with self._changed:
            for connection, serving in self._connections.items():
                if not (only_idle and serving):
                    with suppress(OSError):
                        connection.shutdown(socket.SHUT_RD)

    def _wait_until_idle(self, seconds: float) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: not any(self._connections.values()), seconds)
