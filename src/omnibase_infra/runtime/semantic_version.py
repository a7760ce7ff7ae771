"""Semantic versions, as semver.org defines them in version 2.0.0."""

from __future__ import annotations

import re
from typing import Final, TypeAlias

from omnibase_infra.infrastructure.resilience.arguments import refused

Precedence: TypeAlias = tuple[tuple[int, int, int], bool, tuple[tuple[bool, int, str], ...]]
"""Orders as versions do. A release comes after its pre-releases, and a build counts for nothing."""

_NUMBER: Final = r"(?:0|[1-9]\d{0,8})"
_PART: Final = rf"(?:{_NUMBER}|\d*[A-Za-z-][\dA-Za-z-]*)"
_VERSION: Final = re.compile(
    rf"({_NUMBER})\.({_NUMBER})\.({_NUMBER})(?:-({_PART}(?:\.{_PART})*))?(?:\+[\dA-Za-z-]+(?:\.[\dA-Za-z-]+)*)?",
    re.ASCII,
)
_LONGEST: Final = 128


def precedence(version: object) -> Precedence:
    """Where a version stands among others; two of equal precedence are one version.

    Raises:
        ProtocolConfigurationError: When it is no semantic version.
    """
    match = _VERSION.fullmatch(version) if isinstance(version, str) and len(version) <= _LONGEST else None
    if match is None:
        raise refused("version", version, "a semantic version, such as 1.4.0 or 2.0.0-rc.1")
    major, minor, patch, suffix = match.groups()
    parts = tuple(
        (False, int(part), "") if part.isdecimal() else (True, 0, part) for part in (suffix or "").split(".") if part
    )
    return (int(major), int(minor), int(patch)), suffix is None, parts
