"""How an error message shows the value that was refused."""

from __future__ import annotations

import hashlib
from typing import Final

_SHOWN_BITS: Final = 64


def show_value(value: object) -> str:
    """Numbers and None as they are; of everything else only its type, for text may hold a secret."""
    if value is None or isinstance(value, bool | float):
        return repr(value)
    if isinstance(value, int):
        return repr(value) if value.bit_length() <= _SHOWN_BITS else f"(an int of {value.bit_length()} bits)"
    if isinstance(value, str) and not value.strip():
        return "(empty)"
    if isinstance(value, type):
        return f"(the class {value.__qualname__})"
    return f"(a {type(value).__name__}, not shown)"


def short_hash(key: object) -> str:
    """What stands for a user's key, which may be a name or an address: enough to tell two apart, too little to read."""
    text = key if isinstance(key, str) else repr(key)
    return hashlib.blake2s(text.encode(errors="replace"), digest_size=4).hexdigest()
