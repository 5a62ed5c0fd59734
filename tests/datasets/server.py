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


def head(status, headers):
    lines = [f"HTTP/1.1 {status}", "Connection: close", *(f"{k}: {v}" for k, v in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def wanted(content, headers, extra):
    """(status, where the body begins, headers), by the rules of RFC 9110."""
    asked = re.fullmatch(r"bytes=(\d+)-", headers.get("range", ""))
    condition = headers.get("if-range")
    holds = condition in (None, extra.get("ETag"), extra.get("Last-Modified"))
    if asked is None or not holds:
        return "200 OK", 0, {"Content-Length": str(len(content)), **extra}
    start = int(asked[1])
    size = len(content)
    if start >= size:
        fields = {"Content-Range": f"bytes */{size}", "Content-Length": "0"}
        return "416 Range Not Satisfiable", size, fields | extra
    fields = {"Content-Range": f"bytes {start}-{size - 1}/{size}"}
    return "206 Partial Content", start, {**fields, "Content-Length": str(size - start), **extra}


def good(content, **extra):
    """A server that does all as it should; header names have ``_`` for ``-``."""
    return cut(content, None, **extra)


def cut(content, sent, *, end="close", begin=None, **extra):
    """Says the full length and sends ``sent`` bytes; then closes, resets or stalls."""
    named = {key.replace("_", "-"): value for key, value in extra.items()}

    def behave(server, connection, headers):
        status, start, fields = wanted(content, headers if begin is None else {}, named)
        start = start if begin is None else begin
        connection.sendall(head(status, {**fields, **named}))
        body = content[start:]
        connection.sendall(body if sent is None else body[:sent])
        if end == "stall":
            server.stopped.wait(20)
        elif end == "reset":
            # Closing a socket that lingers for no time sends RST.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    return behave


def raw(answer):
    def behave(server, connection, headers):  # noqa: ARG001
        connection.sendall(answer)

    return behave


def status(code, body=b"", **extra):
    named = {key.replace("_", "-"): value for key, value in extra.items()}
    return raw(head(code, {"Content-Length": str(len(body)), **named}) + body)


def chunked(content, *, finished=True):
    pieces = [content[at : at + 1000] for at in range(0, len(content), 1000)]
    body = b"".join(f"{len(piece):x}\r\n".encode() + piece + b"\r\n" for piece in pieces)
    last = b"0\r\n\r\n" if finished else b""
    return raw(head("200 OK", {"Transfer-Encoding": "chunked"}) + body + last)


def dripping(content, pause):
    """A byte, a pause, a byte: never silent for long, never done."""

    def behave(server, connection, headers):  # noqa: ARG001
        connection.sendall(head("200 OK", {"Content-Length": str(len(content))}))
        for byte in content:
            connection.sendall(bytes([byte]))
            if server.stopped.wait(pause):
                return

    return behave


def silent(server, connection, headers):  # noqa: ARG001
    """Takes the request and says nothing."""
    server.stopped.wait(20)


def hangs_up(server, connection, headers):
    """Closes without a word."""
