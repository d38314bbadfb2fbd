"""What a run prints while it is active."""

from __future__ import annotations

import contextlib
import os
import time
from datetime import datetime
from typing import TYPE_CHECKING, Self

from socm.engine.events import CampaignStarted, Event
from socm.engine.state import CampaignState
from socm.report.run import beginnings, event_line, outage_line
from socm.report.status import progress_line
from socm.report.terminal import Terminal, printable

if TYPE_CHECKING:
    from socm.engine.run import Run
    from socm.executor import Executor

REFRESH = 0.2
"""Seconds between two updates of the line of progress."""
EVERY = 60.0
"""Seconds between two lines of progress where there is no terminal."""


class Reporter:
    """Prints what happens in a run and its progress, on the terminal and in the run's log.

    See `socm.engine.reporter.Reporter`.

    Parameters
    ----------
    quiet
        Whether to print nothing on the terminal.
    """

    def __init__(self, run: Run, executor: Executor, *, quiet: bool) -> None:
        self._run, self._executor = run, executor
        self._console = Terminal(quiet=quiet)
        self._status = self._console.status("") if self._console.is_terminal else None
        self._next_line = time.monotonic() + EVERY
        self._outage: str | None = None
        self._next_refresh = 0.0

    def __enter__(self) -> Self:
        try:
            self._log = open(self._run.path / "log.txt", "a", encoding="utf-8")
        except OSError:
            self._log = open(os.devnull, "a", encoding="utf-8")
        if self._status is not None:
            self._status.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._status is not None:
            self._status.stop()
        with contextlib.suppress(OSError):
            self._log.close()

    def report(self, event: Event, state: CampaignState) -> None:
        """Print an event."""
        moment = self._run.epoch + event.time
        if isinstance(event, CampaignStarted):
            for line in beginnings(self._run.plan, str(self._run.path)):
                self._print(line, moment)
        if line_of := event_line(event, self._run.plan, state):
            self._print(line_of, moment)
        self.refresh(state)

    def refresh(self, state: CampaignState) -> None:
        """Print whether the cluster answers, and the progress of the run."""
        if (outage := self._executor.outage) != self._outage:
            self._outage = outage
            self.say(outage_line(outage, self._run.settings.executor))
        if time.monotonic() < self._next_refresh:
            return
        self._next_refresh = time.monotonic() + REFRESH
        line = progress_line(self._run.plan, state, self._executor.now())
        if self._status is not None:
            waits = [f"{n} waits: {why}" for n, why in self._executor.waiting().items() if why]
            self._status.update("; ".join([line, *waits[:1]]))
        elif time.monotonic() >= self._next_line:
            self._next_line = time.monotonic() + EVERY
            self.say(line)

    def say(self, line: str) -> None:
        """Print a line of the present moment."""
        self._print(line, time.time())

    def _print(self, line: str, moment: float) -> None:
        text = f"{datetime.fromtimestamp(moment).astimezone():%H:%M:%S}  {line}"
        self._console.print(text, soft_wrap=True)
        with contextlib.suppress(OSError):  # the journal reports a full disk
            self._log.write(printable(text) + "\n")
            self._log.flush()
