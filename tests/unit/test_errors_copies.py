"""Errors pickle, copy and deep-copy without loss: every class of ours, and users' subclasses with any signature."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from uuid import UUID

import pytest

from omnibase_infra.enums import EnumCoreErrorCode, EnumInfraTransportType
from omnibase_infra.errors import (
    InfraAuthenticationError,
    InfraConnectionError,
    InfraRateLimitedError,
    InfraTimeoutError,
    InfraUnavailableError,
    ModelInfraErrorContext,
    ModelOnexError,
    ProtocolConfigurationError,
    RuntimeHostError,
    SecretResolutionError,
)
from omnibase_infra.errors.error_onex import policy_error
from omnibase_infra.errors.error_origin import ErrorOrigin
from omnibase_infra.errors.model_infra_error_context import call_context
from omnibase_infra.infrastructure.resilience import classify

ONE = UUID("11111111-1111-4111-8111-111111111111")

CLASSES = [
    ModelOnexError,
    RuntimeHostError,
    ProtocolConfigurationError,
    SecretResolutionError,
    InfraConnectionError,
    InfraTimeoutError,
    InfraAuthenticationError,
    InfraUnavailableError,
    InfraRateLimitedError,
]

WAYS: dict[str, Callable[[ModelOnexError], ModelOnexError]] = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    **{
        f"pickle{protocol}": lambda error, protocol=protocol: pickle.loads(pickle.dumps(error, protocol))  # type: ignore[misc]
        for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1)
    },
}


class OrderError(InfraTimeoutError):
    def __init__(self, order: int, *, tries: int) -> None:
        super().__init__(f"order {order} timed out", retry_count=tries)
        self.order = order
        self.tries = tries


class ReplicaError(InfraConnectionError):
    """Another number of arguments than `args` has."""

    def __init__(self, host: str, port: int, shard: str) -> None:
        super().__init__(f"replica {host}:{port} is gone", host=host)
        self.shard = shard


class BareError(RuntimeHostError):
    def __init__(self) -> None:
        super().__init__("always the same", error_code=EnumCoreErrorCode.INVALID_INPUT)


class KnotError(RuntimeHostError):
    """Refers to itself."""

    def __init__(self) -> None:
        super().__init__("a knot")
        self.me = self
        self.tags = ["one"]


def full(cls: type[ModelOnexError]) -> ModelOnexError:
    return cls(
        "it failed",
        context=ModelInfraErrorContext(transport_type=EnumInfraTransportType.DATABASE, operation="connect"),
        correlation_id=ONE,
        error_code=EnumCoreErrorCode.NETWORK_ERROR,
        retry_after_seconds=1.5,
        circuit_state="open",
        rejected_by="orders",
        host="db.example.com",
        tags=["a", {"b": 1}],
    )


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("cls", CLASSES)
def test_a_copy_of_every_class_loses_nothing(cls: type[ModelOnexError], way: str) -> None:
    error = full(cls)
    error.add_note("seen in the night shift")
    error.ticket = "A-1"  # type: ignore[attr-defined]
    twin = WAYS[way](error)
    assert twin is not error
    assert type(twin) is cls
    assert twin.args == error.args
    assert (str(twin), repr(twin)) == (str(error), repr(error))
    assert twin.model == error.model
    assert twin.context == error.context
    assert twin.http_status == error.http_status
    assert twin.__notes__ == ["seen in the night shift"]
    assert twin.ticket == "A-1"  # type: ignore[attr-defined]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("cls", CLASSES)
def test_an_id_made_lazily_is_the_same_in_every_copy_whoever_reads_it_first(
    cls: type[ModelOnexError], way: str
) -> None:
    error = cls("it failed")
    twin, other = WAYS[way](error), WAYS[way](error)
    assert twin.correlation_id == other.correlation_id == error.correlation_id


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("error", [OrderError(7, tries=2), ReplicaError("db.example.com", 5432, "eu"), BareError()])
def test_subclasses_with_signatures_of_their_own_survive(error: ModelOnexError, way: str) -> None:
    twin = WAYS[way](error)
    assert type(twin) is type(error)
    assert twin.model == error.model
    assert {k: v for k, v in vars(twin).items() if not k.startswith("_")} == {
        k: v for k, v in vars(error).items() if not k.startswith("_")
    }


@pytest.mark.parametrize("way", [way for way in WAYS if way != "copy"])
def test_an_error_that_refers_to_itself_is_copied_as_one(way: str) -> None:
    error = KnotError()
    twin = WAYS[way](error)
    assert isinstance(twin, KnotError)
    assert twin.me is twin
    assert twin.tags == ["one"]
    assert twin.tags is not error.tags


def test_a_deep_copy_shares_what_its_surroundings_share() -> None:
    error = KnotError()
    errors, tags = copy.deepcopy(([error, error], error.tags))
    assert errors[0] is errors[1]
    assert errors[0].tags is tags


def test_a_copy_keeps_the_chain_without_copying_it() -> None:
    class UncopyableError(ConnectionError):
        def __reduce__(self) -> tuple[object, ...]:
            raise TypeError("holds a socket")

    cause = UncopyableError("gone")
    error = InfraConnectionError("it failed")
    error.__cause__ = cause
    error.__context__ = KeyError("before")
    for way in (copy.copy, copy.deepcopy):
        twin = way(error)
        assert twin.__cause__ is cause
        assert twin.__context__ is error.__context__
        assert twin.__suppress_context__
    revived = pickle.loads(pickle.dumps(error))
    assert revived.__cause__ is None


@pytest.mark.parametrize("way", [copy.copy, copy.deepcopy])
def test_a_copy_shows_the_context_exactly_when_the_original_does(
    way: Callable[[ModelOnexError], ModelOnexError],
) -> None:
    error = InfraConnectionError("it failed")
    assert way(error).__suppress_context__ is False
    error.__suppress_context__ = True
    assert way(error).__suppress_context__ is True


@pytest.mark.parametrize("way", WAYS)
def test_a_message_that_was_not_yet_made_is_made_for_the_copy(way: str) -> None:
    origin = ErrorOrigin(lambda _: "limit reached", call_context(None, "fetch", None))
    error = policy_error(InfraRateLimitedError, origin)
    twin = WAYS[way](error)
    assert str(twin) == "[ONEX_CORE_162_RATE_LIMIT_EXCEEDED] limit reached"
    assert twin.model == error.model


@pytest.mark.parametrize("way", WAYS)
def test_a_classified_error_is_copied_with_its_finding(way: str) -> None:
    error = full(InfraConnectionError)
    kind = classify(error, EnumInfraTransportType.DATABASE)
    assert classify(WAYS[way](error), EnumInfraTransportType.DATABASE) is kind


def test_a_shallow_copy_can_be_changed_without_changing_the_original() -> None:
    error = BareError()
    twin = copy.copy(error)
    twin.add_note("only here")
    assert not hasattr(error, "__notes__")
