"""What `shared=` and `quorum=` mean, the same in every place that takes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from omnibase_infra.enums import EnumUnset
from omnibase_infra.errors import ProtocolConfigurationError

if TYPE_CHECKING:
    from omnibase_infra.models.resilience import ModelCircuitBreakerConfig


def sharing(shared: str | EnumUnset | None, quorum: int | None) -> dict[str, object]:
    """The two arguments as settings that win over those of a preset."""
    if shared is None:
        return {"shared": None}
    given: dict[str, object] = {} if isinstance(shared, EnumUnset) else {"url": shared}
    if quorum is not None:
        given["quorum"] = quorum
    return {"shared": given} if given else {}


def settled(
    config: ModelCircuitBreakerConfig,
    shared: str | EnumUnset | None,
    quorum: int | None,
    name: str | None,
    parameter: str = "name",
) -> ModelCircuitBreakerConfig:
    """The settings of a circuit that is shared by its name; without one, and with a URL of the preset, it is not.

    Args:
        config: As resolved.
        shared: As the user gave it.
        quorum: As the user gave it.
        name: As the user gave it.
        parameter: What the user gave the name as.

    Raises:
        ProtocolConfigurationError: When one argument needs another.
    """
    is_shared = config.shared is not None and config.shared.url is not None
    if quorum is not None and not is_shared:
        raise ProtocolConfigurationError("quorum: is of no use without shared", parameter="quorum")
    if not is_shared or name is not None:
        return config
    if isinstance(shared, str):
        raise ProtocolConfigurationError(
            f"{parameter}: is needed with shared: workers share a circuit by its name", parameter=parameter
        )
    return config.model_copy(update={"shared": None})
