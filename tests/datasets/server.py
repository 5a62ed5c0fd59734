"""An HTTP server on loopback that misbehaves as it is told."""

import re
import socket
import struct
import threading
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingTCPServer

import pytest


class Server(ThreadingTCPServer):
    """Answers the n-th request by the n-th behaviour, later ones by the last; keeps headers."""

    def __init__(self, *behaviours):
        super().__init__(("127.0.0.1", 0), _Request)
        self.behaviours, self.requests = list(behaviours), []
        self.stopped = threading.Event()
        self.base = "http://{}:{}".format(*self.server_address)
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def ranges(self):
        return [request.get("range") for request in self.requests]

    def shutdown_request(self, request):
        request.close()  # the base says goodbye first, and no reset would be one

    def stop(self):
        self.stopped.set()
        self.shutdown()
        self.server_close()


class _Request(BaseHTTPRequestHandler):
    timeout = 20

    def handle(self):
        with suppress(OSError):  # a client that gives up breaks the pipe: that is its right
            super().handle()

    def do_GET(self):
        server = self.server
        behaviour = server.behaviours[min(len(server.requests), len(server.behaviours) - 1)]
        headers = {name.lower(): value for name, value in self.headers.items()}
        server.requests.append({**headers, "path": self.path})
        behaviour(server, self.connection, headers)


@contextmanager
def serving(*behaviours):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("no_proxy", "*")
        server = Server(*behaviours)
        try:
            yield server
        finally:
            server.stop()


def raw(*answers, end="close", pause=0):
    """Sends bytes, or what a function makes of the request; then closes, resets or stalls."""

    def behave(server, connection, headers):
        for answer in answers:
            connection.sendall(answer(headers) if callable(answer) else answer)
            if server.stopped.wait(pause):
                return
        if end == "stall":
            server.stopped.wait(20)
        elif end == "reset":
            # Closing a socket that lingers for no time sends RST.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    return behave


def head(status, **headers):
    """The lines before a body; header names have ``_`` for ``-``."""
    lines = [f"{key.replace('_', '-')}: {value}" for key, value in headers.items()]
    lines = [f"HTTP/1.1 {status}", "Connection: close", *lines]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def status(code, body=b"", **extra):
    return raw(head(code, **{"Content_Length": len(body), **extra}) + body)


def good(content, **extra):
    """A server that does all as it should."""
    return cut(content, None, **extra)


def cut(content, sent, end="close", obeys=True, **extra):
    """By RFC 9110, but ends after ``sent`` bytes; may not obey If-Range."""
    size = len(content)

    def answer(headers):
        asked = re.fullmatch(r"bytes=(\d+)-", headers.get("range", ""))
        versions = (None, extra.get("ETag"), extra.get("Last_Modified"))
        if asked is None or (obeys and headers.get("if-range") not in versions):
            return head("200 OK", Content_Length=size, **extra) + content[:sent]
        start = int(asked[1])
        if start >= size:
            place = f"bytes */{size}"
            return head("416 No", Content_Range=place, Content_Length=0, **extra)
        more = {"Content_Range": f"bytes {start}-{size - 1}/{size}", **extra}
        begin = head("206 Partial Content", Content_Length=size - start, **more)
        return begin + content[start:][:sent]

    return raw(answer, end=end)


def chunked(content, *last, name="chunked"):
    """In chunks; without a ``last`` one it is not finished."""
    pieces = [content[at : at + 1000] for at in range(0, len(content), 1000)]
    body = (f"{len(piece):x}\r\n".encode() + piece + b"\r\n" for piece in (*pieces, *last))
    return raw(head("200 OK", Transfer_Encoding=name) + b"".join(body))
