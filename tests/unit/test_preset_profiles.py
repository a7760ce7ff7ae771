"""Named profiles of the presets: numbers that lie over a transport's and under a service's."""

from __future__ import annotations

import inspect
import os
import tempfile
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import omnibase_infra.infrastructure.resilience as public
from omnibase_infra.cli.main import main
from omnibase_infra.errors import ProtocolConfigurationError
from omnibase_infra.infrastructure.resilience import CredentialRefreshManager, create_database_resilience
from omnibase_infra.infrastructure.resilience.pipeline_factory import FACTORIES
from omnibase_infra.models.resilience import (
    ModelCircuitBreakerConfig,
    ModelRateLimitConfig,
    ModelRetryBudgetConfig,
    ModelRetryConfig,
)
from omnibase_infra.presets import load_presets, reload_presets, resolve
from omnibase_infra.presets.layers import POLICIES, TABLES
from omnibase_infra.utils.util_builtin_numbers import builtin_profiles, builtin_tables

NIGHT = "ONEX_RESILIENCE__PROFILES__NIGHT"


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


def retry(section: str = "database", service: str | None = None, profile: str | None = None) -> ModelRetryConfig:
    return resolve(section, "retry", ModelRetryConfig, service=service, profile=profile)


def load(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
    load_presets(path)


def refusal(call: Callable[[], object]) -> str:
    with pytest.raises(ProtocolConfigurationError) as caught:
        call()
    return caught.value.message


# Without a profile nothing changes


def test_the_shipped_profiles_change_nothing_until_one_is_asked_for() -> None:
    shipped = builtin_tables()
    for section, policies in shipped.items():
        for policy in _whole_policies(section):
            alone = {f"{policy}.{name}" for name in TABLES[policy].model_fields}
            plain = resolve(section, policy, TABLES[policy])
            own = {**_numbers(shipped["defaults"], policy), **_numbers(policies, policy)}
            assert own.keys() <= alone
            for key, number in own.items():
                assert getattr(plain, key.partition(".")[2]) == number, f"{section}.{key}"


def _whole_policies(section: str) -> list[str]:
    """The defaults of these two leave out what only a transport knows."""
    return [
        policy for policy in builtin_tables()[section] if section != "defaults" or policy not in {"rate_limit", "hedge"}
    ]


def _numbers(table: object, policy: str) -> dict[str, object]:
    assert isinstance(table, dict)
    own = table.get(policy, {})
    return {f"{policy}.{name}": value for name, value in own.items() if not isinstance(value, dict)}


def test_every_shipped_profile_makes_a_whole_stack_for_every_transport() -> None:
    for profile in builtin_profiles():
        for factory in FACTORIES.values():
            assert str(factory(profile=profile).explain())


def test_a_shipped_profile_repeats_no_number_that_holds_without_it() -> None:
    for profile in builtin_profiles():
        for section in builtin_tables():
            for policy in _whole_policies(section):
                plain, tuned = (resolve(section, policy, TABLES[policy], profile=p) for p in (None, profile))
                for name in _named_in(profile, section, policy):
                    assert getattr(plain, name) != getattr(tuned, name), f"{profile}.{section}.{policy}.{name}"


def _named_in(profile: str, section: str, policy: str) -> list[str]:
    tables = builtin_profiles()[profile]
    assert isinstance(tables, dict)
    return list(tables.get(section, {}).get(policy, {}))


# Who overrides whom

SCOPES = ("defaults", "database", "profiles.night.defaults", "profiles.night.database", "services.orders")
"""From weak to strong."""
SOURCES = ("file", "environment")
PLACES = [(scope, source) for scope in SCOPES for source in SOURCES]

# Each place may set an optional number, or switch it off, or say nothing.
placed = st.dictionaries(st.sampled_from(PLACES), st.integers(1, 99) | st.none(), max_size=5)


@settings(max_examples=150)
@given(
    placed=placed,
    argument=st.integers(1, 99) | st.none() | st.just("not given"),
    with_profile=st.booleans(),
    with_service=st.booleans(),
)
def test_the_strongest_place_that_says_anything_counts(
    placed: dict[tuple[str, str], int | None], argument: int | str | None, with_profile: bool, with_service: bool
) -> None:
    expected: object = None
    for scope, source in PLACES:
        is_asked = (with_profile or "profiles" not in scope) and (with_service or "services" not in scope)
        if is_asked and (scope, source) in placed:
            expected = placed[scope, source]
    if argument != "not given":
        expected = argument

    text, variables = "[profiles.night]\n", {}
    for (scope, source), value in placed.items():
        if source == "file":
            text += f"[{scope}.retry]\nmax_elapsed = {'false' if value is None else value}\n"
        else:
            name = f"ONEX_RESILIENCE__{scope.replace('.', '__').upper()}__RETRY__MAX_ELAPSED"
            variables[name] = "off" if value is None else str(value)
    with tempfile.TemporaryDirectory() as folder, mock.patch.dict(os.environ, variables):
        load(Path(folder) / "presets.toml", text)
        config = resolve(
            "database",
            "retry",
            ModelRetryConfig,
            service="orders" if with_service else None,
            profile="night" if with_profile else None,
            overrides={} if argument == "not given" else {"max_elapsed": argument},
        )
    assert config.max_elapsed == expected


def test_a_profile_that_says_nothing_of_a_transport_leaves_its_numbers(preset_file: Path) -> None:
    load(preset_file, "[profiles.night.kafka.retry]\nmax_attempts = 9")
    assert retry(profile="night") == retry()
    assert retry("kafka", profile="night").max_attempts == 9
    assert retry("kafka").max_attempts == 5


def test_a_profiles_defaults_count_for_every_transport_that_it_has_no_own_number_for(preset_file: Path) -> None:
    load(
        preset_file, "[profiles.night.defaults.retry]\nmax_attempts = 9\n[profiles.night.kafka.retry]\nmax_attempts = 2"
    )
    found = {section: retry(section, profile="night").max_attempts for section in ("database", "kafka", "defaults")}
    assert found == {"database": 9, "kafka": 2, "defaults": 9}
    limit = resolve("api", "rate_limit", ModelRateLimitConfig, profile="night")
    assert limit == resolve("api", "rate_limit", ModelRateLimitConfig)


def test_a_users_file_overrides_single_numbers_of_a_shipped_profile_and_adds_to_it(preset_file: Path) -> None:
    before = {section: retry(section, profile="tuned") for section in FACTORIES}
    load(preset_file, "[profiles.tuned.database.retry]\nmax_retry_after = 7")
    after = {section: retry(section, profile="tuned") for section in FACTORIES}
    assert after == before | {"database": before["database"].model_copy(update={"max_retry_after": 7.0})}


def test_a_budget_that_the_transport_switched_off_is_on_again_by_a_number_of_the_profile(preset_file: Path) -> None:
    load(preset_file, "[database.retry]\nbudget = false\n[profiles.night.database.retry.budget]\nratio = 0.5")
    assert retry().budget is None
    assert retry(profile="night").budget == ModelRetryBudgetConfig(ratio=0.5)


def test_the_environment_defines_a_profile_and_changes_one(preset_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"{NIGHT}__DATABASE__RETRY__MAX_ATTEMPTS", "7")
    assert retry(profile="night").max_attempts == 7
    load(preset_file, "[profiles.night.database.retry]\nmax_attempts = 8\nmin_wait = 2")
    assert (retry(profile="night").max_attempts, retry(profile="night").min_wait) == (7, 2)


@pytest.mark.parametrize("name", ["half-load", "Half Load", "half__load", "HALF_LOAD"])
def test_case_and_punctuation_of_a_profiles_name_do_not_count(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONEX_RESILIENCE__PROFILES__HALF_LOAD__DATABASE__RETRY__MAX_ATTEMPTS", "7")
    assert retry(profile=name).max_attempts == 7


def test_a_changed_profile_counts_after_reload_and_settings_already_built_keep_theirs(preset_file: Path) -> None:
    load(preset_file, "[profiles.night.database.retry]\nmax_attempts = 4")
    built = retry(profile="night")
    preset_file.write_text("[profiles.night.database.retry]\nmax_attempts = 6\n[profiles.day]")
    assert retry(profile="night").max_attempts == 4
    reload_presets()
    assert (built.max_attempts, retry(profile="night").max_attempts) == (4, 6)
    assert retry(profile="day") == retry()


# A profile that a table names


def test_a_service_names_its_profile_and_keeps_its_own_numbers_over_it(preset_file: Path) -> None:
    load(
        preset_file,
        "[profiles.night.database.retry]\nmax_attempts = 8\nmin_wait = 3\n"
        "[services.orders]\nprofile = 'night'\nretry = {max_attempts = 2}",
    )
    assert (retry(service="orders").max_attempts, retry(service="orders").min_wait) == (2, 3)
    assert retry(service="billing") == retry()
    assert retry("kafka", service="orders").min_wait == 1


def test_the_nearest_table_that_names_a_profile_counts_and_the_argument_before_all(preset_file: Path) -> None:
    profiles = "".join(
        f"[profiles.{name}.defaults.retry]\nmax_elapsed = {seconds}\n"
        for name, seconds in {"everywhere": 1, "databases": 2, "orders": 3, "given": 4}.items()
    )
    load(
        preset_file,
        f"{profiles}[defaults]\nprofile = 'everywhere'\n[database]\nprofile = 'databases'\n"
        "[services.orders]\nprofile = 'Orders'\n[services.billing]\nprofile = false",
    )
    assert retry("kafka").max_elapsed == 1
    assert retry("defaults").max_elapsed == 1
    assert retry().max_elapsed == 2
    assert retry(service="shipping").max_elapsed == 2
    assert retry(service="orders").max_elapsed == 3
    assert retry(service="billing").max_elapsed is None
    assert retry(service="orders", profile="given").max_elapsed == 4
    assert retry(service="billing", profile="given").max_elapsed == 4


def test_a_variable_names_a_profile_and_takes_one_away(preset_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load(preset_file, "[profiles.night.database.retry]\nmax_attempts = 8\n[services.orders]\nprofile = 'night'")
    monkeypatch.setenv("ONEX_RESILIENCE__DATABASE__PROFILE", "night")
    assert retry().max_attempts == 8
    monkeypatch.setenv("ONEX_RESILIENCE__SERVICES__ORDERS__PROFILE", "off")
    assert retry(service="orders").max_attempts == 3


def test_a_named_profile_may_be_defined_by_a_stronger_source(
    preset_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"{NIGHT}__DATABASE__RETRY__MAX_ATTEMPTS", "7")
    load(preset_file, "[services.orders]\nprofile = 'night'")
    assert retry(service="orders").max_attempts == 7


# What is wrong is named


def test_an_unknown_profile_is_refused_with_the_nearest_or_all_names(preset_file: Path) -> None:
    load(preset_file, "[profiles.night]\n[profiles.'Half Load'.database.retry]\nmin_wait = 2")
    hidden = "profile = (a str, not shown): unknown;"
    assert refusal(lambda: retry(profile="tunde")) == f"{hidden} did you mean tuned?"
    assert refusal(lambda: retry(profile="half-loud")) == f"{hidden} did you mean half_load?"
    assert refusal(lambda: retry(profile="hunter2")) == f"{hidden} allowed: half_load, night, tuned"
    assert refusal(lambda: retry(profile="  ")) == "profile = (empty): unknown; allowed: half_load, night, tuned"
    assert refusal(lambda: retry(profile="--")) == f"{hidden} allowed: half_load, night, tuned"


@pytest.mark.parametrize("profile", [1, True, b"tuned", object()])
def test_a_profile_that_is_no_text_is_refused(profile: object) -> None:
    def call() -> object:
        return resolve("database", "retry", ModelRetryConfig, profile=profile)  # type: ignore[arg-type]  # the point

    assert refusal(call).endswith("must be the name of a profile, or None")


def test_the_refusal_names_the_parameter() -> None:
    with pytest.raises(ProtocolConfigurationError) as caught:
        create_database_resilience(profile="tunde")
    assert caught.value.model.context["parameter"] == "profile"


TUNED = "ONEX_RESILIENCE__PROFILES__TUNED"
NAME = "must be the name of a profile, or false"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("profiles = 3", "profiles: must be a table, not a single value"),
        ("[profiles]\nnight = 3", "profiles.night: must be a table, not a single value"),
        ("[profiles.'-'.database]", "profiles.-: needs a letter or a digit"),
        ("[profiles.a-b.database]\n[profiles.A_B.kafka]", "profiles.A_B: names the profile of another table too"),
        ("[profiles.night.databse.retry]", "profiles.night.databse: unknown; did you mean database?"),
        ("[profiles.night.database.retri]", "profiles.night.database.retri: unknown; did you mean retry?"),
        ("[profiles.night.api.retry]", "profiles.night.api.retry: unknown; allowed: rate_limit"),
        ("[profiles.night.retry]\nmax_attempts = 3",
         "profiles.night.retry: unknown; allowed: " + ", ".join(builtin_tables())),
        ("[profiles.night]\nrecovery_timeout = 3",
         "profiles.night.recovery_timeout: unknown; did you mean grpc.circuit_breaker.recovery_timeout?"),
        ("[profiles.night.services.orders.retry]",
         "profiles.night.services: unknown; allowed: " + ", ".join(builtin_tables())),
        ("[profiles.night.database.retry]\nmax_attempts = 0",
         "profiles.night.database.retry.max_attempts = 0: must be a whole number, 1 or more"),
        ("[profile.night.database.retry]", "profile: unknown; did you mean profiles?"),
        ("[database]\nprofile = true", f"database.profile = True: {NAME}"),
        ("[services.orders]\nprofile = 3", f"services.orders.profile = 3: {NAME}"),
        ("[services.orders]\nprofile = '-'", f"services.orders.profile = (a str, not shown): {NAME}"),
        ("[services.orders]\nprofile = 'tunde'",
         "services.orders.profile = (a str, not shown): unknown; did you mean tuned?"),
        ("[services.orders]\nprofil = 'tuned'", "services.orders.profil: unknown; did you mean profile?"),
        ("[defaults]\nprofile = 'hunter2'", "defaults.profile = (a str, not shown): unknown; allowed: tuned"),
    ],
)  # fmt: skip
def test_what_is_wrong_in_a_file_is_named_with_the_file(preset_file: Path, text: str, message: str) -> None:
    assert refusal(lambda: load(preset_file, text)) == f"{preset_file}: {message}"


def test_a_profile_names_no_other_profile(preset_file: Path) -> None:
    said = refusal(lambda: load(preset_file, "[profiles.night.database]\nprofile = 'tuned'"))
    assert said.startswith(f"{preset_file}: profiles.night.database.profile: unknown;")


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        (f"{TUNED}__DATABSE__RETRY__MIN_WAIT", "1", "profiles.tuned.databse: unknown; did you mean database?"),
        (f"{TUNED}__DATABASE_RETRY__MIN_WAIT", "1", "profiles.tuned.database_retry: unknown; did you mean database?"),
        (f"{TUNED}__DATABASE__RETRY__MIN_WAIT", "-1",
         "profiles.tuned.database.retry.min_wait = -1: must be a finite number, 0 or more"),
        ("ONEX_RESILIENCE_PROFILES__TUNED__DATABASE__RETRY__MIN_WAIT", "1",
         f"unknown; did you mean {TUNED}__DATABASE__RETRY__MIN_WAIT?"),
        ("ONEX_RESILIENCE_PROFILES_TUNED_DATABASE_RETRY_MIN_WAIT", "1",
         f"unknown; did you mean {TUNED}__DATABASE__RETRY__MIN_WAIT?"),
        ("ONEX_RESILIENCE_DATABASE_PROFILE", "tuned", "unknown; did you mean ONEX_RESILIENCE__DATABASE__PROFILE?"),
        ("ONEX_RESILIENCE_PROFILE", "tuned", "unknown; did you mean ONEX_RESILIENCE__DEFAULTS__PROFILE?"),
        ("ONEX_RESILIENCE__DATABASE__PROFILE", "tunde",
         "database.profile = (a str, not shown): unknown; did you mean tuned?"),
    ],
)  # fmt: skip
def test_what_is_wrong_in_the_environment_is_named_with_the_variable(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, message: str
) -> None:
    monkeypatch.setenv(name, value)
    assert refusal(retry) == f"{name}: {message}"


def test_numbers_that_do_not_fit_together_say_that_the_profile_set_one(preset_file: Path) -> None:
    load(preset_file, "[profiles.night.database.retry]\nmin_wait = 20.0")
    ours = "min_wait = 20.0: must be at most max_wait = 10.0"
    assert (
        refusal(lambda: retry(profile="night")) == f"{ours} (min_wait from {preset_file}, max_wait from builtin.toml)"
    )


def test_a_wrong_file_leaves_what_was_loaded(preset_file: Path, tmp_path: Path) -> None:
    load(preset_file, "[profiles.night.database.retry]\nmax_attempts = 4")
    refusal(lambda: load(tmp_path / "wrong.toml", "[database]\nprofile = 'nigt'"))
    assert retry(profile="night").max_attempts == 4


# Every factory

TELLING = {
    "circuit_breaker": "failure_threshold = 17",
    "retry": "max_attempts = 17",
    "rate_limit": "capacity = 17",
    "timeout": "attempt = 17\ntotal = 1700",
    "bulkhead": "max_queue = 17",
    "hedge": "samples = 1700",
    "adaptive_throttle": "multiplier = 17",
    "stale_cache": "ttl = 17",
    "credential_refresh": "refresh_threshold_seconds = 17",
}
"""A number of each policy that no preset ships."""


class Issuer:
    def refresh_credential(self) -> dict[str, object]:
        return {}


def _takes_service() -> list[str]:
    found: list[str] = []
    for name in public.__all__:
        value = getattr(public, name)
        if callable(value) and "service" in _parameters(value):
            found.append(name)
    return found


def _parameters(called: Callable[..., object]) -> Collection[str]:
    try:
        return inspect.signature(called).parameters
    except ValueError:  # of a class that is made in C
        return ()


def _told(name: str, service: str | None = None, profile: str | None = None) -> str:
    """What the policy that this factory builds is like, in words that hold its telling number."""
    if name == "CredentialRefreshManager":
        return repr(CredentialRefreshManager(Issuer(), service=service, profile=profile).config)
    needed = {"idempotent": True} if name.endswith("_hedge") else {}
    built = getattr(public, name)(**needed, service=service, profile=profile)
    return str(built.explain()) if name.endswith("_resilience") else _shown(built)


def _shown(policy: object) -> str:
    config = getattr(policy, "config", None)
    if config is not None:
        return repr(config)
    return repr([getattr(policy, name, None) for name in ("rate", "capacity", "seconds", "max_queue")])


@pytest.mark.parametrize("name", _takes_service())
def test_every_factory_that_takes_a_service_takes_a_profile(name: str, preset_file: Path) -> None:
    sections = [section for section in builtin_tables() if f"create_{section}_" in name] or ["defaults"]
    tables = builtin_tables()[sections[0]]
    text = "[profiles.other]\n" + "".join(
        f"[profiles.night.{sections[0]}.{policy}]\n{TELLING[policy]}\n" for policy in tables if policy in TELLING
    )
    load(preset_file, text + "[services.orders]\nprofile = 'night'")
    assert "17" not in _told(name)
    assert "17" not in _told(name, profile="other")
    assert "17" in _told(name, profile="night")
    assert "17" in _told(name, service="orders")
    assert refusal(lambda: _told(name, profile="nihgt")).endswith("did you mean night?")


def test_a_pipeline_passes_its_profile_on_to_each_of_its_policies(preset_file: Path) -> None:
    text = "".join(f"[profiles.night.database.{p}]\n{TELLING[p]}\n" for p in builtin_tables()["database"])
    load(preset_file, text)
    told = str(create_database_resilience(profile="night").explain())
    for line in (
        "1. total timeout    1700 s",
        "2. retry            17 attempts",
        "3. circuit breaker  opens after 17 failures in a row",
        "4. rate limiter     50/s, bursts of 17",
        "5. bulkhead         10 at once, queue of 17",
        "6. attempt timeout  17 s",
    ):
        assert line in told


def test_no_policy_of_the_presets_is_without_a_telling_number() -> None:
    assert set(TELLING) == set(POLICIES) - {"fallback"}  # its one number is read without a service


def test_breakers_of_one_name_and_different_profiles_are_refused_as_different_ones(preset_file: Path) -> None:
    load(preset_file, "[profiles.night.database.circuit_breaker]\nfailure_threshold = 17")
    first = public.create_database_circuit_breaker(name="profiled")
    assert first.config == resolve("database", "circuit_breaker", ModelCircuitBreakerConfig)
    said = refusal(lambda: public.create_database_circuit_breaker(name="profiled", profile="night"))
    assert "exists with another failure_threshold" in said


def test_explain_tells_the_profile(preset_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    preset_file.write_text("[profiles.night.database.retry]\nmax_attempts = 2\n")
    assert main(["explain", "database", "--profile", "night", "--file", str(preset_file)]) == 0
    assert "most requests for one call      2\n" in capsys.readouterr().out
    with pytest.raises(SystemExit) as caught:
        main(["explain", "database", "--profile", "nigt"])
    assert caught.value.code == 2
    assert "did you mean night?" in capsys.readouterr().err
