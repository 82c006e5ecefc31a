"""As much SQL as the HTTP interface needs, and no more.

Two questions are answered here by looking at words outside of quotes, comments and parentheses:
where the data of an `INSERT ... FORMAT x` begin (they may be binary and arrive in pieces), and which
output format a statement names.  Everything else about a statement, also whether it is one statement
and whether it changes anything, is asked of the engine's own parser (`engine.Connection.classify`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_TOKEN = re.compile(
    rb"""(?P<space>   \s+ | --[^\n]*\n? | \#[!\ ][^\n]*\n? | /\*.*?\*/ )
       | (?P<quoted>  '(?:[^'\\]++|\\.|'')*+' | `(?:[^`\\]++|\\.)*+` | "(?:[^"\\]++|\\.)*+" )
       | (?P<word>    [A-Za-z_][A-Za-z0-9_]* )
       | (?P<open>    /\*|['"`] )
       | (?P<run>     [^\sA-Za-z_'"`()/\-\#]+ )
       | (?P<other>   . )""",
    re.VERBOSE | re.DOTALL,
)
# What cannot matter inside of parentheses, in one go: lists there may have a million elements.
_NESTED_RUN = re.compile(rb"""[^'"`()/\-#]+""")

# After one of these a word is a name, also when it reads like a keyword: INSERT INTO values FORMAT CSV.
_BEFORE_A_NAME = {b"INTO", b"TABLE", b"FUNCTION", b"."}
_NOT_A_NAME = {b"TABLE", b"FUNCTION"}

_INPUT = re.compile(rb"\binput\s*\(", re.IGNORECASE)
# What ClickHouse's parser skips between the format's name and the data.
_AFTER_FORMAT = re.compile(rb"[ \t\r\f]*;?(?:\r?\n)?")


class Incomplete(Exception):
    """More text is needed to tell what the statement is."""


class InputFunction(Exception):
    """`INSERT ... SELECT ... FROM input(...) FORMAT x`, which the engine's package cannot be fed with."""


@dataclass(frozen=True)
class Insert:
    """An INSERT whose data follow its text."""

    statement: str
    """The statement without its FORMAT or VALUES clause."""
    format_name: str
    data_start: int
    """Where the data begin in the text that was looked at."""


@dataclass(frozen=True)
class _Word:
    upper: bytes
    text: bytes
    start: int
    end: int


def _words(text: bytes, at_end: bool) -> Iterator[_Word]:
    """The words, and whatever stands between them, at parenthesis depth 0.

    Without `at_end` the text may go on: a token that touches its end, or a quote that does not close,
    raises `Incomplete`.
    """
    depth = position = 0
    while position < len(text):
        match = (depth and _NESTED_RUN.match(text, position)) or _TOKEN.match(text, position)
        assert match, "the last alternative takes any byte"
        position = match.end()
        if not at_end and (match.lastgroup == "open" or position == len(text)):
            raise Incomplete
        token = match.group()
        if token == b"(":
            depth += 1
        elif token == b")":
            depth -= 1
        elif depth == 0 and match.lastgroup != "space":
            yield _Word(token.upper(), token, match.start(), position)


def find_insert(text: bytes, at_end: bool) -> Insert | None:
    """Finds the data of an INSERT in the first part of a request's text.

    Returns None if the text is any other statement, also an INSERT ... SELECT.

    # Errors
    `Incomplete` if the text so far does not tell and `at_end` is False; `InputFunction`;
    `UnicodeDecodeError` if the statement is not UTF-8.
    """
    words = _words(text, at_end)
    first = next(words, None)
    if first is None and not at_end:
        raise Incomplete
    if first is None or first.upper != b"INSERT":
        return None
    previous, previous_start = first.upper, first.start
    selects = False
    for word in words:
        named = previous in _BEFORE_A_NAME and word.upper not in _NOT_A_NAME
        keyword = b"" if named else word.upper
        if previous == b"FORMAT" and word.text[:1].isalpha():
            if not selects:
                start = _data_start(text, word.end, at_end)
                return Insert(text[:previous_start].decode(), word.text.decode(), start)
            if _INPUT.search(text, 0, previous_start):
                raise InputFunction
            return None
        if keyword == b"VALUES" and not selects:
            return Insert(text[: word.start].decode(), "Values", word.end)
        if keyword == b"INFILE":
            return None
        selects = selects or keyword in (b"SELECT", b"WITH")
        previous, previous_start = keyword, word.start
    if not at_end:
        raise Incomplete
    return None


def _data_start(text: bytes, format_end: int, at_end: bool) -> int:
    match = _AFTER_FORMAT.match(text, format_end)
    assert match, "every part of the pattern is optional"
    start = match.end()
    if not at_end and start == len(text) and not text.endswith(b"\n"):
        raise Incomplete
    return start


def output_format(statement: str) -> str | None:
    """The format that a statement's FORMAT clause names."""
    found = None
    previous = b""
    for word in _words(statement.encode(), at_end=True):
        if previous == b"FORMAT" and word.text[:1].isalpha():
            found = word.text.decode()
        previous = word.upper
    return found


def changes_session(statement: str) -> bool:
    """Whether a statement is one that changes its session and nothing else."""
    first = next(_words(statement.encode(), at_end=True), None)
    return first is not None and first.upper in (b"SET", b"USE")
