"""Durations and memory are read as meant, never smaller, and written so that they read back."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socm.units import (
    DAY,
    HOUR,
    MINUTE,
    WEEK,
    format_count,
    format_duration,
    format_memory,
    format_walltime,
    parse_duration,
    parse_memory,
)

SECONDS = st.integers(0, 10 * 365 * DAY)
UNITS = {"w": WEEK, "d": DAY, "h": HOUR, "m": MINUTE, "s": 1}
STEPS = {unit: Fraction(1024) ** power for power, unit in enumerate("KMGTP", start=-1)}


def decimals() -> st.SearchStrategy[str]:
    """A number as one types it, with up to two digits behind the point."""
    return st.decimals(0, 400, places=2).map(str) | st.integers(0, 400).map(str)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        ("90", 90),
        ("90s", 90),
        ("1.5m", 90),
        ("2 hours", 7200),
        ("1d12h", 36 * HOUR),
        ("1 day 12 hrs", 36 * HOUR),
        ("1W", WEEK),
        ("2w 3d", 17 * DAY),
        ("0.5s", 1),
        ("PT4H", 4 * HOUR),
        ("P1DT30M", DAY + 30 * MINUTE),
        ("P2W", 2 * WEEK),
        ("1-0", DAY),
        ("1-12:30", DAY + 12 * HOUR + 30 * MINUTE),
        ("2-23:59:59", 3 * DAY - 1),
        ("48:00:00", 2 * DAY),
        (" 5m ", 300),
        (90, 90),
        (0.2, 1),
    ],
)
def test_durations_are_read_as_a_person_means_them(text: str | float, seconds: int) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "junk",
    [
        *("", " ", "h", "P", "PT", "P1DT", "1x", "-5", "-1h", "1h1d", "10:30", "1-24:00"),
        *("0:60:00", "0:00:60", "1e5", "inf", "nan", "٣h", "1 2", "1..5h", "99999999w", "1-1:5"),
        *(math.nan, math.inf, -math.inf, -1, -0.5, True, None, [], 1e300),
        pytest.param(10**400, id="more than a float holds"),
    ],
)
def test_what_is_no_duration_is_refused_with_a_value_error(junk: object) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse_duration(junk)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "junk",
    [
        *("", "G", "-1G", "1X", "1GG", "1 G B", "1e3", "nan", "inf", "10000000P", "٣G"),
        *(math.nan, math.inf, -1, True, None, []),
        pytest.param(10**400, id="more than a float holds"),
    ],
)
def test_what_is_no_memory_is_refused_with_a_value_error(junk: object) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse_memory(junk)  # type: ignore[arg-type]


@given(st.text() | st.from_regex(r"[P0-9wdhmsTGB:. -]{0,12}", fullmatch=True))
def test_any_text_is_read_or_refused_with_a_value_error(text: str) -> None:
    for parse in (parse_duration, parse_memory):
        try:
            value = parse(text)
        except ValueError:
            continue
        assert isinstance(value, int)
        assert value >= 0


@given(SECONDS)
def test_a_walltime_reads_back_exactly(seconds: int) -> None:
    assert parse_duration(format_walltime(seconds)) == seconds


@given(SECONDS)
def test_a_duration_for_people_reads_back_to_half_of_its_smaller_unit(seconds: int) -> None:
    unit = HOUR if seconds >= DAY else MINUTE if seconds >= HOUR else 1
    assert abs(parse_duration(format_duration(seconds)) - seconds) <= unit / 2


@given(SECONDS)
def test_a_duration_for_people_has_two_units_at_most_and_none_is_full(seconds: int) -> None:
    words = format_duration(seconds).split()
    assert len(words) in (2, 4)
    full = {"d": math.inf, "h": 24, "min": 60, "s": 60}
    assert all(int(n) < full[unit] for n, unit in zip(words[::2], words[1::2], strict=True))


@given(st.floats(0.5, 1e8))
def test_a_negative_duration_is_the_positive_one_with_a_sign(seconds: float) -> None:
    if round(seconds):
        assert format_duration(-seconds) == "-" + format_duration(seconds)


def test_a_negative_duration_that_rounds_to_nothing_has_no_sign() -> None:
    assert format_duration(-0.4) == "0 s"


@given(st.dictionaries(st.sampled_from(list(UNITS)), decimals(), min_size=1))
def test_a_duration_is_the_exact_sum_of_its_parts_rounded_up(parts: dict[str, str]) -> None:
    """A decimal that makes whole seconds gives those: 1.1 hours are 3960 s, not 3961 s."""
    text = " ".join(f"{parts[unit]}{unit}" for unit in UNITS if unit in parts)
    exact = sum(Fraction(number) * UNITS[unit] for unit, number in parts.items())
    assert parse_duration(text) == math.ceil(exact)


@given(decimals(), st.sampled_from(list(STEPS)), st.sampled_from(["", "B", "iB"]))
def test_memory_is_exact_and_rounded_up(number: str, unit: str, suffix: str) -> None:
    assert parse_memory(number + unit + suffix) == math.ceil(Fraction(number) * STEPS[unit])


@given(st.floats(0, 1e9) | st.integers(0, 10**9))
def test_a_number_is_rounded_up(number: float) -> None:
    for parse in (parse_duration, parse_memory):
        assert parse(number) == math.ceil(number)


@given(st.integers(0, 1024**4))
def test_memory_for_people_reads_back_to_one_percent(megabytes: int) -> None:
    assert parse_memory(format_memory(megabytes)) == pytest.approx(megabytes, rel=0.01, abs=1)


@pytest.mark.parametrize("megabytes", [1000 * 1024, 1023 * 1024, 1000 * 1024**2])
def test_memory_for_people_has_no_exponent(megabytes: int) -> None:
    assert "e" not in format_memory(megabytes)


@given(st.integers(0, 10**15))
def test_a_count_in_groups_of_three_is_the_same_number(number: int) -> None:
    text = format_count(number)
    assert int(text.replace(" ", "")) == number
    assert all(len(group) == 3 for group in text.split(" ")[1:])
