"""ClickHouse's errors: code, text, and the HTTP status that goes with a code.

The engine reports errors as text; `from_engine` reads the code back out of it.  The statuses are
those of ClickHouse's `exceptionCodeToHTTPStatus.cpp`: most failures are 500, also many that the
client caused, so a client has to look at `X-ClickHouse-Exception-Code`.
"""

from __future__ import annotations

import re
from enum import IntEnum
from http import HTTPStatus


class Code(IntEnum):
    """The error codes this package raises or gives a status other than 500; names as in ClickHouse."""

    CANNOT_PARSE_TEXT = 6
    THERE_IS_NO_COLUMN = 8
    DUPLICATE_COLUMN = 15
    CANNOT_PARSE_ESCAPE_SEQUENCE = 25
    CANNOT_PARSE_QUOTED_STRING = 26
    CANNOT_PARSE_INPUT_ASSERTION_FAILED = 27
    CANNOT_READ_ALL_DATA = 33
    BAD_ARGUMENTS = 36
    UNKNOWN_ELEMENT_IN_AST = 37
    CANNOT_PARSE_DATE = 38
    TOO_LARGE_SIZE_COMPRESSED = 39
    CHECKSUM_DOESNT_MATCH = 40
    CANNOT_PARSE_DATETIME = 41
    ILLEGAL_COLUMN = 44
    UNKNOWN_FUNCTION = 46
    UNKNOWN_IDENTIFIER = 47
    NOT_IMPLEMENTED = 48
    UNKNOWN_TYPE = 50
    TYPE_MISMATCH = 53
    UNKNOWN_STORAGE = 56
    UNKNOWN_TABLE = 60
    SYNTAX_ERROR = 62
    UNKNOWN_AGGREGATE_FUNCTION = 63
    CANNOT_PARSE_NUMBER = 72
    UNKNOWN_FORMAT = 73
    CANNOT_OPEN_FILE = 76
    UNKNOWN_TYPE_OF_QUERY = 78
    UNKNOWN_DATABASE = 81
    UNKNOWN_COMPRESSION_METHOD = 89
    UNKNOWN_SETTING = 115
    INCORRECT_DATA = 117
    UNKNOWN_TYPE_OF_AST_NODE = 123
    UNKNOWN_DIRECTION_OF_SORTING = 152
    TIMEOUT_EXCEEDED = 159
    READONLY = 164
    TOO_DEEP_AST = 167
    TOO_BIG_AST = 168
    UNKNOWN_USER = 192
    WRONG_PASSWORD = 193
    REQUIRED_PASSWORD = 194
    SOCKET_TIMEOUT = 209
    UNEXPECTED_AST_STRUCTURE = 223
    QUERY_IS_TOO_LARGE = 229
    CANNOT_DECOMPRESS = 271
    VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE = 321
    UNKNOWN_DATABASE_ENGINE = 336
    SESSION_NOT_FOUND = 372
    SESSION_IS_LOCKED = 373
    INVALID_SESSION_TIMEOUT = 374
    CANNOT_PARSE_UUID = 376
    HTTP_LENGTH_REQUIRED = 381
    CANNOT_COMPILE_REGEXP = 427
    CANNOT_SCHEDULE_TASK = 439
    CANNOT_PARSE_DOMAIN_VALUE_FROM_STRING = 441
    ACCESS_DENIED = 497
    UNKNOWN_ROLE = 511
    SET_NON_GRANTED_ROLE = 512
    AUTHENTICATION_FAILED = 516
    CANNOT_PARSE_IPV4 = 675
    CANNOT_PARSE_IPV6 = 676
    UNSUPPORTED_MEDIA_TYPE = 779
    UNKNOWN_EXCEPTION = 1002


_STATUSES: dict[HTTPStatus, tuple[Code, ...]] = {
    HTTPStatus.BAD_REQUEST: (
        Code.BAD_ARGUMENTS,
        Code.CANNOT_COMPILE_REGEXP,
        Code.CANNOT_PARSE_TEXT,
        Code.CANNOT_PARSE_ESCAPE_SEQUENCE,
        Code.CANNOT_PARSE_QUOTED_STRING,
        Code.CANNOT_PARSE_DATE,
        Code.CANNOT_PARSE_DATETIME,
        Code.CANNOT_PARSE_NUMBER,
        Code.CANNOT_PARSE_DOMAIN_VALUE_FROM_STRING,
        Code.CANNOT_PARSE_IPV4,
        Code.CANNOT_PARSE_IPV6,
        Code.CANNOT_PARSE_INPUT_ASSERTION_FAILED,
        Code.CANNOT_PARSE_UUID,
        Code.DUPLICATE_COLUMN,
        Code.ILLEGAL_COLUMN,
        Code.UNKNOWN_ELEMENT_IN_AST,
        Code.UNKNOWN_TYPE_OF_AST_NODE,
        Code.THERE_IS_NO_COLUMN,
        Code.TOO_DEEP_AST,
        Code.TOO_BIG_AST,
        Code.UNEXPECTED_AST_STRUCTURE,
        Code.SYNTAX_ERROR,
        Code.INCORRECT_DATA,
        Code.TYPE_MISMATCH,
        Code.VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE,
    ),
    HTTPStatus.UNAUTHORIZED: (Code.REQUIRED_PASSWORD,),
    HTTPStatus.FORBIDDEN: (
        Code.UNKNOWN_USER,
        Code.WRONG_PASSWORD,
        Code.AUTHENTICATION_FAILED,
        Code.SET_NON_GRANTED_ROLE,
        Code.ACCESS_DENIED,
    ),
    HTTPStatus.NOT_FOUND: (
        Code.UNKNOWN_TABLE,
        Code.UNKNOWN_FUNCTION,
        Code.UNKNOWN_IDENTIFIER,
        Code.UNKNOWN_TYPE,
        Code.UNKNOWN_STORAGE,
        Code.UNKNOWN_DATABASE,
        Code.UNKNOWN_SETTING,
        Code.UNKNOWN_DIRECTION_OF_SORTING,
        Code.UNKNOWN_AGGREGATE_FUNCTION,
        Code.UNKNOWN_FORMAT,
        Code.UNKNOWN_DATABASE_ENGINE,
        Code.UNKNOWN_TYPE_OF_QUERY,
        Code.UNKNOWN_ROLE,
    ),
    HTTPStatus.REQUEST_TIMEOUT: (Code.TIMEOUT_EXCEEDED,),
    HTTPStatus.LENGTH_REQUIRED: (Code.HTTP_LENGTH_REQUIRED,),
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: (Code.QUERY_IS_TOO_LARGE,),
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: (Code.UNSUPPORTED_MEDIA_TYPE,),
    HTTPStatus.NOT_IMPLEMENTED: (Code.NOT_IMPLEMENTED,),
    HTTPStatus.SERVICE_UNAVAILABLE: (
        Code.SOCKET_TIMEOUT,
        Code.CANNOT_OPEN_FILE,
        Code.CANNOT_SCHEDULE_TASK,
    ),
}
_STATUS_OF_CODE: dict[int, HTTPStatus] = {
    code: status for status, codes in _STATUSES.items() for code in codes
}

# The engine wraps an error of a pipeline thread once per layer, each time with the code in front and
# the name behind; one copy of each is what a server sends.
_PREFIX = re.compile(r"Code: (\d+)\. DB::Exception: ")
_NAME = re.compile(r"\(([A-Z][A-Z0-9_]+)\)(?= \(version |\. \(|$)")


def _name_of(code: int) -> str:
    try:
        return Code(code).name
    except ValueError:
        return Code.UNKNOWN_EXCEPTION.name


class ClickHouseError(Exception):
    """A failure as ClickHouse reports it: number, symbolic name and message."""

    def __init__(self, code: int, message: str, name: str | None = None) -> None:
        super().__init__(message)
        self.code = int(code)
        self.message = message
        self.name = name or _name_of(self.code)

    @property
    def status(self) -> HTTPStatus:
        """The HTTP status that a ClickHouse server gives this error."""
        return _STATUS_OF_CODE.get(self.code, HTTPStatus.INTERNAL_SERVER_ERROR)

    def text(self, version: str) -> str:
        """The reply's body: `Code: 60. DB::Exception: ... (UNKNOWN_TABLE) (version ...)`."""
        end = "" if self.message.endswith((".", "!", "?")) else "."
        return f"Code: {self.code}. DB::Exception: {self.message}{end} ({self.name}) (version {version})"


def from_engine(error: BaseException) -> ClickHouseError:
    """Reads the error that chDB raised, whose text holds code, message and name."""
    text = str(error).strip()
    prefix = _PREFIX.search(text)
    if not prefix:
        return ClickHouseError(Code.UNKNOWN_EXCEPTION, text)
    code = int(prefix[1])
    message = text[prefix.end() :]
    while (nested := _PREFIX.match(message)) and int(nested[1]) == code:
        message = message[nested.end() :]
    name = _NAME.search(message)
    if not name:
        return ClickHouseError(code, message.strip())
    return ClickHouseError(code, message[: name.start()].strip(), name[1])
