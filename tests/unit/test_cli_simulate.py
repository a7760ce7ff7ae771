"""`onex-resilience simulate`: its options, what it prints and writes, and its exit status."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnibase_infra.cli import interruptible as interruptible_module
from omnibase_infra.cli import result_table, simulate
from omnibase_infra.cli.main import main
from omnibase_infra.cli.progress import progress_bar
from omnibase_infra.cli.setting_option import read_settings
from omnibase_infra.errors import ProtocolConfigurationError
from omnibase_infra.infrastructure.resilience.pipeline_factory import FACTORIES
from omnibase_infra.presets import load_presets
from omnibase_infra.presets.layers import TABLES
from omnibase_infra.simulator.model_simulation import ModelSimulation
from omnibase_infra.simulator.scenario_files import shipped_scenarios

SCENARIO = """
name = "blip"
transport = "database"
incident = "A server goes for two seconds."
seconds = 6
checks = ["calls>=1"]
[load]
rate = 10
[dependency]
capacity = 10
[dependency.latency]
p50 = 0.01
p99 = 0.03
[[events]]
kind = "outage"
at = 2
lasts = 2
[events.errors]
"builtin.ConnectionRefusedError" = 1
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    for name in [name for name in os.environ if name.upper().startswith("ONEX_RESILIENCE")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "blip.toml").write_text(SCENARIO)
    yield tmp_path
    load_presets()


def run(*options: str, scenario: str = "blip.toml") -> int:
    return main(["simulate", "database", "--scenario", scenario, "--processes", "1", *options])


def found(*options: str) -> ModelSimulation:
    run(*options, "--json", "found.json")
    return ModelSimulation.model_validate_json(Path("found.json").read_text())


def refused(*options: str, capsys: pytest.CaptureFixture[str], scenario: str = "blip.toml") -> str:
    with pytest.raises(SystemExit) as left:
        run(*options, scenario=scenario)
    assert left.value.code == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert "Traceback" not in said.err
    return said.err.partition(" error: ")[2].rstrip("\n")


def test_the_call_a_stack_by_hand_and_the_preset_stand_side_by_side(capsys: pytest.CaptureFixture[str]) -> None:
    assert run() == 0
    said = capsys.readouterr()
    lines = said.out.splitlines()
    assert lines[0] == "A server goes for two seconds."
    assert lines[3].split() == ["naked", "naive", "preset"]
    figures = {line[:16].strip(): line[16:].split("  ") for line in lines[4:]}
    assert {"answered", "amplification", "time to recover", "p99"} <= figures.keys()
    assert said.err == ""


@pytest.mark.parametrize(
    "options",
    [
        ("--set", "retry.max_attempts=1"),
        ("--service", "orders"),
        ("--against", "other.toml"),
        ("--profile", "tuned"),
    ],
)
def test_yours_is_there_when_something_of_yours_is_given(options: tuple[str, ...], folder: Path) -> None:
    (folder / "other.toml").write_text("")
    assert [variant.name for variant in found(*options).variants] == ["naked", "naive", "preset", "yours"]


def test_all_that_is_given_counts_for_yours_and_the_file_for_the_preset_too(folder: Path) -> None:
    (folder / "base.toml").write_text("[database.retry]\nmax_attempts = 4\n[services.orders.retry]\nmin_wait = 0.4\n")
    (folder / "other.toml").write_text("[services.orders.timeout]\nattempt = 2.5\n")
    preset, yours = found("--file", "base.toml", "--service", "orders", "--set", "bulkhead.max_queue=7").variants[2:]
    assert "4 attempts" in "\n".join(preset.settings)
    assert "0.4" not in "\n".join(preset.settings)
    assert "4 attempts" in "\n".join(yours.settings)
    assert "0.4" in "\n".join(yours.settings)
    assert "7" in next(line for line in yours.settings if "bulkhead" in line)
    preset, yours = found("--file", "base.toml", "--service", "orders", "--against", "other.toml").variants[2:]
    assert "4 attempts" in "\n".join(preset.settings)
    assert "4 attempts" not in "\n".join(yours.settings)
    assert "2.5 s" in "\n".join(yours.settings)


def test_presets_in_effect_are_as_before_afterwards(folder: Path) -> None:
    (folder / "other.toml").write_text("[database.retry]\nmax_attempts = 9\n")
    before = FACTORIES["database"]().explain()
    run("--against", "other.toml", "--set", "retry.min_wait=0.5")
    assert FACTORIES["database"]().explain() == before


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(folder: Path) -> None:
    for name, seed in (("a", "7"), ("b", "7"), ("c", "8")):
        assert run("--seed", seed, "--json", f"{name}.json") == 0
    assert (folder / "a.json").read_bytes() == (folder / "b.json").read_bytes() != (folder / "c.json").read_bytes()
    assert json.loads((folder / "a.json").read_text())["seed"] == 7


def test_a_shorter_run_leaves_out_what_would_come_later(capsys: pytest.CaptureFixture[str]) -> None:
    simulation = found("--seconds", "1")
    assert simulation.scenario.seconds == 1
    assert simulation.scenario.events == ()
    assert "note: nothing happens in 1 s: the first event of blip comes after 2 s" in capsys.readouterr().err
    assert len(found("--seconds", "3").scenario.events) == 1


def test_checks_are_held_against_yours_or_else_the_preset(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--check", "amplification<=1.2", "--check", "calls>=1") == 0
    said = capsys.readouterr().out
    assert "\nchecks of preset:\n  ✓ holds  amplification: " in said
    assert "✗" not in said
    assert run("--check", "calls<1", "--check", "calls>=1", "--set", "retry.max_attempts=1") == 1
    said = capsys.readouterr().out
    assert "\nchecks of yours:\n  ✗ fails  calls: " in said
    assert "  ✓ holds  calls: " in said


def test_the_scenarios_own_checks_count_only_when_asked_for(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    (folder / "blip.toml").write_text(SCENARIO.replace("calls>=1", "calls<1"))
    assert run() == 0
    assert "checks" not in capsys.readouterr().out
    assert run("--check", "shipped") == 1
    assert "✗ fails  calls: " in capsys.readouterr().out
    (folder / "blip.toml").write_text(SCENARIO.replace('checks = ["calls>=1"]', ""))
    assert refused("--check", "shipped", capsys=capsys) == "--check shipped: scenario blip: it has none"


def test_a_trace_gives_its_latencies_and_takes_the_shipped_checks(
    capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    (folder / "trace.csv").write_text("duration_ms\n" + "40\n" * 50)
    assert found("--from-trace", "trace.csv").variants[0].measures.p50_seconds == pytest.approx(0.04)
    capsys.readouterr()
    assert "not for the numbers of a trace" in refused("--from-trace", "trace.csv", "--check", "shipped", capsys=capsys)


def test_files_are_written_and_named(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    pytest.importorskip("matplotlib")
    assert run("--json", "a.json", "--html", "a.html", "--png", "a.png") == 0
    assert capsys.readouterr().err.splitlines() == ["written: a.json", "written: a.html", "written: a.png"]
    assert ModelSimulation.model_validate_json((folder / "a.json").read_text()).scenario.name == "blip"
    assert (folder / "a.html").read_text(encoding="utf-8").startswith("<!")
    assert (folder / "a.png").read_bytes().startswith(b"\x89PNG")


def test_a_file_that_cannot_be_written_is_told_and_the_others_are_written(
    capsys: pytest.CaptureFixture[str], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Path.write_text

    def full(self: Path, *given: object, **named: object) -> int:
        if self.suffix == ".json":
            raise OSError(28, "No space left on device")
        return whole(self, *given, **named)

    monkeypatch.setattr(Path, "write_text", full)
    assert run("--json", "a.json", "--html", "a.html") == 1
    assert capsys.readouterr().err.splitlines() == [
        "onex-resilience simulate: a.json cannot be written: No space left on device",
        "written: a.html",
    ]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--set", "retry.max_atempts=5"), "--set: database.retry.max_atempts: unknown; did you mean max_attempts?"),
        (("--set", "retri.max_attempts=5"), "--set: database.retri: unknown; did you mean retry?"),
        (
            ("--set", "retry.max_attempts=0"),
            "--set: database.retry.max_attempts = 0: must be a whole number, 1 or more",
        ),
        (("--set", "retry.max_attempts=hunter2"), "(a str, not shown): must be a whole number"),
        (("--set", "retry.max_attempts"), "--set: must be NAME=VALUE with the value as in TOML"),
        (("--set", "retry.max_attempts=.5"), "--set retry.max_attempts: must be NAME=VALUE"),
        (("--set", "retry.min_wait=50"), "min_wait = 50.0: must be at most max_wait = 10.0"),
        (("--set", "profile=tuned"), "--set: a profile is given by --profile"),
        (("--set", "fallback=true"), "fallback = True: must be left out: a simulated call has none"),
        (("--against", "/nowhere.toml"), "/nowhere.toml: cannot be read: No such file or directory"),
        (("--against", "blip.toml"), "blip.toml: name: unknown"),
        (("--file", "broken.toml"), "broken.toml: is not valid TOML: line 1, column "),
        (("--profile", "hunter2"), "profile = (a str, not shown): unknown; allowed: tuned"),
        (("--service", "!"), "service: needs a letter or a digit in its name"),
        (("--check", "p98<=1s"), "check on p98: unknown; did you mean p99?"),
        (("--check", "p99"), "check on p99: must be a measure, one of <=, >="),
        (("--json", "/nowhere/a.json"), "argument --json: there is no folder /nowhere"),
        (("--html", "."), "argument --html: . is a folder"),
        (("--png", "a.gif"), "argument --png: must end in .png, .svg, .pdf"),
        (("--seconds", "0"), "argument --seconds: must be a finite number of seconds above 0"),
        (("--seconds", "nan"), "argument --seconds: must be a finite number of seconds above 0"),
        (("--processes", "0"), "argument --processes: must be a whole number, 1 or more"),
        (("--from-trace", "blip.toml"), "blip.toml"),
    ],
)
def test_what_makes_no_sense_is_refused_in_a_sentence(
    options: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    (folder / "broken.toml").write_text("hunter2\n")
    complained = refused(*options, capsys=capsys)
    assert said in complained
    assert complained.count("\n") == 0
    assert "hunter2" not in complained


@pytest.mark.parametrize(
    ("scenario", "said"),
    [
        ("failovr", "failovr: unknown; did you mean failover?"),
        ("kafka-outage", "scenario outage: is of kafka, not of database"),
        ("other.toml", "scenario blip: is of kafka, not of database"),
        ("nowhere.toml", "nowhere.toml: cannot be read: No such file or directory"),
        ("broken.toml", "broken.toml: is not valid TOML"),
        ("presets.toml", "presets.toml: "),
    ],
)
def test_what_is_no_scenario_of_this_transport_is_refused(
    scenario: str, said: str, capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    (folder / "other.toml").write_text(SCENARIO.replace('"database"', '"kafka"'))
    (folder / "broken.toml").write_text("[[[\n")
    (folder / "presets.toml").write_text("[retry]\nmax_attempts = 2\n")
    assert said in refused(scenario=scenario, capsys=capsys)


@pytest.mark.parametrize("arguments", [[], ["database"], ["--scenario", "blip.toml"], ["postgres", "--list"]])
def test_missing_or_unknown_targets_are_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["simulate", *arguments])
    assert left.value.code == 2
    assert "onex-resilience simulate: error: " in capsys.readouterr().err


def test_wasteful_settings_are_told_on_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--set", "timeout.total=16") == 0
    assert capsys.readouterr().err.startswith("warning: yours: 3 attempts × 5 s + waits")


def test_the_list_has_every_shipped_scenario_with_what_it_stands_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", "--list"]) == 0
    every = capsys.readouterr().out
    for scenario in shipped_scenarios():
        assert f"{scenario.transport} --scenario {scenario.name}\n    {scenario.incident}\n" in every
    assert main(["simulate", "kafka", "--list"]) == 0
    own = capsys.readouterr().out
    assert own in every
    assert "database" not in own.replace("database's", "")


def test_the_picture_names_the_extra_that_draws_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(simulate, "find_spec", lambda name: None)
    assert refused("--png", "a.png", capsys=capsys) == (
        "argument --png: needs matplotlib: pip install 'onex-resilience[simulator]'"
    )


def test_a_terminal_gets_the_table_of_rich_and_without_rich_the_plain_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("rich")
    simulation = found()
    assert capsys.readouterr().out == result_table.plain(simulation) + "\n"  # a pipe
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    result_table.show(simulation)
    assert "best of its row" in capsys.readouterr().out
    monkeypatch.setattr(result_table, "find_spec", lambda name: None)
    result_table.show(simulation)
    assert capsys.readouterr().out == result_table.plain(simulation) + "\n"


def test_progress_is_drawn_on_a_terminal_only(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with progress_bar("simulating") as progress:
        progress(0.5)
    assert capsys.readouterr().err == ""
    pytest.importorskip("rich")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with progress_bar("simulating") as progress:
        progress(0.5)
    assert "simulating" in capsys.readouterr().err


@given(
    st.sampled_from(
        [
            (f"{table}.{name}", value)
            for table, model in TABLES.items()
            if table.partition(".")[0] in {"retry", "circuit_breaker", "timeout", "bulkhead", "rate_limit"}
            for name, field in model.model_fields.items()
            for value in (1, 2.5, 0.5, True, False)
            if field.annotation in (int, float, bool, float | None)
            and isinstance(value, bool) == (field.annotation is bool)
        ]
    )
)
def test_a_setting_comes_out_as_it_was_put_in(setting: tuple[str, int | float | bool]) -> None:
    key, value = setting
    written = str(value).lower()
    try:
        TABLES[key.rpartition(".")[0]].check_field(key.rpartition(".")[2], value)
    except ProtocolConfigurationError:
        with pytest.raises(ProtocolConfigurationError, match="--set: database"):
            read_settings("database", [f"{key}={written}"])
    else:
        assert read_settings("database", [f"{key}={written}"]) == {key: value}
        assert read_settings("database", [f" {key} = {written} "]) == {key: value}


@given(st.text(max_size=30))
def test_whatever_is_given_is_a_setting_or_refused_in_a_line(text: str) -> None:
    for option in (text, f"retry.max_attempts={text}", f"{text}=1"):
        failure = _refusal(option)
        assert failure is None or "\n" not in failure.message


def _refusal(given: str) -> ProtocolConfigurationError | None:
    try:
        read_settings("database", [given])
    except ProtocolConfigurationError as error:
        return error
    return None


def test_words_need_no_quotes_and_false_leaves_out() -> None:
    assert read_settings("database", ["rate_limit.strategy=fixed-window"]) == {"rate_limit.strategy": "fixed-window"}
    assert read_settings("database", ["rate_limit.strategy='fixed-window'"]) == {"rate_limit.strategy": "fixed-window"}
    assert read_settings("database", ["retry.max_elapsed=false", "timeout.total=false"]) == {
        "retry.max_elapsed": None,
        "timeout.total": None,
    }
    assert read_settings("database", ["retry.budget=false"]) == {"retry.budget": None}
    assert read_settings("database", ["bulkhead=false", "hedge=true"]) == {"bulkhead": False, "hedge": True}
    assert read_settings("database", ["retry={max_attempts = 2, min_wait = 0.5}"]) == {
        "retry.max_attempts": 2,
        "retry.min_wait": 0.5,
    }
    assert read_settings("database", ["retry.max_attempts=2", "retry.max_attempts=3"]) == {"retry.max_attempts": 3}


def test_a_policy_can_be_switched_off() -> None:
    without = found("--set", "retry=false").variants[-1]
    assert not any("retry" in line for line in without.settings)


@pytest.mark.skipif(sys.platform == "win32", reason="no process groups")
@pytest.mark.parametrize("processes", ["1", "2"])
@pytest.mark.parametrize("command", [["simulate"], ["tune", "--aim", "p99<=1ms"]], ids=lambda command: command[0])
def test_ctrl_c_ends_it_quietly_with_its_processes(command: list[str], processes: str, folder: Path) -> None:
    (folder / "long.toml").write_text(SCENARIO.replace("seconds = 6", "seconds = 100000"))
    arguments = [*command, "database", "--scenario", "long.toml", "--processes", processes]
    # What was started in the background, as a test run may be, ignores the signal until told otherwise.
    heeds = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    runs = f"import sys; from omnibase_infra.cli.main import main; print(flush=True); sys.exit(main({arguments}))"
    with subprocess.Popen(
        [sys.executable, "-c", f"{heeds}; {runs}"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(1.5)
        os.killpg(process.pid, signal.SIGINT)
        try:
            out, err = process.communicate(timeout=20)  # until nobody holds the pipes any more
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    assert (process.returncode, out, err) == (130, "", "")


def test_what_goes_wrong_at_work_comes_out() -> None:
    def work() -> None:
        raise ProtocolConfigurationError("wrong")

    with pytest.raises(ProtocolConfigurationError):
        interruptible_module.interruptible(work)
    assert interruptible_module.interruptible(lambda: 3) == 3
