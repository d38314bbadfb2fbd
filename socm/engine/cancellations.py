"""What the user wants to end, until the backend has accepted it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator

from socm.engine.backend import Backend
from socm.engine.events import Cancelled, CancelRequested, Event
from socm.engine.state import CampaignState, Status
from socm.errors import BackendUnavailable

AGAIN_AFTER = 10.0
"""Seconds before a cancellation that had no answer is asked for again."""


class Cancellations:
    """The workflows whose end was asked for and is not on its way.

    Parameters
    ----------
    backend
        Where their jobs are.
    state
        Where the campaign stands; changed only by what is recorded.
    record
        Writes an event and applies it to the state.
    """

    def __init__(
        self, backend: Backend, state: CampaignState, record: Callable[[Event], None]
    ) -> None:
        self._backend = backend
        self._state = state
        self._record = record
        self._names: set[str] = set()

    @property
    def next_time(self) -> float:
        """When to ask again; infinite if there is nothing to ask for."""
        return self._backend.now() + AGAIN_AFTER if self._names else math.inf

    def resume(self) -> None:
        """Go on with what was asked of an earlier process."""
        self._names = {n for n, p in self._state.workflows.items() if p.cancelling}

    def request(self, names: Iterable[str]) -> None:
        """Record what the user wants to end, before anything is done about it."""
        for name in sorted({*names} & self._state.workflows.keys()):  # an edit takes some out
            progress = self._state.workflows[name]
            if not progress.status.final and not progress.cancelling:
                self._record(CancelRequested(time=self._backend.now(), workflow=name))
                self._names.add(name)

    def carry_out(self) -> Iterator[str]:
        """Cancel what is to end; jobs that could not be cancelled are tried again later.

        Yields
        ------
        str
            A workflow without a job, which is over by this.
        """
        answered = True
        for name in sorted(self._names):
            progress = self._state.workflows[name]
            if progress.status is Status.SUBMITTING:
                continue  # whether there is a job is not known yet
            if progress.status is Status.PENDING:
                self._record(Cancelled(time=self._backend.now(), workflow=name, reason="cancelled"))
                yield name
            elif progress.native_id is not None and not progress.status.final:
                if not answered:
                    continue
                try:
                    self._backend.cancel(progress.native_id)
                except BackendUnavailable:
                    answered = False
                    continue
            self._names.discard(name)
