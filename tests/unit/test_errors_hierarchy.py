"""What an error is: its place in the hierarchy, its code, its HTTP status, and the builtin it also is."""

from __future__ import annotations

from enum import Enum

import pytest

from omnibase_infra import errors
from omnibase_infra.enums import CoreErrorCode, EnumCoreErrorCode, EnumFailureKind, EnumInfraTransportType
from omnibase_infra.errors import (
    InfraAuthenticationError,
    InfraConnectionError,
    InfraRateLimitedError,
    InfraTimeoutError,
    InfraUnavailableError,
    ModelInfraErrorContext,
    ModelOnexError,
    OnexError,
    ProtocolConfigurationError,
    RuntimeHostError,
    SecretResolutionError,
)

Transport = EnumInfraTransportType
Code = EnumCoreErrorCode

CHILDREN = {
    ProtocolConfigurationError: (Code.INVALID_CONFIGURATION, 400),
    SecretResolutionError: (Code.RESOURCE_NOT_FOUND, 404),
    InfraConnectionError: (Code.SERVICE_UNAVAILABLE, 503),
    InfraTimeoutError: (Code.TIMEOUT_ERROR, 504),
    InfraAuthenticationError: (Code.AUTHENTICATION_ERROR, 401),
    InfraUnavailableError: (Code.SERVICE_UNAVAILABLE, 503),
    InfraRateLimitedError: (Code.RATE_LIMIT_EXCEEDED, 429),
}


@pytest.mark.parametrize("cls", CHILDREN)
def test_every_infrastructure_error_is_a_runtime_host_error_and_an_onex_error(cls: type[RuntimeHostError]) -> None:
    assert issubclass(cls, RuntimeHostError)
    assert issubclass(cls, ModelOnexError)
    assert issubclass(cls, Exception)


def test_onex_error_is_another_name_of_the_root() -> None:
    assert OnexError is ModelOnexError
    assert RuntimeHostError.__bases__ == (ModelOnexError,)


@pytest.mark.parametrize("cls", CHILDREN)
def test_each_class_has_its_own_code_and_http_status(cls: type[RuntimeHostError]) -> None:
    error = cls("no context at all")
    assert (error.error_code, error.http_status) == CHILDREN[cls]
    assert (error.model.error_code, error.model.http_status) == CHILDREN[cls]


@pytest.mark.parametrize("cls", [ModelOnexError, RuntimeHostError])
def test_the_base_classes_say_operation_failed_unless_a_code_is_given(cls: type[ModelOnexError]) -> None:
    assert cls("x").error_code is Code.OPERATION_FAILED
    assert cls("x").http_status == 500
    assert cls("x", error_code=Code.INVALID_INPUT).error_code is Code.INVALID_INPUT


@pytest.mark.parametrize("cls", CHILDREN)
def test_a_given_code_wins_over_the_class(cls: type[RuntimeHostError]) -> None:
    context = ModelInfraErrorContext(transport_type=Transport.DATABASE)
    assert cls("x", context=context, error_code=Code.INVALID_INPUT).error_code is Code.INVALID_INPUT


@pytest.mark.parametrize("transport", [*Transport, None])
def test_a_connection_error_takes_its_code_from_the_transport(transport: Transport | None) -> None:
    expected = {
        Transport.DATABASE: Code.DATABASE_CONNECTION_ERROR,
        Transport.HTTP: Code.NETWORK_ERROR,
        Transport.GRPC: Code.NETWORK_ERROR,
    }
    error = InfraConnectionError("gone", context=ModelInfraErrorContext(transport_type=transport))
    code = Code.SERVICE_UNAVAILABLE if transport is None else expected.get(transport, Code.SERVICE_UNAVAILABLE)
    assert error.error_code is code
    assert error.model.error_code.name == code.name
    assert str(error) == f"[{code.value}] gone"


def test_only_the_connection_error_looks_at_the_transport() -> None:
    context = ModelInfraErrorContext(transport_type=Transport.DATABASE)
    for cls, (code, _) in CHILDREN.items():
        if cls is not InfraConnectionError:
            assert cls("x", context=context).error_code is code


@pytest.mark.parametrize(
    ("cls", "builtin"),
    [
        (InfraConnectionError, ConnectionError),
        (InfraConnectionError, OSError),
        (InfraTimeoutError, TimeoutError),
        (InfraTimeoutError, OSError),
        (ProtocolConfigurationError, ValueError),
    ],
)
def test_handlers_written_for_builtins_keep_working(cls: type[RuntimeHostError], builtin: type[Exception]) -> None:
    with pytest.raises(builtin) as caught:
        raise cls("as before", host="db.example.com")
    assert caught.type is cls


@pytest.mark.parametrize(
    "cls", [InfraAuthenticationError, InfraUnavailableError, InfraRateLimitedError, SecretResolutionError]
)
def test_the_other_errors_are_no_builtins_that_a_handler_would_catch_by_mistake(cls: type[RuntimeHostError]) -> None:
    assert not issubclass(cls, (OSError, ValueError, LookupError))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("INVALID_INPUT", "ONEX_CORE_007_INVALID_INPUT"),
        ("INVALID_CONFIGURATION", "ONEX_CORE_041_INVALID_CONFIGURATION"),
        ("OPERATION_FAILED", "ONEX_CORE_081_OPERATION_FAILED"),
        ("RESOURCE_NOT_FOUND", "ONEX_CORE_085_RESOURCE_NOT_FOUND"),
        ("NETWORK_ERROR", "ONEX_CORE_090_NETWORK_ERROR"),
        ("TIMEOUT_ERROR", "ONEX_CORE_092_TIMEOUT_ERROR"),
        ("DATABASE_CONNECTION_ERROR", "ONEX_CORE_131_DATABASE_CONNECTION_ERROR"),
        ("RATE_LIMIT_EXCEEDED", "ONEX_CORE_162_RATE_LIMIT_EXCEEDED"),
        ("AUTHENTICATION_ERROR", "ONEX_CORE_163_AUTHENTICATION_ERROR"),
        ("SERVICE_UNAVAILABLE", "ONEX_CORE_205_SERVICE_UNAVAILABLE"),
    ],
)
def test_each_code_has_its_number_and_is_a_str(name: str, value: str) -> None:
    code = Code[name]
    assert isinstance(code, str)
    assert code == value
    assert f"{code}" == value
    assert Code(value) is code


def test_there_are_ten_codes_and_rate_limit_error_is_a_true_alias() -> None:
    assert len(Code) == 10
    assert Code.RATE_LIMIT_ERROR is Code.RATE_LIMIT_EXCEEDED
    assert Code["RATE_LIMIT_ERROR"].name == "RATE_LIMIT_EXCEEDED"


def test_core_error_code_is_another_name_of_the_same_enum() -> None:
    assert CoreErrorCode is EnumCoreErrorCode


def test_transports_have_the_values_of_the_documents() -> None:
    assert {member.name: member.value for member in Transport} == {
        "HTTP": "http",
        "DATABASE": "db",
        "KAFKA": "kafka",
        "CONSUL": "consul",
        "VAULT": "vault",
        "VALKEY": "valkey",
        "GRPC": "grpc",
        "RUNTIME": "runtime",
        "INFISICAL": "infisical",
    }


def test_there_are_the_eight_failure_kinds_of_the_contract() -> None:
    assert issubclass(EnumFailureKind, Enum)
    assert [kind.name for kind in EnumFailureKind] == [
        "CONNECTION",
        "TIMEOUT",
        "UNAVAILABLE",
        "THROTTLED",
        "AUTHENTICATION",
        "CALLER",
        "REJECTED",
        "ABANDONED",
    ]


def test_every_exported_name_is_there_and_an_unknown_one_is_an_attribute_error() -> None:
    for name in errors.__all__:
        assert getattr(errors, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'InfraNonsenseError'"):
        _ = errors.InfraNonsenseError  # type: ignore[attr-defined]
