"""One choice of settings, and how it fared."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict


class ModelTuningPoint(BaseModel):
    """A choice of settings with its figures, each of the scenario and seed where it was the worst.

    Attributes:
        settings: What differs from the preset, by dotted key.
        figures: ``goodput_kept``, ``p99_seconds``, ``amplification`` and the measures of the aims, as a simulation's
            measures have them; None for what never came.
        shortfall: How far it is from the aims: for each, what is missing as a share of that and the bound; 0 when all
            are reached.
        missed: The aims that it misses.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    settings: Mapping[str, int | float]
    figures: Mapping[str, float | None]
    shortfall: float
    missed: tuple[str, ...]
