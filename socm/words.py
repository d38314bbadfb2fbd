"""Counts and lists in words, for every sentence that has one."""

from __future__ import annotations

from collections.abc import Iterable

from socm.units import format_count


def count(number: int, noun: str, plural: str | None = None) -> str:
    """Return a number with its noun, in the singular or the plural.

    Examples
    --------
    >>> count(1, "workflow"), count(12_000, "job"), count(2, "entry", "entries")
    ('1 workflow', '12 000 jobs', '2 entries')
    """
    return f"{format_count(number)} {noun if number == 1 else plural or noun + 's'}"


def listed(items: Iterable[object], most: int = 3) -> str:
    """Return a list of things; the end of a long one is counted.

    Examples
    --------
    >>> listed(["a"]), listed(["a", "b"]), listed([*"abcd"]), listed([*"abcdef"])
    ('a', 'a and b', 'a, b, c and d', 'a, b, c and 3 more')
    """
    words = [str(item) for item in items]
    if len(words) > most + 1:
        return f"{', '.join(words[:most])} and {format_count(len(words) - most)} more"
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def reason_of(error: OSError) -> str:
    """Return why the operating system refused, in its own words.

    Examples
    --------
    >>> reason_of(FileNotFoundError(2, "No such file or directory"))
    'no such file or directory'
    """
    reason = error.strerror or str(error)
    return reason[:1].lower() + reason[1:]
