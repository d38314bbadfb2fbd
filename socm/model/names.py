"""Which names workflows may have, in whatever file they are given."""

from __future__ import annotations

import re

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+@-]{0,199}", re.ASCII)


def checked_name(name: str) -> str:
    """Return the name of a workflow if jobs and folders can have it, too.

    Raises
    ------
    ValueError
        If it has other characters, or too many.

    Examples
    --------
    >>> checked_name("map-f090")
    'map-f090'
    >>> checked_name("../map")
    Traceback (most recent call last):
    ValueError: '../map' is not a valid name; use up to 200 of A-Z, a-z, 0-9 and _ . + @ -, and \
begin with a letter, a digit or _
    """
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"{name[:40]!r} is not a valid name; use up to 200 of A-Z, a-z, 0-9 and _ . + @ -, and "
            "begin with a letter, a digit or _"
        )
    return name
