"""aiokafka: broker codes where a broker spoke, class names where only the client did.

No answer's throttle time reaches an exception, so there is never a hint when to come back.
"""

from __future__ import annotations

import re
from dataclasses import replace
from types import TracebackType
from typing import Final, cast

from omnibase_infra.enums import EnumFailureKind as Kind
from omnibase_infra.infrastructure.resilience.transports.classify import failure_of
from omnibase_infra.infrastructure.resilience.transports.failure import Failure
from omnibase_infra.infrastructure.resilience.transports.kafka_codes import failure_of_code

_BY_CLASS: Final = {
    "AuthenticationFailedError": Failure(Kind.AUTHENTICATION, "aiokafka.AuthenticationFailedError", sent=False),
    "CommitFailedError": Failure(Kind.UNAVAILABLE, "aiokafka.CommitFailedError: the group has rebalanced", sent=False),
    "KafkaConnectionError": Failure(Kind.CONNECTION, "aiokafka.KafkaConnectionError"),
    "KafkaProtocolError": Failure(Kind.CONNECTION, "aiokafka.KafkaProtocolError: the stream is out of step"),
    # No room in the buffer, or no offsets, in time: the message never left, or there was none.
    "KafkaTimeoutError": Failure(Kind.TIMEOUT, "aiokafka.KafkaTimeoutError", sent=False),
    "KafkaUnavailableError": Failure(Kind.UNAVAILABLE, "aiokafka.KafkaUnavailableError"),
    "NoBrokersAvailable": Failure(Kind.CONNECTION, "aiokafka.NoBrokersAvailable", sent=False),
    # The last try of a batch met a dead node; an earlier one may have been written.
    "NodeNotReadyError": Failure(Kind.CONNECTION, "aiokafka.NodeNotReadyError"),
    "QuotaViolationError": Failure(Kind.THROTTLED, "aiokafka.QuotaViolationError", sent=False),
}

_CODES: Final = {
    "GroupCoordinatorNotAvailableError": 15,
    "GroupLoadInProgressError": 14,
    "IllegalGenerationError": 22,
    "NotCoordinatorForGroupError": 16,
    "RebalanceInProgressError": 27,
    "RequestTimedOutError": 7,
    "UnknownMemberIdError": 25,
}
"""Classes that reach the caller only as a name in the text of a plain `KafkaError`."""

_SCRAM_REFUSED: Final = Failure(Kind.AUTHENTICATION, "aiokafka: KeyError for a refused SCRAM login", sent=False)
_UNKNOWN: Final = -1


def classify(exc: BaseException, names: tuple[str, ...]) -> Failure | None:
    """Classify an aiokafka exception; `names` are the class names along its MRO.

    A `KeyError` is looked at as well: it is how aiokafka reports that a SCRAM login was refused.
    """
    name = names[0]
    if name == "KeyError":
        refused = exc.args == ("v",) and _raised_in(exc.__traceback__) == "aiokafka.conn"
        return _SCRAM_REFUSED if refused else None
    if "BrokerResponseError" in names:
        return _of_broker(exc, name)
    hidden = _hidden(exc, name)
    if hidden is not None:
        return hidden
    found = next((_BY_CLASS[known] for known in names if known in _BY_CLASS), None)
    if found is not None:
        return found
    if getattr(exc, "retriable", False) is True:
        return Failure(Kind.UNAVAILABLE, f"aiokafka.{name}: retriable, says the client")
    return Failure(Kind.CALLER, f"aiokafka.{name}: misuse of the client, or an end of its own")


def _of_broker(exc: BaseException, name: str) -> Failure:
    code = cast("int", getattr(exc, "errno", _UNKNOWN))
    retriable = getattr(exc, "retriable", False) is True
    failure = failure_of_code(code, f"aiokafka.{name}: code {code}", retriable=retriable)
    # What is retriable the producer has retried by itself before it reports it: an earlier try may have been written.
    return replace(failure, sent=True) if retriable else failure


def _hidden(exc: BaseException, name: str) -> Failure | None:
    """What stands behind an exception whose own class says less."""
    text = str(exc.args[0]) if exc.args else ""
    cause = exc.__cause__
    if name == "CommitFailedError" and cause is not None:
        return replace(_BY_CLASS[name], code=str(getattr(cause, "errno", _UNKNOWN)))
    if name == "KafkaConnectionError":
        if isinstance(cause, Exception) and failure_of(cause).kind is Kind.AUTHENTICATION:
            return failure_of(cause)
        # Only the text tells this from a connection lost later; nothing but metadata was asked for yet.
        return replace(_BY_CLASS[name], sent=False) if text.startswith("Unable to bootstrap") else None
    if name == "KafkaError":
        return failure_of(cause) if isinstance(cause, Exception) else _of_text(text)
    return None


def _of_text(text: str) -> Failure:
    """A plain `KafkaError` carries nothing but text; the real error's name stands in it."""
    if text.startswith("Unable to get cluster metadata"):
        return Failure(Kind.CONNECTION, "aiokafka.KafkaError: no broker gave metadata", sent=False)
    for named in re.findall(r"\w+(?=\()", text):
        if named in _CODES:
            code = _CODES[named]
            return failure_of_code(code, f"aiokafka.KafkaError: {named} in its text, code {code}")
        if named in _BY_CLASS:
            return _BY_CLASS[named]
    return Failure(Kind.CALLER, "aiokafka.KafkaError: nothing known in its text")


def _raised_in(traceback: TracebackType | None) -> object:
    """The name of the module whose line raised."""
    if traceback is None:
        return None
    while traceback.tb_next is not None:
        traceback = traceback.tb_next
    return traceback.tb_frame.f_globals.get("__name__")
