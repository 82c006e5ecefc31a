"""A name server on 127.0.0.1:53 for tools/static.sh: every name has the address 127.0.0.1, and none has one of IPv6."""

import socket

A, IN = 1, 1
# Flags of an answer: response, recursion desired and available (RFC 1035 section 4.1.1).
RESPONSE = b"\x81\x80"

server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("127.0.0.1", 53))
while True:
    query, client = server.recvfrom(512)
    end = query.index(b"\0", 12) + 5  # the name, its type and class
    question = query[12:end]
    has_address = question[-4:] == bytes([0, A, 0, IN])
    answer = b"\xc0\x0c" + question[-4:] + (60).to_bytes(4) + (4).to_bytes(2) + bytes([127, 0, 0, 1]) if has_address else b""
    counts = b"\0\1" + (1 if has_address else 0).to_bytes(2) + b"\0\0\0\0"
    server.sendto(query[:2] + RESPONSE + counts + question + answer, client)
