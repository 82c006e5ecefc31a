"""Command line: `python -m clickhouse_http --path DIR`.

Exit codes: 0 stopped by a signal, 1 could not start, 2 wrong arguments.
"""

from __future__ import annotations

import argparse
import importlib
import os
import signal
import sys
import tempfile
from pathlib import Path

_DESCRIPTION = """\
Runs the ClickHouse engine (the chDB package) behind ClickHouse's HTTP interface, so that programs
written for a ClickHouse server can be developed, tested and tried without one. Not a server for
production: README.md beside this package says what it leaves out."""

_EXAMPLE = """\
example:
  python -m clickhouse_http --path ./chdata --port 8123
  curl 'http://127.0.0.1:8123/?query=SELECT+version()'
  curl 'http://127.0.0.1:8123/' --data-binary 'CREATE TABLE t (a UInt32) ORDER BY a'
  printf '1\\n2\\n' | curl 'http://127.0.0.1:8123/?query=INSERT+INTO+t+FORMAT+CSV' --data-binary @-
"""


_STOP_SIGNALS = {signal.SIGTERM, signal.SIGINT}


class _CannotStart(Exception):
    """The text is for the user: what is wrong and what to do."""


def main(arguments: list[str] | None = None) -> int:
    """Runs until SIGTERM or SIGINT; returns the exit code."""
    options = _parser().parse_args(arguments)
    # Blocked before there is any other thread, so that all inherit it and `sigwait` gets every signal,
    # whichever handlers the engine installs.
    signal.pthread_sigmask(signal.SIG_BLOCK, _STOP_SIGNALS)
    try:
        _serve(options)
    except _CannotStart as error:
        print(f"clickhouse_http: {error}", file=sys.stderr)
        return 1
    return 0


def _serve(options: argparse.Namespace) -> None:
    _check_packages()
    # Not before: these import the engine's package.
    from .engine import CannotStart, Engine
    from .server import ClickHouseServer

    if options.port_file:
        # A file left by a killed process names a port of the past.
        options.port_file.unlink(missing_ok=True)
    try:
        server = ClickHouseServer(
            options.host, options.port, dict(options.user or [("default", "")]), options.verbose
        )
    except OSError as error:
        raise _CannotStart(
            f"cannot listen on {options.host} port {options.port} ({error.strerror or error});"
            " choose another with --port, or let --port 0 find a free one"
        ) from error
    try:
        engine = Engine(options.path, options.grant or ())
    except CannotStart as error:
        raise _CannotStart(str(error)) from error
    server.start(engine)
    try:
        if options.port_file:
            _write_atomically(options.port_file, f"{server.port}\n")
        print(f"ready {server.url} (ClickHouse {engine.version} by chDB, data in {options.path})", flush=True)
        signal.sigwait(_STOP_SIGNALS)
    finally:
        if options.port_file:
            options.port_file.unlink(missing_ok=True)
        if not server.stop():
            # Leaving the usual way would wait for the request. Parts of tables appear by renaming, so that
            # ending at any moment leaves whole ones.
            print("clickhouse_http: abandoned a request that did not end", file=sys.stderr, flush=True)
            os._exit(0)
        engine.close()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m clickhouse_http",
        description=_DESCRIPTION,
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--path", metavar="DIR", type=Path, required=True, help="data directory; made if missing"
    )
    parser.add_argument(
        "--port", type=_port, default=8123, help="TCP port, 0 for any free one (default: %(default)s)"
    )
    parser.add_argument(
        "--host", default="127.0.0.1", metavar="ADDRESS", help="address to listen on (default: %(default)s)"
    )
    parser.add_argument(
        "--user",
        metavar="NAME:PASSWORD",
        type=_user,
        action="append",
        help="a user who may log in; repeatable (default: user 'default' without a password)",
    )
    parser.add_argument(
        "--grant",
        metavar="RIGHTS",
        action="append",
        help="what statements may do, such as 'SELECT ON helios.*'; repeatable (default: everything)",
    )
    parser.add_argument(
        "--port-file", metavar="FILE", type=Path, help="write the port here once ready; removed at the end"
    )
    parser.add_argument("--verbose", action="store_true", help="report every request on stderr")
    return parser


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port number")
    return int(text)


def _user(text: str) -> tuple[str, str]:
    name, colon, password = text.partition(":")
    if not name or not colon:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME:PASSWORD")
    return name, password


def _check_packages() -> None:
    install = Path(__file__).resolve().parent.parent / "install.sh"
    for package in ("chdb", "lz4", "zstandard", "clickhouse_cityhash"):
        try:
            importlib.import_module(package)
        except ImportError as error:
            raise _CannotStart(
                f"the package {package} cannot be imported ({error}); run '{install} DIR' once"
                " and start with DIR/bin/python"
            ) from error


def _write_atomically(path: Path, text: str) -> None:
    """A reader sees either no file or all of it."""
    try:
        with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=path.name, delete=False) as file:
            file.write(text)
        os.replace(file.name, path)
    except OSError as error:
        raise _CannotStart(f"cannot write the port to {path} ({error.strerror})") from error


if __name__ == "__main__":
    sys.exit(main())
