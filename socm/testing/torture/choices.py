"""The choices that make up a story: drawn from a seed, recorded, and made shorter."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from itertools import count
from typing import TypeVar

T = TypeVar("T")


class Choices:
    """Makes choices, and records them as whole numbers.

    Zero always stands for the simplest choice: the least of a range, the first of some options,
    the fault that does not happen. So a story becomes simpler as its numbers become fewer and less.

    Parameters
    ----------
    source
        Random numbers, or the record of an earlier story; after its end every choice is zero.

    Examples
    --------
    >>> choices = Choices([2, 1])
    >>> choices.pick("abc"), choices.chance(0.1), choices.number(9)
    ('c', True, 0)
    >>> choices.made
    [2, 1, 0]
    """

    def __init__(self, source: random.Random | Sequence[int]) -> None:
        self.made: list[int] = []
        self._random = source if isinstance(source, random.Random) else None
        self._record = iter(()) if isinstance(source, random.Random) else iter(source)

    def number(self, most: int) -> int:
        """Choose a number from 0 to `most`."""
        if self._random is not None:
            made = int(self._random.random() * (most + 1))
        else:
            made = min(next(self._record, 0), most)
        self.made.append(made)
        return made

    def chance(self, probability: float) -> bool:
        """Choose whether something happens."""
        if self._random is not None:
            made = self._random.random() < probability
        else:
            made = next(self._record, 0) > 0
        self.made.append(int(made))
        return made

    def pick(self, options: Sequence[T]) -> T:
        """Choose one of some options."""
        return options[self.number(len(options) - 1)]


def shortest(
    made: Sequence[int], fails: Callable[[Sequence[int]], bool], most: int = 2000
) -> list[int]:
    """Return the simplest record found that still fails.

    Leaves out parts of the record, and makes its numbers less, as long as that helps: what
    property-based testing calls shrinking.

    Parameters
    ----------
    fails
        Whether a record fails.
    most
        How many records to try.

    Examples
    --------
    >>> shortest([3, 0, 7, 5, 1, 9], lambda record: sum(record) > 9)
    [6, 4]
    """
    best, tries = [*made], count()

    def accept(record: list[int]) -> bool:
        nonlocal best
        while record and record[-1] == 0:
            record.pop()
        if record == best or next(tries) >= most or not fails(record):
            return False
        best = record
        return True

    improved = True
    while improved:
        improved = False
        for size in (64, 16, 4, 2, 1):
            for at in range(len(best) - size, -1, -size):
                if accept(best[:at] + best[at + size :]):
                    improved = True
        for at in range(len(best) - 1, -1, -1):
            number = best[at] if at < len(best) else 0
            for less in dict.fromkeys((0, number // 2, number - 1)) if number else ():
                if accept([*best[:at], less, *best[at + 1 :]]):
                    improved = True
                    break
    return best
