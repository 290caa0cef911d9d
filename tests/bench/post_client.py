"""Sends requests over one connection, one after the other: `python -m tests.bench.post_client PORT`.

They stand on standard input, each after its length in 4 bytes. A process of its own, so that only the server's work
counts. Exits with 1 when an answer is not 200.
"""

import socket
import sys
from collections.abc import Iterator
from typing import BinaryIO

END = b"\r\n\r\n"
LENGTH = b"\r\ncontent-length: "


def main() -> int:
    """Send everything; return 1 after the first answer that is not good."""
    with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for request in requests(sys.stdin.buffer):
            connection.sendall(request)
            if not answer(connection).startswith(b"HTTP/1.1 200 "):
                return 1
    return 0


def requests(source: BinaryIO) -> Iterator[bytes]:
    """Yield the requests."""
    while size := source.read(4):
        yield source.read(int.from_bytes(size, "big"))


def answer(connection: socket.socket) -> bytes:
    """Return the head of one answer, whose body has been read to its end."""
    data = connection.recv(65536)
    while END not in data:
        data += connection.recv(65536)
    head, _, body = data.partition(END)
    missing = int(head.lower().partition(LENGTH)[2].partition(b"\r\n")[0]) - len(body)
    while missing > 0:
        missing -= len(connection.recv(65536))
    return head


if __name__ == "__main__":
    sys.exit(main())
