"""Longest chains of dependencies."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

Key = TypeVar("Key")
Number = TypeVar("Number", int, float)


def longest_before(
    order: Iterable[Key],
    before: Callable[[Key], Iterable[Key]],
    length: Callable[[Key], Number],
    known: Mapping[Key, Number] | None = None,
) -> dict[Key, Number]:
    """Return for each workflow the length of the longest chain that ends where it starts.

    With `order` reversed and the children as `before`, that is the longest chain from its end on.

    Parameters
    ----------
    order
        The workflows, each after those before it.
    before
        Those directly before a workflow; what is not in `order` is passed over.
    length
        Length of a workflow.
    known
        What holds for some workflows, whatever is before them.

    Examples
    --------
    >>> parents = {"a": [], "b": [], "c": ["a", "b"]}
    >>> seconds = {"a": 60, "b": 30, "c": 10}
    >>> longest_before("abc", parents.__getitem__, seconds.__getitem__)
    {'a': 0, 'b': 0, 'c': 60}
    """
    longest: dict[Key, Number] = dict(known or {})
    for key in order:
        if key not in longest:
            chains = [longest[k] + length(k) for k in before(key) if k in longest]
            longest[key] = max(chains, default=0)
    return longest
