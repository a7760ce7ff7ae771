"""Every bad argument of a retry: the message names the parameter, what was wrong, and what is allowed."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import tenacity

from omnibase_infra.enums import EnumCoreErrorCode
from omnibase_infra.errors import ProtocolConfigurationError
from omnibase_infra.infrastructure.resilience import (
    InfrastructureRetryPolicy,
    RetryBudget,
    create_database_retry_policy,
)
from omnibase_infra.models.resilience import ModelRetryBudgetConfig

STRATEGY = "must be a tenacity strategy or a like function"
WAIT = "must be a finite number, 0 or more"
ATTEMPTS = "must be a whole number, 1 or more"
ELAPSED = "must be a finite number, above 0, or None"

create: Callable[..., InfrastructureRetryPolicy] = create_database_retry_policy
construct: Callable[..., InfrastructureRetryPolicy] = InfrastructureRetryPolicy


def refusal(build: Callable[..., object], **arguments: object) -> str:
    with pytest.raises(ProtocolConfigurationError) as caught:
        build(**arguments)
    error = caught.value
    assert isinstance(error, ValueError)
    assert error.error_code is EnumCoreErrorCode.INVALID_CONFIGURATION
    assert error.http_status == 400
    return error.message


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"max_attempts": 0}, f"max_attempts = 0: {ATTEMPTS}"),
        ({"max_attempts": -3}, f"max_attempts = -3: {ATTEMPTS}"),
        ({"max_attempts": 2.5}, f"max_attempts = 2.5: {ATTEMPTS}"),
        ({"max_attempts": True}, f"max_attempts = True: {ATTEMPTS}"),
        ({"max_attempts": "3"}, f"max_attempts = (a str, not shown): {ATTEMPTS}"),
        ({"max_attempts": print}, f"max_attempts = (a builtin_function_or_method, not shown): {ATTEMPTS}"),
        ({"min_wait": -1}, f"min_wait = -1: {WAIT}"),
        ({"min_wait": float("nan")}, f"min_wait = nan: {WAIT}"),
        ({"max_wait": -0.1}, f"max_wait = -0.1: {WAIT}"),
        ({"max_wait": float("inf")}, f"max_wait = inf: {WAIT}"),
        ({"max_elapsed": 0}, f"max_elapsed = 0: {ELAPSED}"),
        ({"max_elapsed": float("nan")}, f"max_elapsed = nan: {ELAPSED}"),
        ({"max_retry_after": -1}, f"max_retry_after = -1: {WAIT}"),
        ({"retry_budget": {"ratio": 2}}, "retry_budget.ratio = 2: must be a finite number, 0 or more and at most 1"),
        ({"retry_budget": {"window": 0}}, "retry_budget.window = 0: must be a finite number, above 0"),
    ],
)
def test_a_bad_number_is_refused(arguments, message):
    assert refusal(create, **arguments) == message


def test_a_min_wait_above_max_wait_is_refused():
    assert refusal(create, min_wait=5.0, max_wait=2.0) == "min_wait = 5.0: must be at most max_wait = 2.0"
    message = refusal(create, min_wait=20)
    assert message == "min_wait = 20.0: must be at most max_wait = 10.0 (max_wait from builtin.toml)"


@pytest.mark.parametrize("build", [create, construct])
@pytest.mark.parametrize("parameter", ["stop", "wait", "retry", "before_sleep"])
def test_a_strategy_that_cannot_be_called_is_refused(build, parameter):
    assert refusal(build, **{parameter: 3}) == f"{parameter} = 3: {STRATEGY}"


@pytest.mark.parametrize(
    ("parameter", "strategy"), [("stop", tenacity.stop_after_attempt), ("wait", tenacity.wait_fixed)]
)
def test_a_strategy_class_in_place_of_a_strategy_is_refused(parameter, strategy):
    assert refusal(create, **{parameter: strategy}) == f"{parameter} = (the class {strategy.__name__}): {STRATEGY}"


@pytest.mark.parametrize("build", [create, construct])
@pytest.mark.parametrize("parameter", ["clock", "rng", "sleep"])
def test_a_source_of_time_or_chance_that_cannot_be_called_is_refused(build, parameter):
    assert refusal(build, **{parameter: 0.5}) == f"{parameter} = 0.5: must be a function"


def test_a_budget_of_the_wrong_kind_is_refused():
    message = refusal(construct, budget=ModelRetryBudgetConfig())
    assert message == "budget = (a ModelRetryBudgetConfig, not shown): must be a RetryBudget"
    assert refusal(create, retry_budget=0.1) == "retry_budget = 0.1: must be a table of settings, or None"


def test_settings_of_the_wrong_kind_are_refused():
    assert refusal(construct, config={"max_attempts": 3}) == "config = (a dict, not shown): must be a ModelRetryConfig"
    assert refusal(RetryBudget, config=0.1) == "config = 0.1: must be a ModelRetryBudgetConfig"


def test_text_given_as_a_setting_is_never_shown():
    assert "hunter2" not in refusal(create, max_attempts="hunter2", service="orders")
    assert "hunter2" not in refusal(create, retry_budget="hunter2")


@pytest.mark.parametrize("name", ["", " "])
def test_an_empty_name_is_refused(name):
    assert refusal(construct, name=name) == "name = (empty): must be text that is not blank, or None"


@pytest.mark.parametrize(
    ("wrapped", "message"),
    [
        (3, "cannot protect a int; a function, method or other callable is needed"),
        (int, "cannot protect the class int; decorate its methods"),
        (property(lambda self: 1), "cannot protect a property; decorate the function below @property"),
    ],
)
def test_what_cannot_be_retried_is_refused_at_decoration(wrapped, message):
    with pytest.raises(TypeError) as caught:
        create()(wrapped)
    assert str(caught.value) == message


def test_zero_means_zero():
    built = create(min_wait=0, max_wait=0, max_retry_after=0)
    assert (built.min_wait, built.max_wait, built.config.max_retry_after) == (0, 0, 0)
