"""Which workflows may be submitted by now: who waits for whom, hand-over, and times."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from heapq import heapify, heappop, heappush

from socm.engine.release import Gate
from socm.model.plan import Plan


class Gates:
    """The gates of a plan, and which of them are open.

    A workflow arrives at its gate when its dependencies have completed. The gate is open when those
    are over whose nodes or limits the workflow takes over, or when it is due. Which workflows are
    pending is not known here: one that was submitted meanwhile may be ready once more.

    Parameters
    ----------
    plan
        Whose workflows wait.
    gates
        By workflow, as the release rule makes them.
    """

    def __init__(self, plan: Plan, gates: Mapping[str, Gate]) -> None:
        self._names = [w.name for w in plan.workflows]
        self.position = {name: k for k, name in enumerate(self._names)}
        """Position in the plan; the smaller is submitted first."""
        self.gates = gates
        self._children = plan.campaign.children
        workflows = plan.campaign.workflows
        self.parents = {name: set(workflows[name].depends) for name in self._names}
        """The dependencies that have not completed."""
        self.before = {name: set(gates[name].after) for name in self._names}
        """The workflows that must be over before the hand-over, and are not."""
        self._successors: dict[str, list[str]] = {name: [] for name in self._names}
        for name, before in self.before.items():
            for other in before:
                self._successors[other].append(name)
        self._timers: list[tuple[float, int]] = []  # when a gate opens, and whose
        self._ready: list[int] = []  # positions

    def start(self, now: float) -> None:
        """Let those arrive that depend on none, or on none that has not completed."""
        for name in self._names:
            if not self.parents[name]:
                self._arrive(name, now)

    def complete(self, name: str, now: float) -> None:
        """Count a workflow as completed."""
        for child in self._children[name]:
            self.parents[child].discard(name)
            if not self.parents[child]:
                self._arrive(child, now)
        self.end(name, now)

    def end(self, name: str, now: float) -> None:
        """Count a workflow as over, whether it has completed or not."""
        for other in self._successors[name]:
            self.before[other].discard(name)
            if not self.before[other] and not self.parents[other]:
                self._arrive(other, now)

    def skip(self, name: str, now: float) -> None:
        """Count a workflow as skipped: who waits for it waits for those that it waited for."""
        for other in self._successors[name]:
            self.before[other] |= self.before[name]
            for earlier in self.before[name]:
                self._successors[earlier].append(other)
        self.end(name, now)

    def _arrive(self, name: str, now: float) -> None:
        gate = self.gates[name]
        opens = gate.not_before if not self.before[name] else max(gate.due, gate.not_before)
        if opens <= now:
            self.open(name)
        elif opens < math.inf:
            self.open_at(opens, name)

    def open(self, name: str) -> None:
        """Open the gate of a workflow."""
        heappush(self._ready, self.position[name])

    def open_at(self, time: float, name: str) -> None:
        """Open the gate of a workflow when a time has come."""
        heappush(self._timers, (time, self.position[name]))

    @property
    def next_time(self) -> float:
        """When the next gate opens by time; infinite if none does."""
        return self._timers[0][0] if self._timers else math.inf

    def advance(self, now: float) -> None:
        """Open the gates whose time has come."""
        while self._timers and self._timers[0][0] <= now:
            heappush(self._ready, heappop(self._timers)[1])

    def ready(self) -> str | None:
        """Return the first workflow, in the order of the plan, whose gate is open."""
        return self._names[self._ready[0]] if self._ready else None

    def pop(self) -> None:
        """Remove that workflow from those that are ready."""
        heappop(self._ready)

    def put_back(self, names: Iterable[str]) -> None:
        """Make workflows ready again that were removed."""
        self._ready += [self.position[name] for name in names]
        heapify(self._ready)
