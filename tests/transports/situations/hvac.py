"""How hvac fails: each exception comes out of hvac's own code, over a session without a network."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial

import hvac
import requests
from tests.transports.situation import Situation
from tests.transports.situations.answered_requests import answer_all

from omnibase_infra.enums import EnumFailureKind as Kind
from omnibase_infra.enums import EnumInfraTransportType as Transport

SECRET = "hunter2-S3CR3T"
JSON = {"Content-Type": "application/json"}


def read(client: hvac.Client) -> object:
    return client.secrets.kv.v2.read_secret_version(SECRET, raise_on_deleted_version=True)


def write(client: hvac.Client) -> object:
    return client.secrets.kv.v2.create_or_update_secret("app", {"password": SECRET})


def userpass(client: hvac.Client) -> object:
    return client.auth.userpass.login("bob", SECRET)


def approle(client: hvac.Client) -> object:
    return client.auth.approle.login("role", SECRET)


def raised(
    status: int,
    *errors: str,
    call: Callable[[hvac.Client], object] = read,
    headers: dict[str, str] | None = None,
    url: str = f"http://user:{SECRET}@vault.example.com:8200",
) -> Exception:
    """What hvac raises for an answer, as Vault makes it when there are `errors`, else as a gateway does."""
    with requests.Session() as session:
        body = json.dumps({"errors": list(errors)}) if errors else f"<html>{SECRET}</html>"
        answer_all(session, status, body, {**(JSON if errors else {}), **(headers or {})})
        try:
            call(hvac.Client(url=url, token=SECRET, session=session))
        except Exception as error:  # whatever it is, it is what is wanted
            return error
    raise AssertionError(f"{status} is no failure to hvac")


_ROWS: list[tuple[str, Kind, bool, Callable[[], BaseException]]] = [
    ("400 invalid request", Kind.CALLER, True, partial(raised, 400, "check-and-set parameter", call=write)),
    (
        "400 wrong password",
        Kind.AUTHENTICATION,
        False,
        partial(raised, 400, "invalid username or password", call=userpass),
    ),
    (
        "400 wrong secret id",
        Kind.AUTHENTICATION,
        False,
        partial(raised, 400, "invalid role or secret ID", call=approle),
    ),
    ("401", Kind.AUTHENTICATION, False, partial(raised, 401)),
    ("403 permission denied", Kind.AUTHENTICATION, False, partial(raised, 403, "permission denied")),
    ("404 no such secret", Kind.CALLER, True, partial(raised, 404, "no handler for route")),
    ("405", Kind.CALLER, True, partial(raised, 405, "unsupported operation")),
    ("412 node behind", Kind.UNAVAILABLE, False, partial(raised, 412, "required index state not present")),
    ("429 quota", Kind.THROTTLED, False, partial(raised, 429, "rate limit quota exceeded")),
    ("472 standby for disaster recovery", Kind.UNAVAILABLE, False, partial(raised, 472, "standby")),
    ("473 performance standby", Kind.UNAVAILABLE, False, partial(raised, 473, "standby")),
    ("500", Kind.UNAVAILABLE, True, partial(raised, 500, "internal error")),
    ("501 not initialised", Kind.UNAVAILABLE, False, partial(raised, 501, "Vault is not initialized")),
    ("502", Kind.UNAVAILABLE, True, partial(raised, 502)),
    ("503 sealed", Kind.UNAVAILABLE, False, partial(raised, 503, "Vault is sealed")),
    ("503 of a gateway", Kind.UNAVAILABLE, True, partial(raised, 503)),
    ("504", Kind.UNAVAILABLE, True, partial(raised, 504)),
    ("misuse", Kind.CALLER, True, lambda: hvac.exceptions.ParamValidationError(SECRET)),
]

SITUATIONS: list[Situation] = [
    Situation("hvac", situation, make, kind, sent, Transport.VAULT) for situation, kind, sent, make in _ROWS
]
