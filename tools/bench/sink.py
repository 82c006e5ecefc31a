"""A stand-in for ClickHouse that reads inserts and forgets them: what the pipeline can do when the database is free.

Everything that is not an insert of Arrow data goes on to a real engine, so that the schema can be made and checked.
With --keep every insert is kept in a folder, with its query, for a bare loop of inserts of the same bytes.

    python -m bench.sink --port 9000 --engine http://127.0.0.1:8123 --keep inserts
"""

import argparse
import socket
import threading
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

PIECE = 4 << 20
ANSWER = b"HTTP/1.1 200 OK\r\nX-ClickHouse-Query-Id: bench\r\nX-ClickHouse-Summary: {}\r\nContent-Type: text/plain\r\nContent-Length: 0\r\n\r\n"


class Body:
    """The octets of one request, by length or by chunks."""

    def __init__(self, stream, headers: dict[str, str]):
        self.stream, self.headers = stream, headers
        self.room = memoryview(bytearray(PIECE))

    def pieces(self):
        if "chunked" in self.headers.get("transfer-encoding", ""):
            while size := int(self.stream.readline().split(b";")[0], 16):
                yield from self.exactly(size)
                self.stream.readline()
            self.stream.readline()
        else:
            yield from self.exactly(int(self.headers.get("content-length", "0")))

    def exactly(self, size: int):
        while size:
            count = self.stream.readinto(self.room[: min(size, PIECE)])
            if not count:
                raise ConnectionError("the request was cut")
            size -= count
            yield self.room[:count]


class Sink:
    def __init__(self, engine: str, keep: Path | None):
        self.engine, self.keep = engine, keep
        self.lock = threading.Lock()
        self.kept = 0

    def serve(self, connection: socket.socket):
        with connection, connection.makefile("rb", buffering=1 << 20) as stream:
            try:
                while request := stream.readline().split():
                    self.answer(connection, stream, request[1].decode())
            except (ConnectionError, ValueError, IndexError):
                return

    def answer(self, connection, stream, target: str):
        headers = {}
        while line := stream.readline().strip():
            name, _, value = line.decode().partition(":")
            headers[name.lower()] = value.strip().lower()
        if "100-continue" in headers.get("expect", ""):
            connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        parameters = urllib.parse.parse_qs(urllib.parse.urlsplit(target).query)
        statement = parameters.get("query", [""])[0]
        body = Body(stream, headers)
        if statement.startswith("INSERT") and "ArrowStream" in statement:
            self.take(target, body)
            connection.sendall(ANSWER)
        else:
            connection.sendall(self.forward(target, b"".join(bytes(piece) for piece in body.pieces())))

    def take(self, target: str, body: Body):
        if self.keep is None or ".flows " not in urllib.parse.unquote_plus(target):
            for _ in body.pieces():
                pass
            return
        octets = b"".join(bytes(piece) for piece in body.pieces())
        with self.lock:
            self.kept += 1
            file = self.keep / f"{self.kept:05}.body"
        file.write_bytes(octets)
        file.with_suffix(".query").write_text(target)

    def forward(self, target: str, body: bytes) -> bytes:
        try:
            with urllib.request.urlopen(self.engine + target, data=body, timeout=120) as answer:
                status, octets = answer.status, answer.read()
        except urllib.error.HTTPError as error:
            status, octets = error.code, error.read()
        return f"HTTP/1.1 {status} .\r\nContent-Length: {len(octets)}\r\n\r\n".encode() + octets


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--engine", required=True)
    parser.add_argument("--keep", type=Path)
    arguments = parser.parse_args()
    sink = Sink(arguments.engine, arguments.keep)
    with socket.create_server(("127.0.0.1", arguments.port), backlog=64) as listener:
        while True:
            connection, _ = listener.accept()
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, PIECE)
            threading.Thread(target=sink.serve, args=(connection,), daemon=True).start()


if __name__ == "__main__":
    main()
