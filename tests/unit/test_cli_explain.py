"""`onex-resilience explain`: the settings as they are found, as text and as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from omnibase_infra.cli.main import main
from omnibase_infra.infrastructure.resilience.pipeline_factory import FACTORIES
from omnibase_infra.models.resilience import ModelPipelineExplanation
from omnibase_infra.presets import load_presets


@pytest.fixture(autouse=True)
def presets(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "presets.toml"
    load_presets()


@pytest.mark.parametrize("section", FACTORIES)
def test_each_transport_is_told_as_its_pipeline_tells_it(section: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", section]) == 0
    said = capsys.readouterr()
    assert said.out == f"{FACTORIES[section]().explain()}\n"
    assert said.err == ""


def test_json_holds_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "kafka", "--json"]) == 0
    out = capsys.readouterr().out
    assert ModelPipelineExplanation.model_validate_json(out) == FACTORIES["kafka"]().explain()
    assert json.loads(out)["order"][0] == ["total timeout", "120 s"]


def test_a_service_of_a_file_is_told_with_its_own_numbers(presets: Path, capsys: pytest.CaptureFixture[str]) -> None:
    presets.write_text("[services.orders.retry]\nmax_attempts = 2\n")
    assert main(["explain", "database", "--service", "orders", "--file", str(presets)]) == 0
    out = capsys.readouterr().out
    assert out.startswith("orders (db)\n")
    assert "most requests for one call      2\n" in out


def test_the_environment_counts(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONEX_RESILIENCE__VAULT__TIMEOUT__TOTAL", "59")
    assert main(["explain", "vault"]) == 0
    assert "1. total timeout    59 s\n" in capsys.readouterr().out


def test_the_breaker_of_calls_is_told_on_demand(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "grpc", "--breaker-scope", "call"]) == 0
    out = capsys.readouterr().out
    assert "1. circuit breaker of calls" in out
    assert "after 5 failed calls in a row" in out


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[database.retry]\nmax_attempts = 0\n", "max_attempts = 0: must be a whole number, 1 or more"),
        ("[database.retry]\nmax_atempts = 2\n", "did you mean max_attempts?"),
        ("[database.timeout]\nattempt = 60\n", "attempt = 60.0: must be at most total = 30.0"),
        ("[database.retry]\nmin_wait = 30\nmax_wait = 31\n", "min_wait = 30 s: must be below the total timeout = 30 s"),
        ("password = 'hunter2'\n", "allowed: defaults, database"),
    ],
)
def test_wrong_settings_are_refused_with_what_is_allowed(
    text: str, said: str, presets: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    presets.write_text(text)
    with pytest.raises(SystemExit) as stopped:
        main(["explain", "database", "--file", str(presets)])
    assert stopped.value.code == 2
    complained = capsys.readouterr().err
    assert said in complained
    assert "hunter2" not in complained


@pytest.mark.parametrize("arguments", [["postgres"], [], ["database", "--file", "/nowhere.toml"], ["database", "--x"]])
def test_wrong_arguments_are_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["explain", *arguments])
    assert stopped.value.code == 2
    assert capsys.readouterr().err


def test_wasteful_settings_are_told_on_standard_error(presets: Path, capsys: pytest.CaptureFixture[str]) -> None:
    presets.write_text("[database.timeout]\ntotal = 20\n")
    assert main(["explain", "database", "--file", str(presets)]) == 0
    said = capsys.readouterr()
    assert said.err == (
        "warning: 3 attempts × 5 s + waits of up to 6 s = 21 s exceed the total timeout of 20 s: "
        "the last attempts are cut short\n"
    )
    assert "longest duration of a call      20 s: the total timeout" in said.out
