"""ClickHouse's HTTP interface in front of the chDB engine, on loopback.

chDB is the ClickHouse engine as a Python package.  This package speaks ClickHouse's HTTP protocol
and hands every statement to that engine, so that a program written for a ClickHouse server runs
against it unchanged.  It is a tool for development, tests and trials; `README.md` says what it
deliberately does not do.

Where to start reading: `handler.py` follows one request from its first byte to the reply.

    __main__.py   command line, start, signals, exit codes
    server.py     listening socket, open connections, orderly stop
    handler.py    one request: authenticate, find the statement, run it, reply
    request.py    what a client asked for: URL, headers and multipart fields as one typed value
    body.py       the request body as a stream: chunked or counted, gzip, zstd, lz4
    framing.py    ClickHouse's compressed blocks (compress=1, decompress=1)
    sql.py        as much SQL as HTTP needs: where an INSERT's data begins, which format is asked for
    engine.py     the only module that touches chDB: connections, statements, inserts
    session.py    session_id: connections that outlive a request
    native.py     Native blocks as newer protocol revisions expect them
    errors.py     ClickHouse's error codes and their HTTP statuses
"""
