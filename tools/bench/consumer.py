"""What stands between Kafka and ClickHouse in the pipeline that is compared: kcat reads the topic, its length-delimited protobuf
messages go on unchanged as inserts that ClickHouse takes apart itself, a second or a mebibyte at a time.

    python -m bench.consumer BROKER CLICKHOUSE MESSAGE.proto
"""

import os
import select
import subprocess
import sys
import time
import urllib.parse
import urllib.request

BATCH = 8 << 20
INTERVAL = 1.0


def whole(octets: bytearray) -> int:
    """Octets of whole messages: each begins with its length as a protobuf varint."""
    place = 0
    while place < len(octets):
        length = shift = 0
        cursor = place
        while cursor < len(octets):
            octet = octets[cursor]
            length |= (octet & 0x7F) << shift
            cursor, shift = cursor + 1, shift + 7
            if octet < 0x80:
                break
        else:
            break
        if cursor + length > len(octets):
            break
        place = cursor + length
    return place


def main():
    broker, clickhouse, message = sys.argv[1:]
    settings = {
        "query": "INSERT INTO goflow2.flows FORMAT Protobuf",
        "format_schema_source": "string",
        "format_schema": open(message).read(),
        "format_schema_message_name": "FlowMessage",
    }
    url = f"{clickhouse}/?{urllib.parse.urlencode(settings)}"
    command = ["kcat", "-C", "-q", "-u", "-b", broker, "-t", "flows", "-o", "beginning", "-D", ""]
    kcat = subprocess.Popen(command, stdout=subprocess.PIPE, bufsize=0)
    pipe = kcat.stdout.fileno()
    pending, last = bytearray(), time.monotonic()
    while kcat.poll() is None:
        if select.select([pipe], [], [], INTERVAL)[0]:
            pending += os.read(pipe, 1 << 20)
        if pending and (len(pending) >= BATCH or time.monotonic() - last >= INTERVAL):
            end, last = whole(pending), time.monotonic()
            if end:
                urllib.request.urlopen(urllib.request.Request(url, data=bytes(pending[:end])), timeout=120).read()
                del pending[:end]


if __name__ == "__main__":
    main()
