"""What has happened in a run so far: the events of its journal, held against its plan."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from socm.engine.events import Ended, Event, Replanned, Retrying
from socm.engine.journal import JournalReader
from socm.engine.state import CampaignState, apply
from socm.errors import RunError
from socm.model.plan import Plan

LONGEST = 1e11
"""Seconds, three thousand years: no event is further from the start of its campaign."""
MOST_ATTEMPTS = 1_000_000
LARGEST = 10**12


class History:
    """The history of a run, which is read on as its journal grows.

    Parameters
    ----------
    plan
        Returns the plan by which the run is carried out now: an edit may replace it.
    journal
        Path of the journal.
    """

    def __init__(self, plan: Callable[[], Plan], journal: Path) -> None:
        self._plan_now = plan
        self._path = journal
        self._begin()

    def _begin(self) -> None:
        self._plan = self._plan_now()
        qos = (*(w.qos for w in self._plan.workflows), *(q.name for q in self._plan.cluster.qos))
        self._qos = {None, *qos}
        self._names = {None, *(w.name for w in self._plan.workflows)}
        self._reader = JournalReader(self._path)
        self._state: CampaignState | None = None
        self._edited = False

    def state(self) -> CampaignState:
        """Return the state that all events up to now amount to.

        Raises
        ------
        RunError
            If the journal cannot be read, or tells of something that this plan does not have.
        """
        first = self._reader.lines + 1
        events = self._reader.read()
        if any(isinstance(event, Replanned) for event in events):
            if self._state is not None:
                self._begin()
                return self.state()
            self._edited = True
        for number, event in enumerate(events, first):
            name = getattr(event, "workflow", None)
            if not self._edited and name not in self._names:
                raise self._wrong(number, f"the plan has no workflow {str(name)[:60]!r}")
            if not self._can_be(event):
                raise self._wrong(number, f"no run has such an event: {str(event)[:200]}")
        if self._state is None:
            self._state = CampaignState.of(self._plan, events)
            return self._state
        for event in events:
            if getattr(event, "workflow", None) in self._names:
                apply(self._state, event)
        return self._state

    def _can_be(self, event: Event) -> bool:
        if not 1 <= getattr(event, "attempt", 1) <= MOST_ATTEMPTS or abs(event.time) > LONGEST:
            return False
        match event:
            case Ended():
                return all(abs(x or 0) <= LARGEST for x in (event.exit_code, event.peak_memory))
            case Retrying():
                amounts = 1 <= event.walltime <= LONGEST and 0 <= event.memory <= LARGEST
                return amounts and (self._edited or event.qos in self._qos)
        return True

    def _wrong(self, number: int, why: str) -> RunError:
        return RunError(
            f"{self._path}:{number}: {why}",
            hint="plan and journal do not belong together: put back a copy of the one that was "
            "changed, or begin a new run",
        )
