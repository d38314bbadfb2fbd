"""Partitions of SLURM that share nodes: which nodes of a set each of them has."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import permutations

from socm.model.partition import Partition
from socm.words import count

_MOST_ATOMS = 7
"""Of more groups of nodes than these, not all orders are tried."""

Atom = frozenset[str]
"""The names of the partitions that some nodes have in common."""


def in_sets(
    nodes_of: Mapping[Partition, Collection[str]],
) -> tuple[list[Partition], list[str]]:
    """Return partitions with the sets of their nodes, and warnings about nodes counted twice.

    The nodes of a set are numbered so that each partition has successive ones.

    Parameters
    ----------
    nodes_of
        The names of the nodes of each partition.

    Examples
    --------
    >>> cpu = Partition(name="cpu", nodes=3, cores=8, memory=1000)
    >>> quick = replace(cpu, name="quick", nodes=2)
    >>> made, _ = in_sets({cpu: ("n1", "n2", "n3"), quick: ("n3", "n4")})
    >>> [(p.name, p.nodes_of, p.first_node) for p in made]
    [('cpu', None, 0), ('quick', 'cpu', 2)]
    """
    made = {p.name: p for p in nodes_of}
    warnings: list[str] = []
    for group in _sharing(nodes_of):
        atoms = Counter(
            frozenset(p.name for p in group if node in nodes_of[p])
            for node in dict.fromkeys(node for p in group for node in nodes_of[p])
        )
        order = _order(group, atoms) if len({p.node for p in group}) == 1 else None
        if order is None:
            warnings += [_counted_twice(atom, number) for atom, number in atoms.items()]
            continue
        home = max(group, key=lambda p: p.nodes).name
        for p in group:
            before = next(k for k, atom in enumerate(order) if p.name in atom)
            made[p.name] = replace(
                p,
                nodes_of=None if p.name == home else home,
                first_node=sum(atoms[atom] for atom in order[:before]),
            )
    return [*made.values()], [warning for warning in warnings if warning]


def _sharing(nodes_of: Mapping[Partition, Collection[str]]) -> Iterator[list[Partition]]:
    """Yield the partitions that share nodes, directly or by others."""
    left = {p: {*names} for p, names in nodes_of.items()}
    while left:
        first = next(iter(left))
        group, reached = [first], left.pop(first)
        while more := [p for p, names in left.items() if names & reached]:
            for p in more:
                reached |= left.pop(p)
            group += more
        if len(group) > 1:
            yield sorted(group, key=[*nodes_of].index)


def _order(group: Sequence[Partition], atoms: Iterable[Atom]) -> Sequence[Atom] | None:
    """Return an order of groups of nodes in which each partition has successive ones."""
    by_size = sorted(group, key=lambda p: -p.nodes)
    nested = sorted(atoms, key=lambda atom: [p.name not in atom for p in by_size])
    tries = permutations(nested) if len(nested) <= _MOST_ATOMS else [tuple(nested)]
    return next((order for order in tries if _successive(group, order)), None)


def _successive(group: Iterable[Partition], order: Sequence[Atom]) -> bool:
    for p in group:
        places = [k for k, atom in enumerate(order) if p.name in atom]
        if places[-1] - places[0] + 1 > len(places):
            return False
    return True


def _counted_twice(atom: Atom, number: int) -> str:
    if len(atom) == 1:
        return ""
    verb = "is" if number == 1 else "are"
    return (
        f"{count(number, 'node')} {verb} in {' and '.join(sorted(atom))} and counted in each, so a "
        "plan may use them twice; --partition keeps only the partitions that you name"
    )
