"""Drivers' classes of exceptions by name, module and descent, without the drivers."""

from __future__ import annotations

import builtins
from collections.abc import Iterator
from functools import cache
from typing import Final

_OF_VALKEY: Final = """
Exception
    valkey.exceptions.ValkeyError
        valkey.exceptions.ConnectionError
            valkey.exceptions.AuthenticationError
            valkey.exceptions.BusyLoadingError
            valkey.exceptions.MaxConnectionsError
            valkey.sentinel.MasterNotFoundError
        valkey.exceptions.ResponseError
            valkey.exceptions.ClusterError
                valkey.exceptions.ClusterDownError
                    valkey.exceptions.MasterDownError
            valkey.exceptions.OutOfMemoryError
            valkey.exceptions.ReadOnlyError
            valkey.exceptions.TryAgainError
        valkey.exceptions.TimeoutError
"""

_OF_REDIS: Final = _OF_VALKEY.replace("valkey.", "redis.").replace("ValkeyError", "RedisError")

_HIERARCHY: Final = f"""
Exception
    aiohttp.client_exceptions.ClientError
        aiohttp.client_exceptions.ClientConnectionError
            aiohttp.client_exceptions.ClientOSError, OSError
                aiohttp.client_exceptions.ClientConnectorError
                    aiohttp.client_exceptions.ClientConnectorDNSError
            aiohttp.client_exceptions.ServerConnectionError
                aiohttp.client_exceptions.ServerDisconnectedError
                aiohttp.client_exceptions.ServerTimeoutError, TimeoutError
                    aiohttp.client_exceptions.ConnectionTimeoutError
                    aiohttp.client_exceptions.SocketTimeoutError
        aiohttp.client_exceptions.ClientPayloadError
        aiohttp.client_exceptions.ClientResponseError
    asyncpg.exceptions._base.InterfaceMessage
        asyncpg.exceptions._base.InterfaceError
    asyncpg.exceptions._base.PostgresMessage
        asyncpg.exceptions._base.PostgresError
            asyncpg.exceptions.InsufficientResourcesError
                asyncpg.exceptions.DiskFullError
                asyncpg.exceptions.TooManyConnectionsError
            asyncpg.exceptions.IntegrityConstraintViolationError
                asyncpg.exceptions.UniqueViolationError
            asyncpg.exceptions.InvalidAuthorizationSpecificationError
                asyncpg.exceptions.InvalidPasswordError
            asyncpg.exceptions.InvalidTransactionStateError
                asyncpg.exceptions.ReadOnlySQLTransactionError
            asyncpg.exceptions.ObjectNotInPrerequisiteStateError
                asyncpg.exceptions.LockNotAvailableError
            asyncpg.exceptions.OperatorInterventionError
                asyncpg.exceptions.AdminShutdownError
                asyncpg.exceptions.CannotConnectNowError
                asyncpg.exceptions.QueryCanceledError
            asyncpg.exceptions.PostgresConnectionError
                asyncpg.exceptions.ConnectionDoesNotExistError
            asyncpg.exceptions.TransactionRollbackError
                asyncpg.exceptions.DeadlockDetectedError
                asyncpg.exceptions.SerializationError
    cimpl.KafkaException
    consul.exceptions.ConsulException
        consul.exceptions.ACLPermissionDenied
        consul.exceptions.ClientError
        consul.exceptions.Timeout
    grpc.RpcError
        grpc.aio._call.AioRpcError
    httpx.HTTPError
        httpx.HTTPStatusError
        httpx.RequestError
            httpx.TransportError
                httpx.NetworkError
                    httpx.ConnectError
                    httpx.ReadError
                httpx.ProtocolError
                    httpx.RemoteProtocolError
                httpx.TimeoutException
                    httpx.ConnectTimeout
                    httpx.PoolTimeout
                    httpx.ReadTimeout
    hvac.exceptions.VaultError
        hvac.exceptions.BadGateway
        hvac.exceptions.Forbidden
        hvac.exceptions.InternalServerError
        hvac.exceptions.InvalidPath
        hvac.exceptions.RateLimitExceeded
        hvac.exceptions.UnexpectedError
        hvac.exceptions.VaultDown
    psycopg.Error
        psycopg.DatabaseError
            psycopg.IntegrityError
                psycopg.errors.UniqueViolation
            psycopg.InternalError
                psycopg.errors.ReadOnlySqlTransaction
            psycopg.OperationalError
                psycopg.errors.AdminShutdown
                psycopg.errors.ConnectionTimeout
                psycopg.errors.DeadlockDetected
                psycopg.errors.QueryCanceled
                psycopg.errors.SerializationFailure
                psycopg_pool.PoolTimeout
                psycopg_pool.TooManyRequests
    urllib3.exceptions.HTTPError
        urllib3.exceptions.PoolError
            urllib3.exceptions.RequestError
                urllib3.exceptions.MaxRetryError
        urllib3.exceptions.TimeoutError
            urllib3.exceptions.ConnectTimeoutError
                urllib3.exceptions.NewConnectionError
OSError
    requests.exceptions.RequestException
        requests.exceptions.ChunkedEncodingError
        requests.exceptions.HTTPError
        requests.exceptions.Timeout
            requests.exceptions.ReadTimeout
        requests.exceptions.ConnectionError
            requests.exceptions.ConnectTimeout, requests.exceptions.Timeout
RuntimeError
    aiokafka.errors.KafkaError
        aiokafka.errors.BrokerResponseError
            aiokafka.errors.BrokerNotAvailableError
            aiokafka.errors.KafkaStorageError
            aiokafka.errors.LeaderNotAvailableError
            aiokafka.errors.MessageSizeTooLargeError
            aiokafka.errors.NotEnoughReplicasAfterAppendError
            aiokafka.errors.NotEnoughReplicasError
            aiokafka.errors.NotLeaderForPartitionError
            aiokafka.errors.RebalanceInProgressError
            aiokafka.errors.RequestTimedOutError
            aiokafka.errors.SaslAuthenticationFailed
            aiokafka.errors.TopicAuthorizationFailedError
            aiokafka.errors.UnknownTopicOrPartitionError
        aiokafka.errors.CommitFailedError
        aiokafka.errors.KafkaConnectionError
        aiokafka.errors.KafkaTimeoutError
        aiokafka.errors.NodeNotReadyError
{_OF_REDIS}{_OF_VALKEY}"""
"""A class stands below its first base; further bases follow it."""

_INDENT: Final = 4


@cache
def stand_in(path: str) -> type[Exception]:
    """The class of this name, module and descent, of which the hierarchy above tells; the same at every call."""
    if "." not in path:
        known: type[Exception] = getattr(builtins, path)
        return known
    module, _, name = path.rpartition(".")
    return type(name, tuple(stand_in(base) for base in _bases()[path]), {"__module__": module})


@cache
def _bases() -> dict[str, tuple[str, ...]]:
    return dict(_read(_HIERARCHY))


def _read(hierarchy: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    above: list[str] = []
    for line in hierarchy.split("\n"):
        path, *further = line.strip().split(", ")
        if path:
            depth = (len(line) - len(line.lstrip())) // _INDENT
            yield path, (*above[depth - 1 : depth], *further)
            above[depth:] = [path]
