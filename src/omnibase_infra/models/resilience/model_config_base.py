"""What every settings model shares: frozen, strict, and errors in our own words."""

from __future__ import annotations

from collections.abc import Collection
from difflib import get_close_matches
from functools import cache
from typing import ClassVar, Final, get_args

from annotated_types import Ge, Gt, Le
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from omnibase_infra.errors import ProtocolConfigurationError
from omnibase_infra.utils.util_show_value import show_value


class ModelConfigBase(BaseModel):
    """Base of the settings models. Numbers are numbers: no text, no bool, no NaN, no infinity.

    Raises:
        ProtocolConfigurationError: When a setting is wrong. The message names the parameter, what was given (numbers
            only, text is never shown) and what is allowed. Pydantic's own entry points (``model_validate``) wrap it
            in a ``ValidationError``, which is a ``ValueError`` too.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(
        strict=True, allow_inf_nan=False, hide_input_in_errors=True, frozen=True, extra="forbid"
    )

    def __init__(self, /, **data: object) -> None:
        try:
            super().__init__(**data)
        except ValidationError as error:
            failure = self._explain(error)
        else:
            return
        # Raised out here: pydantic's error holds the input, which must not travel with ours.
        raise failure

    @classmethod
    def check_field(cls, name: str, value: object) -> None:
        """Check one setting on its own, without those it is compared to.

        Raises:
            ProtocolConfigurationError: When no settings of this class could have this value.
        """
        try:
            _adapter(cls, name).validate_python(value)
        except ValidationError:
            failure = _refused(cls.model_fields[name], name, value)
        else:
            return
        raise failure

    @classmethod
    def is_optional(cls, name: str) -> bool:
        """Whether the setting may be None."""
        return type(None) in get_args(cls.model_fields[name].annotation)

    @classmethod
    def _explain(cls, error: ValidationError) -> ProtocolConfigurationError:
        first = error.errors()[0]
        inner = _inner_error(first)
        name = ".".join(str(part) for part in first["loc"])
        if inner is not None and not name:
            return inner
        if inner is not None:
            return ProtocolConfigurationError(f"{name}.{inner.message}", parameter=name)
        if first["type"] == "extra_forbidden":
            return ProtocolConfigurationError(unknown_name(name, cls.model_fields), parameter=name)
        field = cls.model_fields[str(first["loc"][0])]
        if first["type"] == "missing":
            return ProtocolConfigurationError(f"{name}: is required, {_allowed(field)}", parameter=name)
        return _refused(field, name, first["input"])


def unknown_name(name: str, known: Collection[str], *, every: Collection[str] = ()) -> str:
    """The sentence about a name nobody knows: suggests the nearest of ``known``, else of ``every``, else lists them."""
    last = name.rpartition(".")[2].lower()
    near = get_close_matches(last, known, 1) or get_close_matches(name.lower(), every, 1)
    return f"{name}: unknown; " + (f"did you mean {near[0]}?" if near else f"allowed: {', '.join(known)}")


_SCALAR: Final = ConfigDict(strict=True, allow_inf_nan=False)


@cache
def _adapter(model: type[ModelConfigBase], name: str) -> TypeAdapter[object]:
    return TypeAdapter(model.model_fields[name].rebuild_annotation(), config=_SCALAR)


def _inner_error(details: ErrorDetails) -> ProtocolConfigurationError | None:
    inner = details.get("ctx", {}).get("error")
    return inner if isinstance(inner, ProtocolConfigurationError) else None


def _refused(field: FieldInfo, name: str, value: object) -> ProtocolConfigurationError:
    return ProtocolConfigurationError(f"{name} = {show_value(value)}: must be {_allowed(field)}", parameter=name)


def _allowed(field: FieldInfo) -> str:
    kinds = get_args(field.annotation) or (field.annotation,)
    bounds: list[str] = []
    for bound in field.metadata:
        if isinstance(bound, Ge):
            bounds.append(f"{bound.ge} or more")
        elif isinstance(bound, Gt):
            bounds.append(f"above {bound.gt}")
        elif isinstance(bound, Le):
            bounds.append(f"at most {bound.le}")
    if bool in kinds:
        return "true or false"
    kind = "a whole number" if int in kinds else "a finite number" if float in kinds else "a table of settings"
    kind = field.description or kind
    text = f"{kind}, {' and '.join(bounds)}" if bounds else kind
    return f"{text}, or None" if type(None) in kinds else text
