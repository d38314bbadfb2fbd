"""What a user asks of a run while it is active."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from socm.engine.state import CampaignState

POLL_INTERVAL = 1.0
"""The most seconds between two polls of the user's requests."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Requests:
    """What the user asks at one moment.

    Parameters
    ----------
    stop
        Whether to end the process now, and to leave the submitted jobs as they are.
    pause
        Whether nothing more is to be submitted.
    cancel
        Names of the workflows to cancel; it changes nothing to name one again.
    """

    stop: bool = False
    pause: bool = False
    cancel: frozenset[str] = frozenset()


Poll = Callable[[CampaignState], Requests]
"""Returns the requests of the user; it is called at least once a second, with the present state."""
