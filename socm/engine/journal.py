"""Where events are kept, in the order in which they happened."""

from __future__ import annotations

from typing import Protocol

from socm.engine.events import Event


class Journal(Protocol):
    """Takes events; one is safe once `write` has returned."""

    def write(self, event: Event) -> None:
        """Keep an event."""
        ...


class MemoryJournal:
    """A journal that lives as long as its process: for simulations.

    Examples
    --------
    >>> from socm.engine.events import CampaignEnded
    >>> journal = MemoryJournal()
    >>> journal.write(CampaignEnded(time=3600.0))
    >>> journal.events
    [CampaignEnded(time=3600.0)]
    """

    def __init__(self) -> None:
        self.events: list[Event] = []

    def write(self, event: Event) -> None:
        """Keep an event."""
        self.events.append(event)
