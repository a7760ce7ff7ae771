"""Generated secrets in what drivers raise, through the real policies: nothing that comes out holds one.

Looked at are the errors (message, `str`, `repr`, record, context), what is logged, with tracebacks as
`SanitizingFilter` leaves them, and what observers hear.
"""

from __future__ import annotations

import io
import json
import logging
import re
import string
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache, partial
from importlib import import_module
from urllib.parse import quote
from uuid import UUID

import asyncpg
import pytest
from hypothesis import Phase, assume, given, settings
from hypothesis import strategies as st
from tests.property.test_sanitize_property import (
    ALPHANUMERIC,
    PASSWORDS,
    PIECE,
    PLAIN,
    PLAINLY_SHOWN,
    PROFILE,
    SHOWN,
    TOKENS,
    words,
)
from tests.support.circuits import drive

from omnibase_infra.errors import InfraConnectionError, ModelInfraErrorContext, ModelOnexError
from omnibase_infra.errors.error_onex import policy_error
from omnibase_infra.errors.error_origin import ErrorOrigin
from omnibase_infra.infrastructure.resilience import (
    RateLimiter,
    add_observer,
    create_database_circuit_breaker,
    create_database_rate_limiter,
    create_database_retry_policy,
    retry_policy,
)
from omnibase_infra.infrastructure.resilience.observers.model_resilience_event import ModelResilienceEvent
from omnibase_infra.utils import CorrelationContext, SanitizingFilter, util_sanitize

ONE = UUID("0f1e2d3c-4b5a-4697-8877-a9b8c7d6e5f4")
Make = Callable[[], BaseException]


def stopped() -> float:
    return 0.0


def escaped(secret: str, quote_mark: str) -> str:
    return secret.replace("\\", "\\\\").replace(quote_mark, "\\" + quote_mark)


# A DSN as each driver takes it, in URL and in key=value form, and the messages that give one back.
DSNS: dict[str, Callable[[str], str]] = {
    "asyncpg": lambda s: f"postgresql://svc:{s}@db.example.com:5432/app?sslmode=require",
    "asyncpg query": lambda s: f"postgresql://db.example.com/app?user=svc&password={quote(s, safe='')}",
    "psycopg keywords": lambda s: f"host=db.example.com port=5432 dbname=app user=svc password='{escaped(s, chr(39))}'",
    "sqlalchemy": lambda s: f"postgresql+asyncpg://svc:{quote(s, safe='')}@db.example.com/app",
    "redis": lambda s: f"redis://:{s}@cache.example.com:6379/0",
    "rediss with user": lambda s: f"rediss://svc:{s}@cache.example.com:6379/0",
    "valkey": lambda s: f"valkey://:{quote(s, safe='')}@cache.example.com:6379/0",
    "confluent": lambda s: f"{ ({'bootstrap.servers': 'kafka.example.com:9092', 'sasl.password': s})!r}",
    "jaas": lambda s: f'ScramLoginModule required username="svc" password="{escaped(s, chr(34))}";',
    "hvac": lambda s: f"Client(url='https://vault.example.com:8200', token={s!r})",
    "consul": lambda s: f"http://consul.example.com:8500/v1/kv/a?token={quote(s, safe='')}",
    "http proxy": lambda s: f"http://svc:{s}@proxy.example.com:3128",
    "grpc metadata": lambda s: f"metadata=[('authorization', {'Bearer ' + s!r}), ('x-request-id', '7')]",
}
TELL: dict[str, Callable[[str], str]] = {
    "as it is": lambda text: text,
    "quoted": lambda text: f"invalid dsn {text!r}",
    "in a sentence": lambda text: f"cannot connect to {text} : timed out",
    "at a line's end": lambda text: f"could not connect: {text}\nIs the server running?",
}
PEMS = words(ALPHANUMERIC + "+/=\n", 40, 200).map(lambda body: f"-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE")
EMAILS = st.builds(
    "{}@{}.example.com".format,
    words(ALPHANUMERIC + "._+-", 4, 20).filter(lambda local: local[0].isalnum()),
    words(string.ascii_lowercase, 1, 12),
)
FRAMES = st.sampled_from(
    ["{}", "refused {}.", "x='{}'", "({})", "a\n{}\nb", "https://api.example.com/p/{}/q", "Set-Cookie: sid={}; Secure"]
)


@dataclass(frozen=True)
class Leak:
    """A secret, and a text in which a driver shows it."""

    secret: str
    text: str
    innocent: str


def leak(shown: Callable[[str], str], secret: str) -> Leak:
    return Leak(secret, shown(secret), shown("x"))


def told(dsn: str, tell: str, secret: str) -> Leak:
    return leak(lambda s: TELL[tell](DSNS[dsn](s)), secret)


LEAKS = st.one_of(
    st.builds(lambda shape, secret: leak(SHOWN[shape], secret), st.sampled_from(sorted(SHOWN)), PASSWORDS),
    st.builds(lambda shape, secret: leak(PLAINLY_SHOWN[shape], secret), st.sampled_from(sorted(PLAINLY_SHOWN)), PLAIN),
    st.builds(told, st.sampled_from(sorted(DSNS)), st.sampled_from(sorted(TELL)), PASSWORDS),
    st.builds(lambda frame, secret: leak(frame.format, secret), FRAMES, st.one_of(TOKENS, PEMS)),
    st.builds(lambda frame, secret: leak(frame.format, secret), FRAMES, EMAILS),
    st.builds(
        lambda user, password: leak("sent Basic {} to api.example.com".format, basic(user, password)), PLAIN, PASSWORDS
    ),
)


def basic(user: str, password: str) -> str:
    return b64encode(f"{user}:{password}".encode()).decode()


@cache
def driver(path: str) -> type[BaseException]:
    """A driver's exception class; where the driver is not installed, one that only looks like it."""
    module, _, name = path.rpartition(".")
    try:
        found: type[BaseException] = getattr(import_module(module), name)
    except ImportError:
        found = type(name, (Exception,), {"__module__": module})
    return found


def driven(path: str, text: str) -> BaseException:
    return driver(path)(text)


def raised_from(cause: BaseException, error: BaseException) -> BaseException:
    error.__cause__ = cause
    return error


def with_context(text: str) -> BaseException:
    error = TimeoutError("timed out")
    error.__context__ = KeyError(text)
    return error


def with_attributes(path: str, text: str) -> BaseException:
    error = driver(path)(text)
    error.__dict__.update(query=text, pgconn=text, request=text, url=text, headers={"Authorization": text})
    return error


def with_note(text: str) -> BaseException:
    error = ConnectionResetError(104, "reset")
    error.add_note(text)
    return error


def reported(code: str, text: str) -> BaseException:
    fields = {"S": "ERROR", "C": code, "M": text, "D": f"Key (a)=({text})", "H": text, "W": text}
    return asyncpg.PostgresError.new(fields, query=text)


def hvac(text: str) -> BaseException:
    try:
        return driver("hvac.exceptions.VaultDown")(text, errors=[text], method="get", url=text)
    except TypeError:
        return driver("hvac.exceptions.VaultDown")(text)


# What carries the text, from real drivers where they are installed. A function makes it anew for each attempt.
FAILURES: dict[str, Callable[[str], BaseException]] = {
    "connection": ConnectionRefusedError,
    "os error": lambda text: ConnectionResetError(104, text, text),
    "timeout": TimeoutError,
    "caller": ValueError,
    "key error": lambda text: raised_from(KeyError(text), ConnectionError("refused")),
    "unprintable cause": lambda text: raised_from(OSError({"password": text}), OSError(text)),
    "context": with_context,
    "note": with_note,
    "group": lambda text: ExceptionGroup(text, [ConnectionError(text), ExceptionGroup("inner", [TimeoutError(text)])]),
    "unicode": lambda text: raised_from(UnicodeEncodeError("ascii", text, 0, 1, text), ConnectionError("refused")),
    "asyncpg": partial(reported, "57P03"),
    "asyncpg authentication": partial(reported, "28P01"),
    "asyncpg throttled": partial(reported, "53300"),
    "asyncpg closed": lambda text: raised_from(asyncpg.ConnectionDoesNotExistError(text), ConnectionError("closed")),
    "psycopg": partial(driven, "psycopg.OperationalError"),
    "psycopg pgconn": lambda text: with_attributes("psycopg.errors.ConnectionTimeout", text),
    "redis": partial(driven, "redis.exceptions.ConnectionError"),
    "redis authentication": partial(driven, "redis.exceptions.AuthenticationError"),
    "valkey": partial(driven, "valkey.exceptions.BusyLoadingError"),
    "aiokafka": partial(driven, "aiokafka.errors.KafkaConnectionError"),
    "httpx": partial(driven, "httpx.ConnectError"),
    "requests": lambda text: with_attributes("requests.exceptions.ConnectionError", text),
    "consul": lambda text: driver("consul.exceptions.ConsulException")(f"500 {text}"),
    "hvac": hvac,
}


class Raw(logging.Handler):
    """Our own records as they are, without any filter: they are clean by construction."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.name == "omnibase_infra.resilience":
            self.texts += [record.getMessage(), repr(vars(record))]


@dataclass
class Outcome:
    """Everything that came out, as text: what is ours alone, and what holds cleaned text of others."""

    errors: int = 0
    ours: list[str] = field(default_factory=list)
    cleaned: list[str] = field(default_factory=list)


def texts_of(error: ModelOnexError) -> list[str]:
    return [
        *(error.message, str(error), repr(error), repr(error.args), repr(vars(error))),
        *(error.model_dump_json(), repr(error.model_dump()), error.context.model_dump_json(), repr(error.context)),
    ]


@contextmanager
def listened(outcome: Outcome) -> Iterator[logging.Logger]:
    logger = logging.getLogger("omnibase_infra")
    raw, written = Raw(), logging.StreamHandler(io.StringIO())
    shown = "%(name)s %(levelname)s %(message)s %(error)s %(detail)s"
    written.setFormatter(logging.Formatter(shown, defaults={"error": "", "detail": ""}))
    written.addFilter(SanitizingFilter())
    events: list[ModelResilienceEvent] = []
    remove = add_observer(events.append, inline=True)
    before = logger.level, logger.propagate
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    for handler in (raw, written):
        logger.addHandler(handler)
    try:
        with CorrelationContext(ONE):
            yield logger.getChild("app")
    finally:
        remove()
        logger.setLevel(before[0])
        logger.propagate = before[1]
        for handler in (raw, written):
            logger.removeHandler(handler)
    assert raw.texts
    assert events
    outcome.ours += raw.texts
    outcome.ours += [shown for event in events for shown in (repr(event), event.model_dump_json())]
    outcome.cleaned.append(written.stream.getvalue())


def calls_of(make: Make, *, is_async: bool) -> Iterator[Callable[[], object]]:
    """One call through each policy, and through all three, of a plain or of a coroutine function."""

    def query() -> object:
        raise make()

    async def query_async() -> object:
        raise make()

    def repeated() -> Callable[[Callable[..., object]], Callable[..., object]]:
        return create_database_retry_policy(3, 0, 0, sleep=lambda _: None, retry_budget=None)

    fn = query_async if is_async else query
    breaker = create_database_circuit_breaker(1, clock=stopped, translate=True)
    limiter = create_database_rate_limiter(1, 1, clock=stopped, translate=True)
    stacked = create_database_circuit_breaker(1, clock=stopped, translate=True)
    inner = create_database_rate_limiter(9, 9, clock=stopped)
    # The second call of a breaker finds it open, the second call of the limiter finds it empty.
    for guarded in (
        *(repeated()(fn), *[breaker(fn)] * 2, *[limiter(fn)] * 2),
        *[stacked(repeated()(inner(fn)))] * 2,
    ):
        yield (lambda guarded=guarded: drive(guarded())) if is_async else guarded


def policies_see(make: Make, *, is_async: bool) -> Outcome:
    """What comes out of the policies when every attempt raises what `make` makes."""
    outcome = Outcome()
    with listened(outcome) as logger:
        for call in calls_of(make, is_async=is_async):
            try:
                call()
            except BaseException as error:
                logger.exception("call failed", extra={"error": error, "detail": repr(error)})
                if isinstance(error, ModelOnexError):
                    outcome.errors += 1
                    outcome.ours += texts_of(error)
    return outcome


def users_write(text: str, secret: str) -> Outcome:
    """What comes out where the user's own words go in: names, keys, messages, contexts, details."""
    outcome = Outcome()
    with listened(outcome) as logger:
        breaker = create_database_circuit_breaker(9, name=f"breaker {text}", clock=stopped)
        breaker.reset()
        breaker.trip()
        limiter = create_database_rate_limiter(1, 1, name=f"limiter {text}", clock=stopped)
        keyed = RateLimiter(f"keyed {text}", clock=stopped)
        context = ModelInfraErrorContext(
            operation=text, target_name=text, namespace=text, suggested_resolution=text, original_error_type=text
        )

        def write() -> None:
            raise InfraConnectionError(
                text, context=context, dsn=text, password=secret, tried=[text, {"token": secret}]
            )

        for call in (
            *(partial(breaker.call, write), write),
            *(limiter.check_limit,) * 2,
            *(partial(keyed.check_limit, secret, 1, 1),) * 2,
        ):
            try:
                call()
            except ModelOnexError as error:
                logger.exception("call failed: %s", text, extra={"detail": text})
                outcome.cleaned += texts_of(error)
                outcome.errors += 1
    outcome.cleaned += outcome.ours
    outcome.ours.clear()
    breaker.reset()
    return outcome


@cache
def innocently(failure: str, *, is_async: bool = False) -> str:
    """All that comes out when there is no secret: what is found here is no leak."""
    make = FAILURES.get(failure)
    seen = policies_see(lambda: make("x"), is_async=is_async) if make else users_write("x", "y")
    return "\n".join(seen.ours + seen.cleaned)


def forms(secret: str) -> set[str]:
    return {secret, repr(secret)[1:-1], json.dumps(secret)[1:-1], quote(secret, safe="")}


def assert_clean(outcome: Outcome, shown: Leak, innocent: str) -> None:
    secret = shown.secret
    assume(not any(form in innocent or form in shown.innocent for form in forms(secret)))
    pieces = {secret[start : start + PIECE] for start in range(len(secret) - PIECE + 1)}
    for text in outcome.ours:
        assert [piece for piece in forms(secret) | pieces if piece in text and piece not in innocent] == []
    for text in outcome.cleaned:
        assert [form for form in forms(secret) if form in text] == []


IN_FAILURES = given(shown=LEAKS, failure=st.sampled_from(sorted(FAILURES)), is_async=st.booleans())
IN_WORDS = given(shown=LEAKS)


@PROFILE
@IN_FAILURES
def test_no_secret_in_a_failure_comes_out_of_any_policy(shown: Leak, failure: str, is_async: bool) -> None:
    outcome = policies_see(lambda: FAILURES[failure](shown.text), is_async=is_async)
    assert outcome.errors >= 1  # the limiter refuses, whatever the failure is
    assert_clean(outcome, shown, innocently(failure, is_async=is_async))


@PROFILE
@IN_WORDS
def test_no_secret_in_the_users_own_words_comes_out(shown: Leak) -> None:
    outcome = users_write(shown.text, shown.secret)
    assert outcome.errors == 4
    assert_clean(outcome, shown, innocently("words"))


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("failure", sorted(FAILURES))
def test_each_failure_is_carried_to_where_the_property_looks(failure: str, is_async: bool) -> None:
    outcome = policies_see(lambda: FAILURES[failure]("orders-db is away"), is_async=is_async)
    assert "orders-db is away" in "\n".join(outcome.cleaned)
    assert not any("orders-db is away" in text for text in outcome.ours)


NOTHING = re.compile(r"(?!)")


def tells_all(exc: BaseException, **_: object) -> BaseException:
    return policy_error(InfraConnectionError, ErrorOrigin(lambda _: f"call failed: {exc}"))


@pytest.mark.parametrize(
    ("where", "weak", "draws", "found_by"),
    [
        ((util_sanitize, "_TOKEN"), NOTHING, IN_FAILURES, test_no_secret_in_a_failure_comes_out_of_any_policy),
        ((util_sanitize, "_KEYS"), [], IN_FAILURES, test_no_secret_in_a_failure_comes_out_of_any_policy),
        ((util_sanitize, "_EMAIL"), NOTHING, IN_WORDS, test_no_secret_in_the_users_own_words_comes_out),
        ((util_sanitize, "_mask_userinfo"), str, IN_WORDS, test_no_secret_in_the_users_own_words_comes_out),
        ((retry_policy, "translate"), tells_all, IN_FAILURES, test_no_secret_in_a_failure_comes_out_of_any_policy),
    ],
    ids=["tokens", "keys", "e-mails", "userinfo", "translation"],
)
def test_the_same_run_finds_a_leak_when_one_defence_is_weakened(
    monkeypatch: pytest.MonkeyPatch,
    where: tuple[object, str],
    weak: object,
    draws: Callable[[Callable[..., None]], Callable[[], None]],
    found_by: Callable[..., None],
) -> None:
    innocently.cache_clear()
    monkeypatch.setattr(*where, weak)
    run = settings(PROFILE, phases=[Phase.generate], database=None, report_multiple_bugs=False)
    with pytest.raises(AssertionError, match="assert"):
        run(draws(found_by.hypothesis.inner_test))()
    innocently.cache_clear()
