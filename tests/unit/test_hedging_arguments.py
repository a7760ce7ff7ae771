"""What a hedge refuses when it is made, and when it decorates."""

from __future__ import annotations

from collections.abc import Callable, Generator

import pytest

from omnibase_infra.errors import ProtocolConfigurationError
from omnibase_infra.infrastructure import resilience
from omnibase_infra.infrastructure.resilience import Hedge, RetryBudget, create_database_hedge
from omnibase_infra.models.resilience import ModelRetryBudgetConfig

make: Callable[..., Hedge] = Hedge
from_preset: Callable[..., Hedge] = create_database_hedge

TRANSPORTS = ("database", "kafka", "network", "vault", "consul", "valkey", "grpc")


@pytest.mark.parametrize("build", [make, from_preset])
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"idempotent": False}, "idempotent = False: must be true, for a hedge makes calls twice"),
        ({"idempotent": None}, "idempotent = None: must be true or false"),
        ({"idempotent": "yes"}, "idempotent = (a str, not shown): must be true or false"),
        ({"delay": -1}, "delay = -1: must be a finite number, 0 or more, or None"),
        ({"delay": "hunter2"}, "delay = (a str, not shown): must be a finite number, 0 or more, or None"),
        ({"quantile": 0}, "quantile = 0: must be a finite number, above 0 and at most 1, or None"),
        ({"quantile": 95}, "quantile = 95: must be a finite number, above 0 and at most 1, or None"),
        ({"max_hedges": 0}, "max_hedges = 0: must be a whole number, 1 or more"),
        ({"minimum_calls": 2.5}, "minimum_calls = 2.5: must be a whole number, 1 or more"),
        ({"samples": 0}, "samples = 0: must be a whole number, 1 or more"),
        ({"minimum_calls": 9, "samples": 5}, "minimum_calls = 9: must be at most samples = 5"),
        ({"delay": None, "quantile": None}, "delay: is required where there is no quantile"),
        ({"counts_calls": 1}, "counts_calls = 1: must be true or false"),
        ({"name": " "}, "name = (empty): must be text that is not blank, or None"),
        ({"clock": 3}, "clock = 3: must be a function"),
    ],
)
def test_an_unusable_argument_is_named_with_what_is_allowed(build, settings, message):
    with pytest.raises(ProtocolConfigurationError) as caught:
        build(**{"delay": 1.0, "quantile": 0.9, "idempotent": True, **settings})
    assert caught.value.message == message
    assert caught.value.model.context["parameter"] == message.split(" ")[0].rstrip(":")


@pytest.mark.parametrize("build", [make, from_preset])
@pytest.mark.parametrize("budget", [3, "hunter2", {"ratio": 2}])
def test_an_unusable_budget_is_named(build, budget):
    with pytest.raises(ProtocolConfigurationError, match=r"retry_budget(\.ratio)? = ") as caught:
        build(1.0, idempotent=True, retry_budget=budget)
    assert "hunter2" not in str(caught.value)


def test_that_calls_may_be_made_twice_must_be_said():
    with pytest.raises(TypeError, match="idempotent"):
        make(1.0)
    with pytest.raises(TypeError, match="idempotent"):
        from_preset()


def plain() -> None: ...


def items() -> Generator[int]:
    yield 1


class Client:
    def get(self) -> None: ...


@pytest.mark.parametrize("fn", [plain, items, Client().get, lambda: None, len])
def test_a_plain_function_is_refused_when_it_is_decorated(fn):
    with pytest.raises(TypeError, match="is a plain function: a hedge needs an async one"):
        Hedge(1.0, idempotent=True)(fn)


def test_by_default_each_hedge_has_a_budget_of_its_own():
    first, second = Hedge(1.0, idempotent=True), Hedge(1.0, idempotent=True)
    assert first.budget is not None
    assert first.budget is not second.budget
    assert first.budget.config == ModelRetryBudgetConfig()
    config = ModelRetryBudgetConfig(ratio=0.5)
    for build in (make, from_preset):
        given = build(1.0, idempotent=True, retry_budget=config).budget
        assert given is not None
        assert given.config == config


def test_a_given_budget_is_shared():
    budget = RetryBudget()
    for build in (make, from_preset):
        assert build(1.0, idempotent=True, retry_budget=budget).budget is budget


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_every_transport_has_a_hedge_with_a_delay_until_its_quantile_is_known(transport):
    built = getattr(resilience, f"create_{transport}_hedge")(idempotent=True)
    assert built.config.quantile >= 0.95
    assert built.current_delay == built.config.delay > 0
    assert (built.config.max_hedges, built.config.minimum_calls, built.config.samples) == (1, 100, 1000)
