"""Sessions: connections that outlive a request, found again by `session_id`.

A session belongs to the user who opened it, takes one request at a time, and ends when it has not
been used for its timeout.  `SET`, `USE` and temporary tables last as long as the session; the settings
and the database in a request's URL last for that request only, as on a server.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from .engine import Connection, Engine
from .errors import ClickHouseError, Code

DEFAULT_TIMEOUT_SECONDS = 60
MAX_TIMEOUT_SECONDS = 3600


@dataclass(frozen=True)
class SessionRequest:
    """The session that a request asks for."""

    id: str
    timeout_seconds: int
    must_exist: bool
    close_after: bool


@dataclass
class _Session:
    connection: Connection
    in_use: bool
    expires_at: float


class Sessions:
    """All open sessions."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._sessions: dict[tuple[str, str], _Session] = {}
        self._lock = threading.Lock()

    @contextmanager
    def acquire(self, user: str, request: SessionRequest) -> Iterator[Connection]:
        """Holds a session for one request.

        # Errors
        SESSION_NOT_FOUND, SESSION_IS_LOCKED.
        """
        key = (user, request.id)
        session = self._take(key, request)
        try:
            yield session.connection
        finally:
            with self._lock:
                session.in_use = False
                session.expires_at = time.monotonic() + request.timeout_seconds
                if request.close_after:
                    del self._sessions[key]
            if request.close_after:
                session.connection.close()

    def close_idle(self) -> None:
        """Closes every session that no request holds."""
        with self._lock:
            self._remove([key for key, session in self._sessions.items() if not session.in_use])

    def _take(self, key: tuple[str, str], request: SessionRequest) -> _Session:
        now = time.monotonic()
        with self._lock:
            self._remove([k for k, s in self._sessions.items() if not s.in_use and s.expires_at <= now])
            session = self._sessions.get(key)
            if session is None:
                if request.must_exist:
                    raise ClickHouseError(Code.SESSION_NOT_FOUND, f"Session {request.id} not found")
                session = self._sessions[key] = _Session(self._engine.connect(), False, now)
            if session.in_use:
                raise ClickHouseError(
                    Code.SESSION_IS_LOCKED, f"Session {request.id} is locked by a concurrent client"
                )
            session.in_use = True
            return session

    def _remove(self, keys: list[tuple[str, str]]) -> None:
        for key in keys:
            self._sessions.pop(key).connection.close()
