"""How py-consul fails: each exception comes out of its own code, over a session without a network."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import consul
from tests.transports.situation import Situation
from tests.transports.situations.answered_requests import answer_all

from omnibase_infra.enums import EnumFailureKind as Kind
from omnibase_infra.enums import EnumInfraTransportType as Transport

SECRET = "hunter2-S3CR3T"


def get(client: consul.Consul) -> object:
    return client.kv.get(SECRET)


def put(client: consul.Consul) -> object:
    return client.kv.put("key", SECRET)


def raised(
    status: int,
    body: str = SECRET,
    call: Callable[[consul.Consul], object] = get,
    headers: dict[str, str] | None = None,
) -> Exception:
    """What py-consul raises for an answer."""
    client = consul.Consul(host="consul.example.com", token=SECRET)
    with client.http.session as session:
        answer_all(session, status, body, headers)
        try:
            call(client)
        except Exception as error:  # whatever it is, it is what is wanted
            return error
    raise AssertionError(f"{status} is no failure to py-consul")


_ROWS: list[tuple[str, Kind, bool, Callable[[], BaseException]]] = [
    ("400", Kind.CALLER, True, partial(raised, 400)),
    ("401", Kind.AUTHENTICATION, False, partial(raised, 401)),
    ("401 ACL support disabled", Kind.CALLER, False, partial(raised, 401, "ACL support disabled")),
    ("403 permission denied", Kind.AUTHENTICATION, False, partial(raised, 403, "Permission denied")),
    ("409", Kind.CALLER, True, partial(raised, 409)),
    ("429", Kind.THROTTLED, False, partial(raised, 429)),
    ("500 no cluster leader", Kind.UNAVAILABLE, False, partial(raised, 500, "No cluster leader")),
    ("500", Kind.UNAVAILABLE, True, partial(raised, 500)),
    ("502", Kind.UNAVAILABLE, True, partial(raised, 502)),
    ("503", Kind.UNAVAILABLE, True, partial(raised, 503)),
    ("504", Kind.UNAVAILABLE, True, partial(raised, 504)),
    ("599 of the asyncio client", Kind.TIMEOUT, True, consul.Timeout),
    ("404 without an index", Kind.CALLER, True, partial(raised, 404)),
    ("not JSON", Kind.CALLER, True, partial(raised, 200)),
]

SITUATIONS: list[Situation] = [
    Situation("consul", situation, make, kind, sent, Transport.CONSUL) for situation, kind, sent, make in _ROWS
]
