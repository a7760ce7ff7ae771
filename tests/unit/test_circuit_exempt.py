"""What may pass an open circuit, and what counts less than a hang."""

from __future__ import annotations

import asyncio

import pytest

from omnibase_infra.enums import EnumCircuitState
from omnibase_infra.errors import InfraUnavailableError, ProtocolConfigurationError
from omnibase_infra.infrastructure.resilience import create_database_circuit_breaker, ends_transaction

ENDS = ["COMMIT", "commit;", "  Rollback", "ROLLBACK WORK", "END TRANSACTION", "ABORT", "COMMIT AND CHAIN"]
GOES_ON = [
    "SELECT 1",
    "ROLLBACK TO SAVEPOINT a",
    "rollback work to a",
    "COMMITTED",
    "",
    "-- COMMIT",
    "SAVEPOINT commit",
]


@pytest.mark.parametrize("sql", ENDS)
def test_a_statement_that_ends_a_transaction_passes_an_open_circuit_when_the_user_marks_it(sql: str) -> None:
    breaker = create_database_circuit_breaker(exempt=ends_transaction)

    @breaker
    async def execute(sql: str) -> str:
        return f"did {sql}"

    @breaker
    def execute_plainly(sql: str) -> str:
        return f"did {sql}"

    breaker.trip()
    assert asyncio.run(execute(sql)) == f"did {sql}"
    assert execute_plainly(sql) == f"did {sql}"
    assert breaker.state is EnumCircuitState.OPEN


@pytest.mark.parametrize("sql", GOES_ON)
def test_every_other_statement_is_refused(sql: str) -> None:
    breaker = create_database_circuit_breaker(exempt=ends_transaction)
    breaker.trip()
    with pytest.raises(InfraUnavailableError):
        breaker.call(str.upper, sql)


def test_an_exempt_call_that_fails_is_not_counted_and_comes_out_as_it_is() -> None:
    clock = [0.0]
    breaker = create_database_circuit_breaker(exempt=ends_transaction, clock=lambda: clock[0])
    breaker.trip()

    def fails(sql: str) -> None:
        raise ConnectionResetError(sql)

    with pytest.raises(ConnectionResetError):
        breaker.call(fails, "COMMIT")
    clock[0] = breaker.recovery_timeout
    assert breaker.state is EnumCircuitState.HALF_OPEN


def test_while_the_circuit_is_closed_nobody_is_asked() -> None:
    def never(*_: object) -> bool:
        raise AssertionError

    assert create_database_circuit_breaker(exempt=never).call(str.upper, "commit") == "COMMIT"


def test_what_is_exempt_must_be_said_by_a_callable() -> None:
    with pytest.raises(ProtocolConfigurationError, match="exempt"):
        create_database_circuit_breaker(exempt="COMMIT")  # type: ignore[arg-type]


@pytest.mark.parametrize(("weight", "resets"), [(1.0, 5), (0.5, 10), (0.1, 50)])
def test_a_lost_connection_counts_as_much_as_the_preset_says(weight: float, resets: int) -> None:
    breaker = create_database_circuit_breaker(5, connection_weight=weight)
    assert failures_to_open(breaker, ConnectionResetError()) == resets


def test_a_hang_counts_in_full_whatever_a_lost_connection_does() -> None:
    breaker = create_database_circuit_breaker(5, connection_weight=0.1)
    assert failures_to_open(breaker, TimeoutError()) == 5


def test_a_lost_connection_of_weight_0_never_opens_the_circuit() -> None:
    breaker = create_database_circuit_breaker(1, connection_weight=0)
    assert failures_to_open(breaker, ConnectionResetError()) is None


def failures_to_open(breaker: object, failure: Exception) -> int | None:
    def fails() -> None:
        raise failure

    for number in range(1, 101):
        with pytest.raises(type(failure)):
            breaker.call(fails)
        if breaker.opened:
            return number
    return None
