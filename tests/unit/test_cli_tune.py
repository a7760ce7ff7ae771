"""`onex-resilience tune`: its options, what it prints and writes, and its exit status."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from omnibase_infra.cli.main import main
from omnibase_infra.presets import load_presets
from omnibase_infra.simulator.model_simulation import ModelSimulation
from omnibase_infra.simulator.model_tuning import ModelTuning

SCENARIO = """
name = "blip"
transport = "database"
incident = "A server goes for four seconds."
seconds = 40
[load]
rate = 5
patience = 5
[dependency]
capacity = 10
[dependency.latency]
p50 = 0.01
p99 = 0.03
[[events]]
kind = "outage"
at = 5
lasts = 4
[events.errors]
"builtin.ConnectionRefusedError" = 1
"""
QUICK = ("--processes", "1", "--seeds", "1", "--budget", "16")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    for name in [name for name in os.environ if name.upper().startswith("ONEX_RESILIENCE")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "blip.toml").write_text(SCENARIO)
    yield tmp_path
    load_presets()


def run(*options: str, target: str = "orders", scenario: str = "blip.toml") -> int:
    return main(["tune", target, "--scenario", scenario, *QUICK, *options])


def refused(*options: str, capsys: pytest.CaptureFixture[str], **given: str) -> str:
    with pytest.raises(SystemExit) as left:
        run(*options, **given)
    assert left.value.code == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert "Traceback" not in said.err
    return said.err.partition(" error: ")[2].rstrip("\n")


def test_what_is_found_is_told_step_by_step_with_the_front_and_the_toml(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--aim", "goodput>=50%", "--aim", "recover<=60s") == 0
    said = capsys.readouterr()
    verdict, steps, front, toml = said.out.split("\n\n", 3)
    assert verdict.startswith("These settings reach every aim (1")
    heading, now, *changes = steps.splitlines()
    columns = ["goodput", "kept", "p99", "amplification", "time", "to", "recover"]
    assert heading.split() == ["step", "by", "step", *columns]
    assert now.startswith("as it is now ")
    assert any(line.startswith("circuit_breaker.recovery_timeout 60.0 → 15.0 ") for line in changes)
    assert front.split()[: len(columns) + 1] == [*columns, "aims"]
    assert "1 missed" in front or "2 missed" in front
    assert tomllib.loads(toml)["services"]["orders"]["circuit_breaker"] == {"recovery_timeout": 15.0}
    assert said.err == ""


def test_the_file_gives_the_same_figures_when_it_is_simulated(folder: Path) -> None:
    assert run("--aim", "goodput>=50%", "--toml", "tuned.toml", "--json", "tuned.json") == 0
    tuning = ModelTuning.model_validate_json((folder / "tuned.json").read_text())
    simulate = ["simulate", "database", "--scenario", "blip.toml", "--processes", "1", "--json", "found.json"]
    assert main([*simulate, "--service", "orders", "--against", "tuned.toml"]) == 0
    yours = ModelSimulation.model_validate_json((folder / "found.json").read_text()).variants[-1]
    assert tuning.chosen.settings
    for field, value in tuning.chosen.figures.items():
        assert getattr(yours.measures, field) == value


def test_the_settings_of_a_transport_go_into_its_own_table(folder: Path) -> None:
    assert run("--aim", "goodput>=50%", "--toml", "tuned.toml", target="database") == 0
    assert tomllib.loads((folder / "tuned.toml").read_text())["database"]["circuit_breaker"]["recovery_timeout"] == 15


def test_the_search_begins_at_the_file_that_is_given(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "mine.toml").write_text("[services.orders.circuit_breaker]\nrecovery_timeout = 8\n")
    assert run("--aim", "goodput>=50%", "--file", "mine.toml", "--json", "tuned.json") == 0
    assert ModelTuning.model_validate_json((folder / "tuned.json").read_text()).preset.missed == ()
    assert "60.0" not in capsys.readouterr().out


def test_an_aim_out_of_reach_is_owned_up_to_with_the_nearest(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--aim", "p99<=1us".replace("us", "ms"), "--toml", "tuned.toml") == 1
    said = capsys.readouterr()
    assert said.out.startswith("No settings found reach every aim (")
    assert "the nearest found: p99 is " in said.out.splitlines()[0]
    assert "not <= 1.00 ms." in said.out.splitlines()[0]
    assert said.err == "written: tuned.toml\n"
    assert "# The nearest that was found, not all that was wanted: p99 is " in (folder / "tuned.toml").read_text()


def test_what_is_there_may_be_the_best(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--aim", "goodput>=0.5%", "--budget", "1") == 0
    said = capsys.readouterr().out
    assert said.startswith("The settings in effect reach every aim, and nothing better was found (1 choices")
    assert "# Nothing to change" in said


def test_the_same_search_writes_the_same_bytes(folder: Path) -> None:
    for name in ("a", "b"):
        assert run("--aim", "goodput>=50%", "--toml", f"{name}.toml", "--json", f"{name}.json") == 0
    assert (folder / "a.json").read_bytes() == (folder / "b.json").read_bytes()
    assert (folder / "a.toml").read_bytes() == (folder / "b.toml").read_bytes()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), "the following arguments are required: --aim"),
        (("--aim", "p98<=1s"), "check on p98: unknown; did you mean p99?"),
        (("--aim", "fast"), "check: must be a measure, one of <=, >="),
        (("--aim", "p99<=1s", "--seeds", "0"), "argument --seeds: must be a whole number, 1 or more"),
        (("--aim", "p99<=1s", "--budget", "many"), "argument --budget: must be a whole number, 1 or more"),
        (("--aim", "p99<=1s", "--file", "broken.toml"), "broken.toml: is not valid TOML: line 1"),
        (("--aim", "p99<=1s", "--file", "wrong.toml"), "retry.max_attempts = 0: must be a whole number, 1 or more"),
        (("--aim", "p99<=1s", "--toml", "/nowhere/a.toml"), "argument --toml: there is no folder /nowhere"),
        (("--aim", "p99<=1s", "--transport", "kafka"), "scenario blip: is of database, not of kafka"),
        (("--aim", "p99<=1s", "--transport", "postgres"), "argument --transport: invalid choice"),
        (("--aim", "p99<=1s", "--scenario", "kafka-outage"), "scenarios: must be of one transport: database, kafka"),
        (("--aim", "p99<=1s", "--scenario", "failover"), "failover: a scenario of "),
    ],
)
def test_what_makes_no_sense_is_refused_in_a_sentence(
    options: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    (folder / "broken.toml").write_text("hunter2\n")
    (folder / "wrong.toml").write_text("[services.orders.retry]\nmax_attempts = 0\n")
    complained = refused(*options, capsys=capsys)
    assert said in complained
    assert complained.count("\n") == 0
    assert "hunter2" not in complained


def test_a_transport_tunes_its_own_scenarios(capsys: pytest.CaptureFixture[str]) -> None:
    said = refused("--aim", "p99<=1s", "--transport", "kafka", target="database", capsys=capsys)
    assert said == "argument --transport: database is a transport itself"
    assert "of database, not of kafka" in refused("--aim", "p99<=1s", target="kafka", capsys=capsys)
    assert "needs a letter or a digit" in refused("--aim", "p99<=1s", target="!", capsys=capsys)
