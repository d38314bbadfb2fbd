"""Splits of a group of observations: chunks of time, dealt out in turn."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from socm.workflows.observations import Observations

Indices = NDArray[np.int64]


class Rule(Protocol):
    """How a group is split."""

    chunk_nobs: int | None
    chunk_duration: int | None
    chunk_sessions: int | None
    simultaneous: str
    nsplits: int
    seed: int | None


def split(observations: Observations, rule: Rule) -> list[Indices]:
    """Split observations: chunk k goes to split k modulo `Rule.nsplits`.

    Neighbours in time go to different splits, so that what drifts is in all of them alike. With
    a seed, each round of chunks is dealt in an order by chance.

    Returns
    -------
    list
        Indices of the observations of each split, in order; those of the last may be none.
    """
    parts = chunks(observations, rule)
    order = [k % rule.nsplits for k in range(len(parts))]
    if rule.seed is not None:
        random = np.random.default_rng(rule.seed)
        rounds = -(-len(parts) // rule.nsplits)
        order = [int(k) for _ in range(rounds) for k in random.permutation(rule.nsplits)]
    splits: list[list[int]] = [[] for _ in range(rule.nsplits)]
    for part, target in zip(parts, order, strict=False):
        splits[target].extend(part.tolist())
    return [np.array(sorted(members), dtype=np.int64) for members in splits]


def chunks(observations: Observations, rule: Rule) -> list[Indices]:
    """Cut observations into chunks that are contiguous in time.

    By count the chunks are evened out, so that none is larger than it must be. Sessions are
    whole unless `Rule.simultaneous` is ``"apart"``.
    """
    if not len(observations):
        return []
    apart = rule.simultaneous == "apart"
    sessions = np.arange(len(observations)) if apart else observations.session
    _, first, session = np.unique(sessions, return_index=True, return_inverse=True)
    if rule.chunk_nobs is not None:
        count = min(-(-len(observations) // rule.chunk_nobs), len(first))
        bounds = [len(part) for part in np.array_split(first, count)]
        chunk_of = np.repeat(np.arange(count), bounds)
    elif rule.chunk_duration is not None:
        begin = observations.start[first]
        chunk_of = ((begin - begin[0]) // rule.chunk_duration).astype(np.int64)
    else:
        chunk_of = np.arange(len(first)) // (rule.chunk_sessions or 1)
    chunk = chunk_of[session]
    return [np.flatnonzero(chunk == k) for k in np.unique(chunk)]
