"""Scenarios from TOML: those that are shipped, by name, and the user's own, by path."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from importlib.resources import files
from importlib.resources.abc import Traversable
from os import PathLike, fspath
from pathlib import Path
from typing import Final, cast

from omnibase_infra.enums import EnumScenarioEvent
from omnibase_infra.errors import ProtocolConfigurationError
from omnibase_infra.infrastructure.resilience.arguments import refused
from omnibase_infra.models.resilience.model_config_base import unknown_name
from omnibase_infra.simulator.checks import parse_check
from omnibase_infra.simulator.driver_errors import CATALOGUE, unknown_error
from omnibase_infra.simulator.model_scenario import ModelScenario
from omnibase_infra.utils.util_builtin_numbers import is_table

TRANSPORTS: Final = ("database", "kafka", "network", "vault", "consul", "valkey", "grpc")
_SUFFIX: Final = ".toml"
_SHIPPED: Final = files("omnibase_infra") / "simulator" / "scenarios"


def load_scenario(name_or_path: str | PathLike[str], transport: str | None = None) -> ModelScenario:
    """The shipped scenario of this name, or the one in this file.

    Args:
        name_or_path: A name, ``failover`` or in full ``database-failover``; what ends in ``.toml`` is a path.
        transport: Which transport's, for a name that several have: ``database``.

    Raises:
        ProtocolConfigurationError: When there is no such scenario, or the file is none: it names the file and the key,
            and says what is allowed.
    """
    text = fspath(name_or_path)
    if not text.endswith(_SUFFIX):
        return _read(_shipped_file(text, _known(transport)))
    return _read(Path(text))


def shipped_scenarios(transport: str | None = None) -> list[ModelScenario]:
    """The scenarios that come with this package, by transport and name.

    Args:
        transport: Only this transport's.

    Raises:
        ProtocolConfigurationError: When no transport has this name.
    """
    wanted = _known(transport)
    return [_read(file) for (of, _), file in _shipped().items() if wanted in (None, of)]


def _known(transport: str | None) -> str | None:
    if transport is not None and transport not in TRANSPORTS:
        raise ProtocolConfigurationError(unknown_name(transport, TRANSPORTS), parameter="transport")
    return transport


def _shipped() -> dict[tuple[str, str], Traversable]:
    """The files by transport and name, in order."""
    found: dict[tuple[str, str], Traversable] = {}
    for file in _SHIPPED.iterdir():
        if file.name.endswith(_SUFFIX):
            transport, _, name = file.name.removesuffix(_SUFFIX).partition("-")
            found[transport, name] = file
    return {key: found[key] for key in sorted(found, key=lambda key: (TRANSPORTS.index(key[0]), key[1]))}


def _shipped_file(name: str, transport: str | None) -> Traversable:
    by_key = _shipped()
    having = [key for key in by_key if name in (key[1], "-".join(key)) and transport in (None, key[0])]
    if len(having) == 1:
        return by_key[having[0]]
    if having:
        transports = ", ".join(of for of, _ in having)
        raise ProtocolConfigurationError(f"{name}: a scenario of {transports}: say which", parameter="scenario")
    allowed = list(dict.fromkeys(own for of, own in by_key if transport in (None, of)))
    sentence = unknown_name(name, allowed, every=["-".join(key) for key in by_key])
    whose = f" of {transport}" if transport else ""
    raise ProtocolConfigurationError(
        f"{sentence} (shipped scenarios{whose}; a path ends in {_SUFFIX})", parameter="scenario"
    )


def _read(file: Traversable) -> ModelScenario:
    where = str(file) if isinstance(file, Path) and file.parent != _SHIPPED else file.name
    try:
        tables = tomllib.loads(file.read_text(encoding="utf-8").removeprefix("\ufeff"))
    except OSError as error:
        sentence = f"cannot be read: {error.strerror}"
    except UnicodeDecodeError:
        sentence = "is not UTF-8 text"
    except tomllib.TOMLDecodeError as error:
        # The rest of the sentence may quote the file.
        position = re.search(r"line \d+, column \d+|end of document", str(error))
        sentence = f"is not valid TOML: {position[0] if position else 'unknown position'}"
    else:
        try:
            for key, kind in _kinds(tables.get("events")):
                _require(kind, [known.value for known in EnumScenarioEvent], key)
            return _checked(ModelScenario(**tables))
        except ProtocolConfigurationError as error:
            sentence = error.message
    raise ProtocolConfigurationError(f"{where}: {sentence}", parameter=re.split("[ :]", sentence, maxsplit=1)[0])


def _checked(scenario: ModelScenario) -> ModelScenario:
    """The scenario, once it is known that it can be run."""
    _require(scenario.transport, TRANSPORTS, "transport")
    dependency = scenario.dependency
    _require_errors(dependency.errors, "dependency.errors")
    if dependency.full_error is not None:
        _require_errors((dependency.full_error,), "dependency.full_error")
    for number, event in enumerate(scenario.events):
        key, left = f"events.{number}", scenario.seconds - event.at
        _require_errors(event.errors, f"{key}.errors")
        if event.retry_after is not None and not any(CATALOGUE[name].takes_hint for name in event.errors):
            raise _error(f"{key}.retry_after", "none of these errors has a place for it")
        if event.lasts > left:
            raise refused(f"{key}.lasts", event.lasts, f"at most seconds - at = {left:g}")
    for number, check in enumerate(scenario.checks):
        _require_check(check, f"checks.{number}")
    return scenario


def _kinds(events: object) -> Iterator[tuple[str, str]]:
    """What stands for a kind of event, and where: of a name that is nearly right the model would not tell."""
    for number, event in enumerate(cast("list[object]", events) if isinstance(events, list) else ()):
        kind = event.get("kind") if is_table(event) else None
        if isinstance(kind, str):
            yield f"events.{number}.kind", kind


def _require(name: str, known: Sequence[str], key: str) -> None:
    if name not in known:
        raise _error(key, unknown_name(name, known))


def _require_errors(names: Iterable[str], key: str) -> None:
    for name in names:
        if name not in CATALOGUE:
            raise _error(key, unknown_error(name))


def _require_check(check: str, key: str) -> None:
    try:
        parse_check(check)
    except ProtocolConfigurationError as error:
        sentence = error.message
    else:
        return
    raise _error(key, sentence)


def _error(key: str, sentence: str) -> ProtocolConfigurationError:
    return ProtocolConfigurationError(f"{key}: {sentence}", parameter=key)
