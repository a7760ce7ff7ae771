"""Generated secrets in what drivers print: none comes through, and cleaning twice is cleaning once."""

from __future__ import annotations

import json
import logging
import os
import re
import string
from base64 import b64encode
from collections.abc import Callable
from urllib.parse import quote

from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from omnibase_infra.utils import sanitize, sanitize_value

settings.register_profile("quick", max_examples=300, deadline=None, derandomize=True)
settings.register_profile("thorough", max_examples=5000, deadline=None)
PROFILE = settings.get_profile(os.environ.get("ONEX_HYPOTHESIS_PROFILE", "quick"))

ALPHANUMERIC = string.ascii_letters + string.digits
NASTY = "@:/?#%'\"&=,;.!$()[]{}<>|\\~^*-_ßé密🔑"


def words(alphabet: str, least: int, most: int) -> st.SearchStrategy[str]:
    return st.text(alphabet, min_size=least, max_size=most)


# A password that holds `@host.name/` shows that part: hosts are kept.
A_HOST = re.compile(r"@[^@]*\.[^@]*[/?#]")
# A letter first and last keeps the reader able to tell the secret from the punctuation around it.
PASSWORDS = st.builds(
    lambda first, middle, last: first + middle + last,
    st.sampled_from(ALPHANUMERIC),
    st.lists(
        st.one_of(st.sampled_from("@:/?#%'\""), words(ALPHANUMERIC, 1, 8), st.sampled_from(NASTY)),
        min_size=3,
        max_size=12,
    )
    .map("".join)
    .filter(lambda middle: len(middle) >= 4),
    st.sampled_from(ALPHANUMERIC),
).filter(lambda password: not A_HOST.search(password))
TOKENS = st.one_of(
    words(string.ascii_uppercase + string.digits, 16, 16).map("AKIA".__add__),
    words(string.ascii_uppercase + string.digits, 16, 16).map("ASIA".__add__),
    words(ALPHANUMERIC, 36, 36).map("ghp_".__add__),
    words(ALPHANUMERIC, 36, 36).map("gho_".__add__),
    words(ALPHANUMERIC + "_", 60, 82).map("github_pat_".__add__),
    words(string.digits, 10, 12).flatmap(lambda ids: words(ALPHANUMERIC, 24, 24).map(f"xoxb-{ids}-".__add__)),
    words(ALPHANUMERIC + "_-", 24, 90).map("hvs.".__add__),
    words(ALPHANUMERIC + "_-", 24, 90).map("hvb.".__add__),
    words(ALPHANUMERIC, 23, 23).map(lambda body: f"s.{body}7"),
    words(ALPHANUMERIC + "_-", 35, 35).map("AIza".__add__),
    words(ALPHANUMERIC, 24, 24).map("sk_live_".__add__),
    words(ALPHANUMERIC + "_-", 20, 20).map("glpat-".__add__),
    words(ALPHANUMERIC, 36, 36).map("npm_".__add__),
    st.tuples(*[words(ALPHANUMERIC + "_-", 12, 60)] * 3).map(lambda parts: "eyJ" + ".".join(parts)),
)

# How a driver, a parser or a logger of settings shows a password that somebody put into it.
SHOWN: dict[str, Callable[[str], str]] = {
    "postgresql url": lambda s: f"could not connect to postgresql://svc:{s}@db.example.com:5432/app",
    "percent-encoded url": lambda s: f"cannot reach postgresql://svc:{quote(s, safe='')}@db.example.com:5432/app",
    "redis url": lambda s: f"Error 111 connecting to redis://:{s}@cache.example.com:6379/0.",
    "amqp url in quotes": lambda s: f"cannot open 'amqp://svc:{s}@mq.example.com:5672/%2f': refused",
    "cut-off url": lambda s: f"bad DSN: mongodb://svc:x{s.replace('@', 'a').replace('/', 'b')}",
    "httpx status": lambda s: (
        f"Client error '401 Unauthorized' for url 'http://user:{s}@127.0.0.1:50131/status/401'\nFor more information"
    ),
    "aiohttp invalid url": lambda s: f"http://user:{s}@127.0.0.1:notaport/",
    "aiohttp bad scheme": lambda s: f"htp://user:{s}@h/",
    "hvac": lambda s: f'{{"errors":["stub"]}}, on get http://user:{s}@vault.example.com:8200/v1/sys/health',
    "mysql dsn": lambda s: f"svc:{s}@tcp(db.example.com:3306)/app",
    "psycopg host": lambda s: f"failed to resolve host '{s}@127.0.0.1': [Errno -2] Name or service not known",
    "libpq host": lambda s: f'could not translate host name "{s}@db" to address',
    "asyncpg port": lambda s: f"invalid literal for int() with base 10: {s!r}",
    "redis port": lambda s: f"Port could not be cast to integer value as {s!r}",
    "httpx port": lambda s: f"Invalid port: {s!r}",
    "redis command": lambda s: f"unknown command 'X', with args beginning with: '{s}' ",
    "psycopg pgconn": lambda s: f"<FinishedPgconn host='db.example.com' password={s.encode()!r} port=5432>",
    "psycopg conninfo": lambda s: f'invalid percent-encoded token: "{s}"',
    "libpq settings": lambda s: (
        "host=db.example.com password='" + s.replace("\\", "\\\\").replace("'", "\\'") + "' user=svc"
    ),
    "sql literal": lambda s: "ALTER USER svc PASSWORD '" + s.replace("\\", "\\\\").replace("'", "''") + "'",
    "psycopg statement": lambda s: f"syntax error at or near \"t\"\nLINE 1: select '{s}' fromm t\n               ^",
    "unique row": lambda s: f"DETAIL:  Key (email)=({s}) already exists.",
    "failing row": lambda s: f"DETAIL:  Failing row contains (1, {s}, null).",
    "invalid text": lambda s: f'invalid input syntax for type integer: "{s}"',
    "keyword arguments": lambda s: f"connect(host='db.example.com', password={s!r}, port=5432)",
    "dict": lambda s: f"settings: { ({'host': 'db.example.com', 'api_key': s, 'port': 5432})!r}",
    "json": lambda s: json.dumps({"host": "db.example.com", "client_secret": s, "port": 5432}),
    "compact json": lambda s: json.dumps({"private_key": s, "port": 5432}, separators=(",", ":"), ensure_ascii=False),
    "json in json": lambda s: json.dumps({"body": json.dumps({"passwd": s, "port": 5432})}),
    "nested": lambda s: f"{ ({'credentials': {'user': 'svc', 'key': s}, 'port': 5432})!r}",
    "headers": lambda s: f"headers=<CIMultiDict('Host': 'h', 'X-Api-Key': {s!r}, 'Accept': '*/*')>",
    "raw headers": lambda s: f"[(b'host', b'h'), (b'x-vault-token', {s.encode()!r})]",
    "illegal header": lambda s: f"Illegal header value {f'Bearer {s}{chr(10)}'.encode()!r}",
    "cookie": lambda s: f"Cookie: sid={s}; theme=dark",
}
# Printed between quotes or brackets without escaping: a secret that holds the closing one shows its tail.
RAW = {"psycopg conninfo", "invalid text", "sql literal", "unique row", "psycopg host", "libpq host"}
# These have no quotes around them, so that the secret's own delimiters end it.
PLAIN = words(ALPHANUMERIC + "-._~+/", 8, 40)
PLAINLY_SHOWN: dict[str, Callable[[str], str]] = {
    "query": lambda s: f"for url 'https://api.example.com/v1/items?api_key={s}&page=2'",
    "settings": lambda s: f"host=db.example.com port=5432 password={s} user=svc",
    "odbc": lambda s: f"Server=db.example.com;User Id=svc;Password={s};Port=5432",
    "prose": lambda s: f"tried with password: {s}, gave up",
    "header": lambda s: f"GET / HTTP/1.1\r\nHost: h\r\nX-Vault-Token: {s}\r\nAccept: */*",
    "authorization": lambda s: f"GET / HTTP/1.1\r\nHost: h\r\nAuthorization: {s}\r\nAccept: */*",
    "bearer": lambda s: f"sent Bearer {s} to api.example.com",
    "aiohttp headers": lambda s: f"headers=<CIMultiDictProxy('Authorization': 'Bearer {s}', 'Accept': '*/*')>",
    "command line": lambda s: f"redis-cli --password {s} ping",
    "environment": lambda s: f"PGPASSWORD={s} psql -h db.example.com",
}


# Shorter pieces turn up by chance.
PIECE = 6


def assert_hidden(secret: str, shown: Callable[[str], str], *, raw: bool = False) -> None:
    template = shown("")
    assume(secret not in template)
    cleaned = sanitize(shown(secret))
    pieces = {secret[start : start + PIECE] for start in range(len(secret) - PIECE + 1)}
    assert secret not in cleaned
    if not raw:
        assert [piece for piece in pieces if piece in cleaned and piece not in template] == []
    assert repr(secret)[1:-1] not in cleaned
    assert quote(secret, safe="") not in cleaned
    assert sanitize(cleaned) == cleaned


@PROFILE
@given(shown=st.sampled_from(sorted(SHOWN)), secret=PASSWORDS)
def test_no_password_comes_through_what_a_driver_prints(shown: str, secret: str) -> None:
    assert_hidden(secret, SHOWN[shown], raw=shown in RAW)


@PROFILE
@given(shown=st.sampled_from(sorted(PLAINLY_SHOWN)), secret=PLAIN)
def test_no_plain_secret_comes_through_unquoted(shown: str, secret: str) -> None:
    assert_hidden(secret, PLAINLY_SHOWN[shown])


@PROFILE
@given(
    token=TOKENS,
    frame=st.sampled_from(["{}", "refused {}.", "x='{}'", "({})", "a\n{}\nb", '["{}"]', "\\n{} b", "https://h/p/{}/q"]),
)
def test_no_token_of_a_known_shape_comes_through_anywhere(token: str, frame: str) -> None:
    assert_hidden(token, frame.format)


@PROFILE
@given(user=PLAIN, password=PASSWORDS)
def test_no_basic_credentials_come_through(user: str, password: str) -> None:
    encoded = b64encode(f"{user}:{password}".encode()).decode()
    assert_hidden(encoded, "sent Basic {} to api.example.com".format)
    assert_hidden(encoded, "Proxy-Authorization: Basic {}".format)


@PROFILE
@given(
    body=words(ALPHANUMERIC + "+/=\n", 20, 400),
    kind=st.sampled_from(["RSA PRIVATE", "PRIVATE", "EC PRIVATE"]),
    afterwards=st.sampled_from([None, "", "\nafterwards"]),
)
def test_no_pem_block_comes_through_even_cut_off(body: str, kind: str, afterwards: str | None) -> None:
    end = "" if afterwards is None else f"\n-----END {kind} KEY-----{afterwards}"
    cleaned = sanitize(f"cannot load -----BEGIN {kind} KEY-----\n{body}{end}")
    assert cleaned == f"cannot load ***{afterwards or ''}"


@PROFILE
@given(
    email=st.builds(
        lambda local, domain, top: f"{local}@{domain}.{top}",
        words(ALPHANUMERIC + "._+-é", 1, 20).filter(lambda local: local[0].isalnum()),
        words(string.ascii_lowercase, 1, 12),
        st.sampled_from(["com", "org", "co.uk", "example"]),
    ),
    frame=st.sampled_from(["{}", "user <{}> unknown", "'{}'", "mailto:{}", '{{"email":"{}"}}', "https://h/u/{}/x"]),
)
def test_no_email_address_comes_through(email: str, frame: str) -> None:
    assert_hidden(email, frame.format)


@PROFILE
@given(key=st.sampled_from(["password", "dbPassword", "X-Api-Key", "session_id", "clientSecret"]), secret=PASSWORDS)
def test_no_secret_comes_through_structured_details(key: str, secret: str) -> None:
    shown = sanitize_value("details", {"outer": [{key: secret}, (key, secret)], "dsn": f"redis://:{secret}@h:1/0"})
    assert secret not in json.dumps(shown, ensure_ascii=False, allow_nan=False)


FRAGMENTS = st.lists(
    st.one_of(
        st.sampled_from(
            [
                *("password", "Authorization", "Cookie", "token", "tokens", "auth", "secret", "Bearer ", "Basic ", "İ"),
                *("://", "@", ":", "=", ", ", ",", "; ", "&", "'", '"', "\\", '\\"', "\\n", "\n", " ", "(", ")"),
                *("{", "}", "[", "***", "LINE 1: ", "invalid port: ", "%3D", "[fe80::1%e]", "tcp("),
                *("a@b.com", "10.0.0.1", "fd00::1", "+4989123456", "555-123-4567", "123-45-6789", "4111111111111111"),
                *("eyJhbGciOi", "AKIA1234567890ABCDEF", "-----BEGIN A KEY-----", "-----END A KEY-----"),
                *("host '", "Key (a)=(", ") already exists", "args beginning with: ", "--token ", "aws"),
                *("localhost:80/", "h:5432", "s.", "b64", "digest ", "x", "1", "-", ".", "/", "?"),
            ]
        ),
        st.text(max_size=3),
    ),
    max_size=14,
).map("".join)


@PROFILE
@given(text=FRAGMENTS)
@example("10.0.0.1+4989123456eyJhbGciOi")
def test_cleaning_twice_is_cleaning_once(text: str) -> None:
    cleaned = sanitize(text)
    assert sanitize(cleaned) == cleaned


SAFE_WORDS = st.sampled_from(
    [
        *(
            "connect",
            "to",
            "orders-db",
            "failed",
            "after",
            "3",
            "attempts",
            "broker",
            "kafka.example.com",
            "port",
            "9092",
        ),
        *("wrong", "password", "for", "user", "svc", "tokenizer", "author", "max_tokens=5", "token_count", "2.5", "s"),
    ]
)


@PROFILE
@given(text=st.lists(SAFE_WORDS, max_size=20).map(" ".join), correlation_id=st.uuids())
def test_innocent_words_and_correlation_ids_come_through_unchanged(text: str, correlation_id: object) -> None:
    message = f"{text} correlation_id={correlation_id}"
    assert sanitize(message) == message


@PROFILE
@given(secret=PASSWORDS)
def test_a_cleaned_traceback_holds_no_secret(secret: str) -> None:
    try:
        raise ValueError(f"invalid dsn postgresql://svc:{secret}@db.example.com/app")
    except ValueError as error:
        text = logging.Formatter().formatException((type(error), error, error.__traceback__))
    assert secret not in sanitize(text)
