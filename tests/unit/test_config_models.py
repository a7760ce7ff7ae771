"""Contract section 2, bad configuration: the parameter, what was wrong, what is allowed, and never a text's content."""

import copy
import math
import pickle
from collections.abc import Mapping

import pytest
from pydantic import ValidationError

from omnibase_infra.enums import EnumCoreErrorCode
from omnibase_infra.errors import ProtocolConfigurationError
from omnibase_infra.models.resilience import (
    ModelAdaptiveThrottleConfig,
    ModelBulkheadConfig,
    ModelCircuitBreakerConfig,
    ModelConfigBase,
    ModelCredentialRefreshConfig,
    ModelFallbackConfig,
    ModelHedgeConfig,
    ModelRateLimitConfig,
    ModelRetryBudgetConfig,
    ModelRetryConfig,
    ModelSharedCircuitConfig,
    ModelStaleCacheConfig,
    ModelTimeoutConfig,
)
from omnibase_infra.utils import util_builtin_numbers

CIRCUIT, RETRY, BUDGET, LIMIT = (
    ModelCircuitBreakerConfig,
    ModelRetryConfig,
    ModelRetryBudgetConfig,
    ModelRateLimitConfig,
)
FALLBACK, STALE, CREDENTIAL = ModelFallbackConfig, ModelStaleCacheConfig, ModelCredentialRefreshConfig
HEDGE, THROTTLE = ModelHedgeConfig, ModelAdaptiveThrottleConfig
SHARED = ModelSharedCircuitConfig
TIMEOUT, BULKHEAD = ModelTimeoutConfig, ModelBulkheadConfig
REQUIRED: Mapping[type[ModelConfigBase], Mapping[str, object]] = {
    LIMIT: {"rate": 1.0, "capacity": 1.0},
    HEDGE: {"delay": 1.0, "quantile": 0.9},
}
SECRET = "hunter2"


def build(model: type[ModelConfigBase], **settings: object) -> ModelConfigBase:
    return model(**{**REQUIRED.get(model, {}), **settings})


def refusal(model: type[ModelConfigBase], **settings: object) -> str:
    with pytest.raises(ProtocolConfigurationError) as caught:
        build(model, **settings)
    return caught.value.message


WHOLE_NUMBERS = [
    (CIRCUIT, "failure_threshold"),
    (CIRCUIT, "success_threshold"),
    (CIRCUIT, "half_open_max_calls"),
    (CIRCUIT, "minimum_calls"),
    (RETRY, "max_attempts"),
    *((HEDGE, name) for name in ("max_hedges", "minimum_calls", "samples")),
    (STALE, "max_entries"),
    (BULKHEAD, "max_concurrent"),
    (SHARED, "quorum"),
    (LIMIT, "workers"),
    (LIMIT, "lease"),
]
RANGES: list[tuple[type[ModelConfigBase], str, float, str]] = [
    *((model, name, 0, "a whole number, 1 or more") for model, name in WHOLE_NUMBERS),
    *((model, name, -1, "a whole number, 1 or more") for model, name in WHOLE_NUMBERS),
    *((model, name, 1.5, "a whole number, 1 or more") for model, name in WHOLE_NUMBERS),
    (CIRCUIT, "recovery_timeout", -0.1, "a finite number, 0 or more"),
    (CIRCUIT, "recovery_multiplier", 0.9, "a finite number, 1 or more"),
    (CIRCUIT, "max_recovery_timeout", -1, "a finite number, 0 or more"),
    (CIRCUIT, "recovery_jitter", -0.1, "a finite number, 0 or more and at most 1"),
    (CIRCUIT, "recovery_jitter", 1.1, "a finite number, 0 or more and at most 1"),
    (CIRCUIT, "failure_rate", 0, "a finite number, above 0 and at most 1, or None"),
    (CIRCUIT, "failure_rate", 50, "a finite number, above 0 and at most 1, or None"),
    (CIRCUIT, "window", 0, "a finite number, above 0"),
    (CIRCUIT, "slow_call_seconds", 0, "a finite number, above 0, or None"),
    (CIRCUIT, "connection_weight", -0.1, "a finite number, 0 or more and at most 1"),
    (CIRCUIT, "connection_weight", 1.1, "a finite number, 0 or more and at most 1"),
    (CIRCUIT, "slow_call_rate", 0, "a finite number, above 0 and at most 1, or None"),
    (CIRCUIT, "slow_call_rate", 1.1, "a finite number, above 0 and at most 1, or None"),
    *((SHARED, name, 0, "a finite number, above 0") for name in ("poll_interval", "timeout", "retry_interval")),
    *((SHARED, name, 0, "a finite number, above 0") for name in ("lease", "expiry")),
    (SHARED, "patience", -1, "a finite number, 0 or more"),
    (RETRY, "min_wait", -1, "a finite number, 0 or more"),
    (RETRY, "max_wait", -1, "a finite number, 0 or more"),
    (RETRY, "max_elapsed", 0, "a finite number, above 0, or None"),
    (RETRY, "max_elapsed", -2.5, "a finite number, above 0, or None"),
    (RETRY, "max_retry_after", -1, "a finite number, 0 or more"),
    (BUDGET, "ratio", -0.1, "a finite number, 0 or more and at most 1"),
    (BUDGET, "ratio", 1.1, "a finite number, 0 or more and at most 1"),
    (BUDGET, "min_per_second", -1, "a finite number, 0 or more"),
    (BUDGET, "window", 0, "a finite number, above 0"),
    (HEDGE, "delay", -0.1, "a finite number, 0 or more, or None"),
    (HEDGE, "quantile", 0, "a finite number, above 0 and at most 1, or None"),
    (HEDGE, "quantile", 95, "a finite number, above 0 and at most 1, or None"),
    (THROTTLE, "multiplier", 0.9, "a finite number, 1 or more"),
    (THROTTLE, "window", 0, "a finite number, above 0"),
    (THROTTLE, "min_per_second", -1, "a finite number, 0 or more"),
    (LIMIT, "rate", 0, "a finite number, above 0"),
    (LIMIT, "rate", -5, "a finite number, above 0"),
    (LIMIT, "capacity", 0.5, "a finite number, 1 or more"),
    (LIMIT, "store_timeout", 0, "a finite number, above 0"),
    (LIMIT, "store_retry_interval", -1, "a finite number, 0 or more"),
    (FALLBACK, "timeout_seconds", 0, "a finite number, above 0"),
    (STALE, "ttl", -1, "a finite number, 0 or more"),
    (STALE, "max_stale", -1, "a finite number, 0 or more"),
    (CREDENTIAL, "refresh_threshold_seconds", -1, "a finite number, 0 or more"),
    (CREDENTIAL, "max_threshold_share", -0.1, "a finite number, 0 or more and at most 1"),
    (CREDENTIAL, "max_threshold_share", 1.1, "a finite number, 0 or more and at most 1"),
    (CREDENTIAL, "ttl_seconds", 0, "a finite number, above 0"),
    (TIMEOUT, "attempt", 0, "a finite number, above 0, or None"),
    (TIMEOUT, "total", -1, "a finite number, above 0, or None"),
    (BULKHEAD, "max_queue", -1, "a whole number, 0 or more"),
    (BULKHEAD, "max_wait", -0.1, "a finite number, 0 or more"),
]
NO_NUMBERS = {"abandon", "budget", "on_store_failure", "retry_unsafe", "shared", "storage_uri", "strategy", "url"}
EVERY_NUMBER = [
    (model, name)
    for model in dict.fromkeys(model for model, *_ in RANGES)
    for name in model.model_fields
    if name not in NO_NUMBERS
]
each_number = pytest.mark.parametrize(("model", "name"), EVERY_NUMBER)


@pytest.mark.parametrize(("model", "name", "value", "allowed"), RANGES)
def test_a_number_out_of_range_is_named_with_its_value_and_what_is_allowed(
    model: type[ModelConfigBase], name: str, value: float, allowed: str
) -> None:
    assert refusal(model, **{name: value}) == f"{name} = {value}: must be {allowed}"


def test_every_number_has_a_range_test() -> None:
    assert {(model, name) for model, name, *_ in RANGES} == set(EVERY_NUMBER)


@each_number
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_number_must_be_finite(model: type[ModelConfigBase], name: str, value: float) -> None:
    assert refusal(model, **{name: value}).startswith(f"{name} = {value}: must be a ")


@each_number
@pytest.mark.parametrize("value", [True, False])
def test_a_bool_is_no_number(model: type[ModelConfigBase], name: str, value: object) -> None:
    assert refusal(model, **{name: value}).startswith(f"{name} = {value}: must be a ")


@each_number
@pytest.mark.parametrize("value", [SECRET, SECRET.encode(), [SECRET], {"password": SECRET}, "5"])
def test_what_is_no_number_is_named_by_its_type_and_never_shown(
    model: type[ModelConfigBase], name: str, value: object
) -> None:
    message = refusal(model, **{name: value})
    assert message.startswith(f"{name} = (a {type(value).__name__}, not shown): must be a ")


@each_number
def test_none_is_refused_where_there_is_no_off(model: type[ModelConfigBase], name: str) -> None:
    if model.is_optional(name):
        assert getattr(build(model, **{name: None}), name) is None
    else:
        assert refusal(model, **{name: None}).startswith(f"{name} = None: must be a ")


def test_an_absurdly_large_whole_number_is_refused_without_printing_its_digits() -> None:
    assert refusal(RETRY, max_wait=10**5000) == "max_wait = (an int of 16610 bits): must be a finite number, 0 or more"


def test_an_empty_text_is_called_empty() -> None:
    assert refusal(RETRY, min_wait="") == "min_wait = (empty): must be a finite number, 0 or more"


def test_the_error_is_a_value_error_with_code_status_and_parameter_and_carries_no_input() -> None:
    with pytest.raises(ValueError, match="min_wait") as caught:
        RETRY(min_wait=SECRET)
    error = caught.value
    assert isinstance(error, ProtocolConfigurationError)
    assert error.error_code is EnumCoreErrorCode.INVALID_CONFIGURATION
    assert error.http_status == 400
    assert error.model.context["parameter"] == "min_wait"
    assert SECRET not in error.model_dump_json()
    assert error.__cause__ is None
    assert error.__context__ is None


def test_pydantics_own_entry_points_refuse_too_and_do_not_show_the_input() -> None:
    with pytest.raises(ValidationError, match="min_wait") as caught:
        RETRY.model_validate({"min_wait": SECRET})
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("model", "name", "hint"),
    [
        (RETRY, "max_atempts", "did you mean max_attempts?"),
        (CIRCUIT, "recovery_time_out", "did you mean recovery_timeout?"),
        (BUDGET, "Ratio", "did you mean ratio?"),
        (LIMIT, "qqq", f"allowed: {', '.join(LIMIT.model_fields)}"),
    ],
)
def test_an_unknown_setting_suggests_the_nearest_known_one(model: type[ModelConfigBase], name: str, hint: str) -> None:
    assert refusal(model, **{name: SECRET}) == f"{name}: unknown; {hint}"


def test_rate_and_capacity_are_required() -> None:
    with pytest.raises(ProtocolConfigurationError, match="rate: is required, a finite number, above 0"):
        LIMIT(capacity=1)
    with pytest.raises(ProtocolConfigurationError, match="capacity: is required, a finite number, 1 or more"):
        LIMIT(rate=1)


@pytest.mark.parametrize("rate", [1 / 86400, 0.1, 1, 1e6, 1e9])
def test_rates_from_one_a_day_to_beyond_a_million_a_second_are_kept_exactly(rate: float) -> None:
    assert LIMIT(rate=rate, capacity=1).rate == rate


def test_min_wait_above_max_wait_is_refused() -> None:
    assert refusal(RETRY, min_wait=5, max_wait=2) == "min_wait = 5.0: must be at most max_wait = 2.0"


def test_min_wait_may_equal_max_wait() -> None:
    assert RETRY(min_wait=2, max_wait=2).max_wait == 2


def test_zero_means_zero() -> None:
    assert CIRCUIT(recovery_timeout=0).recovery_timeout == 0
    waitless = RETRY(min_wait=0, max_wait=0, max_retry_after=0)
    assert (waitless.min_wait, waitless.max_wait, waitless.max_retry_after) == (0, 0, 0)
    budget = BUDGET(ratio=0, min_per_second=0)
    assert (budget.ratio, budget.min_per_second) == (0, 0)


def test_the_shipped_cap_gives_way_to_a_longer_recovery_timeout() -> None:
    assert CIRCUIT().max_recovery_timeout < CIRCUIT(recovery_timeout=5000).max_recovery_timeout == 5000


def test_a_given_cap_below_the_recovery_timeout_is_refused() -> None:
    message = "max_recovery_timeout = 10.0: must be at least recovery_timeout = 20.0"
    assert refusal(CIRCUIT, recovery_timeout=20, max_recovery_timeout=10) == message


@pytest.mark.parametrize(
    ("given", "absent"), [("slow_call_rate", "slow_call_seconds"), ("slow_call_seconds", "slow_call_rate")]
)
def test_slow_calls_need_both_a_duration_and_a_rate(given: str, absent: str) -> None:
    assert refusal(CIRCUIT, **{given: 0.5}) == f"{given}: needs {absent} beside it, which is not set"
    assert getattr(CIRCUIT(slow_call_seconds=0.5, slow_call_rate=0.5), given) == 0.5


def test_the_budget_is_on_by_default_and_none_turns_it_off() -> None:
    assert RETRY().budget == BUDGET()
    assert RETRY(budget=None).budget is None


def test_a_budget_may_be_a_table_over_the_shipped_numbers() -> None:
    assert RETRY(budget={"ratio": 0.5}).budget == BUDGET(ratio=0.5)


@pytest.mark.parametrize(
    ("budget", "message"),
    [
        ({"ratio": 2}, "budget.ratio = 2: must be a finite number, 0 or more and at most 1"),
        ({"rato": 0.2}, "budget.rato: unknown; did you mean ratio?"),
        (SECRET, "budget = (a str, not shown): must be a table of settings, or None"),
        (0.2, "budget = 0.2: must be a table of settings, or None"),
        (True, "budget = True: must be a table of settings, or None"),
    ],
)
def test_a_wrong_budget_is_named_down_to_its_setting(budget: object, message: str) -> None:
    assert refusal(RETRY, budget=budget) == message


@pytest.mark.parametrize(
    "model", [CIRCUIT, RETRY, BUDGET, LIMIT, HEDGE, THROTTLE, FALLBACK, STALE, CREDENTIAL, TIMEOUT, BULKHEAD]
)
def test_settings_are_frozen_and_travel(model: type[ModelConfigBase]) -> None:
    settings = build(model)
    with pytest.raises(ValidationError, match="frozen"):
        setattr(settings, next(iter(model.model_fields)), 1)
    assert pickle.loads(pickle.dumps(settings)) == copy.deepcopy(settings) == settings


def test_a_hedge_needs_a_delay_or_a_quantile_that_can_be_known() -> None:
    assert refusal(HEDGE, delay=None, quantile=None) == "delay: is required where there is no quantile"
    message = "minimum_calls = 9: must be at most samples = 5"
    assert refusal(HEDGE, minimum_calls=9, samples=5) == message


def test_checking_one_field_leaves_the_others_aside() -> None:
    RETRY.check_field("min_wait", 1e9)
    with pytest.raises(ProtocolConfigurationError, match="min_wait = -1: must be a finite number, 0 or more"):
        RETRY.check_field("min_wait", -1)


def test_a_number_missing_from_the_shipped_file_is_a_plain_failure() -> None:
    with pytest.raises(LookupError, match=r"builtin\.toml has no number at defaults\.retry\.nothing\.at\.all"):
        util_builtin_numbers.shipped_float("retry", "nothing", "at", "all")()


@pytest.mark.parametrize("value", [1, 0, "yes", None])
def test_a_choice_is_true_or_false_and_nothing_else(value: object) -> None:
    assert refusal(RETRY, retry_unsafe=value).startswith("retry_unsafe = ")
    assert refusal(RETRY, retry_unsafe=value).endswith(": must be true or false")
