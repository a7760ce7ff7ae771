"""Secrets out of any text, recognised by their shape.

Each family of shapes has a cheap gate of substring tests, so that an ordinary message runs hardly any pattern. Every
pattern is linear: runs are possessive or bounded, and no scan looks twice at what it has consumed. Keywords are sought
in a lowered copy of equal length, where a pattern that begins with literals is several times faster than one that
ignores case. What is ambiguous is masked.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from functools import lru_cache
from pathlib import PurePath
from typing import Final, TypeAlias, cast
from uuid import UUID

_Container: TypeAlias = "dict[object, object] | Collection[object]"
JsonValue: TypeAlias = "str | int | float | bool | list[JsonValue] | dict[str, JsonValue] | None"

MASK: Final = "***"

_MAX_DEPTH: Final = 8
_MAX_REPEATS: Final = 1000
_MAX_PASSES: Final = 8
_MAX_KEY: Final = 64
_MAX_CLOSING: Final = 3
_HEADER_PAIR: Final = 2
_COLONS_OF_IPV6: Final = 7

# A key names a secret by its end: `db_password` and `X-Vault-Token` do, `token_count` and `secret_name` do not. Each
# pattern begins with the literal that is its gate. What is `weak` is also an English word or the name of a service: it
# counts only before `=` or as a quoted key.
_KINDS_OF_KEY = ("access", "account", "api", "encryption", "master", "private", "session", "shared", "signing", "ssh")
_WORDS = {
    "pass": r"pass(?:words?|wd|phrase|code|(?<=requirepass)|(?P<weak>(?<![a-z]pass)))",
    "secret": r"secrets?(?:[_.-]?(?:id|keys?))?",
    "token": r"tokens?",
    "key": "key(?:" + "|".join(rf"(?<={kind}key)|(?<={kind}[_. -]key)" for kind in _KINDS_OF_KEY) + r")s?(?:[_.-]?id)?",
    "auth": r"auth(?:ori[sz]ation|(?<=masterauth)|(?<=basicauth)|(?P<weak>(?<![a-z]auth)))",
    "cookie": r"cookies?",
    "sess": r"sess(?:ion[_.-]?id|id|(?P<weak>ion(?<![a-z]session)))",
    "cred": r"cred(?:entials?|(?P<weak>s(?<![a-z]creds)))",
    "pwd": r"pwd",
    "jwt": r"jwt",
    "sig": r"sig(?:nature(?<=x-amz-signature)|(?P<weak>(?<![a-z]sig)))",
}
_SUFFIX = r"(?:[_.-]?(?:value|raw|plain|text|hash|digest|b64|base64|encoded|header|old|new|current|[0-9]{1,3}))?"
_SEPARATOR = (
    r"""(?:(?P<close>\\{0,7}["'`]\]?)?[ \t]{0,4}"""
    r"""(?P<sep>=[=>]?|:=|:(?!:|//)|,(?=[ ]?[bru]?\\{0,7}["'])|%3[ad])[ \t]{0,4}"""
    r"""|(?<=password)[ \t]{1,4}(?=\\{0,7}["']))"""
)
_KEYS = [
    (sign, re.compile(word + ("" if "weak" in word else "(?P<weak>(?!))?") + _SUFFIX + _SEPARATOR))
    for sign, word in _WORDS.items()
]
_KEY_NAME = re.compile(rf"(?:{'|'.join(_WORDS.values()).replace('?P<weak>', '?:')}){_SUFFIX}\Z")
# The class names of drivers: `InvalidPassword: password authentication failed` holds no password.
_NOT_A_KEY = ("invalid", "missing", "expired", "incorrect", "wrong", "bad")
_KEY_START = re.compile(r"""(?:[bru]?\\{0,7}["'`])?(?<![\w.-])[\w.-]*+\Z""")
_SMALL_NUMBER = re.compile(r"[0-9]{1,4}(?![^\s,;)\]}&])")
_NUMBER_VALUE = re.compile(r"[0-9][0-9_.]{0,15}(?![^\s,;)\]}&])")

_ROW_END = re.compile(r"\)(?= (?:already exists|is not present|is still referenced|conflicts with)|\.?\Z)")
_STATEMENT = re.compile(r"^(LINE [0-9]{1,9}: )[^\n]+", re.MULTILINE)
# The same within a repr, where the ends of lines are escaped.
_STATEMENT_IN_REPR = re.compile(r"(?<=\\n)(LINE [0-9]{1,9}: )(?:[^\n\\]++|\\[^n\n])++")

_OPENING = re.compile(r"""[bBrRuU]{0,2}(?P<escape>\\{0,7})(?P<quote>["'`])""")
# A quote closes only before a delimiter: a raw password may hold quotes.
_AFTER_QUOTE = r"[\s,;:)\]}>&|\\]|\.?\Z|\.\s"
_QUOTED = {
    quote: re.compile(rf"(?:[^{quote}\\]++|\\.|{quote}{quote}|{quote}(?!{_AFTER_QUOTE}))*+", re.DOTALL)
    for quote in "\"'`"
}
_NEXT_PAIR = r"""[,;&](?:\s|\Z|\\?["']?[A-Za-z_][\w. -]{0,40}\\?["']?[ ]?[=:])"""
_RUN = re.compile(rf"""(?:[^\s,;&"'`]++|(?!{_NEXT_PAIR})[,;&]|["'`](?!{_AFTER_QUOTE}))++""")
_COOKIES = re.compile(r"[^\s;]++(?:;[; \t]{0,4}[^\s;]++)*+")
_STRUCTURE = re.compile(r"""[\[({](?=b?(?P<escape>\\{0,7})["']|[\s\[({}\])]|\Z)""")
_BRACKET = re.compile(r"""'(?:[^'\\\n]++|\\.)*+'|"(?:[^"\\\n]++|\\.)*+"|[\[({\])}]""")
_SCHEME = re.compile(r"(?i:bearer|basic|token|negotiate|ntlm|apikey)[ \t]{1,4}")
_LONG_SCHEME = re.compile(r"(?i:digest|aws4-hmac-sha256|signature|hawk|oauth|scram-sha-[0-9]{1,3})[ \t][^\r\n]*")
_CLOSING = ")]}>,;.:\"'`"

_BASE64 = re.compile(r"(?!(?:[A-Za-z]?[a-z]+|[A-Z]+)(?![\w+/=-]))(?=[^\s=]{6})[A-Za-z0-9+/_-]+={0,2}")


def _word(start: str) -> str:
    """A pattern for ``start`` that begins a word; the `n` of a newline escaped by a repr is no letter before it."""
    return rf"{start}(?:(?<![A-Za-z0-9]{start})|(?<=\\[nrt]{start}))"


_TOKEN = re.compile(
    r"AKIA[A-Z0-9]{12,}+|ASIA[A-Z0-9]{12,}+|gh[opusr]_[A-Za-z0-9]{10,}+|github_pat_\w{10,}+|xox[a-z]-[\w-]{8,}+"
    r"|xapp-[\w-]{8,}+|hv[sbr]\.[\w-]{8,}+|AIza[\w-]{20,}+|ya29\.[\w-]{10,}+|whsec_\w{10,}+"
    r"|gl(?:pat|ptt|dt|rt|cbt|soat)-[\w-]{10,}+|pypi-[\w-]{16,}+|hooks\.slack\.com/services/[\w/]{8,}+"
    rf"|{_word('eyJ')}[\w-]{{8,}}+(?:\.[\w-]*+){{0,4}}|{_word('npm_')}[A-Za-z0-9]{{20,}}+|{_word('hf_')}[A-Za-z0-9]{{20,}}+"
    rf"|{_word('sk_')}(?:live|test)_\w{{8,}}+|{_word('rk_')}(?:live|test)_\w{{8,}}+"
    rf"|{_word('SG[.]')}[\w-]{{16,}}+(?:\.[\w-]++)?|{_word('sk-')}(?=[A-Za-z_-]{{0,64}}[0-9])[\w-]{{20,}}+"
)
_OLD_VAULT_TOKEN = re.compile(
    r"[sbr]\.(?:(?<![A-Za-z0-9].\.)|(?<=\\[nrt].\.))(?=[A-Za-z]{0,23}[0-9])[A-Za-z0-9]{24}(?![A-Za-z0-9])"
)
_AWS_SECRET = re.compile(
    r"(?<![A-Za-z0-9/+=])(?=[A-Z0-9/+]{0,39}[a-z])(?=[a-z0-9/+]{0,39}[A-Z])[A-Za-z0-9/+]{40}(?![A-Za-z0-9/+=])"
)
_PEM_BEGIN = re.compile(r"-----BEGIN [A-Z0-9 ]{0,40}", re.IGNORECASE)
_PEM_END = re.compile(r"-----END [A-Z0-9 ]{0,40}(?:-----)?", re.IGNORECASE)

_AUTHORITY = re.compile(r"[^/?#\s]*+")
_NON_SPACE = re.compile(r"\S*+")
_BRACKETED_HOST = re.compile(r"\[[0-9A-Fa-f:.%]*\]")
_KNOWN_HOST = re.compile(
    r"(?:localhost|[0-9]{1,3}(?:\.[0-9]{1,3}){3}|(?:[\w-]{1,63}\.)+[A-Za-z]{2,24})(?::[0-9]{1,5})?[/?#](?!@)"
)
_CUT_OFF_USERINFO = re.compile(r"(?![0-9A-Fa-f:.]+(?:\W|\Z))[^:\[\s]*:(?![0-9]{1,5}(?:[.:]?\Z|[\"'`,;)\]}>|]))(?=\w)")
_LEAD = re.compile(r"""["'`(<\[{]*+(?:(?:dsn|url|uri|conninfo|host|server|brokers?|address|endpoint)=["']?)?""")
_HOST_BEFORE = re.compile(r"(?i:host(?: ?name)? )\Z")
_SERVER = re.compile(
    r"(?:[0-9]{1,3}(?:\.[0-9]{1,3}){3}|localhost|\[[0-9A-Fa-f:.]+\]|[\w.-]++:[0-9]{2,5}|\w{1,16}\([^\s()]++\))(?!\w)"
)
_USER_AND_PASSWORD = re.compile(
    r"(?<![\w.+-])(?!(?:mailto|e-?mail|from|to|sender|contact|owner):)[\w.+-]++:(?=[^\s@][^@]*@|@[^@]*@)"
)
_EMAIL = re.compile(r"(?<![\w.%+-])[\w.%+-]++@(?:[\w-]+\.)+[^\W\d_]{2,}(?![\w-])")

_NUMBER_GATE = re.compile(r"[0-9](?:(?:[ ().-]{0,2}[0-9]){8}|[0-9]{7}-?[A-Z])")
_NUMBER = re.compile(
    r"[0-9(+](?<![\w+.-].)(?:(?<=[0-9])(?:"
    r"[0-9]{2}-[0-9]{2}-[0-9]{4}(?![\w-])"  # US social security number
    r"|[0-9]{2}\.[0-9]{3}\.[0-9]{3}-[0-9]{2}(?![\w-])"  # Brazilian CPF
    r"|(?<=7)56\.[0-9]{4}\.[0-9]{4}\.[0-9]{2}(?![\w-])"  # Swiss AHV
    r"|(?P<dni>[0-9]{7})-?[A-Z](?![\w-])"  # Spanish DNI
    r"|(?P<sin>[0-9]{2}-[0-9]{3}-[0-9]{3})(?![\w-])"  # Canadian social insurance number
    r"|(?<=[2-9])[0-9]{2}[-.][0-9]{3}[-.][0-9]{4}(?![\w-])"  # American phone number
    r"|(?<=1)[-. ](?:\([2-9][0-9]{2}\) ?|[2-9][0-9]{2}[-. ])[0-9]{3}[-. ][0-9]{4}(?![\w-])"
    r"|(?P<card>(?<=[2-6])[0-9]{3}(?P<gap>[ -]?)"
    r"(?:[0-9]{4}(?P=gap)[0-9]{4}(?P=gap)[0-9]{1,7}|[0-9]{6}(?P=gap)[0-9]{4,5}))(?![\w-]))"
    r"|(?<=\()[2-9][0-9]{2}\) ?[0-9]{3}[-. ][0-9]{4}(?![\w-])"
    r"|(?<=\+)[0-9](?:[ ().-]{0,2}[0-9]){7,14}(?![0-9]))"  # international phone number
)
_LETTERED_ID = re.compile(
    r"[A-Z](?<![\w.-][A-Z])(?:"
    r"[A-Z] ?[0-9]{2} ?[0-9]{2} ?[0-9]{2} ?[A-D](?![\w-])"  # UK national insurance
    r"|[A-Z]{5}[0-9]{2}[A-Z][0-9]{2}[A-Z][0-9]{3}[A-Z](?![\w-]))"  # Italian codice fiscale
)
_LUHN_LENGTHS = frozenset({9, 13, 14, 15, 16, 19})
_OCTET = r"(?:25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])"
_INTERNAL_IPV4 = re.compile(
    rf"1(?<![\w.]1)(?:0\.{_OCTET}|72\.(?:1[6-9]|2[0-9]|3[01])|92\.168|69\.254)\.{_OCTET}\.{_OCTET}(?!\w|\.[0-9])"
)
_INTERNAL_IPV6 = re.compile(
    r"(?<![\w:])(?:f[cd][0-9a-f]{2}|fe[89ab][0-9a-f])"
    r"(?=(?::[0-9a-f]{1,4}){0,6}::|(?::[0-9a-f]{1,4}){7})(?::[0-9a-f]{0,4}){1,8}(?:%\w{1,16})?(?![\w:])",
    re.IGNORECASE,
)


def sanitize(text: str, *, allow_internal_ips: bool = False) -> str:
    """Mask what must not be shown: ``text`` with each secret or personal datum replaced by ``***``.

    Masked are userinfo in URLs and DSNs, values whose key names a secret, credentials in HTTP headers, tokens of known
    shape, PEM blocks, values that drivers quote from their input, e-mail addresses, national ids, phone and card
    numbers, and internal IP addresses unless ``allow_internal_ips``. Host names, ports, keys and everything else stay.
    Sanitising twice gives the same as once.
    """
    # A mask may uncover what stood directly beside it. Bounded, so that the cost stays linear.
    for _ in range(_MAX_PASSES):
        cleaned = _clean(text, allow_internal_ips=allow_internal_ips)
        if cleaned == text:
            break
        text = cleaned
    return text


def sanitize_value(key: str, value: object, *, allow_internal_ips: bool = False) -> JsonValue:
    """The JSON-able form of one structured detail, without its secrets.

    A value whose key names a secret becomes ``***`` whatever its type. Strings and bytes are sanitised as text,
    containers item by item, and an object that is no plain datum is shown by the name of its class: its ``repr``
    belongs to someone else. So is a container that holds itself, that lies deeper than eight others, or that comes up
    again and again.
    """
    return MASK if _names_secret(key, value) else _Plain(allow_internal_ips=allow_internal_ips).of(value, 0)


def _clean(text: str, *, allow_internal_ips: bool) -> str:
    colon = ":" in text
    quoted = "'" in text or '"' in text
    if "--" in text:
        text = _mask_pem(text)
    if colon and "://" in text:
        text = _mask_userinfo(text)
    lowered = _lower(text)
    if colon or quoted or "=" in text or "%3" in text:
        for sign, pattern in _KEYS:
            if sign in lowered:
                text, lowered = _mask_values(pattern, _pair_value, text, lowered)
    if (
        quoted
        or "(" in text
        or "=" in text
        or "--" in text
        or "bearer " in lowered
        or "basic " in lowered
        or "sasl" in lowered
    ):
        for sign, pattern, span in _QUOTATIONS:
            if sign in lowered:
                text, lowered = _mask_values(pattern, span, text, lowered)
    if "LINE " in text:
        text = _STATEMENT.sub(rf"\g<1>{MASK}", text)
        text = _STATEMENT_IN_REPR.sub(rf"\g<1>{MASK}", text)
    text = _mask_tokens(text)
    if "@" in text:
        text = _mask_addresses(text)
    if "+" in text or _NUMBER_GATE.search(text):
        text = _NUMBER.sub(_number, text)
    text = _LETTERED_ID.sub(MASK, text)
    return text if allow_internal_ips else _mask_internal_ips(text)


def _mask_tokens(text: str) -> str:
    aws = "AKIA" in text or "ASIA" in text
    if (
        aws
        or "eyJ" in text
        or "AIza" in text
        or ("_" in text and ("gh" in text or "hub_" in text or "k_" in text or "npm_" in text or "hf_" in text))
        or ("_" in text and "whsec_" in text)
        or ("-" in text and ("xox" in text or "xapp-" in text or "sk-" in text or "gl" in text or "pypi-" in text))
        or ("." in text and ("hv" in text or "SG." in text or "ya29." in text or "slack" in text))
    ):
        text = _TOKEN.sub(MASK, text)
    if "s." in text or "b." in text or "r." in text:
        text = _OLD_VAULT_TOKEN.sub(MASK, text)
    if aws or "aws" in text or "AWS" in text:
        text = _AWS_SECRET.sub(MASK, text)
    return text


def _mask_internal_ips(text: str) -> str:
    if "10." in text or "172." in text or "192.168." in text or "169.254." in text:
        text = _INTERNAL_IPV4.sub(MASK, text)
    if "::" in text or text.count(":") >= _COLONS_OF_IPV6:
        text = _INTERNAL_IPV6.sub(MASK, text)
    return text


class _Plain:
    """One walk through a value. It ends also where containers share others, which a path apiece would make endless."""

    def __init__(self, *, allow_internal_ips: bool) -> None:
        self._allow_internal_ips = allow_internal_ips
        self._seen: set[int] = set()
        self._open: set[int] = set()
        self._repeats = 0

    def of(self, value: object, depth: int) -> JsonValue:
        if isinstance(value, Enum):
            value = cast("object", value.value)
        if not isinstance(value, dict | list | tuple | set | frozenset):
            return _plain_scalar(value, allow_internal_ips=self._allow_internal_ips)
        container, identity = cast("_Container", value), id(cast("object", value))
        self._repeats += identity in self._seen
        if depth == _MAX_DEPTH or identity in self._open or self._repeats > _MAX_REPEATS:
            return type(container).__name__
        self._seen.add(identity)
        self._open.add(identity)
        shown = self._items(container, depth + 1)
        self._open.remove(identity)
        return shown

    def _items(self, container: _Container, depth: int) -> JsonValue:
        if isinstance(container, dict):
            return {
                _key_text(key): MASK if _names_secret(key, item) else self.of(item, depth)
                for key, item in cast("dict[object, object]", container).items()
            }
        items = list(container)
        if len(items) == _HEADER_PAIR and _names_secret(items[0], items[1]):
            return [_key_text(items[0]), MASK]
        return [self.of(item, depth) for item in items]


def _plain_scalar(value: object, *, allow_internal_ips: bool) -> JsonValue:
    shown: JsonValue
    match value:
        case str() | PurePath():
            shown = sanitize(str(value), allow_internal_ips=allow_internal_ips)
        case None | bool():
            shown = value
        case int():
            shown = int(value)
        case float():
            shown = float(value) if math.isfinite(value) else str(float(value))
        case bytes() | bytearray():
            shown = sanitize(value.decode("utf-8", "replace"), allow_internal_ips=allow_internal_ips)
        case UUID() | Decimal():
            shown = str(value)
        case datetime() | date() | time():
            shown = value.isoformat()
        case timedelta():
            shown = value.total_seconds()
        case _:
            shown = type(value).__name__
    return shown


def _key_text(name: object) -> str:
    match name:
        case str():
            return sanitize(name)
        case bytes():
            return sanitize(name.decode("utf-8", "replace"))
        case None | bool() | int() | float():
            return str(name)
        case _:
            return type(name).__name__


def _names_secret(name: object, value: object) -> bool:
    if isinstance(name, bytes):
        name = name.decode("latin-1")
    if not isinstance(name, str):
        return False
    found = _last_secret_word(name[-_MAX_KEY:])
    return found is not None and not (found.startswith("tokens") and isinstance(value, int | float))


@lru_cache(maxsize=1024)
def _last_secret_word(name: str) -> str | None:
    found = _KEY_NAME.search(name.lower())
    return found and found[0]


def _lower(text: str) -> str:
    """The text in lower case, character by character: some letters become two, which would shift every position."""
    lowered = text.lower()
    if len(lowered) == len(text):
        return lowered
    return text.encode("utf-8", "surrogatepass").lower().decode("utf-8", "surrogatepass")


def _mask_pem(text: str) -> str:
    parts: list[str] = []
    done = 0
    while begin := _PEM_BEGIN.search(text, done):
        end = _PEM_END.search(text, begin.end())
        parts += (text[done : begin.start()], MASK)
        done = end.end() if end else len(text)
    return "".join(parts) + text[done:]


def _mask_userinfo(text: str) -> str:
    """Mask from ``://`` to the last ``@`` before white space: a raw password may hold any other character."""
    parts: list[str] = []
    done = pos = 0
    run_end = last_at = -1
    while (pos := text.find("://", pos)) >= 0:
        begin = pos = pos + 3
        if begin > run_end:
            run_end = _end(_NON_SPACE, text, begin)
            last_at = text.rfind("@", begin, run_end)
        authority_end = pos = _end(_AUTHORITY, text, begin)
        end = last_at
        if last_at < begin:
            if not _CUT_OFF_USERINFO.match(text, begin, authority_end):
                continue
            end = _without_closing(text, begin, run_end)
        elif last_at >= authority_end:
            at = text.rfind("@", begin, authority_end)
            if at < 0 and (":" not in text[begin:authority_end] or _BRACKETED_HOST.match(text, begin)):
                continue
            # Ambiguous: this `@` may belong to the path. Keep what looks like a host, mask what lies on both sides.
            if host := _KNOWN_HOST.match(text, max(at + 1, begin)):
                if at >= 0:
                    parts += (text[done:begin], MASK)
                    done = at
                begin = host.end()
        parts += (text[done:begin], MASK)
        done = pos = end
    return "".join(parts) + text[done:] if parts else text


def _mask_values(
    pattern: re.Pattern[str],
    span: Callable[[re.Match[str], str], tuple[int, int]],
    text: str,
    lowered: str,
) -> tuple[str, str]:
    parts: list[str] = []
    done = pos = 0
    while found := pattern.search(lowered, pos):
        begin, end = span(found, text)
        pos = max(found.end(), end)
        if begin < end:
            parts += (text[done:begin], MASK)
            done = end
    if not parts:
        return text, lowered
    text = "".join(parts) + text[done:]
    return text, _lower(text)


def _pair_value(found: re.Match[str], text: str) -> tuple[int, int]:
    """Where the value of a key lies; an empty span when the key, or its value, is harmless."""
    lowered = found.string
    start, begin = found.span()
    nothing = begin, begin
    separator, bare = found["sep"], found["close"] is None
    if found["weak"] is not None:
        if (bare and separator == ":") or _SMALL_NUMBER.match(text, begin):
            return nothing
    elif lowered.startswith("tokens", start) and _NUMBER_VALUE.match(text, begin):
        return nothing
    if separator == "," or (separator == ":" and bare):
        before = _KEY_START.sub("", text[max(0, start - _MAX_KEY) : start])
        if separator == ",":
            if bare or not before.endswith(("(", "[")):
                return nothing
        elif before.endswith("/") or lowered.endswith(_NOT_A_KEY, 0, start):
            return nothing
    if bare and lowered.startswith(("authori", "cookie"), start):
        return _header_value(text, begin, cookie=lowered[start] == "c")
    return _value(text, begin)


def _header_value(text: str, begin: int, *, cookie: bool) -> tuple[int, int]:
    if text.startswith(MASK, begin):
        return begin, begin + len(MASK)
    if cookie:
        return begin, _without_closing(text, begin, _end(_COOKIES, text, begin))
    if long_scheme := _LONG_SCHEME.match(text, begin):
        return begin, long_scheme.end()
    if scheme := _SCHEME.match(text, begin):
        return begin, _value(text, scheme.end())[1]
    return _value(text, begin)


def _quoted(found: re.Match[str], text: str) -> tuple[int, int]:
    return _value(text, found.end())


def _rest_of_line(found: re.Match[str], text: str) -> tuple[int, int]:
    begin = found.end()
    return begin, _without_closing(text, begin, _line_end(text, begin))


def _row(found: re.Match[str], text: str) -> tuple[int, int]:
    begin, end = _rest_of_line(found, text)
    row_end = _ROW_END.search(text, begin, _line_end(text, begin))
    return begin, row_end.start() if row_end else end


def _base64(found: re.Match[str], text: str) -> tuple[int, int]:
    return found.end(), _end(_BASE64, text, found.end())


def _value(text: str, begin: int) -> tuple[int, int]:
    """Where the value lies that begins here: the inside of its quotes, a whole structure, or a run of characters."""
    if opening := _OPENING.match(text, begin):
        begin = opening.end()
        escape, quote = opening["escape"], opening["quote"]
        end = _escaped_end(text, begin, escape + quote) if escape else _end(_QUOTED[quote], text, begin)
        closed = text.startswith(escape + quote, end)
        return begin, end if closed else max(begin, _line_end(text, begin))
    end = begin
    if structure := _STRUCTURE.match(text, begin):
        # Within a repr the quotes are escaped, and cannot be told from those of the secret.
        end = _line_end(text, begin) if structure["escape"] else _structure_end(text, begin)
        return begin, _end(_RUN, text, end)
    end = _end(_RUN, text, begin)
    return begin, _without_closing(text, begin, end)


def _escaped_end(text: str, begin: int, closing: str) -> int:
    at = text.find(closing, begin)
    while at > begin and text[at - 1] == "\\":
        at = text.find(closing, at + 1)
    return at if at >= 0 else len(text)


def _structure_end(text: str, begin: int) -> int:
    depth = 0
    for bracket in _BRACKET.finditer(text, begin):
        depth += 1 if bracket[0] in "[({" else -(bracket[0] in "])}")
        if not depth:
            return bracket.end()
    return len(text)


def _line_end(text: str, begin: int) -> int:
    end = text.find("\n", begin)
    return end if end >= 0 else len(text)


def _without_closing(text: str, begin: int, end: int) -> int:
    """The end before the punctuation that closes the surroundings: three characters at most, they may be secret."""
    stripped = begin + len(text[begin:end].rstrip(_CLOSING))
    if stripped == begin:
        return end if end - begin >= _MAX_CLOSING else begin
    return max(stripped, end - _MAX_CLOSING)


def _end(pattern: re.Pattern[str], text: str, begin: int) -> int:
    found = pattern.match(text, begin)
    return found.end() if found else begin


def _mask_addresses(text: str) -> str:
    parts: list[str] = []
    done = 0
    while (at := text.find("@", done)) >= 0:
        begin = 1 + max(text.rfind(space, done, at) for space in " \n\t\r")
        end = _end(_NON_SPACE, text, at)
        begin = max(begin, done)
        parts += (text[done:begin], _address(text[begin:end], text[max(0, begin - _MAX_KEY) : begin]))
        done = end
    return "".join(parts) + text[done:]


def _address(run: str, before: str) -> str:
    """Mask the users and the e-mail addresses in ``run``, which holds an ``@`` and no white space."""
    at = run.rfind("@")
    if "://" not in run:
        begin = _end(_LEAD, run, 0)
        if begin < at and (_SERVER.match(run, at + 1) or _HOST_BEFORE.search(before)):
            return run[:begin] + MASK + run[at:]
        if pair := _USER_AND_PASSWORD.search(run, begin):
            return run[: pair.start()] + MASK + run[at:]
    return _EMAIL.sub(MASK, run)


def _number(found: re.Match[str]) -> str:
    number = found[0]
    if found["dni"]:
        secret = "TRWAGMYFPDXBNJZSQVHLCKE"[int(number[:8]) % 23] == number[-1]
    elif found["card"] or found["sin"]:
        digits = [int(digit) for digit in number if digit.isdecimal()]
        secret = len(digits) in _LUHN_LENGTHS and _luhn(digits)
    else:
        secret = True
    return MASK if secret else number


def _luhn(digits: list[int]) -> bool:
    return (sum(digits[-1::-2]) + sum(2 * digit - digit // 5 * 9 for digit in digits[-2::-2])) % 10 == 0


_INVALID = (
    r"invalid (?:literal for int\(\) with base [0-9]{1,2}: |percent-encoded token: |uri query parameter: "
    r"|input (?:syntax|value) for [^:\n]{1,60}: "
    r"|(?:port(?: number)?: |integer value |connection option )(?=\\{0,7}[\"'])"
    r"|value (?=\\{0,7}[\"'][^\n]{0,200} for configuration property))"
)
_BEARER = (
    r"bearer(?<!\wbearer)[ \t]{1,4}(?![a-z_]{1,40}=\"?\w)"
    r"(?!(?:tokens?|auth\w*|credentials?|header|scheme|is|was|not|required|missing|invalid|expired|failed|format"
    r"|and|or|for|in|of|the|to|from|with|has|must)(?![\w~+/-]))"
)
_OPTION = r"--[\w-]{0,40}(?:password|passwd|token|secret|api-key)[ \t]{1,4}(?=[^\s-]|-[^\s-])"
# What drivers and parsers quote from their input: a gate, the text up to the value, and where the value lies.
_QUOTATIONS = [
    (sign, re.compile(pattern), span)
    for sign, pattern, span in (
        ("invalid ", _INVALID, _quoted),
        ("could not ", r"could not (?:convert string to float: |be cast to integer value as )", _quoted),
        ("illegal header value ", "illegal header value ", _quoted),
        ('missing "=" after ', 'missing "=" after ', _quoted),
        ("identified by ", r"identified by (?=\\{0,7}[\"'])", _quoted),
        ("unsupported sasl mechanism: ", "unsupported sasl mechanism: ", _quoted),
        ("input_value=", "input_value=", _quoted),
        ("<cookie ", "<cookie ", _quoted),
        ("--", _OPTION, _quoted),
        ("bearer ", _BEARER, _quoted),
        ("basic ", r"basic(?<!\wbasic)[ \t]{1,4}", _base64),
        ("args beginning with: ", "args beginning with: ", _rest_of_line),
        ("failing row contains (", r"failing row contains \(", _rest_of_line),
        (")=(", r"key \([^)\n]{1,200}\)=\(", _row),
    )
]
