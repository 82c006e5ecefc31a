"""A result as an HTTP reply: headers that describe it, and its compression."""

from __future__ import annotations

import dataclasses
import gzip
import json
import secrets
import string

import lz4.frame
import zstandard

from . import framing, native
from .engine import Summary
from .request import Request
from .statement import Outcome

TAG_HEADER = "X-ClickHouse-Exception-Tag"

_TEXT = "text/plain; charset=UTF-8"
_BINARY = "application/octet-stream"
_JSON = "application/json; charset=UTF-8"
_TSV = "text/tab-separated-values; charset=UTF-8"
_CONTENT_TYPES = {
    "Arrow": _BINARY,
    "ArrowStream": _BINARY,
    "Avro": _BINARY,
    "CSV": "text/csv; charset=UTF-8; header=absent",
    "CSVWithNames": "text/csv; charset=UTF-8; header=present",
    "CSVWithNamesAndTypes": "text/csv; charset=UTF-8; header=present",
    "JSON": _JSON,
    "JSONCompact": _JSON,
    "JSONEachRow": "application/x-ndjson; charset=UTF-8",
    "JSONStrings": _JSON,
    "MsgPack": _BINARY,
    "Native": _BINARY,
    "ORC": _BINARY,
    "Parquet": _BINARY,
    "RowBinary": _BINARY,
    "RowBinaryWithNames": _BINARY,
    "RowBinaryWithNamesAndTypes": _BINARY,
    "TSV": _TSV,
    "TSVWithNames": _TSV,
    "TSVWithNamesAndTypes": _TSV,
    "TabSeparated": _TSV,
    "TabSeparatedWithNames": _TSV,
    "TabSeparatedWithNamesAndTypes": _TSV,
    "XML": "application/xml; charset=UTF-8",
}


def render(outcome: Outcome, request: Request, timezone: str) -> tuple[dict[str, str], bytes]:
    """The headers and the body that a ClickHouse server would send for an outcome."""
    headers = {
        "Content-Type": _CONTENT_TYPES.get(outcome.format or "", _TEXT),
        "X-ClickHouse-Query-Id": request.query_id,
        "X-ClickHouse-Timezone": timezone,
        "X-ClickHouse-Summary": _summary(outcome.summary, outcome.elapsed_ns),
        TAG_HEADER: exception_tag(),
    }
    body = outcome.data
    if outcome.format:
        headers["X-ClickHouse-Format"] = outcome.format
    if outcome.format == "Native":
        body = native.at_revision(body, request.client_protocol_version)
    if request.compress_reply:
        body = framing.compressed(body)
    elif "zstd" in request.accept_encodings:
        headers["Content-Encoding"] = "zstd"
        body = zstandard.ZstdCompressor(level=1).compress(body)
    elif "lz4" in request.accept_encodings:
        headers["Content-Encoding"] = "lz4"
        body = lz4.frame.compress(body)
    elif "gzip" in request.accept_encodings:
        headers["Content-Encoding"] = "gzip"
        body = gzip.compress(body, compresslevel=1)
    return headers, body


def exception_tag() -> str:
    """What marks an exception in this reply's body: 16 random letters, since ClickHouse 25.11."""
    return "".join(secrets.choice(string.ascii_lowercase) for _ in range(16))


def late_exception(text: str, tag: str) -> bytes:
    """An exception in the body of a reply whose status was sent before it was known.

    As ClickHouse's `WriteBufferFromHTTPServerResponse.cpp` writes it, so that a client can find the
    begin of the message from the end of the body.
    """
    message = f"{text}\n".encode()
    mark = b"\r\n__exception__\r\n"
    return mark + f"{tag}\r\n".encode() + message + f"{len(message)} {tag}".encode() + mark


def headers_of_error(request: Request) -> dict[str, str]:
    """What the reply to a failed statement has as well as one to a successful one."""
    nothing = Summary(0, 0, 0, 0, 0, 0)
    return {"X-ClickHouse-Query-Id": request.query_id, "X-ClickHouse-Summary": _summary(nothing, 0)}


def _summary(summary: Summary, elapsed_ns: int) -> str:
    figures = dataclasses.asdict(summary)
    figures |= {"total_rows_to_read": summary.read_rows, "elapsed_ns": elapsed_ns}
    return json.dumps({name: str(value) for name, value in figures.items()}, separators=(",", ":"))
