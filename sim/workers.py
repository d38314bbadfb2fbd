"""Work that is spread over several processes."""

from __future__ import annotations

import multiprocessing
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

T = TypeVar("T")
R = TypeVar("R")

AHEAD = 8
"""Number of tasks that are sent ahead to each process."""


def spread(
    work: Callable[[T], R],
    tasks: Iterable[T],
    processes: int,
    *,
    prepare: Callable[..., None] | None = None,
    arguments: tuple[Any, ...] = (),
) -> Iterator[R]:
    """Do tasks in other processes; yield the results in the order of the tasks.

    Parameters
    ----------
    work
        Does one task.
    prepare, arguments
        Called in each process before its first task.
    """
    pool = ProcessPoolExecutor(
        processes,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=prepare,
        initargs=arguments,
    )
    # The number of tasks sent ahead is bounded, so that a Ctrl-C ends the processes soon.
    sent: deque[Future[R]] = deque()
    try:
        for task in tasks:
            with _without_interrupts():
                sent.append(pool.submit(work, task))
            if len(sent) > AHEAD * processes:
                yield sent.popleft().result()
        while sent:
            yield sent.popleft().result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


@contextmanager
def _without_interrupts() -> Iterator[None]:
    """Delay SIGINT; processes that are started meanwhile never receive it."""
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
