"""The transports a policy can guard."""

from enum import StrEnum


class EnumInfraTransportType(StrEnum):
    """How the guarded call reaches its dependency."""

    HTTP = "http"
    DATABASE = "db"
    KAFKA = "kafka"
    CONSUL = "consul"
    VAULT = "vault"
    VALKEY = "valkey"
    GRPC = "grpc"
    RUNTIME = "runtime"
    INFISICAL = "infisical"
