"""Reads a source of settings into a layer: every name known, every value possible, each with its origin."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple

from omnibase_infra.errors import ProtocolConfigurationError
from omnibase_infra.models.resilience import (
    ModelAdaptiveThrottleConfig,
    ModelBulkheadConfig,
    ModelCircuitBreakerConfig,
    ModelConfigBase,
    ModelCredentialRefreshConfig,
    ModelFallbackConfig,
    ModelHedgeConfig,
    ModelRateLimitConfig,
    ModelRetryBudgetConfig,
    ModelRetryConfig,
    ModelSharedCircuitConfig,
    ModelStaleCacheConfig,
    ModelTimeoutConfig,
)
from omnibase_infra.models.resilience.model_config_base import unknown_name
from omnibase_infra.utils.util_builtin_numbers import builtin_profiles, builtin_tables, is_table
from omnibase_infra.utils.util_show_value import show_value

BUILTIN: Final = "builtin.toml"
_SERVICES: Final = "services"
_GIVEN: Final = "settings"
PROFILES: Final = "profiles"
PROFILE: Final = "profile"
"""The key by which a transport's or a service's table names its profile."""

TABLES: Final[Mapping[str, type[ModelConfigBase]]] = {
    "circuit_breaker": ModelCircuitBreakerConfig,
    "circuit_breaker.shared": ModelSharedCircuitConfig,
    "retry": ModelRetryConfig,
    "retry.budget": ModelRetryBudgetConfig,
    "rate_limit": ModelRateLimitConfig,
    "timeout": ModelTimeoutConfig,
    "bulkhead": ModelBulkheadConfig,
    "hedge": ModelHedgeConfig,
    "hedge.budget": ModelRetryBudgetConfig,
    "adaptive_throttle": ModelAdaptiveThrottleConfig,
    "fallback": ModelFallbackConfig,
    "stale_cache": ModelStaleCacheConfig,
    "credential_refresh": ModelCredentialRefreshConfig,
}
POLICIES: Final = tuple(key for key in TABLES if "." not in key)


class Setting(NamedTuple):
    """One value and who set it."""

    value: object
    origin: str


Scope = Mapping[str, Setting]
"""The settings of one transport or service, by dotted key: ``retry.budget.ratio``."""
Layer = Mapping[str, Scope]
"""All scopes of one source: ``database``, ``services.orders``, ``profiles.tuned.database``.

Each profile has an entry of its own, ``profiles.tuned``, without settings.
"""
Origin = Callable[[tuple[str, ...]], str]


def service_scope(service: str) -> str | None:
    """The scope of a service, None when its name holds no letter and no digit.

    Case and punctuation do not count, since a variable's name cannot hold them.
    """
    return _named_scope(_SERVICES, service)


def profile_scope(profile: str) -> str | None:
    """The scope of a profile, whose transports' scopes lie below it; as `service_scope`."""
    return _named_scope(PROFILES, profile)


def profiles(layer: Layer) -> list[str]:
    """The names of the profiles that have a table."""
    named = (re.fullmatch(rf"{PROFILES}\.(\w+)", scope) for scope in layer)
    return sorted(found[1] for found in named if found)


def unknown_profile(profile: str, layer: Layer) -> str:
    """The sentence about a profile that has no table; it does not show the text that was given."""
    sentence = unknown_name(profile, profiles(layer))
    return f"{PROFILE} = {show_value(profile)}{sentence.removeprefix(profile)}"


def _named_scope(kind: str, given: str) -> str | None:
    name = re.sub(r"[\W_]+", "_", given.lower()).strip("_")
    return f"{kind}.{name}" if name else None


def builtin_layer() -> Layer:
    """The shipped transports and profiles. ``[defaults]`` is left out: those are the models' own defaults."""
    tables: dict[str, object] = {section: table for section, table in builtin_tables().items() if section != "defaults"}
    return layer_of(tables | {PROFILES: builtin_profiles()}, lambda _: BUILTIN)


def file_layer(path: Path) -> Layer:
    """The user's TOML file.

    Raises:
        ProtocolConfigurationError: When the file cannot be read or is not TOML, or a name or value in it is wrong.
    """
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ProtocolConfigurationError(f"{path}: cannot be read: {error.strerror}", parameter=str(path)) from error
    except UnicodeDecodeError:
        reason = "is not UTF-8 text"
    except tomllib.TOMLDecodeError as error:
        # The rest of the sentence may quote the file.
        where = re.search(r"line \d+, column \d+|end of document", str(error))
        reason = f"is not valid TOML: {where[0] if where else 'unknown position'}"
    else:
        return layer_of(tables, lambda _: str(path))
    raise ProtocolConfigurationError(f"{path}: {reason}", parameter=str(path))


def settings_scope(settings: Mapping[str, object]) -> Scope:
    """Settings by dotted key, ``{"retry.max_attempts": 5}``, as one scope. None and false switch off what may be.

    Raises:
        ProtocolConfigurationError: When a name is unknown or a value wrong.
    """
    scope: dict[str, Setting] = {}
    for key, value in settings.items():
        table, _, name = key.rpartition(".")
        if table not in TABLES or name not in TABLES[table].model_fields:
            known = TABLES[table].model_fields if table in TABLES else TABLES
            every = [f"{policy}.{field}" for policy, model in TABLES.items() for field in model.model_fields]
            raise ProtocolConfigurationError(unknown_name(key, known, every=every), parameter=key)
        scope[key] = Setting(_possible(TABLES[table], name, value, tuple(key.split(".")), lambda _: _GIVEN), _GIVEN)
    return scope


def layer_of(tables: Mapping[str, object], origin: Origin) -> Layer:
    """What the tables say; ``origin`` tells who set the value at a path.

    Raises:
        ProtocolConfigurationError: When a name or a value is wrong.
    """
    layer: dict[str, Scope] = {}
    sections = [*builtin_tables(), _SERVICES, PROFILES]
    for section, table in tables.items():
        if section == _SERVICES:
            for path, scope, own in _named_tables(section, table, origin):
                layer[scope] = dict(_settings(own, path, "", (*POLICIES, PROFILE), origin))
        elif section == PROFILES:
            for path, scope, own in _named_tables(section, table, origin):
                layer |= {scope: {}, **_profile(own, path, scope, origin)}
        elif section in sections:
            known = (*builtin_tables()[section], PROFILE)
            layer[section] = dict(_settings(table, (section,), "", known, origin))
        else:
            raise _unknown((section,), sections, origin)
    return layer


def _named_tables(section: str, table: object, origin: Origin) -> Iterator[tuple[tuple[str, ...], str, object]]:
    """The tables of services, or of profiles: where each stands, its scope, and what it holds."""
    seen: set[str] = set()
    for name, own in _table(table, (section,), origin).items():
        scope = _named_scope(section, name)
        if scope is None or scope in seen:
            reason = f"names the {section[:-1]} of another table too" if scope else "needs a letter or a digit"
            raise _error((section, name), origin, f"{name}: {reason}")
        seen.add(scope)
        yield (section, name), scope, own


def _profile(tables: object, path: tuple[str, ...], scope: str, origin: Origin) -> Layer:
    layer: dict[str, Scope] = {}
    for section, table in _table(tables, path, origin).items():
        here = (*path, section)
        if section not in builtin_tables():
            raise _unknown(here, builtin_tables(), origin)
        layer[f"{scope}.{section}"] = dict(_settings(table, here, "", tuple(builtin_tables()[section]), origin))
    return layer


def _settings(
    table: object, path: tuple[str, ...], prefix: str, known: Collection[str], origin: Origin
) -> Iterator[tuple[str, Setting]]:
    for name, value in _table(table, path, origin).items():
        here, key = (*path, name), f"{prefix}.{name}" if prefix else name
        if name not in known:
            raise _unknown(here, known, origin)
        if key == PROFILE:
            yield key, Setting(_profile_named(value, here, origin), origin(here))
        elif key in TABLES and not (prefix and (value is None or isinstance(value, bool))):
            yield from _settings(value, here, key, tuple(TABLES[key].model_fields), origin)
        else:
            yield key, Setting(_possible(TABLES[prefix], name, value, here, origin), origin(here))


def _profile_named(value: object, path: tuple[str, ...], origin: Origin) -> str | None:
    """The profile's name, which may belong to another source; ``false`` for none."""
    if value is False:
        return None
    if not isinstance(value, str) or profile_scope(value) is None:
        raise _error(path, origin, f"{PROFILE} = {show_value(value)}: must be the name of a profile, or false")
    return value


def _possible(model: type[ModelConfigBase], name: str, value: object, path: tuple[str, ...], origin: Origin) -> object:
    """The value, once it is known that some settings could have it. ``false`` is how a file says None."""
    if model.is_optional(name) and value is False:
        return None
    if name == "budget" and value is True:
        return value
    try:
        model.check_field(name, value)
    except ProtocolConfigurationError as error:
        failure = _error(path, origin, error.message)
    else:
        return value
    raise failure


def _table(value: object, path: tuple[str, ...], origin: Origin) -> Mapping[str, object]:
    if not is_table(value):
        raise _error(path, origin, f"{path[-1]}: must be a table, not a single value")
    return value


def _unknown(path: tuple[str, ...], known: Collection[str], origin: Origin) -> ProtocolConfigurationError:
    # Names that begin with the same long words would all be near each other.
    within = f"{'.'.join(path[:2])}." if path[0] == PROFILES else ""
    every = _keys(".".join(path[:2]), POLICIES) if path[0] == _SERVICES else every_key()
    sentence = unknown_name(".".join(path).removeprefix(within), known, every=every)
    return ProtocolConfigurationError(f"{origin(path)}: {within}{sentence}", parameter=".".join(path))


def _error(path: tuple[str, ...], origin: Origin, sentence: str) -> ProtocolConfigurationError:
    """``sentence`` begins with the last name of the path."""
    within = "".join(f"{name}." for name in path[:-1])
    return ProtocolConfigurationError(f"{origin(path)}: {within}{sentence}", parameter=".".join(path))


def every_key() -> list[str]:
    """The settings of all transports and of the defaults, by dotted key: ``database.retry.max_attempts``."""
    return [key for section, policies in builtin_tables().items() for key in _keys(section, policies)]


def _keys(scope: str, policies: Collection[str]) -> list[str]:
    return [
        f"{scope}.{table}.{name}"
        for table, model in TABLES.items()
        if table.partition(".")[0] in policies
        for name in model.model_fields
    ]
