"""A stand-in for a Kafka broker that refuses every login: no broker that does can be had from a package index.

It answers version look-up, SASL handshake and authentication as the protocol guide says, and nothing else.
"""

from __future__ import annotations

import base64
import socketserver
import struct
import threading
from typing import Self, cast

HOST = "127.0.0.1"
_API_VERSIONS = 18
_SASL_HANDSHAKE = 17
_SASL_AUTHENTICATE = 36
_METADATA = 3
_UNSUPPORTED_VERSION = 35
_SASL_AUTHENTICATION_FAILED = 58
_SPOKEN = ((_METADATA, 0, 4), (_SASL_HANDSHAKE, 0, 1), (_API_VERSIONS, 0, 0), (_SASL_AUTHENTICATE, 0, 0))
_MECHANISMS = ("PLAIN", "SCRAM-SHA-256")


class KafkaLoginStub(socketserver.ThreadingTCPServer):
    """Listens on a free port of 127.0.0.1, and is gone at the end of the `with` block.

    Args:
        scram_error: Let a SCRAM exchange end with this error of RFC 5802, as some brokers do, in place of code 58.
    """

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, scram_error: str | None = None) -> None:
        super().__init__((HOST, 0), _Handler)
        self.scram_error = scram_error
        self._thread = threading.Thread(target=self.serve_forever, args=(0.01,), name="kafka-login-stub", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()

    @property
    def address(self) -> str:
        """Host and port for a client's bootstrap servers."""
        return f"{HOST}:{self.server_address[1]}"


class _Handler(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        steps = 0
        try:
            while size := self.rfile.read(4):
                request = self.rfile.read(int.from_bytes(size, "big"))
                key, version, correlation, client = struct.unpack_from(">hhih", request)
                body = request[10 + max(client, 0) :]
                if key == _API_VERSIONS:
                    answer = struct.pack(">hi", _UNSUPPORTED_VERSION if version else 0, len(_SPOKEN))
                    answer += b"".join(struct.pack(">hhh", *spoken) for spoken in _SPOKEN)
                elif key == _SASL_HANDSHAKE:
                    answer = struct.pack(">hi", 0, len(_MECHANISMS)) + b"".join(map(_string, _MECHANISMS))
                elif key == _SASL_AUTHENTICATE:
                    steps += 1
                    answer = self._authenticate(body, steps)
                else:
                    return
                self.wfile.write(struct.pack(">ii", len(answer) + 4, correlation) + answer)
        except OSError:
            return

    def _authenticate(self, body: bytes, step: int) -> bytes:
        error = cast("KafkaLoginStub", self.server).scram_error
        if error is None:
            refusal = struct.pack(">h", _SASL_AUTHENTICATION_FAILED) + _string("Invalid username or password")
            return refusal + struct.pack(">i", 0)
        token = f"e={error}"
        if step == 1:
            nonce = body.decode().rpartition("r=")[2]
            token = f"r={nonce}stub,s={base64.b64encode(b'salt').decode()},i=4096"
        return struct.pack(">hhi", 0, -1, len(token)) + token.encode()


def _string(text: str) -> bytes:
    return struct.pack(">h", len(text)) + text.encode()
