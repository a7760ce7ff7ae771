"""`onex-resilience classify`, and the drivers that users add."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from omnibase_infra.cli.main import main
from omnibase_infra.enums import EnumFailureKind
from omnibase_infra.errors import ProtocolConfigurationError
from omnibase_infra.infrastructure.resilience import classify, register_transport
from omnibase_infra.infrastructure.resilience.transports import Failure

MODULE = sys.modules["omnibase_infra.infrastructure.resilience.transports.classify"]
TRACEBACK = """Traceback (most recent call last):
  File "app.py", line 3, in <module>
    connect()
{last}
"""


@pytest.fixture(autouse=True)
def no_driver_of_another_test(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MODULE, "_registered", {})
    MODULE._rule_for.cache_clear()
    MODULE._entry_points.cache_clear()


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, str]:
    assert main(["classify", *arguments]) == 0
    return {line[:12].strip(): line[12:] for line in capsys.readouterr().out.splitlines()}


def told_of(
    last: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *arguments: str
) -> dict[str, str]:
    monkeypatch.setattr(sys, "stdin", io.StringIO(TRACEBACK.format(last=last)))
    return told(capsys, *arguments)


def test_a_class_is_told_with_kind_retried_counted_becomes_and_the_rule_that_decided(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert told(capsys, "builtins:ConnectionResetError") == {
        "exception": "ConnectionResetError",
        "text": "",
        "kind": "connection",
        "retried": "yes",
        "counted": "yes",
        "becomes": "InfraConnectionError",
        "decided by": "builtin: connection by OSError",
    }


def test_a_traceback_on_standard_input_is_told_by_its_last_line_without_secrets(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = told_of("TimeoutError: postgresql://svc:hunter2@db/orders", capsys, monkeypatch, "--transport", "db")
    assert (found["kind"], found["becomes"]) == ("timeout", "InfraTimeoutError")
    assert "hunter2" not in found["text"]
    assert "@db/orders" in found["text"]


def test_a_driver_that_is_not_installed_is_known_by_the_names_of_its_classes(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "asyncpg.exceptions", None)
    found = told_of("asyncpg.exceptions.TargetServerAttributeNotMatched: none", capsys, monkeypatch)
    assert found["kind"] == "unavailable"


def test_a_traceback_cannot_choose_what_is_imported(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "trap_of_a_traceback.py").write_text("raise SystemExit('imported')\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert told_of("trap_of_a_traceback.TrapError: boo", capsys, monkeypatch)["kind"] == "caller"
    assert "trap_of_a_traceback" not in sys.modules


@pytest.mark.parametrize(
    "given", ["ConnectionError", "builtins:", "postgresql://svc:hunter2@db", "builtins:NoSuchError", "builtins:int"]
)
def test_what_is_no_class_is_refused_with_what_is_allowed(given: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["classify", given])
    assert stopped.value.code == 2
    said = capsys.readouterr().err
    assert "module:Class" in said
    assert "hunter2" not in said


def test_input_without_a_traceback_is_refused(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n"))
    with pytest.raises(SystemExit):
        main(["classify"])
    assert "no traceback" in capsys.readouterr().err


class DownError(Exception):
    """A driver's exception that nobody knows."""

    __module__ = "driver_of_a_user.errors"


def sees(exc: BaseException, names: tuple[str, ...]) -> Failure | None:
    return Failure(EnumFailureKind.UNAVAILABLE, "ours") if names == ("DownError",) else None


def test_a_registered_driver_is_classified_by_its_own_rule() -> None:
    assert classify(DownError()) is EnumFailureKind.CALLER
    register_transport("driver_of_a_user", sees)
    assert classify(DownError()) is EnumFailureKind.UNAVAILABLE


def test_a_rule_that_has_no_opinion_leaves_it_to_the_builtin_ones() -> None:
    register_transport("driver_of_a_user", lambda _exc, _names: None)
    assert classify(DownError()) is EnumFailureKind.CALLER


def test_an_installed_package_brings_its_rule_by_an_entry_point(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "driver_rules.py").write_text(
        "from omnibase_infra.enums import EnumFailureKind\n"
        "from omnibase_infra.infrastructure.resilience.transports import Failure\n"
        "def classify(exc, names):\n"
        "    return Failure(EnumFailureKind.TIMEOUT, 'entry point')\n"
    )
    info = tmp_path / "driver_rules-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: driver-rules\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[onex_resilience.transports]\ndriver_of_a_user = driver_rules:classify\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert classify(DownError()) is EnumFailureKind.TIMEOUT
    MODULE._rule_for.cache_clear()
    MODULE._entry_points.cache_clear()


@pytest.mark.parametrize(
    ("package", "classifier", "said"), [("a.b", sees, "top-level package"), ("driver", "sees", "must be a function")]
)
def test_what_cannot_be_registered_is_refused_with_what_is_allowed(package: str, classifier: object, said: str) -> None:
    with pytest.raises(ProtocolConfigurationError, match=said):
        register_transport(package, classifier)  # type: ignore[arg-type]
