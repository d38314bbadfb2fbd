"""Durations and memory: parsed and formatted here and nowhere else.

Durations are whole seconds, memory is whole MB as SLURM counts them (1G = 1024M). A duration
or a size that lies between two is rounded up: a request must never be smaller than meant.
"""

from __future__ import annotations

import math
import re
from datetime import datetime
from fractions import Fraction
from zoneinfo import ZoneInfo

MINUTE = 60
HOUR = 60 * MINUTE
DAY = 24 * HOUR
WEEK = 7 * DAY

_SECONDS = {"w": WEEK, "d": DAY, "h": HOUR, "m": MINUTE, "s": 1}
_NUMBER = r"\d+(?:\.\d+)?"
_WITH_UNITS = re.compile(
    rf"(?:({_NUMBER})\s*(?:weeks?|w))?\s*"
    rf"(?:({_NUMBER})\s*(?:days?|d))?\s*"
    rf"(?:({_NUMBER})\s*(?:hours?|hrs?|h))?\s*"
    rf"(?:({_NUMBER})\s*(?:minutes?|mins?|m))?\s*"
    rf"(?:({_NUMBER})\s*(?:seconds?|secs?|s))?",
    re.IGNORECASE | re.ASCII,
)
_ISO = re.compile(
    rf"P(?:({_NUMBER})W)?(?:({_NUMBER})D)?"
    rf"(?:T(?:({_NUMBER})H)?(?:({_NUMBER})M)?(?:({_NUMBER})S)?)?",
    re.ASCII,
)
_CLOCK = re.compile(
    r"(?:(\d+)-(\d{1,2})(?::(\d{2}))?(?::(\d{2}))?|(\d+):(\d{2}):(\d{2}))", re.ASCII
)
_MEMORY = re.compile(rf"({_NUMBER})\s*(?:([KMGTP])(?:i?B)?)?", re.IGNORECASE | re.ASCII)
_MEGABYTES = {"K": Fraction(1, 1024)} | {"MGTP"[k]: Fraction(1024**k) for k in range(4)}
# Ten thousand years: beyond it a value is a slip of the finger, and int arithmetic stays small.
_LONGEST = 10_000 * 365 * DAY
_LARGEST = 1024**4  # MB, an exabyte


def parse_duration(value: str | float) -> int:
    """Read a duration in seconds.

    Parameters
    ----------
    value
        A number of seconds; or ``2d``, ``1d12h``, ``90 min``, ``1w``; or SLURM's
        ``D-HH:MM:SS`` and ``HH:MM:SS``; or ISO 8601's ``PT4H``.

    Raises
    ------
    ValueError
        If the text is none of these.

    Examples
    --------
    >>> parse_duration("1d12h"), parse_duration("90 min"), parse_duration(90)
    (129600, 5400, 90)
    >>> parse_duration("2-12:00:00"), parse_duration("PT1H30M")
    (216000, 5400)
    >>> parse_duration("10:30")
    Traceback (most recent call last):
    ...
    ValueError: '10:30' is ambiguous; write '10h30m' or '10m30s'
    """
    seconds = _duration(value)
    if not 0 <= seconds <= _LONGEST:
        raise ValueError(f"{value!r} is not a duration between 0 and 10,000 years")
    return math.ceil(seconds)


def _duration(value: str | float) -> float | Fraction:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(f"{value!r} is not a duration; write '90m', '1d12h' or '2-00:00:00'")
    if not isinstance(value, str):
        return value
    text = " ".join(value.split())  # a run of blanks would keep the patterns busy for long
    if re.fullmatch(_NUMBER, text, re.ASCII):
        return Fraction(text)
    if text and (match := _WITH_UNITS.fullmatch(text)):
        return _sum(match)
    if len(text) > 1 and not text.endswith("T") and (match := _ISO.fullmatch(text)):
        return _sum(match)
    if match := _CLOCK.fullmatch(text):
        days, hours, minutes, seconds, *hms = match.groups()
        if days is None:
            days, (hours, minutes, seconds) = 0, hms
        elif int(hours) > 23:
            raise ValueError(f"{text!r}: there are 24 hours in a day")
        if int(minutes or 0) > 59 or int(seconds or 0) > 59:
            raise ValueError(f"{text!r}: minutes and seconds go up to 59")
        return int(days) * DAY + int(hours) * HOUR + int(minutes or 0) * MINUTE + int(seconds or 0)
    if match := re.fullmatch(r"(\d+):(\d{2})", text, re.ASCII):
        a, b = match.groups()
        raise ValueError(f"{text!r} is ambiguous; write '{a}h{b}m' or '{a}m{b}s'")
    raise ValueError(
        f"{value!r} is not a duration; write '90m', '1d12h', '2-00:00:00' or a number of seconds"
    )


def _sum(match: re.Match[str]) -> Fraction:
    """Add up exactly: 1.1 hours are 3960 seconds, and not a trifle more."""
    parts = zip(match.groups(), _SECONDS.values(), strict=True)
    return sum((Fraction(number) * seconds for number, seconds in parts if number), Fraction())


def moment(text: str) -> datetime:
    """Read a date with a zone.

    Parameters
    ----------
    text
        ``2026-11-27T17:00-05:00``, ``2026-11-27 17:00Z`` or ``2026-11-27 17:00 America/New_York``.

    Raises
    ------
    ValueError
        If it is not such a date.

    Examples
    --------
    >>> moment("2026-11-27 17:00 America/New_York") == moment("2026-11-27T22:00Z")
    True
    """
    date, _, zone = text.strip().partition(" ")
    if re.match(r"\d", zone):  # a blank between date and time
        time, _, zone = zone.partition(" ")
        date = f"{date}T{time}"
    try:
        then = datetime.fromisoformat(date)
        if zone:
            then = then.replace(tzinfo=ZoneInfo(zone))
    except (ValueError, KeyError, OSError) as error:
        raise ValueError(f"{text!r} is not a date; write '2026-11-27T17:00-05:00'") from error
    if then.tzinfo is None:
        raise ValueError(
            f"{text!r} does not say its zone; write '{date}Z', '{date}-05:00' or "
            f"'{date} America/New_York'"
        )
    return then


def seconds_until(date: str, now: datetime) -> int:
    """Return how many seconds are left until a date with a zone, rounded down.

    Parameters
    ----------
    date
        As `moment` reads it.
    now
        With a zone, too.

    Raises
    ------
    ValueError
        If it is not such a date, or in the past.

    Examples
    --------
    >>> from datetime import timezone
    >>> now = datetime(2026, 11, 27, 21, 0, tzinfo=timezone.utc)
    >>> seconds_until("2026-11-27 17:00 America/New_York", now)
    3600
    """
    left = math.floor((moment(date) - now).total_seconds())
    if left < 1:
        raise ValueError(f"{date!r} is over")
    return left


def parse_memory(value: str | float) -> int:
    """Read an amount of memory in MB.

    Parameters
    ----------
    value
        A number of MB; or a number with ``K``, ``M``, ``G``, ``T`` or ``P``, optionally followed
        by ``B`` or ``iB``. As in SLURM all of them step by 1024.

    Raises
    ------
    ValueError
        If the text is none of these.

    Examples
    --------
    >>> parse_memory("48G"), parse_memory("1.5T"), parse_memory("80000"), parse_memory("512GiB")
    (49152, 1572864, 80000, 524288)
    """
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(f"{value!r} is not an amount of memory; write '48G' or a number of MB")
    if isinstance(value, str):
        match = _MEMORY.fullmatch(value.strip())
        if match is None:
            raise ValueError(
                f"{value!r} is not an amount of memory; write '48G', '1.5T' or a number of MB"
            )
        number, unit = match.groups()
        megabytes: float | Fraction = Fraction(number) * _MEGABYTES[(unit or "M").upper()]
    else:
        megabytes = value
    if not 0 <= megabytes <= _LARGEST:
        raise ValueError(f"{value!r} is not an amount of memory between 0 and 1 EB")
    return math.ceil(megabytes)


def format_duration(seconds: float) -> str:
    """Write a duration as a person would: the two largest units that matter.

    Examples
    --------
    >>> format_duration(61920), format_duration(200000), format_duration(59), format_duration(-90)
    ('17 h 12 min', '2 d 8 h', '59 s', '-1 min 30 s')
    """
    if seconds < 0:
        text = format_duration(-seconds)
        return text if text == "0 s" else f"-{text}"
    whole = round(seconds)
    # Round to the smaller unit shown before splitting, so that nothing reads "60 min".
    whole = _round_to(whole, HOUR if whole >= DAY else MINUTE if whole >= HOUR else 1)
    for size, large, small_size, small in (
        (DAY, "d", HOUR, "h"),
        (HOUR, "h", MINUTE, "min"),
        (MINUTE, "min", 1, "s"),
    ):
        if whole >= size:
            rest = whole % size // small_size
            return f"{whole // size} {large}" + (f" {rest} {small}" if rest else "")
    return f"{whole} s"


def _round_to(value: int, step: int) -> int:
    return (value + step // 2) // step * step


def format_walltime(seconds: int) -> str:
    """Write a duration as SLURM does.

    Examples
    --------
    >>> format_walltime(25200), format_walltime(259200)
    ('7:00:00', '3-00:00:00')
    """
    days, rest = divmod(seconds, DAY)
    clock = f"{rest // HOUR}:{rest % HOUR // MINUTE:02}:{rest % MINUTE:02}"
    return f"{days}-{clock:0>8}" if days else clock


def duration_text(seconds: int) -> str:
    """Write a duration exactly, in a form that `parse_duration` reads.

    Examples
    --------
    >>> duration_text(5400), duration_text(93784), duration_text(0)
    ('1h30m', '1d2h3m4s', '0s')
    """
    parts = []
    for size, unit in ((DAY, "d"), (HOUR, "h"), (MINUTE, "m"), (1, "s")):
        count, seconds = divmod(seconds, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"


def memory_text(megabytes: int) -> str:
    """Write an amount of memory exactly, in a form that `parse_memory` reads.

    Examples
    --------
    >>> memory_text(49152), memory_text(80000), memory_text(2097152), memory_text(0)
    ('48G', '80000M', '2T', '0M')
    """
    for size, unit in ((1024**2, "T"), (1024, "G")):
        if megabytes and megabytes % size == 0:
            return f"{megabytes // size}{unit}"
    return f"{megabytes}M"


def format_core_hours(hours: float) -> str:
    """Write core-hours in the figures that a person would use.

    Examples
    --------
    >>> [format_core_hours(h) for h in (0.66, 14, 999.7, 16309, 3_200_000)]
    ['0.7', '14', '1.0 k', '16.3 k', '3.2 M']
    """
    for size, unit in ((1e6, " M"), (1e3, " k")):
        if hours >= 0.9995 * size:
            return f"{hours / size:.1f}{unit}"
    return f"{hours:.1f}" if hours < 9.95 else f"{hours:.0f}"


def format_count(number: float) -> str:
    """Write a whole number in groups of three.

    Examples
    --------
    >>> format_count(1100000)
    '1 100 000'
    """
    return f"{number:,.0f}".replace(",", " ")


def format_memory(megabytes: float) -> str:
    """Write an amount of memory in the unit that fits it.

    Examples
    --------
    >>> format_memory(600), format_memory(614400), format_memory(4800000)
    ('600 MB', '600 GB', '4.58 TB')
    """
    for size, unit in ((1024**2, "TB"), (1024, "GB")):
        # From 999.5 of the smaller unit on, three digits read as one of the larger.
        if megabytes >= 0.9995 * size:
            amount = megabytes / size
            digits = 2 if amount < 9.995 else 1 if amount < 99.95 else 0
            return f"{amount:.{digits}f} {unit}".replace(".00 ", " ").replace(".0 ", " ")
    return f"{megabytes:.0f} MB"
