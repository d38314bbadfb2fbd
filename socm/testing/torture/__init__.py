"""Simulation testing of the engine: runs in worlds in which a seed decides what goes wrong.

The driver has no threads and never reads a clock, so a seed decides everything: the campaign, the
cluster, every fault and every kill. The world keeps a ledger of what truly happened, and holds the
run to what socm promises: nothing lost, nothing twice, nothing said that is not so. What a world
may do is what the contract of `socm.engine.backend.Backend` allows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from sim.workers import spread
from socm.testing.torture.choices import Choices, shortest
from socm.testing.torture.process import Process
from socm.testing.torture.story import Story, shorten, tell
from socm.testing.torture.world import World

__all__ = [
    "Account",
    "Choices",
    "Process",
    "Story",
    "World",
    "shorten",
    "shortest",
    "tell",
    "torture",
]

CHUNK = 100
"""Number of seeds that a process is given at once."""


@dataclass
class Account:
    """What came of some seeds.

    Parameters
    ----------
    passed
        Number of stories in which every promise was kept.
    failed
        The seeds of the others.
    lives
        Number of processes that carried a run on.
    faults
        How often each fault happened.
    """

    passed: int = 0
    failed: list[int] = field(default_factory=list)
    lives: int = 0
    faults: Counter[str] = field(default_factory=Counter)

    def add(self, other: Account) -> None:
        """Add what came of other seeds."""
        self.passed += other.passed
        self.failed += other.failed
        self.lives += other.lives
        self.faults += other.faults


def torture(seeds: range, processes: int = 1) -> Iterator[Account]:
    """Tell the stories of some seeds; yield what came of each hundred.

    Parameters
    ----------
    processes
        Number of processes to use. With more than one, a script needs the usual
        ``if __name__ == "__main__"``.

    Examples
    --------
    >>> [account] = torture(range(3))
    >>> account.passed, account.failed
    (3, [])
    """
    chunks = [seeds[k : k + CHUNK] for k in range(0, len(seeds), CHUNK)]
    if processes == 1 or len(chunks) == 1:
        yield from map(_account, chunks)
    else:
        yield from spread(_account, chunks, processes)


def _account(seeds: range) -> Account:
    account = Account()
    for seed in seeds:
        story = tell(seed)
        account.lives += story.lives
        account.faults += story.faults
        if story.broken:
            account.failed.append(seed)
        else:
            account.passed += 1
    return account
