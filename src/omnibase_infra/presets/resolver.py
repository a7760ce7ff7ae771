"""Which number counts: defaults < transport < profile < service < argument, and within a table builtin < file < env."""

from __future__ import annotations

import os
import re
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from types import MappingProxyType
from typing import Final, NamedTuple, TypeVar

from omnibase_infra.errors import ProtocolConfigurationError
from omnibase_infra.models.resilience import ModelConfigBase
from omnibase_infra.models.resilience.model_config_base import unknown_name
from omnibase_infra.presets.environment import FILE_VARIABLE, environment_layer, preset_variables
from omnibase_infra.presets.layers import (
    BUILTIN,
    PROFILE,
    TABLES,
    Layer,
    Scope,
    Setting,
    builtin_layer,
    file_layer,
    profile_scope,
    service_scope,
    settings_scope,
    unknown_profile,
)
from omnibase_infra.utils.util_builtin_numbers import builtin_tables, is_table
from omnibase_infra.utils.util_show_value import show_value

M = TypeVar("M", bound=ModelConfigBase)

_NONE_GIVEN: Final[Mapping[str, object]] = MappingProxyType({})
_NO_NAMES: Final[Mapping[str, str]] = MappingProxyType({})
_ARGUMENT: Final = "argument"
_NAMELESS: Final = "service: needs a letter or a digit in its name"


class _Loaded(NamedTuple):
    path: Path | None
    variables: Mapping[str, str]
    layer: Layer


_lock = Lock()
_loaded: _Loaded | None = None


def load_presets(path: str | os.PathLike[str] | None = None) -> None:
    """Read the presets now, with this TOML file in place of the one that ``ONEX_RESILIENCE_FILE`` names.

    Policies built before keep their settings. Without a path the variable counts again.

    Raises:
        ProtocolConfigurationError: When the file or the environment is wrong; what was loaded before stays.
    """
    with _lock:
        _load(None if path is None else Path(path))


def reload_presets() -> None:
    """Read the file and the environment again. Policies built before keep their settings.

    A changed environment is noticed without this; a changed file is not.

    Raises:
        ProtocolConfigurationError: When the file or the environment is wrong; what was loaded before stays.
    """
    with _lock:
        _load(_loaded.path if _loaded else None)


@contextmanager
def overlaid(service: str, settings: Mapping[str, object], path: Path | None = None) -> Generator[None]:
    """Within this block these settings, by dotted key, lie over the service's; what was loaded comes back after it.

    Args:
        service: Whose table they go into.
        settings: ``{"retry.max_attempts": 5}``; None switches off what may be.
        path: A TOML file in place of the one that is loaded.

    Raises:
        ProtocolConfigurationError: When a setting, the file or the environment is wrong.
    """
    global _loaded  # noqa: PLW0603
    scope, own = service_scope(service), settings_scope(settings)
    if scope is None:
        raise ProtocolConfigurationError(_NAMELESS, parameter="service")
    with _lock:
        before = _loaded
        loaded = _load(path or (before.path if before else None))
        _loaded = loaded._replace(layer={**loaded.layer, scope: _over(loaded.layer.get(scope, {}), own)})
    try:
        yield
    finally:
        with _lock:
            _loaded = before


def resolve(
    section: str,
    policy: str,
    model: type[M],
    *,
    service: str | None = None,
    profile: str | None = None,
    overrides: Mapping[str, object] = _NONE_GIVEN,
    names: Mapping[str, str] = _NO_NAMES,
) -> M:
    """The settings of one policy.

    Args:
        section: The transport's table: ``database``, ``kafka``, ``network``, ``vault``, ``consul``, ``valkey``,
            ``grpc``, or ``api`` or ``defaults``.
        policy: ``circuit_breaker``, ``retry`` or ``rate_limit``.
        model: The settings model of that policy.
        service: A named service, whose table lies over the transport's and the profile's.
        profile: A named profile, whose numbers lie over the transport's: first its ``defaults``, then those that it has
            for the transport. None for the one that the service's table names, else the transport's, else
            ``[defaults]``, else none.
        overrides: The arguments that were given, by field. A nested table may be a mapping, a model, or None for off.
        names: What the caller calls a field, for error messages: ``{"rate": "requests_per_second"}``.

    Raises:
        ProtocolConfigurationError: When a name is unknown or the settings are wrong. The message says who set them.
    """
    tables = builtin_tables()
    if section not in tables:
        raise ProtocolConfigurationError(unknown_name(section, tables), parameter="section")
    if policy not in tables[section]:
        raise ProtocolConfigurationError(unknown_name(f"{section}.{policy}", tables[section]), parameter="policy")
    layer = _current()
    settings: Scope = {}
    for scope in _scopes(layer, section, service, profile):
        settings = _over(settings, layer.get(scope, {}))
    settings = _over(settings, _given(policy, overrides))
    own = {key.removeprefix(f"{policy}."): found for key, found in settings.items() if key.startswith(f"{policy}.")}
    try:
        return model(**_nested(policy, own))
    except ProtocolConfigurationError as error:
        message = error.message
    origins = _origins(message, model, own, names)
    for field, name in names.items():
        message = re.sub(rf"\b{field}\b", name, message)
    raise ProtocolConfigurationError(message + origins, parameter=re.split("[ :]", message, maxsplit=1)[0])


def preset_table(policy: str) -> str:
    """The shipped numbers of one policy as a Markdown table, a line a transport."""
    rows = {
        section: row
        for section, table in builtin_tables().items()
        if section != "defaults" and is_table(row := table.get(policy))
    }
    columns = list(dict.fromkeys(key for row in rows.values() for key in row))
    lines = [["", *columns], ["---"] * (len(columns) + 1)]
    lines += [[f"`{section}`", *(str(row.get(column, "")) for column in columns)] for section, row in rows.items()]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _scopes(layer: Layer, section: str, service: str | None, profile: str | None) -> list[str]:
    """The tables that count, from weak to strong."""
    transport, own = ["defaults", section], list[str]()
    if service is not None:
        scope = service_scope(service)
        if scope is None:
            raise ProtocolConfigurationError(_NAMELESS, parameter="service")
        own.append(scope)
    chosen: object = profile
    if profile is None:
        naming = [layer[scope][PROFILE] for scope in (*transport, *own) if PROFILE in layer.get(scope, {})]
        chosen = naming[-1].value if naming else None
    if chosen is None:
        return transport + own
    if not isinstance(chosen, str):
        message = f"{PROFILE} = {show_value(chosen)}: must be the name of a profile, or None"
        raise ProtocolConfigurationError(message, parameter=PROFILE)
    named = profile_scope(chosen)
    if named not in layer:
        raise ProtocolConfigurationError(unknown_profile(chosen, layer), parameter=PROFILE)
    return [*transport, f"{named}.defaults", f"{named}.{section}", *own]


def _current() -> Layer:
    loaded = _loaded
    if loaded is None or loaded.variables != preset_variables():
        with _lock:
            loaded = _load(_loaded.path if _loaded else None)
    return loaded.layer


def _load(path: Path | None) -> _Loaded:
    """Read every source. The caller holds the lock."""
    global _loaded  # noqa: PLW0603
    variables = preset_variables()
    named = path or _path_in(variables)
    merged = dict(builtin_layer())
    stronger = [environment_layer(variables)]
    if named:
        stronger.insert(0, file_layer(named))
    for layer in stronger:
        for scope, settings in layer.items():
            merged[scope] = _over(merged.get(scope, {}), settings)
    _check_profiles(merged)
    _loaded = _Loaded(path, variables, merged)
    return _loaded


def _check_profiles(layer: Layer) -> None:
    """Whether the profiles that tables name exist, whoever defines them."""
    for scope, settings in layer.items():
        named, origin = settings.get(PROFILE, (None, ""))
        if isinstance(named, str) and profile_scope(named) not in layer:
            message = f"{origin}: {scope}.{unknown_profile(named, layer)}"
            raise ProtocolConfigurationError(message, parameter=f"{scope}.{PROFILE}")


def _path_in(variables: Mapping[str, str]) -> Path | None:
    named = variables.get(FILE_VARIABLE)
    if named == "":
        raise ProtocolConfigurationError(
            f"{FILE_VARIABLE} = (empty): must be the path of a TOML file, or unset", parameter=FILE_VARIABLE
        )
    return Path(named) if named else None


def _over(weak: Scope, strong: Scope) -> Scope:
    """``strong`` over ``weak``. A number inside a table that was switched off switches it on again."""
    tables = {key.rpartition(".")[0] for key in strong}
    return {key: found for key, found in weak.items() if key not in tables} | dict(strong)


def _given(policy: str, overrides: Mapping[str, object]) -> Scope:
    given: dict[str, object] = {}
    for field, value in overrides.items():
        key = f"{policy}.{field}"
        if key in TABLES and is_table(value):
            given |= {f"{key}.{inner}": own for inner, own in value.items()}
        else:
            given[key] = value
    return {key: Setting(value, _ARGUMENT) for key, value in given.items()}


def _nested(policy: str, settings: Scope) -> dict[str, object]:
    nested: dict[str, object] = {}
    inner: dict[str, dict[str, object]] = {}
    for key, found in settings.items():
        table, _, name = key.rpartition(".")
        if table:
            inner.setdefault(table, {})[name] = found.value
        elif found.value is not True or f"{policy}.{key}" not in TABLES:
            nested[key] = found.value
    return {**inner, **nested}


def _origins(message: str, model: type[ModelConfigBase], settings: Scope, names: Mapping[str, str]) -> str:
    """Who set the fields that a message compares, as far as the caller did not."""
    compared = [field for field in model.model_fields if re.search(rf"\b{field}(?: =|:)", message)]
    origins = {field: settings[field].origin if field in settings else BUILTIN for field in compared}
    told = [f"{names.get(field, field)} from {origin}" for field, origin in origins.items() if origin != _ARGUMENT]
    return f" ({', '.join(told)})" if told else ""
