"""Checks: what may be written, what it means, and what is said of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnibase_infra.errors import ProtocolConfigurationError
from omnibase_infra.simulator.checks import NAMES, Check, parse_check
from omnibase_infra.simulator.model_measures import ModelMeasures

MEASURES = ModelMeasures(
    calls=1000,
    successes=950,
    success_rate=0.95,
    goodput_kept=0.97,
    attempts=1100,
    amplification=1.1,
    wasted=12,
    detect_seconds=0.4,
    recover_seconds=None,
    p50_seconds=0.01,
    p99_seconds=0.3,
    added_p50_seconds=-0.001,
    added_p99_seconds=0.2,
    rejected=30,
    gave_up=5,
    work_lost_seconds=2.5,
)


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("amplification<=1.2", True),
        ("amplification<=1.1", True),
        ("amplification<1.1", False),
        ("amplification>=1.1", True),
        ("amplification>1.1", False),
        ("p99<=300ms", True),
        ("p99 <= 0.3 s", True),
        ("p99_seconds<=0.3", True),
        ("p99<=299ms", False),
        ("success_rate>=95%", True),
        ("success_rate>=0.95", True),
        ("success_rate>95%", False),
        ("goodput>=97%", True),
        ("goodput_kept>=98%", False),
        ("wasted<=12", True),
        ("wasted<12", False),
        ("detect<=400ms", True),
        ("p50<=10ms", True),
        ("added_p50<=-1ms", True),
        ("added_p99<=100ms", False),
        ("rejected<=29", False),
        ("work_lost<=2.5s", True),
        ("calls>=1e3", True),
        ("  gave_up  <=  5  ", True),
    ],
)
def test_a_check_compares_a_measure_by_name_or_alias_with_a_bound_in_its_unit(text: str, *, holds: bool) -> None:
    assert parse_check(text).holds(MEASURES) is holds


@given(st.integers(0, 10_000))
def test_a_unit_costs_no_precision(number: int) -> None:
    assert parse_check(f"p99<={number}ms").bound == number / 1000
    assert parse_check(f"success_rate>={number}%").bound == number / 100


@pytest.mark.parametrize("name", ModelMeasures.model_fields)
def test_every_measure_can_be_checked(name: str) -> None:
    assert parse_check(f"{name}>=0").measure == name


def test_the_short_names_stand_for_their_measures() -> None:
    short = ("amplification", "wasted", "detect", "recover", "p50", "p99", "added_p99", "success_rate", "goodput")
    assert [parse_check(f"{name}<=1").measure for name in (*short, "rejected", "work_lost")] == [
        *("amplification", "wasted", "detect_seconds", "recover_seconds", "p50_seconds", "p99_seconds"),
        *("added_p99_seconds", "success_rate", "goodput_kept", "rejected", "work_lost_seconds"),
    ]


@pytest.mark.parametrize("bound", ["recover<=3600s", "recover<1e9"])
def test_what_never_came_is_later_than_every_bound(bound: str) -> None:
    assert not parse_check(bound).holds(MEASURES)
    assert parse_check(bound.replace("<", ">")).holds(MEASURES)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("amplification<=1.2", "amplification: 1.1, wanted <= 1.2"),
        ("recover<=5s", "recover: never recovered, wanted <= 5 s"),
        ("recover_seconds<=90s", "recover: never recovered, wanted <= 90 s"),
        ("p99<=1s", "p99: 300 ms, wanted <= 1 s"),
        ("success_rate>=99%", "success_rate: 95 %, wanted >= 99 %"),
        ("calls>=10", "calls: 1,000, wanted >= 10"),
        ("work_lost<2", "work_lost: 2.5 s, wanted < 2 s"),
    ],
)
def test_it_says_what_was_measured_and_what_was_wanted(text: str, sentence: str) -> None:
    assert parse_check(text).shown(MEASURES) == sentence


def test_it_says_what_is_missing_in_words() -> None:
    nothing = MEASURES.model_copy(update={"detect_seconds": None, "p99_seconds": None})
    assert parse_check("detect<=1s").shown(nothing) == "detect: no circuit opened, wanted <= 1 s"
    assert parse_check("p99<=1s").shown(nothing) == "p99: no call was answered, wanted <= 1 s"


def test_a_measure_and_its_bound_are_never_shown_alike_when_the_check_fails() -> None:
    near = MEASURES.model_copy(update={"amplification": 1.2004, "success_rate": 0.94996, "p99_seconds": 0.30004})
    for text in ("amplification<=1.2", "success_rate>=95%", "p99<=300ms"):
        check = parse_check(text)
        found, wanted = check.shown(near).partition(": ")[2].split(f", wanted {check.comparison} ")
        assert not check.holds(near)
        assert found != wanted


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("amplificaton<=1.2", "check on amplificaton: unknown; did you mean amplification?"),
        ("hunter<=1.2", "check on hunter: unknown; allowed: calls, successes"),
        ("amplification=1.2", "check on amplification: must be a measure, one of <=, >=, <, >, and a number"),
        ("amplification<=", "check on amplification: must be a measure, one of"),
        ("", "check: must be a measure, one of"),
        ("1.2>=amplification", "check: must be a measure, one of"),
        ("amplification<=1.2s", "check on amplification: must have a number with no unit"),
        ("p99<=300%", "check on p99: must have a number with s or ms or no unit"),
        ("success_rate>=95ms", "check on success_rate: must have a number with % or no unit"),
        ("p99<=1.2.3s", "check on p99: must have a number with s or ms or no unit"),
        ("p99<=1e999", "check on p99: must have a number with s or ms or no unit"),
        ("p99<=nan", "check on p99: must be a measure, one of"),
        ("p99<=300ms p50<=1s", "check on p99: must be a measure, one of"),
    ],
)
def test_what_is_no_check_is_refused_with_what_is_allowed(text: str, sentence: str) -> None:
    with pytest.raises(ProtocolConfigurationError) as caught:
        parse_check(text)
    assert caught.value.message.startswith(sentence)


checks = st.builds(
    Check,
    st.sampled_from(sorted(set(NAMES.values()))),
    st.sampled_from(("<=", ">=", "<", ">")),
    st.floats(allow_nan=False, allow_infinity=False),
)


@given(checks)
def test_a_check_goes_through_text_and_back(check: Check) -> None:
    assert parse_check(str(check)) == check


@given(
    st.floats(min_value=0, max_value=1e6),
    st.floats(min_value=0, max_value=1e6),
    st.sampled_from(("<=", ">=", "<", ">")),
)
def test_a_check_holds_as_python_compares(measured: float, bound: float, comparison: str) -> None:
    measures = MEASURES.model_copy(update={"amplification": measured})
    expected = {
        "<=": measured <= bound,
        ">=": measured >= bound,
        "<": measured < bound,
        ">": measured > bound,
    }[comparison]
    assert parse_check(f"amplification{comparison}{bound!r}").holds(measures) is expected
