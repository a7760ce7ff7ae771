"""The option `--set retry.max_attempts=5`: one setting, written as in a presets file."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Sequence
from typing import Final

from omnibase_infra.errors import ProtocolConfigurationError
from omnibase_infra.presets.layers import POLICIES, PROFILE, layer_of

_OPTION: Final = "--set"
_FORM: Final = re.compile(r"\s*(?P<name>\w+(?:\.\w+)*)\s*=(?P<value>.*)")
_WORD: Final = re.compile(r"\s*(?!(?:true|false|inf|nan)\b)[A-Za-z][\w-]*\s*")
_ALLOWED: Final = (
    "must be NAME=VALUE with the value as in TOML, such as retry.max_attempts=5, retry.budget=false or bulkhead=false"
)


def read_settings(section: str, given: Sequence[str]) -> dict[str, object]:
    """The settings by dotted key; of one that is given twice the last counts. A policy's own name switches it.

    Args:
        section: The transport's table of the presets.
        given: What stood after each ``--set``.

    Raises:
        ProtocolConfigurationError: When a name is unknown, a value impossible, or it is not of this form.
    """
    settings: dict[str, object] = {}
    for text in given:
        table = _table(text)
        if PROFILE in table:
            raise ProtocolConfigurationError(f"{_OPTION}: a profile is given by --{PROFILE}", parameter=PROFILE)
        is_switch = all(name in POLICIES and isinstance(value, bool) for name, value in table.items())
        layer = layer_of({section: {} if is_switch else table}, lambda _: _OPTION)
        settings |= table if is_switch else {key: setting.value for key, setting in layer[section].items()}
    return settings


def _table(text: str) -> dict[str, object]:
    form = _FORM.fullmatch(text)
    if form is None:
        raise ProtocolConfigurationError(f"{_OPTION}: {_ALLOWED}", parameter=_OPTION)
    name, value = form["name"], form["value"]
    if _WORD.fullmatch(value):
        value = json.dumps(value.strip())  # a shell has taken the quotes off
    try:
        return tomllib.loads(f"{name} = {value}")
    except tomllib.TOMLDecodeError:
        pass
    raise ProtocolConfigurationError(f"{_OPTION} {name}: {_ALLOWED}", parameter=_OPTION)
