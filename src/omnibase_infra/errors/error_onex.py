"""The root of every error that leaves this package.

Errors are raised by the thousand while a dependency is down, so construction only stores: nothing is formatted, no
stack is walked, and the pydantic views (``context``, ``model``) are built, and pydantic itself is imported, when
somebody reads them.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, ClassVar, Final, Self, TypeVar
from uuid import UUID, uuid4

from omnibase_infra.enums import EnumCircuitState, EnumCoreErrorCode
from omnibase_infra.errors.error_origin import ErrorOrigin
from omnibase_infra.utils.util_correlation import correlation_id_var

if TYPE_CHECKING:
    from pydantic import JsonValue

    from omnibase_infra.errors.model_infra_error_context import ModelInfraErrorContext
    from omnibase_infra.errors.model_onex_error_record import ModelOnexErrorRecord

_NOWHERE: Final = ErrorOrigin()
_current_id: Final = correlation_id_var.get


@cache
def _sanitisers() -> tuple[Callable[[str], str], Callable[[str, object], JsonValue]]:
    # Their patterns take longer to compile than all else here takes to import.
    from omnibase_infra.utils.util_sanitize import sanitize, sanitize_value

    return sanitize, sanitize_value


class ModelOnexError(Exception):
    """An error with a code, a correlation id and a context, and without secrets.

    Args:
        message: What happened, in words. It passes the sanitiser.
        error_code: Defaults to the class's own code.
        context: Where it happened. A correlation id or retry hint given here by keyword wins over the context's.
        correlation_id: Defaults to the context's, then to the current one, then to a new uuid4.
        retry_after_seconds: When another try makes sense, in seconds, 0 or more.
        circuit_state: The state of the circuit that refused the call.
        rejected_by: Name of our own policy that refused the call; None when the failure came from outside.
        **details: Anything else worth recording (``host=``, ``port=``, ``retry_count=``); each passes the sanitiser,
            None is left out.

    Raises:
        ValueError: When ``retry_after_seconds`` is negative or not finite, or an id or state is malformed.
    """

    default_code: ClassVar[EnumCoreErrorCode] = EnumCoreErrorCode.OPERATION_FAILED
    http_status: ClassVar[int] = 500

    _error_code: EnumCoreErrorCode | None = None
    _origin: ErrorOrigin = _NOWHERE
    _correlation_id: UUID | None = None
    _retry_after_seconds: float | None = None

    def __init__(
        self,
        message: str,
        *,
        error_code: EnumCoreErrorCode | None = None,
        context: ModelInfraErrorContext | None = None,
        correlation_id: UUID | str | None = None,
        retry_after_seconds: float | None = None,
        circuit_state: EnumCircuitState | str | None = None,
        rejected_by: str | None = None,
        **details: object,
    ) -> None:
        sanitize, sanitize_value = _sanitisers()
        super().__init__(sanitize(str(message)))
        if error_code is not None:
            self._error_code = error_code
        if context is not None and correlation_id is None:
            correlation_id = context.correlation_id
        if correlation_id is None:
            correlation_id = correlation_id_var.get()
        if correlation_id is not None:
            self._correlation_id = correlation_id if isinstance(correlation_id, UUID) else _uuid(correlation_id)
        if retry_after_seconds is not None:
            if not 0 <= retry_after_seconds < math.inf:
                raise ValueError(f"retry_after_seconds = {retry_after_seconds}: must be 0 or more seconds, and finite")
            self._retry_after_seconds = float(retry_after_seconds)
        self._origin = ErrorOrigin(
            None,
            context,
            None if circuit_state is None else EnumCircuitState(circuit_state),
            rejected_by,
            {key: sanitize_value(key, value) for key, value in details.items() if value is not None},
        )

    @property
    def message(self) -> str:
        """What happened, in words."""
        describe = self._origin.describe
        if describe is not None and not self.args:
            self.args = (describe(self),)
        return str(self.args[0]) if self.args else ""

    @property
    def error_code(self) -> EnumCoreErrorCode:
        """The given code, else the code of the class."""
        return self._error_code or self.default_code

    @property
    def correlation_id(self) -> UUID:
        """The id of the logical call this error belongs to."""
        found = self._correlation_id
        if found is None:
            # One atomic step: threads that share the error agree on its id.
            found = self.__dict__.setdefault("_correlation_id", uuid4())
        return found

    @property
    def retry_after_seconds(self) -> float | None:
        """When another try makes sense, in seconds; None when nobody said."""
        if self._retry_after_seconds is not None:
            return self._retry_after_seconds
        given = self._origin.context
        return given.retry_after_seconds if given else None

    @property
    def circuit_state(self) -> EnumCircuitState | None:
        """The state of the circuit that refused the call; None when no circuit did."""
        return self._origin.circuit_state

    @property
    def rejected_by(self) -> str | None:
        """Name of our own policy that refused the call; None when the failure came from outside."""
        return self._origin.rejected_by

    @property
    def retry_count(self) -> int | None:
        """Attempts made before this error was raised; None when no retry was involved."""
        count = (self._origin.details or {}).get("retry_count")
        return count if isinstance(count, int) else None

    @property
    def context(self) -> ModelInfraErrorContext:
        """The frozen context, with the correlation id and the retry hint of this error filled in."""
        from omnibase_infra.errors.model_infra_error_context import ModelInfraErrorContext

        given = self._origin.context or ModelInfraErrorContext()
        filled = {"correlation_id": self.correlation_id, "retry_after_seconds": self.retry_after_seconds}
        if (
            given.correlation_id != filled["correlation_id"]
            or given.retry_after_seconds != filled["retry_after_seconds"]
        ):
            given = given.model_copy(update=filled)
            self._origin = replace(self._origin, context=given)
        return given

    @property
    def model(self) -> ModelOnexErrorRecord:
        """The error as a pydantic record."""
        from omnibase_infra.errors.model_onex_error_record import ModelOnexErrorRecord

        fields = self.context.model_dump(
            mode="json", exclude_none=True, exclude={"correlation_id", "retry_after_seconds"}
        )
        return ModelOnexErrorRecord(
            error_type=type(self).__name__,
            message=self.message,
            error_code=self.error_code,
            http_status=self.http_status,
            correlation_id=self.correlation_id,
            retry_after_seconds=self.retry_after_seconds,
            circuit_state=self.circuit_state,
            rejected_by=self.rejected_by,
            context={**fields, **(self._origin.details or {})},
        )

    def model_dump(self) -> dict[str, object]:
        """The record as plain Python data."""
        return self.model.model_dump()

    def model_dump_json(self) -> str:
        """The record as JSON."""
        return self.model.model_dump_json()

    def __str__(self) -> str:
        return f"[{self.error_code}] {self.message}"

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"

    def __reduce__(
        self,
    ) -> tuple[Callable[..., ModelOnexError], tuple[type[Self], tuple[object, ...]], dict[str, object]]:
        self._settle()
        return _restore, (type(self), self.args), dict(self.__dict__)

    def __copy__(self) -> Self:
        clone = self._clone()
        clone.__dict__.update(self.__dict__)
        return clone

    def __deepcopy__(self, memo: dict[int, object]) -> Self:
        clone = self._clone()
        memo[id(self)] = clone
        clone.__dict__.update(copy.deepcopy(self.__dict__, memo))
        return clone

    def _settle(self) -> None:
        """Make what is made when first read: an id made later would differ in each copy."""
        _ = self.correlation_id, self.message
        if self._origin.describe is not None:
            self._origin = replace(self._origin, describe=None, cause=None)

    def _clone(self) -> Self:
        self._settle()
        clone = type(self).__new__(type(self))
        clone.args = self.args
        # The chain is shared, not copied: it holds the driver's exception, which need not be copyable.
        clone.__cause__, clone.__context__ = self.__cause__, self.__context__
        clone.__suppress_context__ = self.__suppress_context__
        return clone


_AnyOnexError = TypeVar("_AnyOnexError", bound=ModelOnexError)


def policy_error(
    cls: type[_AnyOnexError],
    origin: ErrorOrigin,
    retry_after_seconds: float | None = None,
    correlation_id: UUID | None = None,
) -> _AnyOnexError:
    """Make an error as our own policies do: nothing to check or to clean, and no sentence made before it is read.

    Args:
        cls: The class of the error.
        origin: What the errors of the place have in common.
        retry_after_seconds: As in the constructor.
        correlation_id: The current one when None.
    """
    error = cls.__new__(cls)
    error._origin = origin  # pyright: ignore[reportPrivateUsage]
    error._retry_after_seconds = retry_after_seconds  # pyright: ignore[reportPrivateUsage]
    current = correlation_id or _current_id()
    if current is not None:
        error._correlation_id = current  # pyright: ignore[reportPrivateUsage]
    return error


def _restore(cls: type[ModelOnexError], args: tuple[object, ...]) -> ModelOnexError:
    error = cls.__new__(cls)
    error.args = args
    return error


def _uuid(value: object) -> UUID:
    try:
        return UUID(str(value))
    except ValueError:
        raise ValueError("correlation_id: must be a UUID or a UUID string") from None


OnexError = ModelOnexError
