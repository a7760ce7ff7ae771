"""Options that `simulate` and `tune` share."""

from __future__ import annotations

import argparse
import math
import sys
from typing import TYPE_CHECKING

from omnibase_infra.errors import ProtocolConfigurationError

if TYPE_CHECKING:
    from omnibase_infra.simulator.model_scenario import ModelScenario


def seconds(text: str) -> float:
    """A finite number of seconds above 0."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError("must be a finite number of seconds above 0")
    return value


def positive(text: str) -> int:
    """A whole number of 1 or more."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError("must be a whole number, 1 or more")
    return int(text)


def read_scenario(name: str, transport: str | None, length: float | None, trace: str | None) -> ModelScenario:
    """The scenario of an option, of the transport that is simulated, as long as asked for, with a trace's numbers.

    Raises:
        ProtocolConfigurationError: When there is none, or it is of another transport, or the trace is none.
    """
    from omnibase_infra.simulator.scenario_files import TRANSPORTS, load_scenario
    from omnibase_infra.simulator.trace import from_trace

    # In full, a name tells the transport itself.
    scenario = load_scenario(name, None if name.startswith(tuple(f"{known}-" for known in TRANSPORTS)) else transport)
    if transport not in {None, scenario.transport}:
        raise ProtocolConfigurationError(
            f"scenario {scenario.name}: is of {scenario.transport}, not of {transport}", parameter="scenario"
        )
    if trace is not None:
        scenario = from_trace(trace, scenario, tell=_note)
    if length is None:
        return scenario
    within = tuple(event for event in scenario.events if event.at < length)
    if scenario.events and not within:
        first = min(event.at for event in scenario.events)
        _note(f"nothing happens in {length:g} s: the first event of {scenario.name} comes after {first:g} s")
    return scenario.model_copy(update={"seconds": length, "events": within})


def _note(sentence: str) -> None:
    print(f"note: {sentence}", file=sys.stderr)
