"""Lists of names, and numbers of nodes, in words."""

from __future__ import annotations

from collections.abc import Sequence

from socm.units import format_count

_NAMED = 3
"""How many names of a list are told."""


def chain_in_words(names: Sequence[str]) -> str:
    """Write a chain, the middle of a long one left out.

    Examples
    --------
    >>> chain_in_words(["map", "noise", "spectrum", "covariance", "plot"])
    'map → noise → … → plot (5 workflows)'
    >>> chain_in_words(["map", "plot"])
    'map → plot'
    """
    if len(names) <= _NAMED + 1:
        return " → ".join(names)
    return f"{names[0]} → {names[1]} → … → {names[-1]} ({len(names)} workflows)"


def nodes_in_words(nodes: int) -> str:
    """Write a number of nodes.

    Examples
    --------
    >>> nodes_in_words(1), nodes_in_words(3072)
    ('1 node', '3 072 nodes')
    """
    return f"{format_count(nodes)} node{'s' * (nodes != 1)}"


def names_in_words(names: Sequence[str]) -> str:
    """Write a list of names, the end of a long one counted.

    Examples
    --------
    >>> names_in_words(["a"]), names_in_words(["a", "b"]), names_in_words([*"abcdef"])
    ('a', 'a and b', 'a, b, c and 3 more')
    """
    if len(names) > _NAMED + 1:
        return f"{', '.join(names[:_NAMED])} and {format_count(len(names) - _NAMED)} more"
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
