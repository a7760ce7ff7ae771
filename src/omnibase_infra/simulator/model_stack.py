"""What guards a simulated call, as data: it goes to another process and back."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field

from omnibase_infra.enums import EnumStackKind
from omnibase_infra.models.resilience.model_config_base import ModelConfigBase


class ModelStack(ModelConfigBase):
    """A stack to simulate.

    Attributes:
        name: As tables and charts show it.
        kind: What it is made of. All that follows is for the presets' kind.
        service: Read ``[services.<service>]`` over the transport's preset.
        profile: A named profile of the presets.
        file: Path of a TOML file, in place of the one that ``ONEX_RESILIENCE_FILE`` names.
        settings: Over all those: ``{"retry.max_attempts": 5}``; None switches off what may be. A policy's own name
            leaves it out or puts it in: ``{"bulkhead": None, "hedge": True}``.
    """

    name: str
    kind: EnumStackKind
    service: str | None = None
    profile: str | None = None
    file: str | None = None
    settings: Mapping[str, object] = Field(default_factory=dict)
