"""What a failure is, without any driver: builtins, ONEX errors, groups, cancellations; classified once."""

from __future__ import annotations

import asyncio
import concurrent.futures
import dataclasses
import io
import socket
import ssl
import subprocess
import sys
from asyncio import CancelledError
from collections.abc import Callable

import pytest

from omnibase_infra.enums import EnumFailureKind as Kind
from omnibase_infra.enums import EnumInfraTransportType as Transport
from omnibase_infra.errors import (
    InfraAuthenticationError,
    InfraConnectionError,
    InfraRateLimitedError,
    InfraTimeoutError,
    InfraUnavailableError,
    ModelOnexError,
    ProtocolConfigurationError,
    RuntimeHostError,
    SecretResolutionError,
)
from omnibase_infra.infrastructure.resilience import classify
from omnibase_infra.infrastructure.resilience.transports import failure_of
from omnibase_infra.infrastructure.resilience.transports.failure import Failure

MODULE = sys.modules["omnibase_infra.infrastructure.resilience.transports.classify"]
FINDING = "_onex_finding"


@pytest.mark.parametrize("transport", [None, *Transport])
def test_the_builtin_rule_is_the_same_for_every_transport(transport: Transport | None) -> None:
    assert classify(ConnectionRefusedError(), transport) is Kind.CONNECTION
    assert classify(ValueError("x"), transport) is Kind.CALLER


@pytest.mark.parametrize(
    "exc",
    [
        ConnectionError("x"),
        ConnectionRefusedError(111, "refused"),
        ConnectionResetError(104, "reset"),
        ConnectionAbortedError(),
        BrokenPipeError(),
        OSError("some input or output error"),
        OSError(101, "Network is unreachable"),
        socket.gaierror(-2, "Name or service not known"),
        ssl.SSLError("handshake failed"),
        ssl.SSLEOFError(),
    ],
)
def test_connection_errors_and_other_os_errors_are_connection_failures(exc: Exception) -> None:
    assert classify(exc) is Kind.CONNECTION


@pytest.mark.parametrize("exc", [TimeoutError(), OSError(110, "timed out"), concurrent.futures.TimeoutError()])
def test_time_outs_are_time_outs(exc: Exception) -> None:
    assert classify(exc) is Kind.TIMEOUT


@pytest.mark.parametrize(
    "exc",
    [
        FileNotFoundError(2, "No such file"),
        PermissionError(13, "denied"),
        IsADirectoryError(),
        NotADirectoryError(),
        FileExistsError(),
        OSError(2, "No such file"),
        io.UnsupportedOperation("not writable"),
        ssl.SSLCertVerificationError("self-signed certificate"),
    ],
)
def test_the_os_errors_that_no_retry_can_mend_are_the_caller_s(exc: Exception) -> None:
    assert classify(exc) is Kind.CALLER


@pytest.mark.parametrize(
    "exc",
    [
        ValueError("x"),
        TypeError("x"),
        KeyError("x"),
        ZeroDivisionError(),
        RuntimeError("x"),
        NotImplementedError(),
        StopIteration(),
        StopAsyncIteration(),
        subprocess.CalledProcessError(1, ["true"]),
        Exception("x"),
    ],
)
def test_any_other_exception_is_the_caller_s(exc: Exception) -> None:
    assert classify(exc) is Kind.CALLER


@pytest.mark.parametrize(
    "exc",
    [CancelledError(), KeyboardInterrupt(), GeneratorExit(), SystemExit(1), concurrent.futures.CancelledError()],
)
def test_what_gives_the_call_up_is_abandoned(exc: BaseException) -> None:
    assert classify(exc) is Kind.ABANDONED


def test_a_user_s_subclass_is_what_its_base_is() -> None:
    class ShardDownError(ConnectionError):
        def __init__(self, shard: int, *, zone: str) -> None:
            super().__init__(f"shard {shard} in {zone}")

    class Slow(asyncio.TimeoutError):
        pass

    assert classify(ShardDownError(3, zone="eu")) is Kind.CONNECTION
    assert classify(Slow()) is Kind.TIMEOUT


@pytest.mark.parametrize(
    ("cls", "kind"),
    [
        (InfraConnectionError, Kind.CONNECTION),
        (InfraTimeoutError, Kind.TIMEOUT),
        (InfraUnavailableError, Kind.UNAVAILABLE),
        (InfraRateLimitedError, Kind.THROTTLED),
        (InfraAuthenticationError, Kind.AUTHENTICATION),
        (ProtocolConfigurationError, Kind.CALLER),
        (SecretResolutionError, Kind.CALLER),
        (RuntimeHostError, Kind.CALLER),
        (ModelOnexError, Kind.CALLER),
    ],
)
def test_an_onex_error_is_classified_by_its_own_type(cls: type[ModelOnexError], kind: Kind) -> None:
    class Own(cls):  # type: ignore[valid-type, misc]
        pass

    assert classify(cls("x")) is kind
    assert classify(Own("x")) is kind


@pytest.mark.parametrize("cls", [InfraUnavailableError, InfraRateLimitedError, InfraTimeoutError])
def test_an_onex_error_of_our_own_policies_is_rejected(cls: type[ModelOnexError]) -> None:
    assert classify(cls("x", rejected_by="orders")) is Kind.REJECTED


def test_an_open_circuit_said_by_the_other_side_is_not_our_rejection() -> None:
    assert classify(InfraUnavailableError("503", circuit_state="open")) is Kind.UNAVAILABLE


def test_the_hint_of_an_onex_error_is_the_failure_s() -> None:
    assert failure_of(InfraRateLimitedError("429", retry_after_seconds=3)).retry_after_seconds == 3.0
    assert failure_of(InfraUnavailableError("x", rejected_by="r", retry_after_seconds=2)).retry_after_seconds == 2.0
    assert failure_of(InfraTimeoutError("x")).retry_after_seconds is None


@pytest.mark.parametrize(
    ("members", "kind"),
    [
        ([ConnectionError(), TimeoutError()], Kind.CONNECTION),
        ([TimeoutError(), ConnectionError()], Kind.TIMEOUT),
        ([ConnectionError(), ValueError()], Kind.CALLER),
        ([ConnectionError(), InfraAuthenticationError("401")], Kind.AUTHENTICATION),
        ([InfraAuthenticationError("401"), ValueError()], Kind.CALLER),
        ([TimeoutError(), InfraUnavailableError("open", rejected_by="r")], Kind.REJECTED),
        ([ExceptionGroup("inner", [TimeoutError()]), ConnectionError()], Kind.TIMEOUT),
        ([ExceptionGroup("inner", [TimeoutError(), KeyError()]), ConnectionError()], Kind.CALLER),
    ],
)
def test_a_group_is_what_its_gravest_member_is(members: list[Exception], kind: Kind) -> None:
    assert classify(ExceptionGroup("several", members)) is kind


def test_a_group_with_a_cancellation_is_abandoned() -> None:
    assert classify(BaseExceptionGroup("several", [ConnectionError(), CancelledError()])) is Kind.ABANDONED


def test_a_group_passes_on_the_hint_of_the_member_that_speaks_for_it() -> None:
    group = ExceptionGroup("several", [InfraRateLimitedError("429", retry_after_seconds=4), TimeoutError()])
    assert failure_of(group).retry_after_seconds == 4.0


@pytest.fixture
def rules_asked(monkeypatch: pytest.MonkeyPatch) -> list[type[BaseException]]:
    asked: list[type[BaseException]] = []
    found: Callable[[type[BaseException]], Callable[[BaseException], Failure]] = MODULE._rule_for

    def counting(cls: type[BaseException]) -> Callable[[BaseException], Failure]:
        asked.append(cls)
        return found(cls)

    monkeypatch.setattr(MODULE, "_rule_for", counting)
    return asked


def test_a_failure_is_classified_once_and_the_finding_travels_on_the_exception(
    rules_asked: list[type[BaseException]],
) -> None:
    exc = ConnectionResetError()
    first = failure_of(exc, Transport.DATABASE)
    assert failure_of(exc, Transport.DATABASE) is first
    assert rules_asked == [ConnectionResetError]


def test_another_transport_has_a_finding_of_its_own(rules_asked: list[type[BaseException]]) -> None:
    exc = ConnectionResetError()
    for transport in (Transport.DATABASE, Transport.HTTP, Transport.HTTP):
        assert classify(exc, transport) is Kind.CONNECTION
    assert len(rules_asked) == 2


def test_the_rule_of_a_class_is_found_once() -> None:
    class OwnError(ConnectionError):
        pass

    before = MODULE._rule_for.cache_info()
    for _ in range(3):
        classify(OwnError())
    after = MODULE._rule_for.cache_info()
    assert (after.misses - before.misses, after.hits - before.hits) == (1, 2)


@pytest.mark.parametrize("exc", [ValueError("x"), FileNotFoundError(), ExceptionGroup("g", [KeyError()])])
def test_an_error_of_the_caller_is_left_untouched_to_the_attribute(exc: Exception) -> None:
    before = dict(vars(exc)), exc.args, exc.__cause__, exc.__context__, exc.__traceback__
    classify(exc, Transport.DATABASE)
    assert (vars(exc), exc.args, exc.__cause__, exc.__context__, exc.__traceback__) == before


def test_a_cancellation_is_left_untouched_to_the_attribute() -> None:
    exc = CancelledError()
    classify(exc)
    assert vars(exc) == {}


@dataclasses.dataclass(frozen=True)
class FrozenError(ConnectionError):
    host: str


class LyingError(ConnectionError):
    def __getattr__(self, name: str) -> object:
        return {}[name]


class StubbornError(ConnectionError):
    def __setattr__(self, name: str, value: object) -> None:
        raise TypeError("this error is sealed")


@pytest.mark.parametrize("make", [lambda: FrozenError("db"), LyingError, StubbornError])
def test_exceptions_with_attributes_of_their_own_making_break_nothing(
    make: Callable[[], Exception], rules_asked: list[type[BaseException]]
) -> None:
    exc = make()
    assert classify(exc) is classify(exc) is Kind.CONNECTION
    assert len(rules_asked) == 1


def test_an_attribute_of_the_same_name_that_is_not_ours_is_no_finding() -> None:
    exc = ConnectionError()
    setattr(exc, FINDING, "something else")
    assert classify(exc) is Kind.CONNECTION


def test_every_finding_says_which_rule_decided() -> None:
    for exc in (ConnectionError(), TimeoutError(), ValueError(), CancelledError(), InfraTimeoutError("x"), OSError(2)):
        assert failure_of(exc).decided_by


def test_classifying_imports_no_driver() -> None:
    program = (
        "import sys\n"
        "from omnibase_infra.infrastructure.resilience import classify\n"
        "assert classify(ConnectionError()) == 'connection'\n"
        "sys.exit(int('asyncpg' in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
