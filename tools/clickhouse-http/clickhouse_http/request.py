"""What a client asked for: URL, headers and form fields as one typed value.

ClickHouse takes most of a request from the URL's parameters: the interface's own (`_OWN`), the values
of query parameters (`param_x`), and everything else is a setting for the statement.
"""

from __future__ import annotations

import base64
import binascii
import email.parser
import email.policy
import re
import uuid
from dataclasses import dataclass
from email.message import Message
from urllib.parse import parse_qsl

from .errors import ClickHouseError, Code
from .session import DEFAULT_TIMEOUT_SECONDS, MAX_TIMEOUT_SECONDS, SessionRequest

_OWN = {
    "query",
    "database",
    "default_format",
    "user",
    "password",
    "quota_key",
    "query_id",
    "session_id",
    "session_timeout",
    "session_check",
    "close_session",
    "compress",
    "decompress",
    "enable_http_compression",
    "client_protocol_version",
    "readonly",
    # Replies are always complete before they are sent, which is what these two ask for.
    "buffer_size",
    "wait_end_of_query",
    # The engine has no such setting; see `Request.headers_first`.
    "send_progress_in_http_headers",
    # Errors never carry a stack trace.
    "stacktrace",
}
_QUERY_ID = re.compile(r"[\x20-\x7e]{1,256}")


@dataclass(frozen=True)
class Credentials:
    """Who the client says it is."""

    user: str
    password: str


@dataclass(frozen=True)
class Request:
    """One request without its body."""

    path: str
    query: str
    query_id: str
    credentials: Credentials
    database: str | None
    session: SessionRequest | None
    settings: dict[str, str]
    parameters: dict[str, str]
    read_only: bool
    default_format: str
    client_protocol_version: int
    compress_reply: bool
    decompress_body: bool
    accept_encodings: frozenset[str]
    headers_first: bool
    """The client wants progress headers, so the status is sent before the statement ends; it is 200
    although the statement may fail."""


def parse(method: str, target: str, headers: Message, form: dict[str, str] | None = None) -> Request:
    """Reads a request's line, headers and, for multipart requests, form fields.

    # Errors
    `ClickHouseError` for values that are not what they should be.
    """
    path, _, query = target.partition("?")
    values = dict(parse_qsl(query, keep_blank_values=True))
    values.update(form or {})
    return Request(
        path=path,
        query=values.get("query", ""),
        query_id=_query_id(values.get("query_id", "")),
        credentials=_credentials(values, headers),
        database=values.get("database") or headers.get("X-ClickHouse-Database"),
        session=_session(values),
        settings={k: v for k, v in values.items() if k not in _OWN and not k.startswith("param_")},
        parameters={k.removeprefix("param_"): v for k, v in values.items() if k.startswith("param_")},
        # ClickHouse runs what comes by GET with readonly=2, so that a link cannot change anything.
        read_only=method in ("GET", "HEAD") or _integer(values, "readonly", 0) > 0,
        default_format=values.get("default_format") or headers.get("X-ClickHouse-Format") or "TabSeparated",
        client_protocol_version=_integer(values, "client_protocol_version", 0),
        compress_reply=_flag(values, "compress", False),
        decompress_body=_flag(values, "decompress", False),
        accept_encodings=_accept_encodings(values, headers),
        headers_first=_flag(values, "send_progress_in_http_headers", False)
        and not _flag(values, "wait_end_of_query", False),
    )


def multipart_fields(content_type: str, body: bytes) -> dict[str, str]:
    """Reads `multipart/form-data`: the statement and its parameters, as clients send long ones.

    # Errors
    NOT_IMPLEMENTED for parts that are files: ClickHouse's external tables.
    """
    parser = email.parser.BytesParser(policy=email.policy.HTTP)
    message = parser.parsebytes(b"Content-Type: " + content_type.encode() + b"\r\n\r\n" + body)
    fields = {}
    for part in message.iter_parts():
        name = part.get_param("name", header="content-disposition")
        if not isinstance(name, str):
            raise ClickHouseError(Code.BAD_ARGUMENTS, "A part of the multipart body has no name")
        if part.get_filename() is not None:
            raise ClickHouseError(
                Code.NOT_IMPLEMENTED,
                f"External tables are not supported (part {name!r} of the multipart body)",
            )
        content = part.get_payload(decode=True)
        try:
            fields[name] = content.decode() if isinstance(content, bytes) else ""
        except UnicodeDecodeError as error:
            raise ClickHouseError(
                Code.BAD_ARGUMENTS, f"Part {name!r} of the multipart body is not UTF-8"
            ) from error
    return fields


def _query_id(wanted: str) -> str:
    # It goes back in a header, so nothing that could end one is let through.
    return wanted if _QUERY_ID.fullmatch(wanted) else str(uuid.uuid4())


def _credentials(values: dict[str, str], headers: Message) -> Credentials:
    """One of the three ways to say who one is; a mixture is refused, as a server does."""
    own_headers = "X-ClickHouse-User" in headers or "X-ClickHouse-Key" in headers
    basic = headers.get("Authorization", "")
    in_url = "user" in values or "password" in values
    if own_headers + bool(basic) + in_url > 1:
        raise ClickHouseError(
            Code.AUTHENTICATION_FAILED,
            "Invalid authentication: use either X-ClickHouse headers, or the Authorization header,"
            " or user and password in the URL",
        )
    if basic:
        return _basic_credentials(basic)
    if own_headers:
        user, password = headers.get("X-ClickHouse-User"), headers.get("X-ClickHouse-Key")
    else:
        user, password = values.get("user"), values.get("password")
    return Credentials(user or "default", password or "")


def _basic_credentials(header: str) -> Credentials:
    scheme, _, encoded = header.partition(" ")
    try:
        if scheme.lower() != "basic":
            raise ValueError
        user, _, password = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
    except (ValueError, binascii.Error):
        raise ClickHouseError(
            Code.AUTHENTICATION_FAILED,
            "Invalid authentication: the Authorization header is not 'Basic' or not base64",
        ) from None
    return Credentials(user or "default", password)


def _session(values: dict[str, str]) -> SessionRequest | None:
    if not values.get("session_id"):
        return None
    timeout = _integer(values, "session_timeout", DEFAULT_TIMEOUT_SECONDS)
    if timeout > MAX_TIMEOUT_SECONDS:
        raise ClickHouseError(
            Code.INVALID_SESSION_TIMEOUT,
            f"Session timeout '{timeout}' is larger than the maximum, {MAX_TIMEOUT_SECONDS} seconds",
        )
    return SessionRequest(
        id=values["session_id"],
        timeout_seconds=timeout,
        must_exist=_flag(values, "session_check", False),
        close_after=_flag(values, "close_session", False),
    )


def _accept_encodings(values: dict[str, str], headers: Message) -> frozenset[str]:
    # On by default since ClickHouse 25.10, so that `Accept-Encoding` alone is enough.
    if not _flag(values, "enable_http_compression", True):
        return frozenset()
    names = (entry.split(";")[0].strip().lower() for entry in headers.get("Accept-Encoding", "").split(","))
    return frozenset(names)


def _flag(values: dict[str, str], name: str, default: bool) -> bool:
    value = values.get(name)
    return default if value is None else value.lower() in ("1", "true")


def _integer(values: dict[str, str], name: str, default: int) -> int:
    value = values.get(name)
    if value is None:
        return default
    if not re.fullmatch(r"[0-9]{1,9}", value):
        raise ClickHouseError(Code.BAD_ARGUMENTS, f"{name} must be a whole number, not {value!r}")
    return int(value)
