"""What the type checkers see of a breaker with keys, and of the registry."""

from __future__ import annotations

from typing import assert_type

from omnibase_infra.enums import EnumCircuitState, EnumPolicyKind
from omnibase_infra.infrastructure.resilience import (
    InfrastructureCircuitBreaker,
    KeyedCircuitBreaker,
    TokenBucketLimiter,
    create_network_circuit_breaker,
    registry,
)
from omnibase_infra.models.resilience import ModelPolicySnapshot


class Request:
    host: str = "api.example.com"


def host_of(request: Request) -> str:
    return request.host


breaker = create_network_circuit_breaker(5, 30, key=host_of, max_keys=100, show_keys=True, success_threshold=2)
plain = create_network_circuit_breaker(success_threshold=2, translate=True)
assert_type(breaker, KeyedCircuitBreaker)
assert_type(plain, InfrastructureCircuitBreaker)
create_network_circuit_breaker(key=host_of, succes_threshold=2)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
create_network_circuit_breaker(max_keys=100)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]


@breaker
async def send(request: Request, *, tries: int = 1) -> bytes:
    return b"" * tries


@create_network_circuit_breaker(key=host_of)
def send_now(request: Request) -> bytes:
    return b""


async def calls() -> None:
    assert_type(await send(Request(), tries=2), bytes)
    assert_type(send_now(Request()), bytes)
    assert_type(breaker.call(send_now, Request()), bytes)
    with breaker.for_key("api.example.com") as entered:
        assert_type(entered, InfrastructureCircuitBreaker)
    assert_type(breaker.for_key("api.example.com").state, EnumCircuitState)
    assert_type(breaker.troubled(), list[ModelPolicySnapshot])
    assert_type(len(breaker), int)
    await send("api.example.com")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def listed() -> None:
    for shown in registry.policies(EnumPolicyKind.CIRCUIT_BREAKER):
        assert_type(shown, ModelPolicySnapshot)
        assert_type(shown.state, EnumCircuitState | None)
    for policy in registry.find("orders", "rate_limiter"):
        assert_type(policy.snapshot(), ModelPolicySnapshot)
        if isinstance(policy, TokenBucketLimiter):
            assert_type(policy.tokens, float)
    registry.trip("orders")
    registry.isolate("orders")
    registry.reset("orders", kind="circuit_breaker")
