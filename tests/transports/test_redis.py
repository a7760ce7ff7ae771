"""redis-py's and valkey-py's failures in our words, each as the driver's own code raises it."""

from __future__ import annotations

from importlib import import_module
from types import FunctionType

import pytest
from tests.transports.situation import Situation
from tests.transports.situations.redis import (
    PACKAGES,
    SITUATIONS,
    ScriptedSocket,
    caught,
    client,
    exhausted,
    failing_command,
    failing_connect,
    failing_handshake,
    made,
    pipeline,
)

from omnibase_infra.enums import EnumFailureKind as Kind
from omnibase_infra.enums import EnumInfraTransportType as Transport
from omnibase_infra.infrastructure.resilience import classify
from omnibase_infra.infrastructure.resilience.translate import translate
from omnibase_infra.infrastructure.resilience.transports import failure_of

for _package in PACKAGES:
    pytest.importorskip(_package, reason=f"{_package} is not installed")

both = pytest.mark.parametrize("package", PACKAGES)
SECRET = "hunter2"


def answered(package: str, answer: str) -> BaseException:
    return failing_command(package, f"-{answer}\r\n".encode())


def class_of(package: str, name: str) -> type[Exception]:
    return getattr(import_module(f"{package}.exceptions"), name)


@pytest.mark.parametrize("row", SITUATIONS, ids=lambda row: f"{row.driver}: {row.situation}")
def test_each_situation_has_its_kind_and_says_whether_it_was_sent(row: Situation) -> None:
    error = row.make()
    assert type(error).__module__.partition(".")[0] == row.driver
    failure = failure_of(error, row.transport)
    assert (failure.kind, failure.sent) == (row.kind, row.sent)
    assert failure.retry_after_seconds is None


@pytest.mark.parametrize("row", SITUATIONS, ids=lambda row: f"{row.driver}: {row.situation}")
def test_no_finding_repeats_the_driver_s_text(row: Situation) -> None:
    error = row.make()
    failure = failure_of(error, row.transport)
    assert str(error)
    assert str(error) not in failure.decided_by
    assert SECRET not in f"{failure}"


@both
def test_an_authentication_error_is_no_connection_failure_though_it_is_a_connection_error(package: str) -> None:
    error = failing_handshake(package, b"-WRONGPASS invalid username-password pair or user is disabled.\r\n")
    assert isinstance(error, class_of(package, "ConnectionError"))
    failure = failure_of(error)
    assert (failure.kind, failure.sent) == (Kind.AUTHENTICATION, False)


@both
def test_a_loading_server_is_unavailable_though_it_is_a_connection_error(package: str) -> None:
    error = answered(package, "LOADING Valkey is loading the dataset in memory")
    assert isinstance(error, class_of(package, "ConnectionError"))
    assert failure_of(error).kind is Kind.UNAVAILABLE


@both
@pytest.mark.parametrize("cls", ["MaxConnectionsError", "ConnectionError"])
def test_an_exhausted_pool_throttles_whichever_class_says_so(package: str, cls: str) -> None:
    error = exhausted(package)
    if type(error).__name__ != cls:
        error = class_of(package, cls)("Too many connections")
    assert isinstance(error, class_of(package, "ConnectionError"))
    failure = failure_of(error)
    assert (failure.kind, failure.sent) == (Kind.THROTTLED, False)


@both
def test_the_driver_s_connection_and_time_out_errors_are_not_the_builtin_ones(package: str) -> None:
    refused = failing_connect(package, ConnectionRefusedError(111, "refused"))
    late = failing_command(package, TimeoutError("timed out"))
    assert not isinstance(refused, OSError)
    assert not isinstance(late, OSError)
    assert (classify(refused), classify(late)) == (Kind.CONNECTION, Kind.TIMEOUT)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ("MASTERDOWN Link with MASTER is down.", Kind.UNAVAILABLE),
        ("CLUSTERDOWN Hash slot not served", Kind.UNAVAILABLE),
        ("TRYAGAIN Multiple keys request during rehashing of slot", Kind.UNAVAILABLE),
        ("CROSSSLOT Keys in request don't hash to the same slot", Kind.CALLER),
        ("MOVED 3999 10.0.0.1:6381", Kind.CALLER),
        ("ASK 3999 10.0.0.1:6381", Kind.CALLER),
    ],
)
def test_valkey_s_plain_response_error_means_what_redis_has_a_class_for(answer: str, kind: Kind) -> None:
    code = answer.partition(" ")[0]
    plain, classed = answered("valkey", answer), answered("redis", answer)
    assert type(plain).__name__ == "ResponseError"
    assert type(classed).__name__ != "ResponseError"
    for error in (plain, classed):
        failure = failure_of(error)
        assert (failure.kind, failure.code) == (kind, code)


@both
@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ("LOADING Valkey is loading the dataset in memory", "LOADING"),
        ("READONLY You can't write against a read only replica.", "READONLY"),
        ("OOM command not allowed when used memory > 'maxmemory'.", "OOM"),
        ("NOPERM User ro has no permissions to run the 'set' command", "NOPERM"),
        ("NOSCRIPT No matching script.", "NOSCRIPT"),
        ("EXECABORT Transaction discarded because of previous errors.", "EXECABORT"),
    ],
)
def test_the_code_is_known_though_the_driver_takes_it_off_the_text(package: str, answer: str, code: str) -> None:
    error = answered(package, answer)
    assert code not in str(error)
    assert failure_of(error).code == code


@both
@pytest.mark.parametrize(
    "answer",
    [
        "BUSYKEY Target key name already exists.",
        "BUSYBODY a word that only begins like a code",
        "ERR the server is BUSY",
        "busy",
    ],
)
def test_only_the_whole_first_word_is_a_code(package: str, answer: str) -> None:
    assert classify(answered(package, answer)) is Kind.CALLER


@both
def test_a_word_of_the_server_s_answer_that_is_no_known_code_is_not_repeated(package: str) -> None:
    failure = failure_of(answered(package, f"{SECRET.upper()} is no code"))
    assert failure.code is None
    assert SECRET not in f"{failure}".lower()


@both
def test_the_code_behind_a_pipeline_s_own_words_is_found(package: str) -> None:
    error = pipeline(package, b"-MISCONF unable to persist to disk.\r\n", transaction=False)
    assert str(error).startswith("Command # 1")
    failure = failure_of(error)
    assert (failure.kind, failure.code) == (Kind.UNAVAILABLE, "MISCONF")


@both
def test_the_code_in_the_tuple_that_asyncio_pipelines_print_is_found(package: str) -> None:
    error = class_of(package, "ResponseError")("NOREPLICAS Not enough good replicas to write.")
    asynchronous = import_module(f"{package}.asyncio.client").Pipeline
    asynchronous.annotate_exception(None, error, 1, ("SET", "k", "v"))
    assert "caused error: (" in str(error)
    assert failure_of(error).code == "NOREPLICAS"


@both
def test_a_code_among_the_arguments_of_a_pipelined_command_decides_nothing(package: str) -> None:
    error = class_of(package, "ResponseError")("Command # 1 (BUSY BUSY) of pipeline caused error: syntax error")
    assert classify(error) is Kind.CALLER


@both
def test_commands_of_a_pipeline_or_script_may_have_run_before_the_refused_one(package: str) -> None:
    refusal = "OOM command not allowed when used memory > 'maxmemory'."
    assert not failure_of(answered(package, refusal)).sent
    assert failure_of(answered(package, f"{refusal} script: on @user_script:1.")).sent
    assert failure_of(pipeline(package, f"-{refusal}\r\n".encode(), transaction=False)).sent


@both
def test_a_transaction_that_the_server_discarded_had_no_effect(package: str) -> None:
    queued = b"+OK\r\n-READONLY You can't write against a read only replica.\r\n"
    error = pipeline(package, queued + b"-EXECABORT Transaction discarded.\r\n", transaction=True)
    failure = failure_of(error)
    assert (failure.kind, failure.sent) == (Kind.UNAVAILABLE, False)


@both
def test_an_untrusted_certificate_hidden_in_a_connection_error_is_not_retried(package: str) -> None:
    row = next(row for row in SITUATIONS if (row.driver, row.situation) == (package, "certificate not trusted"))
    error = row.make()
    assert type(error) is class_of(package, "ConnectionError")
    assert "SSLCertVerificationError" in failure_of(error).decided_by


@both
def test_a_connection_error_without_a_message_or_a_traceback_may_have_been_sent(package: str) -> None:
    failure = failure_of(class_of(package, "ConnectionError")())
    assert (failure.kind, failure.sent) == (Kind.CONNECTION, True)


@both
def test_a_refused_connection_was_surely_not_sent_but_a_refused_reconnection_may_follow_a_sent_command(
    package: str,
) -> None:
    connection_errors = iter([None, ConnectionRefusedError(111, "refused")])

    def connects() -> ScriptedSocket:
        error = next(connection_errors)
        if error is not None:
            raise error
        return ScriptedSocket(ConnectionResetError(104, "Connection reset by peer"))

    commands = client(package, connects)
    retry = import_module(f"{package}.retry").Retry(import_module(f"{package}.backoff").NoBackoff(), 1)
    commands.connection_pool.connection_kwargs["retry_on_error"] = [class_of(package, "ConnectionError")]
    commands.connection_pool.connection_kwargs["retry"] = retry
    error = caught(commands.ping)
    assert isinstance(error.__context__, ConnectionRefusedError)
    assert failure_of(error).sent

    assert not failure_of(failing_connect(package, ConnectionRefusedError(111, "refused"))).sent


@both
@pytest.mark.parametrize("module", ["cluster", "asyncio.cluster"])
def test_a_cluster_client_may_have_tried_another_node_before_the_one_that_refused(package: str, module: str) -> None:
    def dispatch() -> object:
        return client(package, lambda: (_ for _ in ()).throw(ConnectionRefusedError(111, "refused"))).ping()

    in_cluster = FunctionType(
        dispatch.__code__, {**globals(), "__name__": f"{package}.{module}"}, closure=dispatch.__closure__
    )
    assert failure_of(caught(in_cluster)).sent
    assert not failure_of(caught(dispatch)).sent


@both
def test_a_cluster_without_a_reachable_node_is_what_its_last_node_was(package: str) -> None:
    name = f"{package.capitalize()}ClusterException"
    error = made(package, name, "Cluster cannot be connected. Please provide at least one reachable node")
    error.__cause__ = failing_handshake(package, b"-WRONGPASS invalid username-password pair\r\n")
    assert classify(error) is Kind.AUTHENTICATION


@both
@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("All slots are not covered after query all startup_nodes. 1 of 16384 covered...", Kind.UNAVAILABLE),
        ("startup_nodes could not agree on a valid slots cache: ...", Kind.UNAVAILABLE),
        ("No primary nodes found in the cluster", Kind.UNAVAILABLE),
        ("Argument 'db' is not possible to use in cluster mode", Kind.CALLER),
        ("", Kind.CALLER),
    ],
)
def test_holes_in_a_cluster_and_misuse_of_its_client_are_told_apart(package: str, text: str, kind: Kind) -> None:
    assert classify(made(package, f"{package.capitalize()}ClusterException", text)) is kind


@both
def test_an_overtaken_transaction_and_a_lost_lock_are_the_caller_s(package: str) -> None:
    rows = {row.situation: row.make() for row in SITUATIONS if row.driver == package}
    overtaken, lost = rows["transaction overtaken (WATCH)"], rows["lock not owned"]
    assert isinstance(overtaken, class_of(package, "WatchError"))
    assert isinstance(lost, class_of(package, "LockError"))
    assert isinstance(lost, ValueError)
    assert (classify(overtaken), classify(lost)) == (Kind.CALLER, Kind.CALLER)


@both
@pytest.mark.parametrize(
    ("base", "kind"),
    [
        ("AuthenticationError", Kind.AUTHENTICATION),
        ("ReadOnlyError", Kind.UNAVAILABLE),
        ("TimeoutError", Kind.TIMEOUT),
        ("ConnectionError", Kind.CONNECTION),
        ("DataError", Kind.CALLER),
    ],
)
def test_a_user_s_subclass_is_what_the_driver_s_class_is(package: str, base: str, kind: Kind) -> None:
    subclass = type("OrdersStoreError", (class_of(package, base),), {})
    failure = failure_of(subclass("x"))
    assert failure.kind is kind
    assert base in failure.decided_by
    assert "OrdersStoreError" not in failure.decided_by


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("ExternalAuthProviderError", Kind.UNAVAILABLE),
        ("AuthorizationError", Kind.AUTHENTICATION),
        ("AuthenticationWrongNumberOfArgsError", Kind.AUTHENTICATION),
    ],
)
def test_redis_s_other_classes_about_credentials(name: str, kind: Kind) -> None:
    failure = failure_of(class_of("redis", name)("x"))
    assert (failure.kind, failure.sent) == (kind, False)


@both
@pytest.mark.parametrize(
    "answer",
    [
        f"ERR unknown command 'X', with args beginning with: '{SECRET}' ",
        f"MISCONF {SECRET}",
        f"WRONGPASS {SECRET}",
        f"ERR max number of clients reached {SECRET}",
        f"OOM {SECRET}",
    ],
)
def test_what_the_server_echoes_appears_in_no_finding_and_no_onex_error(package: str, answer: str) -> None:
    error = answered(package, answer)
    assert SECRET in str(error)
    assert SECRET not in f"{failure_of(error, Transport.VALKEY)}"
    translated = translate(error, transport=Transport.VALKEY, operation="get_price")
    if translated is not error:
        assert SECRET not in f"{translated} {translated!r} {translated.model_dump_json()}"


def writelines(loop: object) -> None:
    loop._add_writer(3, None)


def close(loop: object) -> None:
    loop._remove_writer(3)


def raised_in(module: str, loop: object, function: FunctionType = writelines) -> BaseException:
    in_module = FunctionType(function.__code__, {"__name__": module})
    return caught(lambda: in_module(loop))


def test_stand_in_asyncio_writing_to_a_connection_lost_while_idle_is_a_connection_failure() -> None:
    error = raised_in("asyncio.selector_events", None)
    assert str(error) == "'NoneType' object has no attribute '_add_writer'"
    failure = failure_of(error, Transport.VALKEY)
    assert (failure.kind, failure.sent) == (Kind.CONNECTION, True)


@pytest.mark.parametrize(
    "error",
    [
        raised_in("orders.store", None),
        raised_in("asyncio.selector_events", object()),
        AttributeError("'NoneType' object has no attribute '_add_writer'", name="_add_writer", obj=None),
        AttributeError("'NoneType' object has no attribute '_add_writer'"),
        raised_in("asyncio.selector_events", None, close),
    ],
    ids=["raised elsewhere", "not None", "never raised", "only its text", "another attribute"],
)
def test_any_other_attribute_error_is_the_caller_s(error: BaseException) -> None:
    assert classify(error) is Kind.CALLER
