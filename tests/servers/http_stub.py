"""A stand-in for servers that cannot be had: one status and one body for every request."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self

HOST = "127.0.0.1"


class HttpStub:
    """Answers everything with `status`, `body` and `headers`, each of which may be changed at any time."""

    def __init__(self) -> None:
        self.status = 200
        self.body = "stand-in"
        self.headers: dict[str, str] = {}
        self.requests = 0
        stub = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                stub.requests += 1
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                body = stub.body.encode()
                self.send_response(stub.status, "stand-in")
                for name, value in {**stub.headers, "Content-Length": str(len(body))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        for method in ("GET", "PUT", "POST", "DELETE", "LIST"):
            setattr(Handler, f"do_{method}", Handler.answer)
        self._server = ThreadingHTTPServer((HOST, 0), Handler)
        self._server.daemon_threads = True
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"
