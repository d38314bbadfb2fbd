"""Who tells the user of a run what happens in it."""

from __future__ import annotations

from typing import Protocol

from socm.engine.events import Event
from socm.engine.state import CampaignState


class Reporter(Protocol):
    """Reports the events of a run and its progress; it never changes the state."""

    def report(self, event: Event, state: CampaignState) -> None:
        """Report an event that is in the journal and in the state."""
        ...

    def refresh(self, state: CampaignState) -> None:
        """Show the progress; called at least once a second while there is something to wait for."""
        ...
