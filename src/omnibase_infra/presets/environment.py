"""Reads the environment into a layer: ``ONEX_RESILIENCE__DATABASE__RETRY__MAX_ATTEMPTS=5``."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping
from typing import Final

from omnibase_infra.errors import ProtocolConfigurationError
from omnibase_infra.presets.layers import PROFILE, PROFILES, Layer, every_key, layer_of
from omnibase_infra.utils.util_builtin_numbers import builtin_profiles, builtin_tables, is_table

FILE_VARIABLE: Final = "ONEX_RESILIENCE_FILE"
_PREFIX: Final = "ONEX_RESILIENCE__"


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
    return layer_of(_nested_environment({name: variables[name] for name in names}), variable)


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


def _reject_near_misses(variables: Collection[str]) -> None:
    """One underscore where two belong would leave a variable without effect and without a word."""
    keys = every_key()
    keys += [f"{PROFILES}.{profile}.{key}" for profile in builtin_profiles() for key in every_key()]
    keys += [f"{section}.{PROFILE}" for section in builtin_tables()]
    known = [FILE_VARIABLE, *(_PREFIX + key.replace(".", "__").upper() for key in keys)]
    by_words = {re.sub("_+", "_", name): name for name in known}
    by_words["ONEX_RESILIENCE_PROFILE"] = f"{_PREFIX}DEFAULTS__{PROFILE.upper()}"
    for name in variables:
        meant = by_words.get(re.sub("_+", "_", name))
        single = not name.startswith(_PREFIX)
        if single and name != FILE_VARIABLE and (meant or "__" in name):
            raise ProtocolConfigurationError(
                f"{name}: unknown; did you mean {meant or name.replace('_RESILIENCE_', '_RESILIENCE__', 1)}?",
                parameter=name,
            )
