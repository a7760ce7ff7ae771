"""Scenarios from TOML: those that are shipped are right, and a wrong one of the user's is refused in clear words."""

from __future__ import annotations

import re
from importlib.resources import files
from itertools import groupby
from pathlib import Path

import pytest

from omnibase_infra.enums import EnumScenarioEvent
from omnibase_infra.errors import ProtocolConfigurationError
from omnibase_infra.models.resilience import ModelRateLimitConfig
from omnibase_infra.presets import resolve
from omnibase_infra.simulator.checks import parse_check
from omnibase_infra.simulator.driver_errors import CATALOGUE
from omnibase_infra.simulator.model_dependency import ModelDependency
from omnibase_infra.simulator.model_load import ModelLoad
from omnibase_infra.simulator.model_scenario import ModelScenario
from omnibase_infra.simulator.model_scenario_event import ModelScenarioEvent
from omnibase_infra.simulator.scenario_files import TRANSPORTS, load_scenario, shipped_scenarios

SHIPPED = shipped_scenarios()
HOW_TO = Path(__file__).parents[2] / "docs" / "how-to" / "write-a-scenario.md"
FOLDER = files("omnibase_infra") / "simulator" / "scenarios"

NUMBERS = (
    *("rate", "burst", "burst_interval", "patience", "capacity", "queue", "pool", "connect", "latency", "p50", "p99"),
    *("lasts", "share", "factor", "hang", "retry_after"),
)

GOOD = """
transport = "database"
name = "mine"
incident = "A test."
seconds = 60
checks = ["amplification<=1.2"]

[load]
rate = 10

[dependency]
capacity = 4
latency = { p50 = 0.01, p99 = 0.1 }
error_share = 0.01
errors = { "psycopg.DeadlockDetected" = 1 }

[[events]]
kind = "throttling"
at = 20
lasts = 40
rate = 5
retry_after = 2
errors = { "httpx.429" = 1 }
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "mine.toml"


def refused(file: Path, text: str) -> str:
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ProtocolConfigurationError) as caught:
        load_scenario(file)
    assert caught.value.message.startswith(f"{file}: ")
    return caught.value.message.removeprefix(f"{file}: ")


def named(scenario: ModelScenario) -> str:
    return f"{scenario.transport}-{scenario.name}"


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_every_transport_has_two_scenarios_at_least(transport: str) -> None:
    assert len(shipped_scenarios(transport)) >= 2
    assert {scenario.transport for scenario in shipped_scenarios(transport)} == {transport}


@pytest.mark.parametrize("scenario", SHIPPED, ids=named)
def test_a_shipped_scenario_says_in_one_sentence_what_it_stands_for_and_has_checks(scenario: ModelScenario) -> None:
    assert re.fullmatch(r"[A-Z][^.]{30,160}\.", scenario.incident)
    assert len(scenario.checks) >= 2
    assert all(map(parse_check, scenario.checks))


@pytest.mark.parametrize("scenario", SHIPPED, ids=named)
def test_a_shipped_scenario_lasts_some_minutes_under_a_load_that_the_preset_lets_through(
    scenario: ModelScenario,
) -> None:
    preset = resolve(scenario.transport, "rate_limit", ModelRateLimitConfig)
    load = scenario.load
    assert 120 <= scenario.seconds <= 300
    assert load.rate is not None
    assert load.rate + load.burst / load.burst_interval <= preset.rate
    assert load.burst <= preset.capacity


@pytest.mark.parametrize("scenario", SHIPPED, ids=named)
def test_something_happens_in_a_shipped_scenario_and_it_knows_with_which_errors(scenario: ModelScenario) -> None:
    names = [*scenario.dependency.errors, *(name for event in scenario.events for name in event.errors)]
    assert scenario.events
    assert set(names) <= set(CATALOGUE)


@pytest.mark.parametrize("file", sorted(FOLDER.iterdir(), key=str), ids=lambda file: file.name)
def test_every_number_of_load_and_dependency_and_every_moment_has_its_reason(file: Path) -> None:
    for line in file.read_text(encoding="utf-8").splitlines():
        key = line.partition(" ")[0]
        if key in NUMBERS:
            assert " # " in line, f"{file.name}: {line}"


@pytest.mark.parametrize("scenario", SHIPPED, ids=named)
def test_a_shipped_scenario_is_found_by_its_name_and_transport_and_by_both_in_one(scenario: ModelScenario) -> None:
    assert load_scenario(scenario.name, scenario.transport) == scenario
    assert load_scenario(named(scenario)) == scenario
    assert load_scenario(str(FOLDER / f"{named(scenario)}.toml")) == scenario


def test_the_shipped_scenarios_come_by_transport_and_name() -> None:
    keys = [(TRANSPORTS.index(scenario.transport), scenario.name) for scenario in SHIPPED]
    assert keys == sorted(set(keys))


def test_a_scenario_goes_through_json_without_its_defaults_and_back() -> None:
    for scenario in SHIPPED:
        assert ModelScenario.model_validate_json(scenario.model_dump_json(exclude_defaults=True)) == scenario


@pytest.mark.parametrize(
    ("name", "transport", "sentence"),
    [
        ("failover", None, "failover: a scenario of database, valkey: say which"),
        ("failovr", None, "failovr: unknown; did you mean failover? (shipped scenarios; a path ends in .toml)"),
        ("sealde", "vault", "sealde: unknown; did you mean sealed? (shipped scenarios of vault; a path ends in .toml)"),
        (
            "xyz",
            "vault",
            "xyz: unknown; allowed: sealed, token-expiry (shipped scenarios of vault; a path ends in .toml)",
        ),
        ("sealed", "databse", "databse: unknown; did you mean database?"),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest(name: str, transport: str | None, sentence: str) -> None:
    with pytest.raises(ProtocolConfigurationError) as caught:
        load_scenario(name, transport)
    assert caught.value.message == sentence


def test_shipped_scenarios_of_an_unknown_transport_are_refused() -> None:
    with pytest.raises(ProtocolConfigurationError, match="kafak: unknown; did you mean kafka"):
        shipped_scenarios("kafak")


def test_a_file_of_the_user_s_is_read_with_every_table(file: Path) -> None:
    file.write_text(f"\ufeff{GOOD}", encoding="utf-8")
    scenario = load_scenario(str(file))
    assert scenario == load_scenario(file)
    assert (scenario.name, scenario.load.rate, scenario.dependency.latency.p99) == ("mine", 10.0, 0.1)
    assert (scenario.events[0].retry_after, scenario.checks) == (2.0, ("amplification<=1.2",))


def test_measured_latencies_are_an_array(file: Path) -> None:
    file.write_text(GOOD.replace("{ p50 = 0.01, p99 = 0.1 }", "{ samples = [0.01, 0.02] }"), encoding="utf-8")
    assert load_scenario(file).dependency.latency.samples == (0.01, 0.02)


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ('"database"', '"databse"', "transport: databse: unknown; did you mean database?"),
        ('"database"', "3", "transport = 3: must be text"),
        ("seconds = 60", "seconds = 0", "seconds = 0: must be a finite number, above 0"),
        ("seconds = 60", "seconds = 60\ncheck = []", "check: unknown; did you mean checks?"),
        ("seconds = 60\n", "", "seconds: is required, a finite number, above 0"),
        ("rate = 10", "rat = 10", "load.rat: unknown; did you mean rate?"),
        ("rate = 10", "rate = 10\nclients = 3", "load.rate: must be given, in calls/s, or clients, but not both"),
        ("[load]\nrate = 10", "load = 3", "load = 3: must be a table of settings"),
        ("capacity = 4", "capacity = 0", "dependency.capacity = 0: must be a whole number, 1 or more"),
        ("p50 = 0.01, ", "", "dependency.latency.p50: must be given with p99, or samples, but not both"),
        ("p50 = 0.01", "p50 = 1", "dependency.latency.p99 = 0.1: must be at least p50 = 1.0"),
        (
            "psycopg.DeadlockDetected",
            "psycopg.DeadlockDetectd",
            "dependency.errors: psycopg.DeadlockDetectd: unknown; did you mean psycopg.DeadlockDetected",
        ),
        (
            "capacity = 4",
            'capacity = 4\nfull_error = "hvac.Down"',
            "dependency.full_error: hvac.Down: unknown; did you mean hvac.VaultDown",
        ),
        ("httpx.429", "httpx.430", "events.0.errors: httpx.430: unknown; did you mean httpx.4"),
        ("throttling", "throtling", "events.0.kind: throtling: unknown; did you mean throttling?"),
        ("rate = 5", "rte = 5", "events.0.rte: unknown; did you mean rate?"),
        ("httpx.429", "httpx.500", "events.0.retry_after: none of these errors has a place for it"),
        ("lasts = 40", "lasts = 41", "events.0.lasts = 41.0: must be at most seconds - at = 40"),
        ('"amplification<=1.2"', '"amplificaton<=1.2"', "checks.0: check on amplificaton: unknown; did you mean amp"),
        ('["amplification<=1.2"]', '"amplification<=1.2"', "checks = (a str, not shown): must be a list of texts"),
        ("[[events]]", "[events]", "events = (a dict, not shown): must be a list of events"),
        ("incident =", "incident", "is not valid TOML: line 4, column 10"),
    ],
)
def test_a_wrong_file_is_refused_with_its_name_the_key_and_what_is_allowed(
    file: Path, old: str, new: str, sentence: str
) -> None:
    assert old in GOOD
    assert refused(file, GOOD.replace(old, new, 1)).startswith(sentence)


def test_a_file_that_cannot_be_read_or_is_no_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ProtocolConfigurationError, match=r"absent\.toml: cannot be read: No such file"):
        load_scenario(tmp_path / "absent.toml")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ProtocolConfigurationError, match=r"binary\.toml: is not UTF-8 text"):
        load_scenario(tmp_path / "binary.toml")


def test_a_text_that_was_refused_is_not_shown(file: Path) -> None:
    assert "hunter2" not in refused(file, GOOD.replace("capacity = 4", 'capacity = "hunter2"'))
    assert "hunter2" not in refused(file, GOOD.replace("seconds = 60", "seconds = hunter2"))


def test_the_how_to_names_every_error_every_key_and_every_kind_of_event() -> None:
    page = HOW_TO.read_text(encoding="utf-8")
    for driver, entries in groupby(CATALOGUE.items(), key=lambda entry: entry[0].partition(".")[0]):
        names = (f"`{name.partition('.')[2]}`{'†' if entry.takes_hint else ''}" for name, entry in entries)
        assert f"| `{driver}` | {', '.join(names)} |" in page
    keys = [f"load.{name}" for name in ModelLoad.model_fields] + [
        f"dependency.{name}" for name in ModelDependency.model_fields
    ]
    assert [key for key in keys if f"`{key}`" not in page] == []
    assert [kind for kind in EnumScenarioEvent if not re.search(rf"^\|.*`{kind}`.*\|", page, re.MULTILINE)] == []


def test_the_how_to_says_what_each_kind_of_event_takes() -> None:
    page = HOW_TO.read_text(encoding="utf-8")
    for kind in EnumScenarioEvent:
        row = re.search(rf"^\|[^|]*`{kind}`[^|]*\|([^|]*)\|", page, re.MULTILINE)
        assert row is not None
        told = re.findall(r"`(\w+)`", row[1])
        for name in set(ModelScenarioEvent.model_fields) - {"kind", "at", "lasts"}:
            assert (name in told) is not is_unused(kind, name), f"{kind}: {name}"


def is_unused(kind: EnumScenarioEvent, name: str) -> bool:
    value = {"errors": {"httpx.429": 1.0}, "share": 0.5, "hang": 0.5}.get(name, 2.0)
    try:
        ModelScenarioEvent(kind=kind, at=0.0, lasts=1.0, **{name: value})
    except ProtocolConfigurationError as error:
        return error.message.startswith(f"{name}: is not used")
    return False
