"""What a run prints while it is active, and what a user may ask of it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, Self

from socm.engine.events import Event
from socm.engine.journal import Journal
from socm.engine.state import CampaignState, apply
from socm.report.run import beginnings, event_line
from socm.report.status import progress_line

if TYPE_CHECKING:
    from socm.engine.run import Run
    from socm.executor import Executor

GRACE = 3.0
"""Seconds after a Ctrl-C for a second one, which cancels the jobs."""
REFRESH = 0.2
"""Seconds between two updates of the line of progress."""
EVERY = 60.0
"""Seconds between two lines of progress where there is no terminal."""


class Control:
    """Takes Ctrl-C, and the wishes of ``socm cancel``; see `socm.engine.driver.Control`."""

    def __init__(self, run: Run) -> None:
        self.interrupts = 0
        self.listener: Callable[[str | None], None] = lambda message: None
        self._wishes = wishes_folder(run.path)
        self._names = [w.name for w in run.plan.workflows]
        self._name = run.name
        self._leave_at = float("inf")
        self._told = 0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            self._before[number] = signal.signal(number, self._interrupted)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _interrupted(self, number: int, frame: FrameType | None) -> None:
        self.interrupts += 1
        patience = GRACE if number == signal.SIGINT else 0.0
        self._leave_at = time.monotonic() + patience if self.interrupts == 1 else float("inf")

    def stopped(self) -> bool:
        """Whether to end now: a while after the first Ctrl-C, if there is no second."""
        if self.interrupts == 1 and self._told == 0:
            self._told = 1
            self.listener(
                "interrupted: nothing more is submitted, jobs run on; "
                f"`socm resume {self._name}` goes on; once more Ctrl-C now cancels them"
            )
        return self.interrupts == 1 and time.monotonic() >= self._leave_at

    def paused(self) -> bool:
        """Whether nothing more is to be submitted."""
        return self.interrupts > 0

    def cancelled(self) -> Collection[str]:
        """Names of the workflows that are to be cancelled, each told once."""
        self.listener(None)
        if self.interrupts > 1 and self._told < 2:
            self._told = 2
            self.listener("interrupted again: all jobs of this run are cancelled")
            return self._names
        return [name for wish in self._taken() for name in wish or self._names]

    def _taken(self) -> Sequence[Sequence[str]]:
        wishes = []
        with contextlib.suppress(OSError):
            for path in sorted(self._wishes.glob("*.json")):
                with contextlib.suppress(ValueError):
                    wishes.append(json.loads(path.read_text()))
                path.unlink()
        return wishes


def wishes_folder(run: Path) -> Path:
    """Return where wishes for a run that goes on are put."""
    return run / "wishes"


def wish_for(run: Path, names: Sequence[str]) -> None:
    """Ask whoever carries a run out to cancel workflows; all of them if none is named."""
    folder = wishes_folder(run)
    folder.mkdir(exist_ok=True)
    path = folder / f"{time.time_ns()}-{os.getpid()}.json"
    path.with_suffix(".new").write_text(json.dumps(list(names)))
    path.with_suffix(".new").rename(path)


class Reporter:
    """A journal that also prints progress, on the terminal and in the run's log.

    Parameters
    ----------
    journal
        Where events are kept; they are printed once they are safe.
    events
        What has happened before.
    quiet
        Whether to print nothing on the terminal.
    """

    def __init__(
        self,
        run: Run,
        executor: Executor,
        journal: Journal,
        events: Sequence[Event],
        *,
        quiet: bool,
    ) -> None:
        from socm.report.terminal import Terminal

        self._plan, self._executor, self._journal = run.plan, executor, journal
        self._state = CampaignState.of(run.plan, events)
        self._epoch = run.epoch
        self._folder = run.path
        self._log_path = run.path / "log.txt"
        self._console = Terminal(quiet=quiet)
        self._status = self._console.status("") if self._console.is_terminal else None
        self._next_line = time.monotonic() + EVERY
        self._outage: str | None = None
        self._next_refresh = 0.0

    def __enter__(self) -> Self:
        self._log = open(self._log_path, "a", encoding="utf-8")
        if self._state.started is None:
            for line in beginnings(self._plan, str(self._folder)):
                self._say(line, time.time())
        if self._status is not None:
            self._status.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._status is not None:
            self._status.stop()
        self._log.close()

    def write(self, event: Event) -> None:
        """Keep an event, then print it."""
        self._journal.write(event)
        apply(self._state, event)
        line = event_line(event, self._plan, self._state)
        if line:
            self._say(line, self._epoch + event.time)
        self.refresh(None)

    def refresh(self, message: str | None) -> None:
        """Print a message, whether the cluster answers, and the progress of the run."""
        if message:
            self._say(message, time.time())
        if (outage := self._executor.outage) != self._outage:
            self._outage = outage
            line = f"the cluster is not answering ({outage}); jobs keep running, retrying"
            self._say(line if outage else "the cluster answers again", time.time())
        if time.monotonic() < self._next_refresh:
            return
        self._next_refresh = time.monotonic() + REFRESH
        now = self._executor.now()
        line = progress_line(self._plan, self._state, now)
        if self._status is not None:
            waits = [f"{n} waits: {why}" for n, why in self._executor.waiting().items() if why]
            self._status.update("; ".join([line, *waits[:1]]))
        elif time.monotonic() >= self._next_line:
            self._next_line = time.monotonic() + EVERY
            self._say(line, time.time())

    def _say(self, line: str, moment: float) -> None:
        text = f"{datetime.fromtimestamp(moment).astimezone():%H:%M:%S}  {line}"
        self._console.print(text, soft_wrap=True)
        with contextlib.suppress(OSError):  # the journal reports a full disk
            self._log.write(text + "\n")
            self._log.flush()
