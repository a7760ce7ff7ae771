"""From any exception to one failure kind: the one place every policy asks."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, lru_cache, partial
from importlib import import_module
from typing import TYPE_CHECKING, Final, cast

from omnibase_infra.enums import EnumFailureKind, EnumInfraTransportType
from omnibase_infra.errors import ModelOnexError, ProtocolConfigurationError
from omnibase_infra.infrastructure.resilience.transports.builtin import classify_builtin, classify_onex
from omnibase_infra.infrastructure.resilience.transports.failure import Failure

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

Classifier = Callable[[BaseException, tuple[str, ...]], Failure | None]
"""What each file of this folder offers as ``classify``: it gets an exception, and the names of the driver's classes
along its MRO, the most derived first; None leaves it to the builtin rules."""

_FILES: Final = {
    "aiohttp": "aiohttp",
    "aiokafka": "aiokafka",
    "asyncpg": "asyncpg",
    "builtins.BufferError": "confluent_kafka",
    "builtins.KeyError": "aiokafka",
    "cimpl": "confluent_kafka",
    "confluent_kafka": "confluent_kafka",
    "consul": "consul",
    "grpc": "grpc",
    "http": "urllib",
    "httpcore": "httpx",
    "httpx": "httpx",
    "hvac": "hvac",
    "psycopg": "psycopg",
    "psycopg2": "psycopg2",
    "psycopg_pool": "psycopg",
    "redis": "redis",
    "requests": "requests",
    "sqlalchemy": "sqlalchemy",
    "ssl": "tls",
    "urllib": "urllib",
    "urllib3": "requests",
    "valkey": "redis",
}
"""Top-level package of an exception's class → the file here that knows it. No driver is imported to find out.

A builtin class that a driver raises as its own stands here by its full name; the driver's file says which are its.
"""

_registered: Final[dict[str, Classifier]] = {}

_UNMENDABLE: Final = (
    EnumFailureKind.ABANDONED,
    EnumFailureKind.CALLER,
    EnumFailureKind.AUTHENTICATION,
    EnumFailureKind.REJECTED,
)
"""Kinds that decide for a whole exception group: while one of these is in it, another attempt would fail too."""


def classify(exc: BaseException, transport: EnumInfraTransportType | None = None) -> EnumFailureKind:
    """Say what a failure is, in the words every policy acts on.

    Args:
        exc: Any exception, a driver's or an ONEX error.
        transport: The transport of the failed call.
    """
    return failure_of(exc, transport).kind


def failure_of(exc: BaseException, transport: EnumInfraTransportType | None = None) -> Failure:
    """Classify, with the driver's code, the server's hint, and the rule that decided.

    A failure is classified once: the finding travels up the stack on the exception itself. Errors of the caller and
    cancellations are left as they are, to the attribute.
    """
    # The dictionary itself: an exception with attributes of its own making can neither be misread nor refuse.
    known: object = exc.__dict__.get(_FINDING)
    if isinstance(known, _Finding) and known.transport is transport:
        return known.failure
    failure = _rule_for(type(exc))(exc)  # type: ignore[arg-type]  # typeshed: a class is hashable by its metaclass
    if failure.kind not in _LEFT_AS_IS:
        exc.__dict__[_FINDING] = _Finding(transport, failure)
    return failure


_FINDING: Final = "_onex_finding"
_LEFT_AS_IS: Final = (EnumFailureKind.CALLER, EnumFailureKind.ABANDONED)


class _Finding:
    __slots__ = ("failure", "transport")

    def __init__(self, transport: EnumInfraTransportType | None, failure: Failure) -> None:
        self.transport = transport
        self.failure = failure


@lru_cache(maxsize=1024)
def _rule_for(cls: type[BaseException]) -> Callable[[BaseException], Failure]:
    if issubclass(cls, ModelOnexError):
        return cast("Callable[[BaseException], Failure]", classify_onex)
    if issubclass(cls, BaseExceptionGroup):
        return cast("Callable[[BaseException], Failure]", _classify_group)
    for base in cls.__mro__:
        package = _package(base)
        driver = _classifier(package)
        if driver is not None:
            names = tuple(known.__name__ for known in cls.__mro__ if _package(known) == package)
            return partial(_classify_by, driver, names)
    return classify_builtin


def _classify_by(driver: Classifier, names: tuple[str, ...], exc: BaseException) -> Failure:
    return driver(exc, names) or classify_builtin(exc)


def register_transport(package: str, classifier: Classifier) -> None:
    """Teach `classify` a further driver, or another opinion on a known one.

    A library does the same without a call, by an entry point in the group ``onex_resilience.transports`` whose name is
    the driver's package and whose value is the classifier.

    Args:
        package: Top-level package in which the driver's exception classes are defined, such as ``"pymongo"``.
        classifier: Gets an exception and the names of the package's classes along its MRO, the most derived first;
            returns a `Failure`, or None to leave it to the builtin rules.

    Raises:
        ProtocolConfigurationError: When `package` is no top-level package name, or `classifier` not callable.
    """
    if not package.isidentifier():
        raise ProtocolConfigurationError(
            "package: must be the name of a top-level package, such as 'pymongo'", parameter="package"
        )
    if not callable(classifier):
        raise ProtocolConfigurationError(
            f"classifier is a {type(classifier).__name__}: must be a function of an exception and its class names",
            parameter="classifier",
        )
    _registered[package] = classifier
    _rule_for.cache_clear()


def is_known_driver(module: str) -> bool:
    """Whether exceptions defined in this module have a classifier of their own."""
    return _classifier(module.partition(".")[0]) is not None


def _classifier(package: str) -> Classifier | None:
    if package in _registered:
        return _registered[package]
    if package in _FILES:
        return cast("Classifier", import_module(f"{__package__}.{_FILES[package]}").classify)
    point = _entry_points().get(package)
    return None if point is None else cast("Classifier", point.load())


@cache
def _entry_points() -> dict[str, EntryPoint]:
    from importlib.metadata import entry_points  # slow to import, and needed only for a class that nobody knows

    return {point.name: point for point in entry_points(group="onex_resilience.transports")}


def _package(cls: type) -> str:
    package = cls.__module__.partition(".")[0]
    return f"{package}.{cls.__name__}" if package == "builtins" else package


def _classify_group(exc: BaseExceptionGroup[BaseException]) -> Failure:
    """A group is what its gravest member is; among members that another attempt may mend, the first speaks."""
    members = [failure_of(member) for member in exc.exceptions]
    for kind in _UNMENDABLE:
        for member in members:
            if member.kind is kind:
                return member
    return members[0]
