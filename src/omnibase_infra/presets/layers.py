"""Reads one source of settings into a layer: every name known, every value possible, each with its origin."""

from __future__ import annotations

import os
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
from omnibase_infra.utils.util_builtin_numbers import builtin_tables, is_table

BUILTIN: Final = "builtin.toml"
FILE_VARIABLE: Final = "ONEX_RESILIENCE_FILE"
_PREFIX: Final = "ONEX_RESILIENCE__"
_SERVICES: Final = "services"

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
"""All scopes of one source: ``database``, ``services.orders``."""
Origin = Callable[[tuple[str, ...]], str]


def service_scope(service: str) -> str | None:
    """The scope of a service, None when its name holds no letter and no digit.

    Case and punctuation do not count, since a variable's name cannot hold them.
    """
    name = re.sub(r"[\W_]+", "_", service.lower()).strip("_")
    return f"{_SERVICES}.{name}" if name else None


def builtin_layer() -> Layer:
    """The shipped transports. ``[defaults]`` is left out: those are the models' own defaults."""
    tables = {section: table for section, table in builtin_tables().items() if section != "defaults"}
    return _layer(tables, lambda _: BUILTIN)


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
        return _layer(tables, lambda _: str(path))
    raise ProtocolConfigurationError(f"{path}: {reason}", parameter=str(path))


def preset_variables() -> dict[str, str]:
    """The environment variables that concern this package, by their name in upper case."""
    found: dict[str, str] = {}
    for name in os.environ:
        upper = name.upper()
        if upper.startswith("ONEX_RESILIENCE_") and (value := os.environ.get(name)) is not None:
            found[upper] = value
    return found


def environment_layer(variables: Mapping[str, str]) -> Layer:
    """The environment: ``ONEX_RESILIENCE__DATABASE__RETRY__MAX_ATTEMPTS=5``.

    Raises:
        ProtocolConfigurationError: When the name or the value of a variable is wrong. Values are not shown.
    """
    _reject_near_misses(variables)
    names = {name for name in variables if name.startswith(_PREFIX)}
    if not names:
        return {}

    def variable(path: tuple[str, ...]) -> str:
        whole = _PREFIX + "__".join(path).upper()
        # A variable may hold a table as JSON, and several variables may name one table.
        holders = (name for name in sorted(names) if whole.startswith(f"{name}__") or name.startswith(f"{whole}__"))
        return whole if whole in names else next(holders, whole)

    for name in sorted(names):
        parts = name.split("__")
        shorter = next((p for n in range(2, len(parts)) if (p := "__".join(parts[:n])) in names), None)
        if shorter:
            raise ProtocolConfigurationError(f"{name}: {shorter} is set too; only one can count", parameter=name)
    return _layer(_nested_environment({name: variables[name] for name in names}), variable)


def _nested_environment(variables: Mapping[str, str]) -> Mapping[str, object]:
    # Imported here: it takes longer to import than the rest of the package, and few processes need it.
    from pydantic_settings import BaseSettings, EnvSettingsSource, SettingsConfigDict

    class Environment(BaseSettings):
        model_config = SettingsConfigDict(env_prefix="ONEX_", env_nested_delimiter="__")
        resilience: dict[str, object] = {}

    field = Environment.model_fields["resilience"]
    lowered = {name.lower(): value for name, value in variables.items()}
    return _numbers_in(EnvSettingsSource(Environment).explode_env_vars("resilience", field, lowered))


def _numbers_in(table: Mapping[str, object]) -> dict[str, object]:
    """Reads what JSON, which pydantic-settings speaks, leaves as text: ``.5``, ``off``."""
    return {
        key: _numbers_in(value) if is_table(value) else _number(value) if isinstance(value, str) else value
        for key, value in table.items()
    }


def _number(text: str) -> object:
    word = text.strip().lower()
    if word in {"true", "on", "false", "off", "none"}:
        return word in {"true", "on"}
    for read in (int, float):
        try:
            return read(text)
        except ValueError:
            continue
    return text


def _layer(tables: Mapping[str, object], origin: Origin) -> Layer:
    layer: dict[str, Scope] = {}
    sections = [*builtin_tables(), _SERVICES]
    for section, table in tables.items():
        if section == _SERVICES:
            for service, own in _table(table, (section,), origin).items():
                scope = service_scope(service)
                if scope is None or scope in layer:
                    reason = "names the service of another table too" if scope else "needs a letter or a digit"
                    raise _error((section, service), origin, f"{service}: {reason}")
                layer[scope] = dict(_settings(own, (section, service), "", POLICIES, origin))
        elif section in sections:
            layer[section] = dict(_settings(table, (section,), "", tuple(builtin_tables()[section]), origin))
        else:
            raise _unknown((section,), sections, origin)
    return layer


def _settings(
    table: object, path: tuple[str, ...], prefix: str, known: Collection[str], origin: Origin
) -> Iterator[tuple[str, Setting]]:
    for name, value in _table(table, path, origin).items():
        here, key = (*path, name), f"{prefix}.{name}" if prefix else name
        if name not in known:
            raise _unknown(here, known, origin)
        if key in TABLES and not (prefix and (value is None or isinstance(value, bool))):
            yield from _settings(value, here, key, tuple(TABLES[key].model_fields), origin)
        else:
            yield key, Setting(_possible(TABLES[prefix], name, value, here, origin), origin(here))


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
    every = _keys(".".join(path[:2]), POLICIES) if path[0] == _SERVICES else _every_key()
    sentence = unknown_name(".".join(path), known, every=every)
    return ProtocolConfigurationError(f"{origin(path)}: {sentence}", parameter=".".join(path))


def _error(path: tuple[str, ...], origin: Origin, sentence: str) -> ProtocolConfigurationError:
    """``sentence`` begins with the last name of the path."""
    within = "".join(f"{name}." for name in path[:-1])
    return ProtocolConfigurationError(f"{origin(path)}: {within}{sentence}", parameter=".".join(path))


def _every_key() -> list[str]:
    return [key for section, policies in builtin_tables().items() for key in _keys(section, policies)]


def _keys(scope: str, policies: Collection[str]) -> list[str]:
    return [
        f"{scope}.{table}.{name}"
        for table, model in TABLES.items()
        if table.partition(".")[0] in policies
        for name in model.model_fields
    ]


def _reject_near_misses(variables: Collection[str]) -> None:
    """One underscore where two belong would leave a variable without effect and without a word."""
    known = [FILE_VARIABLE, *(_PREFIX + key.replace(".", "__").upper() for key in _every_key())]
    by_words = {re.sub("_+", "_", name): name for name in known}
    for name in variables:
        meant = by_words.get(re.sub("_+", "_", name))
        single = not name.startswith(_PREFIX)
        if single and name != FILE_VARIABLE and (meant or "__" in name):
            raise ProtocolConfigurationError(
                f"{name}: unknown; did you mean {meant or name.replace('_RESILIENCE_', '_RESILIENCE__', 1)}?",
                parameter=name,
            )
