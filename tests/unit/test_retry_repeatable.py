"""Was it sent? A call that may have taken effect is only tried again where that does no harm."""

from __future__ import annotations

import errno
import socket
import sys

import pytest

from omnibase_infra.enums import EnumFailureKind
from omnibase_infra.errors import InfraConnectionError
from omnibase_infra.infrastructure.resilience import InfrastructureRetryPolicy, create_network_retry_policy
from omnibase_infra.infrastructure.resilience.rules.backoff import repeatable
from omnibase_infra.infrastructure.resilience.transports import Failure, failure_of, register_transport


class PostError(Exception):
    """A request that failed after it was sent, of a driver that tells its method."""

    __module__ = "made_up_http"


@pytest.fixture(autouse=True)
def made_up_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    # The package's attribute of this name is the function.
    module = sys.modules["omnibase_infra.infrastructure.resilience.transports.classify"]
    monkeypatch.setattr(module, "_registered", {})
    register_transport(
        "made_up_http", lambda _exc, _names: Failure(EnumFailureKind.CONNECTION, "made up", idempotent=False)
    )


def attempts(policy: InfrastructureRetryPolicy, failure: Exception) -> int:
    made = 0

    @policy
    def fails() -> None:
        nonlocal made
        made += 1
        raise failure

    with pytest.raises(InfraConnectionError):
        fails()
    return made


def policy(**settings: bool | None) -> InfrastructureRetryPolicy:
    return create_network_retry_policy(3, min_wait=0, max_wait=0, sleep=lambda _seconds: None, **settings)


def test_a_request_that_its_method_says_is_not_idempotent_is_not_repeated() -> None:
    assert attempts(policy(), PostError()) == 1


def test_the_user_may_say_that_such_a_call_is_idempotent() -> None:
    assert attempts(policy(idempotent=True), PostError()) == 3


def test_a_call_that_nothing_tells_of_is_repeated_as_the_preset_says() -> None:
    assert attempts(policy(), ConnectionResetError()) == 3
    assert attempts(policy(retry_unsafe=False), ConnectionResetError()) == 1


def test_a_call_that_the_user_says_is_not_idempotent_is_not_repeated_once_it_may_have_been_sent() -> None:
    assert attempts(policy(idempotent=False), ConnectionResetError()) == 1


@pytest.mark.parametrize(
    "failure", [ConnectionRefusedError(), socket.gaierror(socket.EAI_NONAME, "x"), OSError(errno.ENETUNREACH, "x")]
)
def test_a_call_that_surely_was_not_sent_is_always_repeated(failure: Exception) -> None:
    assert not failure_of(failure).sent
    assert attempts(policy(idempotent=False, retry_unsafe=False), failure) == 3


def test_a_reset_or_a_time_out_may_have_been_sent() -> None:
    assert failure_of(ConnectionResetError()).sent
    assert failure_of(TimeoutError()).sent


@pytest.mark.parametrize("said", [None, True, False])
@pytest.mark.parametrize("told", [None, True, False])
@pytest.mark.parametrize("unsafe", [True, False])
def test_what_the_user_says_goes_before_what_the_request_tells_and_that_before_the_preset(
    said: bool | None, told: bool | None, unsafe: bool
) -> None:
    expected = said if said is not None else told if told is not None else unsafe
    assert repeatable(sent=True, said=said, told=told, unsafe=unsafe) is expected
    assert repeatable(sent=False, said=said, told=told, unsafe=unsafe) is True
