"""Ways of failing between two programs: a TCP wire that can be cut, and an API server that kills its client at a chosen write."""

import collections
import http.client
import http.server
import json
import socket
import ssl
import threading
import urllib.parse


class Listener:
    """Takes TCP connections on loopback; `serve` of a subclass gets each in a thread of its own."""

    def __init__(self):
        self.server = socket.create_server(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self.server.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.server.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def close(self):
        self.server.close()


class Wire(Listener):
    """Passes TCP connections on to an address, until it is told otherwise."""

    def __init__(self, target):
        host, port = target.rsplit(":", 1)
        self.target, self.sockets, self.up = (host, int(port)), set(), True
        super().__init__()

    def serve(self, client):
        if not self.up:
            client.close()
            return
        try:
            there = socket.create_connection(self.target, timeout=10)
        except OSError:
            client.close()
            return
        there.settimeout(None)
        self.sockets |= {client, there}
        threading.Thread(target=self.copy, args=(client, there), daemon=True).start()
        self.copy(there, client)

    def copy(self, source, sink):
        try:
            while data := source.recv(65536):
                sink.sendall(data)
        except OSError:
            pass
        for end in (source, sink):
            end.close()
            self.sockets.discard(end)

    def cut(self):
        """Breaks every connection; new ones are passed on."""
        for end in list(self.sockets):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def down(self):
        self.up = False
        self.cut()

    def restore(self):
        self.up = True

    def close(self):
        self.down()
        super().close()


class Deadly:
    """Passes requests on to the API server. At write number `at` (the first one is 0) it calls `kill`, before the API server gets the
    request or after it has done it; the client gets no answer."""

    def __init__(self, api):
        self.lock, self.at, self.when, self.kill, self.count = threading.Lock(), None, None, None, 0
        # Every request, by method and kind of object.
        self.requests = collections.Counter()
        deadly = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                fatal = deadly.fatal(self.command, self.path, body)
                if fatal == "before":
                    return self.die()
                where = urllib.parse.urlparse(api.server)
                there = http.client.HTTPSConnection(where.hostname, where.port, context=ssl.create_default_context(cafile=api.ca), timeout=600)
                headers = {name: value for name, value in self.headers.items() if name.lower() not in ("host", "connection", "accept-encoding")}
                try:
                    there.request(self.command, self.path, body or None, headers)
                    answer = there.getresponse()
                    if fatal == "after":
                        answer.read()
                        return self.die()
                    self.send_response(answer.status)
                    self.send_header("Content-Type", answer.headers.get("Content-Type", "application/json"))
                    self.send_header("Transfer-Encoding", "chunked")
                    self.end_headers()
                    while data := answer.read1(65536):
                        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
                    self.wfile.write(b"0\r\n\r\n")
                except OSError:
                    self.close_connection = True
                finally:
                    there.close()

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = answer

            def die(self):
                deadly.kill()
                self.close_connection = True

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = "http://127.0.0.1:%d" % self.server.server_address[1]

    def arm(self, at, when, kill):
        with self.lock:
            self.at, self.when, self.kill, self.count = at, when, kill, 0

    def disarm(self):
        """Says whether it has killed."""
        with self.lock:
            killed, self.at = self.at is not None and self.count > self.at, None
            return killed

    def fatal(self, method, path, body):
        with self.lock:
            self.requests[kind_of(method, path)] += 1
            if self.at is None or method == "GET" or is_of_leader(path, body):
                return None
            self.count += 1
            return self.when if self.count == self.at + 1 else None

    def close(self):
        self.server.shutdown()
        self.server.server_close()


def kind_of(method, path):
    where = urllib.parse.urlparse(path)
    parts = where.path.split("/namespaces/")[-1].split("/")
    return f"{'WATCH' if 'watch=' in where.query else method} {parts[1] if len(parts) > 1 else parts[0]}"


def is_of_leader(path, body):
    """The Lease of the operator that leads is written all the time."""
    if "/leases" not in path:
        return False
    name = json.loads(body)["metadata"].get("name") if body[:1] == b"{" and b"metadata" in body else None
    return "/leases/helios-operator" in path or name == "helios-operator"
