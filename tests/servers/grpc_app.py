"""A gRPC server that fails on request: grpc.aio with generic handlers in a child process, gone at the end of the block.

    with GrpcServer() as server:
        channel = grpc.insecure_channel(server.target)
        channel.unary_unary("/onex.Test/Fail")(b'{"code": "UNAVAILABLE"}')

| method | answer |
| --- | --- |
| `Echo` | the request |
| `Fail` | the request's `code`, with its `details`, its `metadata` and the bytes that `binary` has in hexadecimal |
| `Flaky` | as often as `fail` says (over all calls) what `Fail` would do, then `ok` |
| `Slow` | nothing, for a minute |
| `Crash` | the handler raises, with the request in the text |
| `Big` | as many bytes as the request says |
| `Stream` | a message every 20 ms, for a minute |
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from typing import Self

HOST = "127.0.0.1"
SERVICE = "onex.Test"
_START_SECONDS = 10.0


class GrpcServer:
    """The server on a free port of 127.0.0.1; kill, pause and resume it at will.

    Args:
        concurrent_calls: As many calls it serves at a time; None for no limit.
    """

    def __init__(self, concurrent_calls: int | None = None) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__, str(concurrent_calls or "")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def __enter__(self) -> Self:
        watchdog = threading.Timer(_START_SECONDS, self._process.kill)
        watchdog.start()
        assert self._process.stdout is not None
        port = self._process.stdout.readline()
        watchdog.cancel()
        if not port:
            self.__exit__()
            raise RuntimeError(f"the gRPC server did not start within {_START_SECONDS} s")
        self.port = int(port)
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()

    @property
    def target(self) -> str:
        return f"{HOST}:{self.port}"

    def pause(self) -> None:
        """Freeze it: connections are accepted by the kernel, and nothing answers."""
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """Kill it, frozen or not."""
        self._process.kill()
        self._process.wait(10)


async def _serve(concurrent_calls: int | None) -> None:
    import grpc
    import grpc.aio

    failures = 0

    async def fail(request: bytes, context: grpc.aio.ServicerContext) -> bytes:
        wish = json.loads(request)
        metadata = [(name, value) for name, value in wish.get("metadata", {}).items()]
        metadata += [(name, bytes.fromhex(value)) for name, value in wish.get("binary", {}).items()]
        await context.abort(grpc.StatusCode[wish["code"]], wish.get("details", ""), tuple(metadata))
        raise AssertionError("abort raises")

    async def flaky(request: bytes, context: grpc.aio.ServicerContext) -> bytes:
        nonlocal failures
        failures += 1
        return b"ok" if failures > json.loads(request)["fail"] else await fail(request, context)

    async def slow(request: bytes, _: grpc.aio.ServicerContext) -> bytes:
        await asyncio.sleep(60)
        return request

    async def crash(request: bytes, _: grpc.aio.ServicerContext) -> bytes:
        raise ValueError(request.decode())

    async def echo(request: bytes, _: grpc.aio.ServicerContext) -> bytes:
        return request

    async def big(request: bytes, _: grpc.aio.ServicerContext) -> bytes:
        return b"x" * int(request)

    async def stream(_: bytes, __: grpc.aio.ServicerContext) -> AsyncIterator[bytes]:
        for _number in range(3000):
            yield b"tick"
            await asyncio.sleep(0.02)

    unary = {"Echo": echo, "Fail": fail, "Flaky": flaky, "Slow": slow, "Crash": crash, "Big": big}
    handlers = {name: grpc.unary_unary_rpc_method_handler(method) for name, method in unary.items()}
    handlers["Stream"] = grpc.unary_stream_rpc_method_handler(stream)
    server = grpc.aio.server(maximum_concurrent_rpcs=concurrent_calls)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    port = server.add_insecure_port(f"{HOST}:0")
    await server.start()
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    await server.wait_for_termination()


if __name__ == "__main__":
    # Whoever started this server holds the other end of the pipe; it never outlives them.
    threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
    sys.stderr = open(os.devnull, "w")  # noqa: SIM115, PTH123 - what its handlers raise is no news
    asyncio.run(_serve(int(sys.argv[1]) if sys.argv[1] else None))
