import asyncio
import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from benchmarks import charts, equal_work, measure, peers, report, semantics, success
from benchmarks.__main__ import main as bench
from benchmarks.equal_work import Dependency, UnequalWorkError
from benchmarks.instructions import Count, differences
from benchmarks.measure import Figure
from benchmarks.page import page
from benchmarks.peers import ours
from benchmarks.peers.peer import Peer
from benchmarks.reasons import reason
from benchmarks.record import Run
from benchmarks.semantics import Finding

from omnibase_infra.cli.main import main as command

_ROOT = Path(__file__).parents[2]
_TOO_SLOW = {each for each in semantics.QUESTIONS if "hangs" in each or "slow" in each or "mypy" in each}
# Coverage counts with the same hooks of the interpreter.
_UNCOVERED = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}


def _python(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=_ROOT, env=_UNCOVERED, capture_output=True, text=True, check=False)


def _run() -> Run:
    return Run(
        command="onex-resilience bench",
        date="2026-11-22",
        python="CPython 3.11.7",
        machine="a machine",
        versions={"onex-resilience": "0.1.0", "grit-toolkit": "0.2.0"},
        absent=("hyx (hyx is not installed)",),
        figures=(
            Figure("success", "retry", "passthrough", 100.0, "ns", 1.0, 1.0, 1.0),
            Figure("success", "retry", "onex-resilience", 110.0, "ns", 1.05, 1.15, 1.1),
            Figure("success", "retry", "grit-toolkit", 104.0, "ns", 1.02, 1.06, 1.04, "no budget"),
            Figure("memory", "import", "onex-resilience", 180.0, "ms"),
        ),
        findings=(
            Finding("a cancelled probe", "onex-resilience", "gives its place back", good=True),
            Finding("a cancelled probe", "grit-toolkit", "its place is lost", good=False),
        ),
    )


def test_a_call_that_goes_well_executes_what_it_executed_before() -> None:
    done = _python("-m", "benchmarks.instructions")
    assert done.returncode == 0, done.stderr


def test_one_more_call_on_the_path_of_a_success_is_noticed() -> None:
    program = """
import sys, time
from benchmarks import instructions
from benchmarks.peers import ours
from omnibase_infra.infrastructure.resilience import create_database_rate_limiter

def later():
    return time.monotonic()

ours.limiter = lambda rate, burst: create_database_rate_limiter(rate, burst, clock=later)
sys.exit(instructions.main())
"""
    done = _python("-c", program)
    assert done.returncode == 1
    assert "rate limiter: " in done.stderr
    assert "retry: " not in done.stderr


def test_counts_may_differ_by_five_percent_in_instructions_and_by_no_call() -> None:
    stored = {"retry": Count(100, 10)}
    assert differences({"retry": Count(105, 10)}, stored) == []
    assert differences({"retry": Count(95, 10)}, stored) == []
    assert len(differences({"retry": Count(106, 10)}, stored)) == 1
    assert len(differences({"retry": Count(94, 10)}, stored)) == 1
    assert len(differences({"retry": Count(100, 11)}, stored)) == 1
    assert len(differences({"retry": Count(100, 9)}, stored)) == 1
    assert len(differences({}, stored)) == 1
    assert len(differences({"retry": Count(100, 10), "timeout": Count(1, 1)}, stored)) == 1


def test_every_installed_peer_does_the_work_it_is_timed_at() -> None:
    for peer in peers.installed():
        asyncio.run(equal_work.check(peer))


def test_a_peer_that_does_less_is_not_measured() -> None:
    def nothing() -> ours.Decorator:
        return lambda fn: fn

    lazy = Peer(label="lazy", module="lazy", distributions=("lazy",), retry=nothing)
    with pytest.raises(UnequalWorkError, match="lazy, retry: 1 attempts"):
        asyncio.run(equal_work.check(lazy))
    lazy = Peer(label="lazy", module="lazy", distributions=("lazy",), breaker=lambda _seconds: nothing())
    with pytest.raises(UnequalWorkError, match="8 calls until open"):
        asyncio.run(equal_work.check(lazy))
    lazy = Peer(label="lazy", module="lazy", distributions=("lazy",), limiter=lambda _rate, _burst: nothing())
    with pytest.raises(UnequalWorkError, match="8 of 8 granted"):
        asyncio.run(equal_work.check(lazy))


def test_without_waits_a_sleep_returns_at_once_and_is_kept() -> None:
    async def sleeps() -> list[float]:
        with equal_work.no_waits() as asked:
            await asyncio.sleep(1000.0)
        return asked

    assert asyncio.run(sleeps()) == [1000.0]
    assert asyncio.run(equal_work.outcome(Dependency(down=True).function())) is not None


def test_a_run_is_read_as_it_was_written(tmp_path: Path) -> None:
    file = tmp_path / "run.json"
    _run().write(file)
    assert Run.read(file) == Run(**{**vars(_run()), "absent": ["hyx (hyx is not installed)"]})


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"figures": 1}'])
def test_what_is_no_run_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "run.json"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match="is not a saved run"):
        Run.read(file)


def test_a_row_in_which_another_is_ahead_is_shown_with_the_reason() -> None:
    shown = report.markdown(_run(), {"retry": "charts/retry.svg"})
    assert "| grit-toolkit | 1.04 | 1.02-1.06 | 104 ns | no budget |" in shown
    assert f"| retry | 110 ns | grit-toolkit, 104 ns (no budget) | {reason('retry')} |" in shown
    assert "![retry](charts/retry.svg)" in shown
    assert "Not measured here: hyx (hyx is not installed)." in shown
    assert [other.peer for _, _, other in report.ahead(_run())] == ["grit-toolkit"]


def test_a_run_is_compared_with_an_earlier_one() -> None:
    earlier = _run()
    figures = tuple(Figure(**{**vars(each), "ratio": each.ratio and each.ratio * 2}) for each in earlier.figures)
    shown = report.compare(_run(), Run(**{**vars(earlier), "figures": figures, "machine": "another"}))
    assert "-50 %" in shown
    assert "another machine or Python" in shown
    assert "grit-toolkit" not in shown


def test_the_page_holds_table_and_charts_and_needs_nothing_else() -> None:
    drawn = charts.charts(_run())
    assert list(drawn) == ["retry"]
    assert drawn == charts.charts(_run())
    for label in ("passthrough", "onex-resilience", "grit-toolkit"):
        assert label in drawn["retry"]
    shown = page(_run(), drawn)
    assert shown.count("<svg") == 1
    assert "gives its place back" in shown
    assert "http-equiv" not in shown
    assert "<script" not in shown


def test_a_library_that_cannot_be_imported_is_left_out_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def import_module(name: str) -> object:
        if name.endswith(".hyx"):
            raise ModuleNotFoundError("No module named 'hyx'", name="hyx")
        if name.endswith(".resilix"):
            raise AttributeError("it needs another Python")
        return sys.modules["benchmarks.peers.ours"]

    monkeypatch.setattr(peers, "import_module", import_module)
    found, absent = peers.load(("onex-resilience", "hyx", "resilix"))
    assert found == [ours.PEER]
    assert absent == {
        "hyx": "hyx is not installed",
        "resilix": "cannot be imported: AttributeError: it needs another Python",
    }


def test_rounds_end_when_the_seconds_of_a_table_are_over() -> None:
    effort = dataclasses.replace(measure.QUICK, rounds=1_000, table_seconds=0.0)
    taken = asyncio.run(measure.interleave({"fine": success.fine}, measure.time_calls, effort))
    assert len(taken["fine"]) == 3


def test_every_peer_has_a_file_of_its_own() -> None:
    files = {file.stem for file in (_ROOT / "benchmarks" / "peers").glob("*.py")} - {"__init__", "peer"}
    assert len(files) == len(peers.LABELS)


def test_the_command_shows_a_saved_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(_ROOT / "docs")
    file, markdown, pictures = tmp_path / "run.json", tmp_path / "page.md", tmp_path / "charts"
    _run().write(file)
    options = ["--read", str(file), "--against", str(file), "--markdown", str(markdown), "--charts", str(pictures)]
    assert (
        command(["bench", *options, "--json", str(tmp_path / "again.json"), "--html", str(tmp_path / "page.html")]) == 0
    )
    out = capsys.readouterr().out
    assert "AHEAD OF US: 1 rows" in out
    assert "+0 %" in out
    assert "](charts/retry.svg)" in markdown.read_text(encoding="utf-8")
    assert (pictures / "retry.svg").exists()
    assert (pictures / "retry.png").read_bytes().startswith(b"\x89PNG")
    assert json.loads((tmp_path / "again.json").read_text(encoding="utf-8"))["date"] == "2026-11-22"


def test_outside_a_checkout_the_command_says_where_it_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert command(["bench", "--quick"]) == 1
    assert "runs in a checkout" in capsys.readouterr().err
    with pytest.raises(SystemExit) as ended:
        command(["bench", "--help"])
    assert ended.value.code == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--peers", "foo"], "argument --peers: no such thing: foo"),
        (["--only", "foo"], "argument --only: no such thing: foo"),
        (["--json", "nowhere/run.json"], "argument --json: there is no folder"),
        (["--read", "nowhere.json"], "nowhere.json"),
    ],
)
def test_wrong_arguments_end_with_two(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        bench(arguments)
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("question", [each for each in semantics.QUESTIONS if each not in _TOO_SLOW])
def test_ours_does_what_one_would_want(question: str) -> None:
    _, _, ask = semantics.QUESTIONS[question]
    answer, good = asyncio.run(ask(ours.PEER))
    assert good, answer


def test_ours_alone_is_measured_with_no_peer_installed(tmp_path: Path) -> None:
    file = tmp_path / "run.json"
    done = _python(
        "-m", "benchmarks", "--quick", "--peers", "onex-resilience", "--only", "failure", "--json", str(file)
    )
    assert done.returncode == 0, done.stderr
    assert "[1/1] failure" in done.stderr
    measured = {figure.measure for figure in Run.read(file).figures if figure.peer == "onex-resilience"}
    assert "rejection by an open circuit" in measured
    assert "three failing attempts, log off" in measured
