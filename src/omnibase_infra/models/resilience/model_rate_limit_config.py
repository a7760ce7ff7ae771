"""Settings of a rate limiter."""

from __future__ import annotations

import re
from typing import Annotated, Final, Self

from pydantic import AfterValidator, Field, SecretStr, model_validator

from omnibase_infra.enums import EnumOnStoreFailure, EnumRateLimitStrategy
from omnibase_infra.errors import ProtocolConfigurationError
from omnibase_infra.models.resilience.model_config_base import ModelConfigBase
from omnibase_infra.utils.util_builtin_numbers import shipped_float, shipped_int

IN_MEMORY: Final = "memory://"
_STORE: Final = re.compile(r"(rediss?|valkeys?|(redis|valkey)\+(unix|sentinel|cluster))://[^\s]+")


def _storage_uri(uri: SecretStr | None) -> SecretStr | None:
    if uri is not None and uri.get_secret_value() != IN_MEMORY and not _STORE.fullmatch(uri.get_secret_value()):
        raise ValueError
    return uri


class ModelRateLimitConfig(ModelConfigBase):
    """The two numbers of a token bucket, both required, and how several workers share it.

    The other defaults are the shipped ``[defaults.rate_limit]``. All but the first two count only with a store.

    Attributes:
        rate: Tokens refilled a second, above 0; fractions are exact (``1 / 86400`` is one a day).
        capacity: Tokens the bucket holds, the largest burst, 1 or more. A window counts as many calls in the time that
            the rate takes for them.
        storage_uri: Where the workers share the limit, such as ``"valkey://host:6379"``: ``redis``, ``rediss``,
            ``redis+unix``, ``redis+sentinel``, ``redis+cluster``, and the same with ``valkey``. None or
            ``"memory://"`` for a limit of this process alone.
        strategy: How calls are counted; other than by a token bucket only in a store.
        on_store_failure: What becomes of calls while the store is out of reach.
        store_timeout: Longest time that the store may hold a call, name look-up and connecting included, seconds.
        store_retry_interval: Pause between two looks at a store that is out of reach, seconds; so long may connecting
            go on, for which no caller waits beyond `store_timeout`.
        workers: Workers that share the limit. Without the store, each has this part of rate and capacity.
        lease: Tokens taken in one round trip, spent one by one without the store. In any stretch of time, up to
            ``workers * (lease - 1)`` calls more than the bucket allows may pass; with 1, none.

    Raises:
        ProtocolConfigurationError: When a setting is missing or out of range, or a window is to be counted without a
            store.
    """

    rate: float = Field(gt=0)
    capacity: float = Field(ge=1)
    storage_uri: Annotated[SecretStr | None, AfterValidator(_storage_uri)] = Field(
        default=None,
        description="memory:// or redis://host:6379, redis+sentinel://, redis+cluster://, or the same with valkey",
    )
    strategy: EnumRateLimitStrategy = Field(
        default=EnumRateLimitStrategy.TOKEN_BUCKET,
        strict=False,
        description="'token-bucket', 'fixed-window', 'moving-window' or 'sliding-window'",
    )
    on_store_failure: EnumOnStoreFailure = Field(
        default=EnumOnStoreFailure.LOCAL, strict=False, description="'local', 'open' or 'closed'"
    )
    store_timeout: float = Field(default_factory=shipped_float("rate_limit", "store_timeout"), gt=0)
    store_retry_interval: float = Field(default_factory=shipped_float("rate_limit", "store_retry_interval"), ge=0)
    workers: int = Field(default_factory=shipped_int("rate_limit", "workers"), ge=1)
    lease: int = Field(default_factory=shipped_int("rate_limit", "lease"), ge=1)

    @property
    def is_shared(self) -> bool:
        """Whether the limit lies in a store."""
        return self.storage_uri is not None and self.storage_uri.get_secret_value() != IN_MEMORY

    @model_validator(mode="after")
    def _windows_need_a_store(self) -> Self:
        if self.strategy is not EnumRateLimitStrategy.TOKEN_BUCKET and not self.is_shared:
            raise ProtocolConfigurationError(
                f"strategy = {self.strategy}: counts in a store only; give a storage_uri, or use token-bucket",
                parameter="strategy",
            )
        return self
