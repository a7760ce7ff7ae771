"""An argument that was not given, where None means something."""

from enum import Enum


class EnumUnset(Enum):
    """Marks an argument that was left out: the preset decides."""

    UNSET = "unset"
