"""How an exception is made that a policy takes for a real driver's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from types import FunctionType, MappingProxyType
from typing import Final, NoReturn, cast

from omnibase_infra.enums import EnumFailureKind
from omnibase_infra.simulator.driver_classes import stand_in

Maker = Callable[[float | None], Exception]
"""Makes a new exception, with the hint when to come back in so many seconds."""
Bears = Callable[[float | None], Mapping[str, object]]

_NONE: Final[Mapping[str, object]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class DriverError:
    """An entry of the catalogue.

    Attributes:
        kind: What the failure is to the policies.
        make: Makes a new exception.
        takes_hint: Whether the driver has a place for a hint when to come back.
    """

    kind: EnumFailureKind
    make: Maker
    takes_hint: bool = False


Entry = tuple[str, DriverError]
"""A name of the catalogue, and what it stands for."""


def made(
    path: str,
    *args: object,
    cause: Maker | None = None,
    bears: Bears | Mapping[str, object] = _NONE,
) -> Maker:
    """The maker of a stand-in: its arguments, its cause, and the attributes that it bears."""

    def make(retry_after: float | None) -> Exception:
        error = stand_in(path)(*args)
        error.__dict__.update(bears(retry_after) if callable(bears) else bears)
        if cause is not None:
            error.__cause__ = cause(None)
        return error

    return make


def out_of(place: tuple[str, str], error: list[Exception], response: object = None) -> Exception:
    """The exception with a traceback that ends in this function of this module, where the answer was at hand.

    It comes in a list, to be taken out: a variable of any frame of its traceback would keep it alive.
    """
    try:
        _function(*place)(error, response)
    except Exception as raised:
        return raised


def _raise(error: list[Exception], response: object) -> NoReturn:  # noqa: ARG001 - classifiers look for the name
    raise error.pop()


@cache
def _function(module: str, name: str) -> Callable[[list[Exception], object], NoReturn]:
    function = FunctionType(_raise.__code__.replace(co_name=name), {"__name__": module})
    return cast("Callable[[list[Exception], object], NoReturn]", function)


def headers(retry_after: float | None) -> dict[str, str]:
    """The headers of an answer with this hint."""
    return {} if retry_after is None else {"Retry-After": f"{retry_after:.3f}".rstrip("0").rstrip(".")}
