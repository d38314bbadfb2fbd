"""Files with mistakes, of every kind that socm reads, are read or refused in words."""

from __future__ import annotations

from random import Random

import pytest

from benchmarks.fuzz.answers import answer
from benchmarks.fuzz.kinds import KINDS


@pytest.mark.parametrize("kind", KINDS)
def test_files_with_mistakes_are_answered(kind: str) -> None:
    """As many more as one likes: make fuzz."""
    answers = {answer(KINDS[kind], Random(f"test {kind} {number}"))[0] for number in range(60)}
    assert answers == {"read", "refused"}
