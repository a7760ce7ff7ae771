"""The shipping policies under virtual time: what a setting does before production does.

`omnibase_infra.simulator.chart` and `.table` draw; they need the extra `simulator`.
"""

from omnibase_infra.enums import EnumScenarioEvent, EnumStackKind
from omnibase_infra.simulator.checks import Check, parse_check
from omnibase_infra.simulator.engine import NAKED, run_stack, simulate
from omnibase_infra.simulator.model_course import ModelCourse
from omnibase_infra.simulator.model_dependency import ModelDependency
from omnibase_infra.simulator.model_latency import ModelLatency
from omnibase_infra.simulator.model_load import ModelLoad
from omnibase_infra.simulator.model_measures import ModelMeasures
from omnibase_infra.simulator.model_scenario import ModelScenario
from omnibase_infra.simulator.model_scenario_event import ModelScenarioEvent
from omnibase_infra.simulator.model_simulation import ModelSimulation
from omnibase_infra.simulator.model_stack import ModelStack
from omnibase_infra.simulator.model_variant import ModelVariant
from omnibase_infra.simulator.page import html_page
from omnibase_infra.simulator.scenario_files import load_scenario, shipped_scenarios
from omnibase_infra.simulator.trace import from_trace

__all__ = [
    "NAKED",
    "Check",
    "EnumScenarioEvent",
    "EnumStackKind",
    "ModelCourse",
    "ModelDependency",
    "ModelLatency",
    "ModelLoad",
    "ModelMeasures",
    "ModelScenario",
    "ModelScenarioEvent",
    "ModelSimulation",
    "ModelStack",
    "ModelVariant",
    "from_trace",
    "html_page",
    "load_scenario",
    "parse_check",
    "run_stack",
    "shipped_scenarios",
    "simulate",
]
