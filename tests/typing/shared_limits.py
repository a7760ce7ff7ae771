"""Limits that workers share, as a type checker sees them."""

from typing import assert_type

from omnibase_infra.enums import EnumOnStoreFailure, EnumRateLimitStrategy
from omnibase_infra.infrastructure.resilience import SharedRateLimiter, TokenBucketLimiter, create_database_rate_limiter
from omnibase_infra.models.resilience import ModelRateLimitConfig

limiter = create_database_rate_limiter(
    200, name="orders", storage_uri="valkey://localhost:6379", on_store_failure="local", workers=50, lease=5
)
assert_type(limiter, TokenBucketLimiter)
shared = SharedRateLimiter(
    ModelRateLimitConfig(
        rate=200,
        capacity=400,
        strategy=EnumRateLimitStrategy.TOKEN_BUCKET,
        on_store_failure=EnumOnStoreFailure.CLOSED,
    ),
    "orders",
)


@limiter
@shared
async def fetch(number: int) -> str:
    return str(number)


async def main() -> None:
    assert_type(await fetch(7), str)
    assert_type(await shared.acquire_async(timeout=0), bool)
    assert_type(shared.config, ModelRateLimitConfig)
    await shared.aclose()
