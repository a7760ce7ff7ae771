"""Secrets are masked by their shape; names, hosts, ports, codes and counts stay."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum, IntEnum
from pathlib import Path, PurePosixPath
from uuid import UUID

import pytest

from omnibase_infra.utils import sanitize, sanitize_value

MASKED = [
    # userinfo
    ("postgresql://svc:hunter2@db.example.com:5432/app", "postgresql://***@db.example.com:5432/app"),
    ("postgresql://svc:p@ss/w?o#r%d@db.example.com:5432/app", "postgresql://***@db.example.com:5432/app"),
    ("redis://:hunter2@cache:6379/0", "redis://***@cache:6379/0"),
    ("ssh://git@github.com/x", "ssh://***@github.com/x"),
    ("see https://a.example/?next=https://u:pw@b.example/x", "see https://a.example/?next=https://***@b.example/x"),
    ("https://u:pw@api.example.com/x?who=bob@corp.com", "https://***@api.example.com/***@corp.com"),
    ("http://localhost:8500/v1/kv?who=bob@corp.com", "http://localhost:8500/***@corp.com"),
    ("http://user:8080/x@host/", "http://***@host/"),
    ("http://user:S3CR3T@127.0.0.1:notaport/", "http://***@127.0.0.1:notaport/"),
    ("bad DSN: postgresql://svc:hunter2", "bad DSN: postgresql://***"),
    ("'amqp://svc:hunter2'", "'amqp://***'"),
    ("svc:hunter2@tcp(db.example.com:3306)/app", "***@tcp(db.example.com:3306)/app"),
    ("dsn=svc:p@ss@db/app", "dsn=***@db/app"),
    ("failed to resolve host 'S3CR3T@127.0.0.1': no", "failed to resolve host '***@127.0.0.1': no"),
    ('could not translate host name "S3CR3T@db" to address', 'could not translate host name "***@db" to address'),
    # within the repr of a message that holds both kinds of quotes
    ("KeyError: 'Invalid port: \\'a\"b\\''", "KeyError: 'Invalid port: \\'***\\''"),
    ("E('IDENTIFIED BY \\'a\"b\\'')", "E('IDENTIFIED BY \\'***\\'')"),
    ("E('ALTER USER svc PASSWORD \\'a\"b\\'')", "E('ALTER USER svc PASSWORD \\'***\\'')"),
    ("E('[(\\'x-vault-token\\', \\'a\"b\\')]')", "E('[(\\'x-vault-token\\', \\'***\\')]')"),
    ("E('near \"t\"\\nLINE 1: select \\'a\\\\nb\\' x\\n   ^')", "E('near \"t\"\\nLINE 1: ***\\n   ^')"),
    ("E(\"{\\'credentials\\': {\\'key\\': \\'a}\\'}}\")\nnext", "E(\"{\\'credentials\\': ***\nnext"),
    # keys
    ("host=db password=hunter2 user=svc", "host=db password=*** user=svc"),
    ("host=db password='it\\'s here' user=svc", "host=db password='***' user=svc"),
    ("host=db password='it''s' user=svc", "host=db password='***' user=svc"),
    ("password='it's' user=svc", "password='***' user=svc"),
    ("password='never closed, host=db\nnext", "password='***\nnext"),
    ("password: hunter2, retrying", "password: ***, retrying"),
    ("PGPASSWORD=hunter2 psql", "PGPASSWORD=*** psql"),
    ("?api_key=abc&page=2#top", "?api_key=***&page=2#top"),
    ("Server=db;Password=a&b;User Id=svc", "Server=db;Password=***;User Id=svc"),
    ("connect(password=abc)", "connect(password=***)"),
    ("password=))))", "password=***"),
    ("password=)", "password=)"),
    ("password=", "password="),
    ('{"password": "a\\"b", "host": "db"}', '{"password": "***", "host": "db"}'),
    ("{'password':'a','host':'db'}", "{'password':'***','host':'db'}"),
    ('{\\"clientSecret\\": \\"a\\\\\\"b\\", \\"n\\": 1}', '{\\"clientSecret\\": \\"***\\", \\"n\\": 1}'),
    ('{\\"secret\\": \\"cut off', '{\\"secret\\": \\"***'),
    ("<Conn password=b'abc' host=x>", "<Conn password=b'***' host=x>"),
    ("os.environ['DB_PASSWORD'] = 'abc'", "os.environ['DB_PASSWORD'] = '***'"),
    ("{'credentials': {'user': 'a', 'x': ['}', 1]}, 'n': 1}", "{'credentials': ***, 'n': 1}"),
    ("secret=[ 'a', 'b'", "secret=***"),
    ("secret={}x", "secret=***"),
    ("password=(abc host=db", "password=*** host=db"),
    ("ALTER USER svc PASSWORD 'hunter2'", "ALTER USER svc PASSWORD '***'"),
    ("auth=abcdef session=0123456789ab", "auth=*** session=***"),
    ("tokens=abcdef", "tokens=***"),
    ("redis-cli --password -hunter2 ping", "redis-cli --password *** ping"),
    ("İİ password=hunter2", "İİ password=***"),
    # headers
    ("Authorization: Bearer abc.def, host=db", "Authorization: ***, host=db"),
    ("Authorization: opaque123", "Authorization: ***"),
    ('Authorization: Digest username="x", response="y"\nHost: h', "Authorization: ***\nHost: h"),
    ("Proxy-Authorization: Basic dXNlcjpwdw==", "Proxy-Authorization: ***"),
    ("Cookie: sid=abc; theme=dark", "Cookie: ***"),
    ("Set-Cookie: sid=abc; Path=/\r\nHost: h", "Set-Cookie: ***\r\nHost: h"),
    ("X-Vault-Token: abc", "X-Vault-Token: ***"),
    ("x-api-key: abc", "x-api-key: ***"),
    ("'Authorization': 'Bearer abc', 'Host': 'h'", "'Authorization': '***', 'Host': 'h'"),
    ("[(b'host', b'h'), (b'authorization', b'Bearer abc')]", "[(b'host', b'h'), (b'authorization', b'***')]"),
    ("sent Bearer abcdef.", "sent Bearer ***."),
    ("sent Basic dXNlcjpwYXNz to", "sent Basic *** to"),
    # what drivers quote
    ("invalid literal for int() with base 10: 'S3CR3T'", "invalid literal for int() with base 10: '***'"),
    ("Port could not be cast to integer value as 'S3CR3T'", "Port could not be cast to integer value as '***'"),
    ("Invalid port: 'S3CR3T'", "Invalid port: '***'"),
    ("Illegal header value b'Bearer S3CR3T\\n'", "Illegal header value b'***'"),
    ("unknown command 'X', with args beginning with: 'a' 'b'", "unknown command 'X', with args beginning with: ***'"),
    ('missing "=" after "S3CR3T" in connection', 'missing "=" after "***" in connection'),
    ("Key (email)=(a (b)) already exists.", "Key (email)=(***) already exists."),
    ("Key (email)=(bob", "Key (email)=(***"),
    ("Failing row contains (1, bob).", "Failing row contains (***)."),
    ("type integer: \"x\"\nLINE 1: select 'x'\n  ^", 'type integer: "x"\nLINE 1: ***\n  ^'),
    ("input_value='hunter2', input_type=str", "input_value='***', input_type=str"),
    # token shapes
    ("AKIAIOSFODNN7EXAMPLE aws wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "*** aws ***"),
    ("ghp_" + "a1" * 18 + " github_pat_" + "a1" * 20, "*** ***"),
    ("xoxb-1234567890-abcdefgh hvs.CAESIJabcdef s." + "a1" * 12, "*** *** ***"),
    ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln", "***"),
    ("AIza" + "a1" * 18 + " sk_live_abcdefgh12 glpat-abcdefghij12 npm_" + "a1" * 18, "*** *** *** ***"),
    ("\\nghp_" + "a1" * 18, "\\n***"),
    # PEM
    ("a -----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----\nb", "a ***\nb"),
    ("a -----BEGIN PRIVATE KEY-----\nMIIE\nMII", "a ***"),
    # people
    ("mail bob.b+x@corp.example.com now", "mail *** now"),
    ("id 123-45-6789, 756.1234.5678.97, 123.456.789-09, 046-454-286, 12345678Z", "id ***, ***, ***, ***, ***"),
    ("id AB 12 34 56 C and RSSMRA85T10A562S", "id *** and ***"),
    ("call +49 89 1234567, (555) 123-4567, 555-123-4567, 1-800-555-1234", "call ***, ***, ***, ***"),
    ("card 4111 1111 1111 1111, 4111111111111111, 3782-822463-10005", "card ***, ***, ***"),
    # internal addresses
    ("10.1.2.3:5432 172.16.0.1 192.168.0.1/24 169.254.169.254", "***:5432 *** ***/24 ***"),
    ("172.31.255.255 10.255.0.250", "*** ***"),
    # one beside the other
    ("10.0.0.1+4989123456", "******"),
    ("[fd00::1]:5432 fe80::1%eth0 fd12:3456:789a:1:2:3:4:5", "[***]:5432 *** ***"),
    ("postgresql://svc:pw@10.0.0.1:5432/app", "postgresql://***@***:5432/app"),
]

INNOCENT = [
    "",
    "Failed to connect to the orders database after 3 attempts",
    "Circuit breaker open: 'orders-db' rejects calls for another 59.9 s",
    'connection to server at "127.0.0.1", port 48793 failed: FATAL:  password authentication failed for user "svc"',
    "[ONEX_CORE_131_DATABASE_CONNECTION_ERROR] Failed to connect",
    "asyncpg.exceptions.InvalidPasswordError: password authentication failed",
    "psycopg.errors.InvalidPassword: password authentication failed",
    "jwt.exceptions.InvalidToken: signature mismatch",
    "sqlstate='28P01' code=57P01 retriable=False",
    "author=bob tokenizer=bpe authority: db authored-by: x",
    "max_tokens=5 token_count=7 tokens=3 tokens: 12 token_bucket: full",
    "secret_name=orders/db password_length=12 token_type=bearer session_timeout=30 auth_method=scram",
    "wrong password for user",
    "Basic auth failed",
    "Basic SQL checks passed, basic retry",
    "Bearer token missing",
    'WWW-Authenticate: Bearer realm="api"',
    "secret not found",
    "auth: connection refused; session: closed; pass: 3 of 4; pass=3 fail=2",
    "auth-service: connection refused, token-service: timed out after 2.5 s",
    "correlation_id=7f1c1c52-9c5e-4ac1-8b3e-0d1f2a3b4c5d",
    "12345678-1234-4123-8123-123456789012",
    "https://db.example.com:8443/v1/items?page=2&sort=name#top",
    "postgresql://h1:5432,h2:5433/app and http://[::1]:8080/x and http://host:8080: refused",
    "http://vault.example.com:8200/v1/secret/data/app/db, on get http://vault:8200/v1/auth/token: 403",
    "https://registry.npmjs.org/@scope/pkg actions/checkout@v4 numpy@1.26.4 @decorator user_script@1.",
    "db.example.com:5432 127.0.0.1:5432 [::1]:5432 8.8.8.8 0.0.0.0 172.32.0.1 100.10.20.30 10.4.1",
    "2026-11-21T23:59:59.123456+01:00 took 1.5e+10 s at 12:34:56:789",
    "deadbeefdeadbeefdeadbeefdeadbeefdeadbeef aws",
    "/var/lib/postgresql/18/main/postgresql.conf line 12: bad",
    "omnibase_infra.infrastructure.resilience.retry_policy:create_kafka_retry_policy",
    "version 3.11.7, 1.2.3.4, port 5432, retry_count=3, timeout=30.0, epoch 1763766000000",
    "epoch 1763766000000000000 offset 4111111111111112 id 123-456-789 12345678A",
    "INFO 10:00:00 GET /v1/items 200 512 1234",
    "AUTH <password> called without any password configured for the default user.",
    "task-runner-with-a-very-long-name-12 module.s.attribute glue-job ghost_writer",
    "face:b00c::/ de:ad:be:ef:00:01 fe:80:00:00:00:01",
    "connect() got an unexpected keyword argument 'password'",
    "std::token::parse secret://orders/db",
    "unknown fields 'username', 'password', 'email'",
]


@pytest.mark.parametrize(("text", "cleaned"), MASKED)
def test_secrets_are_masked_and_their_surroundings_kept(text: str, cleaned: str) -> None:
    assert sanitize(text) == cleaned


@pytest.mark.parametrize("text", [cleaned for _, cleaned in MASKED])
def test_cleaned_text_stays_as_it_is(text: str) -> None:
    assert sanitize(text) == text


@pytest.mark.parametrize("text", INNOCENT)
def test_innocent_text_comes_through_unchanged(text: str) -> None:
    assert sanitize(text) == text


def test_internal_addresses_stay_when_allowed() -> None:
    text = "10.1.2.3:5432 [fd00::1]:5432 password=hunter2"
    assert sanitize(text, allow_internal_ips=True) == "10.1.2.3:5432 [fd00::1]:5432 password=***"
    assert sanitize_value("host", ["10.1.2.3"], allow_internal_ips=True) == ["10.1.2.3"]
    assert sanitize_value("host", "10.1.2.3") == "***"


def test_lone_surrogates_are_no_obstacle() -> None:
    assert sanitize("İ\udc80 password=\udc80x y") == "İ\udc80 password=*** y"


HOSTILE = [
    *("password=", "password='", 'token="\n', "token:", "://", "://a:", "://a:b@", "a@", "a@b.", "Bearer ", "basic a"),
    *("eyJ", "-----BEGIN A-----", "1 ", "10.", "fd00:", "f::", "password: {", "secret=([", "secret={'", "key (a)=("),
    *("host 'a@", "--token ", '\\"password\\": \\"', "('password',", "a;b=", "password=a;b ", "cookie: a;", "4111-"),
    *("+1", "s.a", "sk-a", "authorization: digest ", "passwordpassword", "x.password", "LINE 1: a", "a:", "İpassword="),
    *("failing row contains (", "invalid input value for ", 'invalid value "', "aws/", "http://localhost:1/"),
    *("10.0.0.1+4989123456", "a" * 64, "https://a.b:1/@", "password = \t", ",fd00::1", "AKIA1234567890AB", "555-123-"),
]


@pytest.mark.parametrize("family", HOSTILE)
def test_the_cost_grows_linearly_with_hostile_text(family: str) -> None:
    def seconds(length: int) -> float:
        text = family * (length // len(family))

        def once() -> float:
            start = time.perf_counter()
            sanitize(text)
            return time.perf_counter() - start

        return min(once() for _ in range(5))

    # Sixteen times the text: a quadratic pattern would take 256 times as long.
    assert seconds(64_000) < 100 * seconds(4_000)


class Colour(Enum):
    RED = "red"
    HIDDEN = "password=hunter2"


class Level(IntEnum):
    HIGH = 3


@dataclass(frozen=True)
class Account:
    password: str = "hunter2"


@pytest.mark.parametrize(
    "key",
    [
        *("password", "passwd", "pwd", "passphrase", "secret", "token", "api_key", "apikey", "apiKey", "access_key"),
        *("private-key", "credentials", "Authorization", "cookie", "Set-Cookie", "session_id", "sessionId", "auth"),
        *("dbPassword", "db.password", "PGPASSWORD", "X-Vault-Token", "client_secret", "aws_access_key_id"),
        *("secret_id", "password2", "password_hash", "tokenValue"),
    ],
)
@pytest.mark.parametrize("value", ["hunter2", 7, None, True, ["hunter2"], {"a": "hunter2"}, Account(), b"hunter2"])
def test_a_value_whose_key_names_a_secret_is_masked_whatever_its_type(key: str, value: object) -> None:
    assert sanitize_value(key, value) == "***"


@pytest.mark.parametrize(
    "key",
    ["max_tokens", "maxTokens", "token_count", "tokenizer", "author", "secret_name", "password_length", "tokens"],
)
def test_a_count_beside_a_secret_word_stays(key: str) -> None:
    assert sanitize_value(key, 5) == 5
    assert sanitize_value("tokens", "abc") == "***"


ID = UUID("7f1c1c52-9c5e-4ac1-8b3e-0d1f2a3b4c5d")


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("redis://:pw@h:1/0", "redis://***@h:1/0"),
        (b"password=hunter2 \xff", "password=*** \ufffd"),
        (5432, 5432),
        (2.5, 2.5),
        (float("nan"), "nan"),
        (float("-inf"), "-inf"),
        (True, True),
        (None, None),
        (ID, str(ID)),
        (Colour.RED, "red"),
        (Colour.HIDDEN, "password=***"),
        (Level.HIGH, 3),
        (datetime(2026, 11, 21, tzinfo=UTC), "2026-11-21T00:00:00+00:00"),
        (date(2026, 11, 21), "2026-11-21"),
        (timedelta(seconds=1.5), 1.5),
        (Decimal("1.50"), "1.50"),
        (PurePosixPath("/etc/app.toml"), "/etc/app.toml"),
        (Path("users") / "bob@corp.com", "users/***"),
        ({"host": "db", "password": "x", b"pwd": 1}, {"host": "db", "password": "***", "pwd": "***"}),
        ({1: 2, None: 3, b"k": b"v"}, {"1": 2, "None": 3, "k": "v"}),
        ({"bob@corp.com": 1, Account(): 2}, {"***": 1, "Account": 2}),
        ([("Authorization", "Bearer x"), (b"cookie", b"a=b")], [["Authorization", "***"], ["cookie", "***"]]),
        (("a", 1), ["a", 1]),
        ({"only"}, ["only"]),
        (Account(), "Account"),
        (ValueError("hunter2"), "ValueError"),
        (object, "type"),
    ],
)
def test_values_become_json_without_secrets(value: object, shown: object) -> None:
    assert sanitize_value("detail", value) == shown
    json.dumps(sanitize_value("detail", value), allow_nan=False)


@pytest.mark.parametrize("wrap", [lambda inner: [inner], lambda inner: {"inner": inner}])
def test_nesting_ends_at_a_depth(wrap: Callable[[object], object]) -> None:
    value: object = "end"
    for _ in range(50):
        value = wrap(value)
    shown = json.dumps(sanitize_value("detail", value))
    assert type(value).__name__ in shown
    assert "end" not in shown


@pytest.mark.parametrize("width", [2, 50])
def test_a_value_that_holds_itself_many_times_is_shown_once(width: int) -> None:
    loop: dict[str, object] = {}
    loop.update(dict.fromkeys(map(str, range(width)), loop))
    assert sanitize_value("x", loop) == dict.fromkeys(map(str, range(width)), "dict")


def test_containers_that_are_shared_on_every_level_cost_no_walk_for_every_path() -> None:
    layer: list[object] = ["leaf"]
    for _ in range(6):
        layer = [layer] * 50  # 50 ** 6 paths
    assert len(json.dumps(sanitize_value("x", layer))) < 1_000_000


def test_a_container_that_is_used_twice_is_shown_twice() -> None:
    address = {"host": "db", "port": 5432}
    assert sanitize_value("x", [address] * 1000) == [address] * 1000


def test_a_value_that_holds_itself_is_no_trap() -> None:
    value: list[object] = []
    value.append(value)
    assert "list" in json.dumps(sanitize_value("detail", value))
