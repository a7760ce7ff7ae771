"""Contract section 9: every number in one file, and who overrides whom."""

import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import pytest

from omnibase_infra.errors import ProtocolConfigurationError
from omnibase_infra.models.resilience import (
    ModelAdaptiveThrottleConfig,
    ModelCircuitBreakerConfig,
    ModelHedgeConfig,
    ModelRateLimitConfig,
    ModelRetryBudgetConfig,
    ModelRetryConfig,
)
from omnibase_infra.presets import load_presets, preset_table, reload_presets, resolve

SECRET = "hunter2"
TRANSPORTS = ("database", "kafka", "network", "vault", "consul", "valkey", "grpc")
BUILTIN = (files("omnibase_infra") / "presets" / "builtin.toml").read_text(encoding="utf-8")


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in [name for name in os.environ if name.upper().startswith("ONEX_RESILIENCE")]:
        monkeypatch.delenv(name)
    load_presets()
    yield
    monkeypatch.undo()
    load_presets()


@pytest.fixture
def preset_file(tmp_path: Path) -> Path:
    return tmp_path / "presets.toml"


def retry(section: str = "database", service: str | None = None, **overrides: object) -> ModelRetryConfig:
    return resolve(section, "retry", ModelRetryConfig, service=service, overrides=overrides)


def load(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
    load_presets(path)


def refused_file(path: Path, text: str) -> str:
    with pytest.raises(ProtocolConfigurationError) as caught:
        load(path, text)
    return caught.value.message


def refused_variable(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> str:
    monkeypatch.setenv(name, value)
    with pytest.raises(ProtocolConfigurationError) as caught:
        retry()
    return caught.value.message


# The shipped numbers


@pytest.mark.parametrize(
    ("section", "failures", "recovery"),
    [
        ("database", 5, 60),
        ("kafka", 10, 30),
        ("network", 3, 45),
        ("vault", 3, 90),
        ("consul", 3, 30),
        ("valkey", 10, 30),
        ("grpc", 5, 60),
    ],
)
def test_circuit_breakers_ship_with_the_contracts_numbers(section: str, failures: int, recovery: float) -> None:
    config = resolve(section, "circuit_breaker", ModelCircuitBreakerConfig)
    assert (config.failure_threshold, config.recovery_timeout) == (failures, recovery)
    assert (config.success_threshold, config.half_open_max_calls) == (1, 1)
    assert (config.recovery_multiplier, config.recovery_jitter) == (1, 0)
    assert (config.failure_rate, config.slow_call_seconds, config.slow_call_rate) == (None, None, None)


@pytest.mark.parametrize(
    ("section", "attempts", "shortest", "longest"),
    [
        ("database", 3, 1, 10),
        ("network", 3, 0.5, 5),
        ("kafka", 5, 1, 30),
        ("vault", 3, 2, 20),
        ("consul", 3, 1, 30),
        ("valkey", 3, 0.1, 2),
        ("grpc", 3, 0.5, 5),
    ],
)
def test_retries_ship_with_the_contracts_numbers(section: str, attempts: int, shortest: float, longest: float) -> None:
    config = retry(section)
    assert (config.max_attempts, config.min_wait, config.max_wait) == (attempts, shortest, longest)
    assert config.max_elapsed is None
    assert config.max_retry_after == 60
    assert config.budget == ModelRetryBudgetConfig(ratio=0.1, min_per_second=10, window=10)


@pytest.mark.parametrize(("section", "rate", "capacity"), [("api", 10, 20), ("database", 50, 100)])
def test_rate_limits_ship_with_the_contracts_numbers(section: str, rate: float, capacity: float) -> None:
    assert resolve(section, "rate_limit", ModelRateLimitConfig) == ModelRateLimitConfig(rate=rate, capacity=capacity)


@pytest.mark.parametrize("section", [*TRANSPORTS, "api"])
def test_each_bucket_holds_two_seconds_worth(section: str) -> None:
    config = resolve(section, "rate_limit", ModelRateLimitConfig)
    assert config.capacity == 2 * config.rate


@pytest.mark.parametrize("section", TRANSPORTS)
def test_hedges_and_throttles_ship_for_every_transport(section: str) -> None:
    hedge = resolve(section, "hedge", ModelHedgeConfig)
    assert hedge.delay is not None
    assert hedge.quantile is not None
    assert (hedge.max_hedges, hedge.budget) == (1, ModelRetryBudgetConfig())
    throttle = resolve(section, "adaptive_throttle", ModelAdaptiveThrottleConfig)
    assert (throttle.window, throttle.min_per_second) == (30, 1)


def test_a_hedges_budget_and_its_delay_can_be_set_and_turned_off_from_outside(
    preset_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load(preset_file, "[database.hedge.budget]\nratio = 0.02\n[services.orders.hedge]\nbudget = false\ndelay = false")
    monkeypatch.setenv("ONEX_RESILIENCE__DATABASE__HEDGE__QUANTILE", "0.9")
    hedge = resolve("database", "hedge", ModelHedgeConfig)
    assert (hedge.budget, hedge.quantile) == (ModelRetryBudgetConfig(ratio=0.02), 0.9)
    orders = resolve("database", "hedge", ModelHedgeConfig, service="orders")
    assert (orders.budget, orders.delay, orders.quantile) == (None, None, 0.9)


def test_the_generic_breaker_has_the_recovery_documents_numbers() -> None:
    config = ModelCircuitBreakerConfig()
    assert (config.failure_threshold, config.success_threshold, config.recovery_timeout) == (5, 2, 60)
    assert (config.max_recovery_timeout, config.window, config.minimum_calls) == (600, 60, 20)
    assert config == resolve("defaults", "circuit_breaker", ModelCircuitBreakerConfig)


def test_the_generic_retry_has_the_numbers_of_exponential_backoff() -> None:
    config = ModelRetryConfig()
    assert (config.max_attempts, config.min_wait, config.max_wait) == (5, 1, 60)
    assert config == retry("defaults")


def test_every_shipped_number_says_why() -> None:
    numbers = [line for line in BUILTIN.splitlines() if "=" in line.partition("#")[0]]
    assert len(numbers) > len(TRANSPORTS) * 8
    for line in numbers:
        assert re.fullmatch(r"\w+ = (?:[\d.]+|true|false) +# \w.{20,}", line), line


def test_no_shipped_transport_repeats_a_number_of_the_defaults_without_need() -> None:
    _, _, rest = BUILTIN.partition("[database.circuit_breaker]")
    transports, _, _ = rest.partition("[profiles.")
    shared = ("half_open_max_calls", "recovery_multiplier", "minimum_calls", "max_retry_after", "min_per_second")
    assert not [name for name in shared if name in transports]


def test_the_table_for_the_readme_holds_the_shipped_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONEX_RESILIENCE__VAULT__RETRY__MAX_ATTEMPTS", "9")
    table = preset_table("retry")
    assert table.splitlines()[0] == "|  | max_attempts | min_wait | max_wait |"
    assert "| `vault` | 3 | 2.0 | 20.0 |" in table
    assert "defaults" not in table
    assert "| `api` | 10 | 20 |" in preset_table("rate_limit")


# Who overrides whom


def test_argument_over_environment_over_file_over_builtin(preset_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert retry().max_attempts == 3
    load(preset_file, "[database.retry]\nmax_attempts = 4\nmin_wait = 2")
    assert retry().max_attempts == 4
    monkeypatch.setenv("ONEX_RESILIENCE__DATABASE__RETRY__MAX_ATTEMPTS", "5")
    assert retry().max_attempts == 5
    assert retry(max_attempts=6).max_attempts == 6
    assert retry(max_attempts=6).min_wait == 2


def test_only_the_named_transport_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONEX_RESILIENCE__DATABASE__RETRY__MAX_ATTEMPTS", "5")
    assert retry("network").max_attempts == 3


def test_a_service_inherits_from_its_transport(preset_file: Path) -> None:
    load(preset_file, "[database.retry]\nmax_attempts = 4\n[services.orders.retry]\nmin_wait = 3")
    config = retry(service="orders")
    assert (config.max_attempts, config.min_wait, config.max_wait) == (4, 3, 10)
    assert retry("kafka", service="orders").max_attempts == 5
    assert retry().min_wait == 1


def test_a_service_that_no_table_names_is_its_transport() -> None:
    assert retry(service="orders") == retry()


def test_the_services_table_in_a_file_beats_the_transports_variable(
    preset_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ONEX_RESILIENCE__DATABASE__RETRY__MAX_ATTEMPTS", "8")
    load(preset_file, "[services.orders.retry]\nmax_attempts = 7")
    assert retry(service="orders").max_attempts == 7
    assert retry().max_attempts == 8
    monkeypatch.setenv("ONEX_RESILIENCE__SERVICES__ORDERS__RETRY__MAX_ATTEMPTS", "9")
    assert retry(service="orders").max_attempts == 9


@pytest.mark.parametrize("name", ["orders-api", "Orders.API", "orders__api", "ORDERS_API"])
def test_case_and_punctuation_of_a_services_name_do_not_count(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONEX_RESILIENCE__SERVICES__ORDERS_API__RETRY__MAX_ATTEMPTS", "9")
    assert retry(service=name).max_attempts == 9


def test_defaults_reach_what_no_transport_names(preset_file: Path) -> None:
    load(preset_file, "[defaults.retry]\nmax_attempts = 9\nmax_elapsed = 20\n[defaults.retry.budget]\nratio = 0.5")
    assert retry() == ModelRetryConfig(max_attempts=3, max_wait=10, max_elapsed=20, budget={"ratio": 0.5})
    assert retry("defaults").max_attempts == 9


def test_the_variable_names_the_file(preset_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    preset_file.write_text("[database.retry]\nmax_attempts = 4")
    monkeypatch.setenv("ONEX_RESILIENCE_FILE", str(preset_file))
    assert retry().max_attempts == 4


def test_a_given_path_beats_the_variables_until_it_is_taken_back(
    tmp_path: Path, preset_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = tmp_path / "named.toml"
    named.write_text("[database.retry]\nmax_attempts = 4")
    monkeypatch.setenv("ONEX_RESILIENCE_FILE", str(named))
    load(preset_file, "[database.retry]\nmax_attempts = 5")
    assert retry().max_attempts == 5
    load_presets()
    assert retry().max_attempts == 4


def test_a_changed_file_counts_after_reload_and_settings_already_built_keep_theirs(preset_file: Path) -> None:
    load(preset_file, "[database.retry]\nmax_attempts = 4")
    built = retry()
    preset_file.write_text("[database.retry]\nmax_attempts = 6")
    assert retry().max_attempts == 4
    reload_presets()
    assert (built.max_attempts, retry().max_attempts) == (4, 6)


def test_a_changed_environment_counts_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    for attempts in (5, 6):
        monkeypatch.setenv("ONEX_RESILIENCE__DATABASE__RETRY__MAX_ATTEMPTS", str(attempts))
        assert retry().max_attempts == attempts
    monkeypatch.delenv("ONEX_RESILIENCE__DATABASE__RETRY__MAX_ATTEMPTS")
    assert retry().max_attempts == 3


def test_a_failed_load_leaves_what_was_loaded(preset_file: Path, tmp_path: Path) -> None:
    load(preset_file, "[database.retry]\nmax_attempts = 4")
    refused_file(tmp_path / "broken.toml", "[")
    assert retry().max_attempts == 4
    reload_presets()
    assert retry().max_attempts == 4


def test_a_file_from_windows_with_a_byte_order_mark_is_read(preset_file: Path) -> None:
    load(preset_file, "\ufeff[database.retry]\r\nmax_attempts = 4\r\n")
    assert retry().max_attempts == 4


@pytest.mark.parametrize(
    ("text", "value"), [(".5", 0.5), (" 2 ", 2.0), ("1e0", 1.0), ("0", 0.0), ("0.25", 0.25), ("03", 3.0)]
)
def test_a_variable_holds_a_number_in_any_usual_spelling(
    text: str, value: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ONEX_RESILIENCE__DATABASE__RETRY__MIN_WAIT", text)
    assert retry().min_wait == value


def test_a_variable_may_hold_a_table_as_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONEX_RESILIENCE__DATABASE__RETRY", '{"max_attempts": 7, "min_wait": ".5"}')
    assert (retry().max_attempts, retry().min_wait) == (7, 0.5)


def test_variables_are_read_in_any_case(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("onex_resilience__database__retry__max_attempts", "7")
    assert retry().max_attempts == 7


def test_threads_that_meet_at_the_first_use_all_get_the_same(
    preset_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    preset_file.write_text("[database.retry]\nmax_attempts = 4")
    monkeypatch.setenv("ONEX_RESILIENCE_FILE", str(preset_file))
    gate, seen = threading.Barrier(8), list[int]()

    def use() -> None:
        gate.wait()
        seen.append(retry().max_attempts)

    threads = [threading.Thread(target=use) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [4] * 8


def test_pydantic_settings_is_imported_only_for_a_variable_of_ours() -> None:
    script = (
        "import os, sys\n"
        "from omnibase_infra.models.resilience import ModelRetryConfig\n"
        "from omnibase_infra.presets import resolve\n"
        "resolve('database', 'retry', ModelRetryConfig)\n"
        "assert 'pydantic_settings' not in sys.modules\n"
        "os.environ['ONEX_RESILIENCE__DATABASE__RETRY__MAX_ATTEMPTS'] = '7'\n"
        "assert resolve('database', 'retry', ModelRetryConfig).max_attempts == 7\n"
        "assert 'pydantic_settings' in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


# Off, and on again


@pytest.mark.parametrize("text", ["off", "false", "False", "null", "None"])
def test_a_variable_turns_an_optional_setting_off(
    text: str, preset_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load(preset_file, "[database.retry]\nmax_elapsed = 20")
    monkeypatch.setenv("ONEX_RESILIENCE__DATABASE__RETRY__BUDGET", text)
    monkeypatch.setenv("ONEX_RESILIENCE__DATABASE__RETRY__MAX_ELAPSED", text)
    assert (retry().budget, retry().max_elapsed) == (None, None)


def test_false_in_a_file_turns_an_optional_setting_off(preset_file: Path) -> None:
    load(
        preset_file, "[database.retry]\nmax_elapsed = 20\n[services.orders.retry]\nmax_elapsed = false\nbudget = false"
    )
    assert retry().max_elapsed == 20
    assert (retry(service="orders").max_elapsed, retry(service="orders").budget) == (None, None)


def test_a_stronger_number_within_a_budget_turns_it_on_again_over_the_weaker_numbers(preset_file: Path) -> None:
    load(
        preset_file,
        "[defaults.retry.budget]\nratio = 0.5\n[database.retry]\nbudget = false\n"
        "[services.orders.retry.budget]\nwindow = 3\n[services.billing.retry]\nbudget = true",
    )
    assert retry().budget is None
    assert retry(service="orders").budget == ModelRetryBudgetConfig(ratio=0.5, window=3)
    assert retry(service="billing").budget == ModelRetryBudgetConfig(ratio=0.5)


def test_an_argument_gives_the_budget_as_none_table_or_model(preset_file: Path) -> None:
    load(preset_file, "[database.retry.budget]\nwindow = 3")
    assert retry(budget=None).budget is None
    assert retry(budget={"ratio": 0.5}).budget == ModelRetryBudgetConfig(ratio=0.5, window=3)
    assert retry(budget=ModelRetryBudgetConfig(ratio=0.5)).budget == ModelRetryBudgetConfig(ratio=0.5)


def test_a_longer_recovery_timeout_needs_no_longer_cap() -> None:
    config = resolve("vault", "circuit_breaker", ModelCircuitBreakerConfig, overrides={"recovery_timeout": 5000})
    assert config.max_recovery_timeout == 5000


# What is wrong is named, with where it stands

WHOLE = "must be a whole number, 1 or more"
WAIT = "must be a finite number, 0 or more"
SHARE = f"{WAIT} and at most 1"
HIDDEN = "(a str, not shown)"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[databse.retry]", "databse: unknown; did you mean database?"),
        ("[DATABASE]", "DATABASE: unknown; did you mean database?"),
        ("[zzz]", f"zzz: unknown; allowed: defaults, {', '.join(TRANSPORTS)}, api, services, profiles"),
        ("[database.retri]", "database.retri: unknown; did you mean retry?"),
        ("[api.retry]", "api.retry: unknown; allowed: rate_limit, profile"),
        ("[database.retry]\nmax_atempts = 3", "database.retry.max_atempts: unknown; did you mean max_attempts?"),
        ("[database.retry.budget]\nrato = 1", "database.retry.budget.rato: unknown; did you mean ratio?"),
        (
            "[services.orders]\nmax_attempts = 3",
            "services.orders.max_attempts: unknown; did you mean services.orders.retry.max_attempts?",
        ),
        ("[services.orders.retri]", "services.orders.retri: unknown; did you mean retry?"),
        ("[services.orders.retry]\nmin_wat = 3", "services.orders.retry.min_wat: unknown; did you mean min_wait?"),
        ("services = 3", "services: must be a table, not a single value"),
        ("[services]\norders = 'hunter2'", "services.orders: must be a table, not a single value"),
        ("database = 3", "database: must be a table, not a single value"),
        ("[database]\nretry = false", "database.retry: must be a table, not a single value"),
        ("[database.retry]\nbudget = 'hunter2'", "database.retry.budget: must be a table, not a single value"),
        ("[services.'-'.retry]", "services.-: needs a letter or a digit"),
        ("[services.a-b.retry]\n[services.A_B.retry]", "services.A_B: names the service of another table too"),
        ("[database.retry]\nmax_attempts = 0", f"database.retry.max_attempts = 0: {WHOLE}"),
        ("[database.retry]\nmax_attempts = true", f"database.retry.max_attempts = True: {WHOLE}"),
        ("[database.retry]\nmax_attempts = '5'", f"database.retry.max_attempts = {HIDDEN}: {WHOLE}"),
        ("[database.retry]\nmin_wait = inf", f"database.retry.min_wait = inf: {WAIT}"),
        ("[database.retry]\nmax_attempts = false", f"database.retry.max_attempts = False: {WHOLE}"),
        ("[database.retry]\nmin_wait = nan", f"database.retry.min_wait = nan: {WAIT}"),
        ("[services.orders.retry]\nmin_wait = 'hunter2'", f"services.orders.retry.min_wait = {HIDDEN}: {WAIT}"),
        ("[database.retry.budget]\nratio = 2", f"database.retry.budget.ratio = 2: {SHARE}"),
        ("[database.retry]\nmin_wait = hunter2", "is not valid TOML: line 2, column 12"),
        ("[database.retry", "is not valid TOML: end of document"),
    ],
)  # fmt: skip
def test_what_is_wrong_in_a_file_is_named_with_the_file(preset_file: Path, text: str, message: str) -> None:
    assert refused_file(preset_file, text) == f"{preset_file}: {message}"


def test_a_file_that_is_missing_unreadable_or_no_text_is_named(tmp_path: Path, preset_file: Path) -> None:
    with pytest.raises(ProtocolConfigurationError, match=r"absent\.toml: cannot be read: No such file or directory"):
        load_presets(tmp_path / "absent.toml")
    with pytest.raises(ProtocolConfigurationError, match=f"{tmp_path.name}: cannot be read: Is a directory"):
        load_presets(str(tmp_path))
    preset_file.write_bytes(b"\xff\xfe")
    with pytest.raises(ProtocolConfigurationError, match=r"presets\.toml: is not UTF-8 text"):
        load_presets(preset_file)


D = "ONEX_RESILIENCE__DATABASE"
S = "ONEX_RESILIENCE__SERVICES__ORDERS"


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        (f"{D}__RETRY__MAX_ATEMPTS", "3", "database.retry.max_atempts: unknown; did you mean max_attempts?"),
        ("ONEX_RESILIENCE__DATABSE__RETRY__MIN_WAIT", "3", "databse: unknown; did you mean database?"),
        (f"{D}__RETRI__MIN_WAIT", "3", "database.retri: unknown; did you mean retry?"),
        (f"{D}_RETRY_MIN_WAIT", "3", "database_retry_min_wait: unknown; did you mean database.retry.min_wait?"),
        (f"{S}__RETRI__MIN_WAIT", "3", "services.orders.retri: unknown; did you mean retry?"),
        (f"{D}__RETRY", "hunter2", "database.retry: must be a table, not a single value"),
        (f"{D}__RETRY__MAX_ATTEMPTS", "hunter2", f"database.retry.max_attempts = {HIDDEN}: {WHOLE}"),
        (f"{D}__RETRY__MAX_ATTEMPTS", "", f"database.retry.max_attempts = (empty): {WHOLE}"),
        (f"{D}__RETRY__MAX_ATTEMPTS", "2.5", f"database.retry.max_attempts = 2.5: {WHOLE}"),
        (f"{D}__RETRY__MAX_ATTEMPTS", '["hunter2"]', f"database.retry.max_attempts = (a list, not shown): {WHOLE}"),
        (f"{D}__RETRY__MIN_WAIT", "nan", f"database.retry.min_wait = nan: {WAIT}"),
        (f"{D}__RETRY__BUDGET__RATIO", "2", f"database.retry.budget.ratio = 2: {SHARE}"),
        (f"{D}__RETRY", '{"min_wait": "hunter2"}', f"database.retry.min_wait = {HIDDEN}: {WAIT}"),
        (f"{S}__RETRY__MIN_WAIT", "-1", f"services.orders.retry.min_wait = -1: {WAIT}"),
        ("ONEX_RESILIENCE_DATABASE__RETRY__MIN_WAIT", "3", f"unknown; did you mean {D}__RETRY__MIN_WAIT?"),
        ("ONEX_RESILIENCE_DATABASE_RETRY_MIN_WAIT", "3", f"unknown; did you mean {D}__RETRY__MIN_WAIT?"),
        ("ONEX_RESILIENCE_SERVICES__ORDERS__RETRY__MIN_WAIT", "3", f"unknown; did you mean {S}__RETRY__MIN_WAIT?"),
    ],
)  # fmt: skip
def test_what_is_wrong_in_the_environment_is_named_with_the_variable(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, message: str
) -> None:
    assert refused_variable(monkeypatch, name, value) == f"{name}: {message}"


def test_an_empty_path_variable_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    message = "ONEX_RESILIENCE_FILE = (empty): must be the path of a TOML file, or unset"
    assert refused_variable(monkeypatch, "ONEX_RESILIENCE_FILE", "") == message


def test_a_table_and_a_number_within_it_cannot_both_be_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"{D}__RETRY__BUDGET", "off")
    message = f"{D}__RETRY__BUDGET__RATIO: {D}__RETRY__BUDGET is set too; only one can count"
    assert refused_variable(monkeypatch, f"{D}__RETRY__BUDGET__RATIO", "0.5") == message


def test_other_variables_that_begin_alike_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONEX_RESILIENCE_DSN", SECRET)
    monkeypatch.setenv("ONEX_RESILIENCE", SECRET)
    monkeypatch.setenv(f"{D}__RETRY__MAX_ATTEMPTS", "7")
    assert retry().max_attempts == 7


def test_settings_that_do_not_fit_together_say_who_set_them(preset_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refusal(**overrides: object) -> str:
        with pytest.raises(ProtocolConfigurationError) as caught:
            retry(**overrides)
        return caught.value.message

    ours = "min_wait = 20.0: must be at most max_wait = 10.0"
    assert refusal(min_wait=20, max_wait=10) == ours
    assert refusal(min_wait=20) == f"{ours} (max_wait from builtin.toml)"
    load(preset_file, "[database.retry]\nmax_wait = 10.0")
    monkeypatch.setenv(f"{D}__RETRY__MIN_WAIT", "20")
    assert refusal() == f"{ours} (min_wait from {D}__RETRY__MIN_WAIT, max_wait from {preset_file})"


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"max_atempts": 3}, "max_atempts: unknown; did you mean max_attempts?"),
        ({"max_attempts": 0}, f"max_attempts = 0: {WHOLE}"),
        ({"max_attempts": True}, f"max_attempts = True: {WHOLE}"),
        ({"max_attempts": None}, f"max_attempts = None: {WHOLE}"),
        ({"min_wait": SECRET}, f"min_wait = {HIDDEN}: {WAIT}"),
        ({"budget": {"rato": 1}}, "retry_budget.rato: unknown; did you mean ratio?"),
        ({"budget": False}, "retry_budget = False: must be a table of settings, or None"),
    ],
)
def test_a_wrong_argument_is_named_as_the_caller_calls_it(overrides: dict[str, object], message: str) -> None:
    with pytest.raises(ProtocolConfigurationError) as caught:
        resolve("database", "retry", ModelRetryConfig, overrides=overrides, names={"budget": "retry_budget"})
    assert caught.value.message == message
    assert caught.value.model.context["parameter"] == re.split("[ :]", message)[0]


def test_an_unknown_section_policy_or_service_name_is_refused() -> None:
    with pytest.raises(ProtocolConfigurationError, match=r"databas: unknown; did you mean database\?"):
        retry("databas")
    with pytest.raises(ProtocolConfigurationError, match=r"api\.retry: unknown; allowed: rate_limit"):
        retry("api")
    with pytest.raises(ProtocolConfigurationError, match="service: needs a letter or a digit in its name"):
        retry(service="--")
