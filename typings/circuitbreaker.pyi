"""Types of what we use of circuitbreaker 2, which ships none."""

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Final, ParamSpec, TypeAlias, TypeVar

_Predicate: TypeAlias = Callable[[type[BaseException], BaseException], bool]
_Expected: TypeAlias = type[Exception] | Iterable[type[BaseException]] | _Predicate
_Fallback: TypeAlias = Callable[..., object]
_P = ParamSpec("_P")
_R = TypeVar("_R")

STATE_CLOSED: Final = "closed"
STATE_OPEN: Final = "open"
STATE_HALF_OPEN: Final = "half_open"

class CircuitBreaker:
    FAILURE_THRESHOLD: int
    RECOVERY_TIMEOUT: float
    EXPECTED_EXCEPTION: _Expected
    FALLBACK_FUNCTION: _Fallback | None

    is_failure: _Predicate
    _failure_count: int
    _failure_threshold: int
    _fallback_function: _Fallback | None
    _last_failure: BaseException | None
    _name: str | None
    _opened: float
    _recovery_timeout: float
    _state: str

    def __init__(
        self,
        failure_threshold: int | None = None,
        recovery_timeout: float | None = None,
        expected_exception: _Expected | None = None,
        name: str | None = None,
        fallback_function: _Fallback | None = None,
    ) -> None: ...
    # The ways of making a call are left out: we replace every one of them, with types of our own.
    def decorate(self, function: Callable[_P, _R], /) -> Callable[_P, _R]: ...
    def reset(self) -> None: ...
    @property
    def state(self) -> str: ...
    @property
    def open_until(self) -> datetime: ...
    @property
    def open_remaining(self) -> int: ...
    @property
    def failure_count(self) -> int: ...
    @property
    def closed(self) -> bool: ...
    @property
    def opened(self) -> bool: ...
    @property
    def name(self) -> str | None: ...
    @property
    def last_failure(self) -> BaseException | None: ...
    @property
    def fallback_function(self) -> _Fallback | None: ...

class CircuitBreakerError(Exception):
    _circuit_breaker: CircuitBreaker

    def __init__(self, circuit_breaker: CircuitBreaker, *args: object, **kwargs: object) -> None: ...

class CircuitBreakerMonitor:
    circuit_breakers: dict[str | None, CircuitBreaker]

    @classmethod
    def register(cls, circuit_breaker: CircuitBreaker) -> None: ...
    @classmethod
    def all_closed(cls) -> bool: ...
    @classmethod
    def get_circuits(cls) -> Iterable[CircuitBreaker]: ...
    @classmethod
    def get(cls, name: str | None) -> CircuitBreaker | None: ...
    @classmethod
    def get_open(cls) -> Iterable[CircuitBreaker]: ...
    @classmethod
    def get_closed(cls) -> Iterable[CircuitBreaker]: ...

def circuit(
    failure_threshold: int | None = None,
    recovery_timeout: float | None = None,
    expected_exception: _Expected | None = None,
    name: str | None = None,
    fallback_function: _Fallback | None = None,
) -> CircuitBreaker: ...
