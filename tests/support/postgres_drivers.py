"""asyncpg, psycopg, psycopg2 and SQLAlchemy behind one face: one test makes each of them fail in the same way."""

from __future__ import annotations

import asyncio
import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import asyncpg
import psycopg
import psycopg2
from sqlalchemy import URL, create_engine
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

HOST = "127.0.0.1"
USER = "onex"
DATABASE = "postgres"


@dataclass(frozen=True)
class Expected:
    """SQL that may fail."""

    sql: str


Step = str | Expected | Callable[[], object]
"""SQL for the connection under test, or something that happens meanwhile."""


async def done(result: object) -> object:
    """The result, awaited when it must be."""
    return await result if inspect.isawaitable(result) else result


class Driver(ABC):
    """One client. `connect`, `run` and `close` may be coroutines or not."""

    row: str
    """The driver's name in the table of situations."""
    asynchronous: bool

    def __str__(self) -> str:
        return f"{self.row}{'' if self.asynchronous else ', blocking'}"

    @property
    def is_asyncpg(self) -> bool:
        """Whether it is asyncpg, by itself or under SQLAlchemy."""
        return "asyncpg" in self.row

    @property
    def is_psycopg2(self) -> bool:
        """Whether it is psycopg2, by itself or under SQLAlchemy."""
        return "psycopg2" in self.row

    @property
    def is_sqlalchemy(self) -> bool:
        """Whether it is SQLAlchemy around another."""
        return self.row.startswith("sqlalchemy")

    @abstractmethod
    def connect(self, port: int, **settings: object) -> object:
        """A new connection in autocommit mode."""

    @abstractmethod
    def run(self, connection, sql: str) -> object:
        """Execute and fetch."""

    def close(self, connection) -> object:
        return connection.close()

    def failure(self, port: int, *steps: Step, **settings: object) -> BaseException:
        """What the last step raises, or connecting when there is none."""
        return asyncio.run(self.attempt(port, *steps, **settings))

    async def attempt(self, port: int, *steps: Step, **settings: object) -> BaseException:
        """The same on a loop that runs."""
        try:
            connection = await done(self.connect(port, **settings))
        except Exception as error:
            if steps:
                raise
            return error
        try:
            for step in steps[:-1]:
                await self.take(connection, step)
            try:
                await self.take(connection, *steps[-1:])
            except Exception as error:
                return error
            raise AssertionError("it did not fail")
        finally:
            await done(self.close(connection))

    async def take(self, connection, step: Step = bool) -> object:
        """Do one step."""
        if isinstance(step, Expected):
            with suppress(Exception):
                await done(self.run(connection, step.sql))
            return None
        if isinstance(step, str):
            return await done(self.run(connection, step))
        result = step()
        if self.asynchronous:
            await asyncio.sleep(0.02)  # the loop hears of what happened to its connection
        return result


class Asyncpg(Driver):
    row = "asyncpg"
    asynchronous = True

    def connect(self, port: int, **settings: object) -> object:
        return asyncpg.connect(**{"host": HOST, "port": port, "user": USER, "database": DATABASE, **settings})

    def run(self, connection, sql: str) -> object:
        return connection.fetch(sql)

    def close(self, connection) -> object:
        connection.terminate()  # no farewell: a server that does not answer would be waited for
        return None


class Psycopg(Driver):
    row = "psycopg"

    def __init__(self, *, asynchronous: bool) -> None:
        self.asynchronous = asynchronous

    def connect(self, port: int, **settings: object) -> object:
        cls = psycopg.AsyncConnection if self.asynchronous else psycopg.Connection
        settings = {"host": HOST, "port": port, "user": USER, **settings}
        return cls.connect(dbname=settings.pop("database", DATABASE), autocommit=True, **settings)

    def run(self, connection, sql: str) -> object:
        return connection.execute(sql, prepare=True)


class Psycopg2(Driver):
    row = "psycopg2"
    asynchronous = False

    def connect(self, port: int, **settings: object) -> object:
        settings = {"host": HOST, "port": port, "user": USER, **settings}
        connection = psycopg2.connect(dbname=settings.pop("database", DATABASE), **settings)
        connection.autocommit = True
        return connection

    def run(self, connection, sql: str) -> object:
        with connection.cursor() as cursor:
            cursor.execute(sql)
        return None


class Sqlalchemy(Driver):
    """Around one of the other drivers, with a connection of its own each time."""

    def __init__(self, around: str, *, asynchronous: bool) -> None:
        self.row = f"sqlalchemy + {around}"
        self.asynchronous = asynchronous

    def engine(self, port: int, **settings: object):
        around = self.row.rpartition(" ")[2]
        settings = {"user": USER, "database": DATABASE, "poolclass": NullPool, **settings}
        user, password, database = (settings.pop(key, None) for key in ("user", "password", "database"))
        pool = {key: settings.pop(key) for key in tuple(settings) if key.startswith(("pool", "max_"))}
        url = URL.create(
            f"postgresql+{around}", username=user, password=password, host=HOST, port=port, database=database
        )
        create = create_async_engine if self.asynchronous else create_engine
        return create(url, isolation_level="AUTOCOMMIT", connect_args=settings, **pool)

    def connect(self, port: int, **settings: object) -> object:
        return self.engine(port, **settings).connect()

    def run(self, connection, sql: str) -> object:
        return connection.exec_driver_sql(sql)


DRIVERS: tuple[Driver, ...] = (
    Asyncpg(),
    Psycopg(asynchronous=True),
    Psycopg(asynchronous=False),
    Psycopg2(),
    Sqlalchemy("asyncpg", asynchronous=True),
    Sqlalchemy("psycopg", asynchronous=True),
    Sqlalchemy("psycopg", asynchronous=False),
    Sqlalchemy("psycopg2", asynchronous=False),
)
