"""The mixin: its arguments, its states, its error, and its lock contract."""

from __future__ import annotations

import asyncio
import gc
import weakref
from uuid import uuid4

import pytest
from tests.support.adapters import Adapter, answer
from tests.support.virtual_time import clock, run

from omnibase_infra.enums import EnumCircuitState, EnumInfraTransportType, EnumResilienceEvent
from omnibase_infra.errors import (
    InfraAuthenticationError,
    InfraRateLimitedError,
    InfraUnavailableError,
    ProtocolConfigurationError,
    RuntimeHostError,
)
from omnibase_infra.infrastructure.resilience import add_observer
from omnibase_infra.mixins import MixinAsyncCircuitBreaker


def adapter(threshold: int | None = 3, reset_timeout: float | None = 60.0, **settings: object) -> Adapter:
    return Adapter(threshold, reset_timeout, **{"clock": clock, **settings})


async def refusal(of: Adapter) -> InfraUnavailableError:
    with pytest.raises(InfraUnavailableError, match="Circuit breaker is open") as caught:
        await of.check("connect", None)
    return caught.value


def test_the_numbers_are_those_of_the_defaults_preset_unless_given():
    async def main() -> None:
        plain = adapter(None, None)
        await plain.fail(4)
        assert not plain._circuit_breaker_open
        await plain.fail()
        assert plain._circuit_breaker_open
        assert plain._circuit_breaker_open_until == 60.0

    run(main())


def test_the_environment_overrides_the_defaults_and_an_argument_overrides_both(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ONEX_RESILIENCE__DEFAULTS__CIRCUIT_BREAKER__FAILURE_THRESHOLD", "2")

    async def main() -> None:
        preset, given = adapter(None), adapter(1)
        await preset.fail()
        assert not preset._circuit_breaker_open
        await preset.fail()
        assert preset._circuit_breaker_open
        await given.fail()
        assert given._circuit_breaker_open

    run(main())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"threshold": 0}, "threshold = 0: must be a whole number, 1 or more"),
        ({"threshold": 2.5}, "threshold = 2.5: must be a whole number"),
        ({"reset_timeout": -1.0}, "reset_timeout = -1.0: must be a finite number, 0 or more"),
        ({"reset_timeout": float("nan")}, "reset_timeout = nan"),
        ({"service_name": "  "}, "service_name = "),
        ({"transport_type": "http"}, "transport = "),
    ],
)
def test_an_unusable_argument_is_refused_by_its_own_name(arguments: dict[str, object], message: str):
    class Service(MixinAsyncCircuitBreaker):
        def __init__(self) -> None:
            self._init_circuit_breaker(**arguments)

    with pytest.raises(ProtocolConfigurationError, match=message):
        Service()


def test_a_service_without_a_name_is_called_after_its_class():
    class OrdersAdapter(MixinAsyncCircuitBreaker):
        def __init__(self) -> None:
            self._init_circuit_breaker()

    assert OrdersAdapter().service_name.endswith("OrdersAdapter")


def test_a_class_that_forgot_to_make_its_circuit_is_told_so():
    class Forgetful(MixinAsyncCircuitBreaker):
        pass

    with pytest.raises(RuntimeHostError, match=r"Forgetful must call _init_circuit_breaker\(\) in its __init__"):
        run(Forgetful()._check_circuit_breaker("connect"))


def test_the_refusal_tells_everything_the_documents_ask_for():
    async def main() -> None:
        service = adapter(1, 60.0)
        await service.fail()
        await asyncio.sleep(17.5)
        correlation_id = uuid4()
        with pytest.raises(InfraUnavailableError) as caught:
            await service.check("publish", correlation_id)
        error = caught.value
        assert error.message == "Circuit breaker is open: 'orders.test' rejects calls for another 43 s"
        assert error.retry_after_seconds == 43
        assert isinstance(error.retry_after_seconds, int)
        assert error.correlation_id == correlation_id
        assert error.circuit_state == "open"
        assert error.rejected_by == service.service_name == "orders.test"
        assert error.context.operation == "publish"
        assert error.context.target_name == "orders.test"
        assert error.context.transport_type is EnumInfraTransportType.KAFKA
        assert "refused" not in error.model_dump_json()

    run(main())


@pytest.mark.parametrize("reset_timeout", [0.5, 1.0, 59.5, 60.0])
def test_retry_after_is_a_whole_number_from_zero_to_the_reset_timeout(reset_timeout: float):
    async def main() -> None:
        service = adapter(1, reset_timeout)
        await service.fail()
        while service._circuit_breaker_open:
            told = (await refusal(service)).retry_after_seconds
            assert isinstance(told, int)
            assert 0 <= told <= reset_timeout
            await asyncio.sleep(reset_timeout / 7)

    run(main())


def test_the_readable_attributes_follow_the_state():
    async def main() -> None:
        service = adapter(2)
        assert (service._circuit_breaker_open, service._circuit_breaker_failures) == (False, 0)
        await service.fail()
        assert (service._circuit_breaker_open, service._circuit_breaker_failures) == (False, 1)
        await service.fail()
        assert (service._circuit_breaker_open, service._circuit_breaker_failures) == (True, 2)
        assert service._circuit_breaker_open_until == clock() + 60
        await asyncio.sleep(60)
        await service.check()
        assert not service._circuit_breaker_open
        assert service._circuit_breaker_open_until == 0.0
        await service.succeeded()
        assert (service._circuit_breaker_open, service._circuit_breaker_failures) == (False, 0)

    run(main())


def test_a_success_zeroes_the_count_of_consecutive_failures():
    async def main() -> None:
        service = adapter(2)
        await service.fail()
        await service.call(answer)
        await service.fail()
        assert not service._circuit_breaker_open

    run(main())


def test_one_successful_probe_closes_the_circuit_and_a_failed_one_opens_it_for_the_whole_time_again():
    async def main() -> None:
        service = adapter(1)
        await service.fail()
        await asyncio.sleep(60)
        await service.fail()
        assert service._circuit_breaker_open_until == clock() + 60
        await asyncio.sleep(60)
        assert await service.call(answer) == "ok"
        assert await asyncio.gather(*(service.call(answer) for _ in range(50))) == ["ok"] * 50

    run(main())


def test_half_open_admits_one_probe_among_a_hundred_tasks():
    async def main() -> None:
        service = adapter(1)
        await service.fail()
        await asyncio.sleep(60)
        results = await asyncio.gather(
            *(service.call(lambda: asyncio.sleep(5, "ok")) for _ in range(100)), return_exceptions=True
        )
        assert results.count("ok") == 1
        refused = [result for result in results if isinstance(result, InfraUnavailableError)]
        assert len(refused) == 99
        assert {error.circuit_state for error in refused} == {EnumCircuitState.HALF_OPEN}
        assert {error.retry_after_seconds for error in refused} == {60}

    run(main())


def test_the_place_of_a_cancelled_probe_is_free_at_once():
    async def main() -> None:
        service = adapter(1)
        await service.fail()
        await asyncio.sleep(60)
        probe = asyncio.create_task(service.call(lambda: asyncio.sleep(1000)))
        await asyncio.sleep(1)
        await refusal(service)
        probe.cancel()
        await asyncio.gather(probe, return_exceptions=True)
        assert await service.call(answer) == "ok"

    run(main())


def test_a_task_whose_call_was_timed_out_may_probe_again_itself():
    async def main() -> None:
        service = adapter(1)
        await service.fail()
        await asyncio.sleep(60)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(5):
                await service.call(lambda: asyncio.sleep(1000))
        assert await service.call(answer) == "ok"
        assert service._circuit_breaker_failures == 0

    run(main())


def test_a_probe_that_never_reports_gives_its_place_back_after_another_reset_timeout():
    async def main() -> None:
        service = adapter(1)
        await service.fail()
        await asyncio.sleep(60)
        hung = asyncio.create_task(service.call(lambda: asyncio.sleep(1000)))
        await asyncio.sleep(59.9)
        await refusal(service)
        await asyncio.sleep(0.1)
        second = asyncio.create_task(service.call(lambda: asyncio.sleep(1000)))
        await asyncio.sleep(1)
        await refusal(service)
        hung.cancel()
        second.cancel()
        await asyncio.gather(hung, second, return_exceptions=True)
        assert await service.call(answer) == "ok"

    run(main())


@pytest.mark.parametrize("fails", [True, False])
def test_the_late_report_of_a_lost_probe_changes_nothing(fails: bool):
    async def main() -> None:
        service = adapter(1)
        await service.fail()
        await asyncio.sleep(60)
        late, current = asyncio.Event(), asyncio.Event()

        async def lost() -> None:
            await late.wait()
            if fails:
                raise ConnectionError("late")

        async def probe() -> None:
            await current.wait()

        first = asyncio.create_task(service.call(lost))
        await asyncio.sleep(60)
        second = asyncio.create_task(service.call(probe))
        await asyncio.sleep(0)
        late.set()
        await asyncio.gather(first, return_exceptions=True)
        assert (await refusal(service)).circuit_state is EnumCircuitState.HALF_OPEN
        current.set()
        await second
        assert await service.call(answer) == "ok"

    run(main())


@pytest.mark.parametrize("fails", [True, False])
def test_a_call_begun_before_the_circuit_opened_changes_nothing_when_it_ends(fails: bool):
    async def main() -> None:
        service = adapter(1)
        ended = asyncio.Event()

        async def slow() -> None:
            await ended.wait()
            if fails:
                raise ConnectionError("late")

        early = asyncio.create_task(service.call(slow))
        await asyncio.sleep(1)
        await service.fail()
        before = service._circuit_breaker_open_until
        ended.set()
        await asyncio.gather(early, return_exceptions=True)
        assert service._circuit_breaker_open
        assert service._circuit_breaker_open_until == before

    run(main())


def test_a_guarded_method_that_calls_another_one_is_one_probe():
    async def main() -> None:
        service = adapter(1)
        await service.fail()
        await asyncio.sleep(60)
        assert await service.call(lambda: service.call(answer)) == "ok"
        assert not service._circuit_breaker_open
        assert await asyncio.gather(*(service.call(answer) for _ in range(10))) == ["ok"] * 10

    run(main())


def test_a_guarded_method_whose_inner_call_fails_for_its_own_reasons_keeps_its_probe():
    async def main() -> None:
        service = adapter(1)
        await service.fail()
        await asyncio.sleep(60)

        async def outer() -> object:
            await service.fail(error=ValueError("bad argument"))
            with pytest.raises(InfraUnavailableError):
                await asyncio.create_task(service.call(answer))
            return "ok"

        assert await service.call(outer) == "ok"
        assert await service.call(answer) == "ok"

    run(main())


@pytest.mark.parametrize(
    "error",
    [
        ValueError("bad argument"),
        InfraAuthenticationError("wrong password"),
        InfraUnavailableError("another circuit", rejected_by="other", circuit_state="open"),
        InfraRateLimitedError("our own limiter", rejected_by="limiter"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_exception_that_tells_nothing_of_the_dependency_does_not_count(error: Exception):
    async def main() -> None:
        service = adapter(1)
        await service.fail(times=3, error=error)
        assert service._circuit_breaker_failures == 0
        assert not service._circuit_breaker_open

    run(main())


def test_an_exception_that_tells_nothing_of_the_dependency_gives_the_probes_place_back():
    async def main() -> None:
        service = adapter(1)
        await service.fail()
        await asyncio.sleep(60)
        await service.fail(error=ValueError("bad argument"))
        assert await service.call(answer) == "ok"

    run(main())


def test_a_report_without_an_exception_counts_as_it_is():
    async def main() -> None:
        service = adapter(2)
        for _ in range(2):
            await service.check()
            await service.failed()
        assert service._circuit_breaker_open

    run(main())


def test_a_report_by_a_task_that_was_not_let_through_counts_only_while_closed():
    async def main() -> None:
        service = adapter(2)
        await service.failed()
        await service.failed()
        assert service._circuit_breaker_open
        before = service._circuit_breaker_open_until
        await asyncio.sleep(10)
        await service.failed()
        assert service._circuit_breaker_open_until == before
        await asyncio.sleep(50)
        probe = asyncio.create_task(service.call(lambda: asyncio.sleep(5, "ok")))
        await asyncio.sleep(1)
        await service.failed()
        assert await probe == "ok"
        assert service._circuit_breaker_failures == 0

    run(main())


def test_a_reset_without_a_check_closes_the_circuit_by_hand():
    async def main() -> None:
        service = adapter(1)
        await service.fail()
        await service.succeeded()
        assert await service.call(answer) == "ok"

    run(main())


def test_a_task_that_was_refused_can_close_the_circuit_by_hand_though_it_owes_a_report():
    async def main() -> None:
        service = adapter(1)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(5):
                await service.call(lambda: asyncio.sleep(1000))
        await asyncio.create_task(service.fail())
        await refusal(service)
        await service.succeeded()
        assert await service.call(answer) == "ok"

    run(main())


def test_a_reset_timeout_of_zero_means_zero():
    async def main() -> None:
        service = adapter(1, 0.0)
        for _ in range(3):
            await service.fail()
            assert not service._circuit_breaker_open
        assert await service.call(answer) == "ok"

    run(main())


def test_two_objects_of_one_service_name_are_two_circuits():
    async def main() -> None:
        first, second = adapter(1), adapter(1)
        await first.fail()
        assert first._circuit_breaker_open
        assert not second._circuit_breaker_open

    run(main())


@pytest.mark.parametrize("method", ["_check_circuit_breaker", "_record_circuit_failure", "_reset_circuit_breaker"])
def test_a_method_awaited_without_the_lock_says_so(method: str):
    async def main() -> None:
        service = adapter()
        arguments = () if method == "_reset_circuit_breaker" else ("publish", None)
        with pytest.raises(RuntimeHostError, match=rf"Adapter\.{method}\(\) needs the lock, and it is free"):
            await getattr(service, method)(*arguments)

        async def intrude() -> None:
            with pytest.raises(RuntimeHostError, match=rf"{method}\(\) needs the lock, and another task holds it"):
                await getattr(service, method)(*arguments)

        async with service._circuit_breaker_lock:
            await asyncio.create_task(intrude())
        assert service._circuit_breaker_failures == 0

    run(main())


def test_a_broken_lock_contract_is_no_failure_of_the_dependency():
    async def main() -> None:
        service = adapter(1)
        with pytest.raises(RuntimeHostError, match="needs the lock"):
            await service.call(lambda: service._check_circuit_breaker("publish"))
        assert service._circuit_breaker_failures == 0

    run(main())


def test_what_happens_is_told_to_observers_as_that_of_any_circuit_breaker():
    heard: list[tuple[EnumResilienceEvent, str, object]] = []
    remove = add_observer(lambda event: heard.append((event.kind, event.name, event.state)), inline=True)

    async def main() -> None:
        service = adapter(1)
        await service.fail()
        await refusal(service)
        await asyncio.sleep(60)
        await service.call(answer)

    try:
        run(main())
    finally:
        remove()
    assert heard == [
        (EnumResilienceEvent.CIRCUIT_STATE, "orders.test", EnumCircuitState.OPEN),
        (EnumResilienceEvent.REJECTED, "orders.test", EnumCircuitState.OPEN),
        (EnumResilienceEvent.CIRCUIT_STATE, "orders.test", EnumCircuitState.HALF_OPEN),
        (EnumResilienceEvent.CIRCUIT_STATE, "orders.test", EnumCircuitState.CLOSED),
    ]


def test_neither_an_exception_nor_a_task_nor_the_object_is_kept_alive():
    class LostError(ConnectionError):
        pass

    kept: list[weakref.ref[object]] = []

    async def work() -> None:
        raise LostError

    async def main() -> None:
        service = adapter(1)
        for _ in range(2):
            task = asyncio.create_task(service.call(work))
            await asyncio.wait([task])
            kept.extend([weakref.ref(task), weakref.ref(task.exception())])
        kept.append(weakref.ref(service))

    gc.collect()
    gc.disable()
    try:
        run(main())
        assert [reference() for reference in kept] == [None] * 5
    finally:
        gc.enable()
