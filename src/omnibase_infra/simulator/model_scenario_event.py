"""One entry of a scenario's course."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Self

from pydantic import Field, model_validator

from omnibase_infra.enums import EnumScenarioEvent
from omnibase_infra.errors import ProtocolConfigurationError
from omnibase_infra.models.resilience.model_config_base import ModelConfigBase
from omnibase_infra.simulator.error_weights import check_weights

_USED: Final[Mapping[EnumScenarioEvent, tuple[str, ...]]] = {
    EnumScenarioEvent.OUTAGE: ("hang", "errors"),
    EnumScenarioEvent.BROWN_OUT: ("factor", "share", "hang", "errors"),
    EnumScenarioEvent.SLOW_START: ("factor",),
    EnumScenarioEvent.BAD_HOST: ("share", "hang", "errors"),
    EnumScenarioEvent.FAIL_OVER: ("hang", "errors"),
    EnumScenarioEvent.THROTTLING: ("rate", "retry_after", "errors"),
    EnumScenarioEvent.LEADER_CHANGE: ("share", "hang", "errors"),
    EnumScenarioEvent.SEALED: ("errors",),
    EnumScenarioEvent.CREDENTIAL_EXPIRY: ("errors",),
    EnumScenarioEvent.DEPLOY_WAVE: ("share", "errors"),
    EnumScenarioEvent.CLOCK_PAUSE: (),
}
"""Which numbers each kind uses, beside `at` and `lasts`."""

_NEEDED: Final[Mapping[EnumScenarioEvent, tuple[str, ...]]] = {
    EnumScenarioEvent.OUTAGE: ("errors",),
    EnumScenarioEvent.SLOW_START: ("factor",),
    EnumScenarioEvent.BAD_HOST: ("share", "errors"),
    EnumScenarioEvent.FAIL_OVER: ("errors",),
    EnumScenarioEvent.THROTTLING: ("rate", "errors"),
    EnumScenarioEvent.LEADER_CHANGE: ("errors",),
    EnumScenarioEvent.SEALED: ("errors",),
    EnumScenarioEvent.CREDENTIAL_EXPIRY: ("errors",),
    EnumScenarioEvent.DEPLOY_WAVE: ("share", "errors"),
}
"""Without which a kind would do nothing, or more than its name says. Errors are not needed where everything hangs."""


class ModelScenarioEvent(ModelConfigBase):
    """What happens, when, and for how long. A number that the kind does not use is refused, one that it needs required.

    Attributes:
        kind: What happens.
        at: Seconds from the scenario's start.
        lasts: Seconds.
        share: Share of the attempts, the hosts, the partitions or the capacity that it meets.
        factor: Times the usual service time.
        hang: Share of the failing attempts that get no answer at all, instead of an error at once.
        rate: Attempts/s that are still let through.
        retry_after: Seconds that the refusal asks to wait; None for a refusal without a hint.
        errors: Names from the catalogue of drivers' errors, with their weights: what the attempts it meets fail with.
    """

    kind: EnumScenarioEvent = Field(strict=False, description=f"one of {', '.join(EnumScenarioEvent)}")
    at: float = Field(ge=0)
    lasts: float = Field(gt=0)
    share: float = Field(default=1.0, gt=0, le=1)
    factor: float = Field(default=1.0, ge=1)
    hang: float = Field(default=0.0, ge=0, le=1)
    rate: float | None = Field(default=None, gt=0)
    retry_after: float | None = Field(default=None, gt=0)
    errors: Mapping[str, float] = Field(default_factory=dict, description="a table of names with their weights")

    @model_validator(mode="after")
    def _fit_the_kind(self) -> Self:
        kind, used, needed = self.kind, _USED[self.kind], _NEEDED.get(self.kind, ())
        # By value and not by what was given: what was written down with all its defaults must be readable again.
        given = [
            name
            for name, field in type(self).model_fields.items()
            if not field.is_required() and getattr(self, name) != field.get_default(call_default_factory=True)
        ]
        for name in given:
            if name not in used:
                takes = ", ".join(("at", "lasts", *used))
                raise ProtocolConfigurationError(f"{name}: is not used by {kind}, which takes {takes}", parameter=name)
        if kind is EnumScenarioEvent.BROWN_OUT:
            needed = ("errors",) if {"share", "hang"}.intersection(given) else () if given else ("factor",)
        for name in needed:
            if name not in given and not (name == "errors" and self.hang == 1):
                below = ", below 1" if name == "share" else ""
                raise ProtocolConfigurationError(f"{name}: is required by {kind}{below}", parameter=name)
        check_weights(self.errors)
        return self
