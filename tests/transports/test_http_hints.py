"""What a server's headers say about when to come back."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnibase_infra.infrastructure.resilience.transports.http_hints import retry_after

NOW = 784111777.0  # Sun, 06 Nov 1994 08:49:37 GMT


def hint(*, limited: bool = False, **headers: str) -> float | None:
    return retry_after(
        {name.replace("_", "-"): value for name, value in headers.items()}, limited=limited, wall_clock=lambda: NOW
    )


@pytest.fixture
def far_from_greenwich(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Pacific/Auckland")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()
    assert os.environ.get("TZ") != "Pacific/Auckland"


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("7", 7.0), ("0", 0.0), (" 120 ", 120.0), ("1.5", 1.5), ("-3", 0.0), ("-0.5", 0.0), ("00", 0.0)],
)
def test_retry_after_in_seconds(value: str, seconds: float) -> None:
    assert hint(Retry_After=value) == seconds


@pytest.mark.usefixtures("far_from_greenwich")
@pytest.mark.parametrize(
    "value",
    [
        "Sun, 06 Nov 1994 08:50:37 GMT",
        "Sunday, 06-Nov-94 08:50:37 GMT",
        "Sun Nov  6 08:50:37 1994",
        "Sun, 06 Nov 1994 08:50:37 -0000",
        "Sun, 06 Nov 1994 09:50:37 +0100",
    ],
)
def test_retry_after_as_a_date_in_each_of_its_forms_wherever_the_machine_stands(value: str) -> None:
    assert hint(Retry_After=value) == 60.0


def test_a_date_in_the_past_means_now() -> None:
    assert hint(Retry_After="Sun, 06 Nov 1994 08:00:00 GMT") == 0.0


def test_a_date_is_measured_by_the_server_s_own_clock_where_it_shows_it() -> None:
    assert hint(Retry_After="Thu, 01 Jan 2026 00:00:30 GMT", Date="Thu, 01 Jan 2026 00:00:00 GMT") == 30.0


def test_a_garbled_clock_of_the_server_is_replaced_by_ours() -> None:
    assert hint(Retry_After="Sun, 06 Nov 1994 08:50:37 GMT", Date="noon") == 60.0


@pytest.mark.parametrize(
    "value",
    [
        "",
        "soon",
        "7 seconds",
        "1e3",
        "1_000",
        "inf",
        "nan",
        "0x10",
        "5, 5",
        "٣",
        "+5",
        "9" * 400,
        "1" * 64 + "." + "1" * 64,
        "Sun, 99 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 99999999999999999999 08:49:37 GMT",
        "Sun, 06 Nov 1994 08:49:37 +9999999999",
    ],
)
def test_garbage_is_no_hint(value: str) -> None:
    assert hint(Retry_After=value) is None
    assert hint(RateLimit_Reset=value, limited=True) is None


def test_no_headers_are_no_hint() -> None:
    assert retry_after(None) is None
    assert retry_after({}) is None
    assert retry_after({"Content-Length": "7"}) is None


@pytest.mark.parametrize("name", ["Retry-After", "retry-after", "RETRY-AFTER"])
def test_names_of_headers_are_known_in_any_letter_case(name: str) -> None:
    assert retry_after({name: "7"}) == 7.0


def test_of_a_header_sent_twice_the_first_counts() -> None:
    assert retry_after({"Retry-After": "7", "retry-after": "9"}) == 7.0


@pytest.mark.parametrize("name", ["RateLimit-Reset", "X-RateLimit-Reset", "x-ratelimit-reset"])
@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("30", 30.0),
        ("0", 0.0),
        ("-4", 0.0),
        ("1893456000", 1893456000.0 - NOW),
        ("1893456000.5", 1893456000.5 - NOW),
        ("1893456000500", 1893456000.5 - NOW),
        ("1000000000", 1000000000.0 - NOW),
    ],
)
def test_the_reset_of_a_rate_limit_is_a_distance_or_a_point_in_time(name: str, value: str, seconds: float) -> None:
    assert retry_after({name: value}, limited=True, wall_clock=lambda: NOW) == seconds


def test_a_reset_in_the_past_means_now() -> None:
    assert retry_after({"X-RateLimit-Reset": "1893456000"}, limited=True, wall_clock=lambda: 2e9) == 0.0


def test_a_reset_means_nothing_unless_the_limit_is_exceeded() -> None:
    assert hint(RateLimit_Reset="30") is None


def test_retry_after_goes_before_a_reset_and_the_standard_s_reset_before_the_other() -> None:
    assert hint(Retry_After="7", RateLimit_Reset="30", X_RateLimit_Reset="60", limited=True) == 7.0
    assert hint(RateLimit_Reset="0", X_RateLimit_Reset="60", limited=True) == 0.0
    assert hint(Retry_After="soon", X_RateLimit_Reset="60", limited=True) == 60.0


def test_values_that_are_no_text_are_no_hint() -> None:
    headers: Mapping[str, object] = {"Retry-After": 7, "RateLimit-Reset": b"7", "X-RateLimit-Reset": None}
    assert retry_after(headers, limited=True) is None  # type: ignore[arg-type]


@given(
    headers=st.dictionaries(
        st.sampled_from(["Retry-After", "RateLimit-Reset", "X-RateLimit-Reset", "Date"]),
        st.text(max_size=80)
        | st.from_regex(r"-?[0-9]{1,70}(\.[0-9]{1,4})?", fullmatch=True)
        | st.from_regex(
            r"[A-Z][a-z]{2}, [0-9]{1,3} [A-Z][a-z]{2} [0-9]{1,20} [0-9:]{1,12} [-+GMT0-9]{1,9}", fullmatch=True
        ),
    ),
    limited=st.booleans(),
)
def test_whatever_a_server_sends_the_hint_is_none_or_zero_or_more_and_finite(
    headers: dict[str, str], *, limited: bool
) -> None:
    seconds = retry_after(headers, limited=limited, wall_clock=lambda: NOW)
    assert seconds is None or 0.0 <= seconds < float("inf")
