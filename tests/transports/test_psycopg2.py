"""psycopg2's failures in our words: SQLSTATEs after connecting, libpq's text before."""

from __future__ import annotations

import pickle

import pytest

pytest.importorskip("psycopg2", reason="psycopg2 is not installed")

import psycopg2
import psycopg2.pool
from tests.transports.situation import Situation
from tests.transports.situations.postgresql import SECRET
from tests.transports.situations.psycopg2 import SITUATIONS, refused_connecting, reported

from omnibase_infra.enums import EnumFailureKind as Kind
from omnibase_infra.infrastructure.resilience.transports import failure_of


@pytest.mark.parametrize("row", SITUATIONS, ids=lambda row: row.situation)
def test_each_situation_has_its_kind_says_whether_it_was_sent_and_shows_no_secret(row: Situation) -> None:
    error = row.make()
    failure = failure_of(error, row.transport)
    assert (failure.kind, failure.sent) == (row.kind, row.sent)
    assert SECRET not in f"{failure}"
    assert not str(error) or str(error) not in failure.decided_by


def test_the_sqlstate_is_the_code_after_connecting_and_is_lost_before() -> None:
    assert failure_of(reported("42P01", 'relation "nope" does not exist')).code == "42P01"
    assert failure_of(refused_connecting("sorry, too many clients already")).code is None


def test_a_failed_connect_is_known_by_its_frame_whatever_language_libpq_speaks() -> None:
    def connect(*_: object) -> None:
        raise psycopg2.OperationalError("Verbindung zum Server fehlgeschlagen")

    failing = {"__name__": "psycopg2", "raise_it": connect}
    exec("def connect():\n    raise_it()\n", failing)
    with pytest.raises(psycopg2.OperationalError) as caught:
        failing["connect"]()  # type: ignore[operator]
    failure = failure_of(caught.value)
    assert (failure.kind, failure.sent) == (Kind.CONNECTION, False)
    assert failure_of(psycopg2.OperationalError("Verbindung zum Server fehlgeschlagen")).sent


def test_an_error_that_lost_its_sqlstate_or_never_had_one_is_what_its_class_says() -> None:
    error = reported("40001", "could not serialize access")
    failure_of(error)
    pickled = pickle.loads(pickle.dumps(error))
    assert pickled.pgcode is None
    for bare in (pickled, psycopg2.errors.SerializationFailure()):
        assert (failure_of(bare).kind, failure_of(bare).code) == (Kind.UNAVAILABLE, "40001")


def test_misuse_of_a_pool_is_the_caller_s() -> None:
    assert failure_of(psycopg2.pool.PoolError("trying to put unkeyed connection")).kind is Kind.CALLER


def test_a_user_s_subclass_counts_as_its_base_does_by_its_sqlstate() -> None:
    class Ours(psycopg2.errors.UniqueViolation):
        pass

    error = Ours("no")
    error.__setstate__({"pgcode": "23505"})
    assert (failure_of(error).kind, failure_of(error).code) == (Kind.CALLER, "23505")
