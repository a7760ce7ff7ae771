"""Runs of a script that are asked for at once fly together, and each caller gets its own answer, error or end."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import pytest
from tests.support.virtual_time import run

from omnibase_infra.infrastructure.resilience.shared_state.packed_script import PackedScript
from omnibase_infra.infrastructure.resilience.shared_state.script_flights import AsyncPackedScript


class NoScriptError(Exception):
    """As the packages call it."""


class Server:
    """Client, pool and connections of a server that knows a script once it is loaded, and repeats its argument."""

    def __init__(self) -> None:
        self.knows = True
        self.answers = asyncio.Event()
        self.answers.set()
        self.flights: list[list[bytes]] = []
        self.lent = 0
        self.loads = 0
        self.connection_pool = self

    async def script_load(self, script: str) -> None:
        assert script == "script"
        self.loads += 1
        self.knows = True

    async def get_connection(self) -> Wire:
        self.lent += 1
        return Wire(self)

    async def release(self, _: Wire) -> None:
        self.lent -= 1


class Wire:
    def __init__(self, server: Server) -> None:
        self.server = server
        self.is_connected = True
        self.asked: list[bytes] = []

    def pack_command(self, command: str, _: str, keys: int, key: str, argument: bytes) -> Iterable[bytes]:
        assert (command, keys, key) == ("EVALSHA", 1, "key")
        return [argument]

    async def send_packed_command(self, command: Iterable[bytes]) -> None:
        self.asked = list(command)
        self.server.flights.append(list(self.asked))

    async def read_response(self) -> bytes:
        await asyncio.sleep(0.001)
        await self.server.answers.wait()
        argument = self.asked.pop(0)
        if not self.server.knows:
            raise NoScriptError
        if argument == b"refused":
            raise ValueError
        if argument == b"cut":
            self.is_connected = False
            raise ConnectionError
        return argument


def test_those_who_ask_at_once_share_two_flights_and_get_their_own_answers() -> None:
    async def main() -> None:
        server = Server()
        script = AsyncPackedScript(server, "script")
        asked = [str(number).encode() for number in range(50)]
        assert await asyncio.gather(*(script("key", argument) for argument in asked)) == asked
        assert server.flights == [asked[:1], asked[1:]]
        assert server.lent == 0

    run(main())


def test_a_batch_is_bounded_and_so_are_the_flights() -> None:
    async def main() -> None:
        server = Server()
        server.answers.clear()
        script = AsyncPackedScript(server, "script")
        tasks = [asyncio.create_task(script("key", str(number).encode())) for number in range(1_000)]
        await asyncio.sleep(1)
        assert [len(flight) for flight in server.flights] == [1] + [100] * 7
        server.answers.set()
        assert await asyncio.gather(*tasks) == [str(number).encode() for number in range(1_000)]
        assert server.lent == 0

    run(main())


def test_an_error_that_the_server_gives_one_reaches_that_one_only() -> None:
    async def main() -> None:
        server = Server()
        script = AsyncPackedScript(server, "script")
        asked = [b"1", b"2", b"refused", b"3"]
        found = await asyncio.gather(*(script("key", argument) for argument in asked), return_exceptions=True)
        assert found[:2] + found[3:] == [b"1", b"2", b"3"]
        assert isinstance(found[2], ValueError)

    run(main())


def test_a_connection_that_breaks_is_an_error_for_all_aboard() -> None:
    async def main() -> None:
        server = Server()
        script = AsyncPackedScript(server, "script")
        asked = [b"1", b"2", b"cut", b"3"]
        found = await asyncio.gather(*(script("key", argument) for argument in asked), return_exceptions=True)
        assert found[0] == b"1"
        assert [type(answer) for answer in found[1:]] == [ConnectionError] * 3
        assert server.lent == 0

    run(main())


def test_a_server_that_began_anew_is_told_the_script_once_a_flight() -> None:
    async def main() -> None:
        server = Server()
        server.knows = False
        script = AsyncPackedScript(server, "script")
        assert await script("key", b"1") == b"1"
        server.knows = False
        assert await asyncio.gather(script("key", b"2"), script("key", b"3"), script("key", b"4")) == [b"2", b"3", b"4"]
        assert server.loads <= 3

    run(main())


@pytest.mark.parametrize("moment", range(12))
def test_a_caller_that_is_cancelled_leaves_the_others_their_answers(moment: int) -> None:
    async def main() -> None:
        server = Server()
        server.answers.clear()
        script = AsyncPackedScript(server, "script")
        tasks = [asyncio.create_task(script("key", str(number).encode())) for number in range(4)]
        for _ in range(moment):
            await asyncio.sleep(0)
        tasks[2].cancel()
        await asyncio.sleep(0)
        server.answers.set()
        found = await asyncio.gather(*tasks, return_exceptions=True)
        assert [found[0], found[1], found[3]] == [b"0", b"1", b"3"]
        assert isinstance(found[2], asyncio.CancelledError)
        assert server.lent == 0

    run(main())


def test_a_flight_without_anybody_left_aboard_is_given_up() -> None:
    async def main() -> None:
        server = Server()
        server.answers.clear()
        script = AsyncPackedScript(server, "script")
        tasks = [asyncio.create_task(script("key", str(number).encode())) for number in range(4)]
        await asyncio.sleep(1)
        assert server.lent == 2
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(1)
        assert server.lent == 0
        server.answers.set()
        assert await script("key", b"again") == b"again"

    run(main())


def test_a_batch_that_is_cancelled_before_it_takes_off_is_made_up_for() -> None:
    async def main() -> None:
        server = Server()
        script = AsyncPackedScript(server, "script")
        tasks = [asyncio.create_task(script("key", str(number).encode())) for number in range(4)]
        await asyncio.sleep(0)
        assert script._boarding is not None
        script._boarding.cancel()
        assert await asyncio.gather(*tasks) == [b"0", b"1", b"2", b"3"]

    run(main())


class BlockingWire:
    """A connection whose server repeats the argument, and may have hung up meanwhile."""

    def __init__(self, knows: list[str]) -> None:
        self.knows = knows
        self.answers = True
        self.hung_up = False
        self.asked: Iterable[bytes] = ()

    def pack_command(self, _command: str, sha: str, _keys: int, _key: str, argument: bytes) -> Iterable[bytes]:
        return [argument, sha.encode()]

    def send_packed_command(self, command: Iterable[bytes]) -> None:
        if self.hung_up:
            raise ConnectionError
        self.asked = command

    def read_response(self) -> bytes:
        argument, _ = self.asked
        if not self.knows:
            raise NoScriptError
        return argument

    def can_read(self, timeout: float = 0) -> bool:
        if self.hung_up:
            raise ConnectionError
        return bool(timeout) and self.answers

    def disconnect(self) -> None:
        self.hung_up = True


class BlockingServer:
    def __init__(self) -> None:
        self.knows: list[str] = []
        self.connection_pool = self
        self.made: list[BlockingWire] = []
        self.released: list[BlockingWire] = []

    def script_load(self, script: str) -> None:
        self.knows.append(script)

    def get_connection(self) -> BlockingWire:
        self.made.append(BlockingWire(self.knows))
        return self.made[-1]

    def release(self, connection: BlockingWire) -> None:
        self.released.append(connection)


def test_a_thread_goes_over_a_connection_that_is_at_hand_and_never_over_one_that_was_closed() -> None:
    server = BlockingServer()
    script = PackedScript(server, "script")
    assert script.if_connected("key", b"1", 1.0) is None
    assert script("key", b"2") == b"2"
    assert script.if_connected("key", b"3", 1.0) == b"3"
    assert PackedScript(server, "another").if_connected("key", b"4", 1.0) == b"4"  # scripts of one pool share them
    used = len(server.made)
    server.made[-1].hung_up = True
    assert script.if_connected("key", b"5", 1.0) is None
    assert server.made[-1] in server.released
    assert script("key", b"6") == b"6"
    assert len(server.made) == used + 1


def test_a_thread_whose_server_began_anew_leaves_the_loading_to_a_run_that_may_take_longer() -> None:
    server = BlockingServer()
    script = PackedScript(server, "script")
    script("key", b"1")
    server.knows.clear()
    assert script.if_connected("key", b"2", 1.0) is None
    assert script("key", b"3") == b"3"
    assert server.knows == ["script"]


def test_a_thread_leaves_when_its_time_is_over_and_the_late_answer_reaches_nobody() -> None:
    server = BlockingServer()
    script = PackedScript(server, "script")
    script("key", b"1")
    (connection,) = [made for made in server.made if made not in server.released]
    connection.answers = False
    with pytest.raises(TimeoutError):
        script.if_connected("key", b"2", 0.01)
    assert connection.hung_up
    assert script.if_connected("key", b"3", 0.01) is None
