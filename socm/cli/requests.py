"""What a user asks of a run that is active: by Ctrl-C, or by ``socm cancel`` in another process."""

from __future__ import annotations

import contextlib
import json
import math
import signal
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from secrets import token_hex
from types import FrameType
from typing import TYPE_CHECKING, Any, Self

from socm.engine.life import SIGN
from socm.engine.requests import Requests
from socm.files import read_whole, write_whole

if TYPE_CHECKING:
    from socm.engine.run import Run
    from socm.engine.state import CampaignState

GRACE = 3.0
"""Seconds after a Ctrl-C in which a second one cancels the jobs."""


class UserRequests:
    """Collects the requests of the user while a run is active; the driver polls it.

    As it is polled all the time, it shows the signs of life, too.

    Parameters
    ----------
    run
        The run.
    life
        Which of its lives this process is: requests for another one are removed.
    say
        Prints a line to the user.
    """

    def __init__(self, run: Run, life: str, say: Callable[[str], None]) -> None:
        self.interrupts = 0
        self._run = run
        self._life = life
        self._say = say
        self._answered = 0  # interrupts
        self._hung_up = False
        self._stop_at = math.inf
        self._next_sign = 0.0
        self._cancel: frozenset[str] = frozenset()
        self._taken: list[Path] = []
        self._handlers: dict[int, Any] = {}

    def __enter__(self) -> Self:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._handlers[number] = signal.signal(number, self._interrupt)
        self._handlers[signal.SIGHUP] = signal.signal(signal.SIGHUP, self._hang_up)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        self.interrupts += 1
        grace = GRACE if number == signal.SIGINT else 0.0
        self._stop_at = time.monotonic() + grace if self.interrupts == 1 else math.inf

    def _hang_up(self, number: int, frame: FrameType | None) -> None:
        self._hung_up = True

    def __call__(self, state: CampaignState) -> Requests:
        """Return what the user asks now."""
        if self._hung_up:
            self._hung_up = False
            self._say(
                f"the terminal is gone: the run goes on; `socm cancel {self._run.name}` ends it"
            )
        if self.interrupts and not self._answered:
            self._say(
                "interrupted: nothing more is submitted, jobs keep running; "
                f"`socm resume {self._run.name}` continues; Ctrl-C again now cancels them"
            )
        if self.interrupts > 1 and self._answered < 2:
            self._say("interrupted again: all jobs of this run are cancelled")
            self._cancel = frozenset(state.workflows)
        self._answered = self.interrupts
        if time.monotonic() > self._next_sign:
            self._next_sign = time.monotonic() + SIGN
            self._run.show_sign()
        self._cancel |= self._take_requests() & state.workflows.keys()
        return Requests(
            stop=time.monotonic() >= self._stop_at,
            pause=self.interrupts > 0,
            cancel=self._cancel,
        )

    def _take_requests(self) -> frozenset[str]:
        """Return the names in the requests for this life of the run, and remove the others.

        A request is removed at the next call: by then the driver has it in the journal.
        """
        for path in self._taken:
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
        self._taken = [*_folder(self._run.path).glob("*.json")]
        names: set[str] = set()
        for path in self._taken:
            with contextlib.suppress(OSError, ValueError, LookupError, TypeError, RecursionError):
                request = json.loads(read_whole(path, most=1))
                if request["life"] == self._life:
                    names |= {*map(str, request["cancel"])}
        return frozenset(names)


def request_cancellation(run: Path, life: str, names: Iterable[str]) -> None:
    """Ask the process that is one life of a run to cancel workflows.

    Raises
    ------
    OSError
        If the request cannot be written.
    """
    folder = _folder(run)
    folder.mkdir(exist_ok=True)
    request = {"life": life, "cancel": [*names]}
    write_whole(folder / f"{token_hex(8)}.json", json.dumps(request))


def _folder(run: Path) -> Path:
    return run / "requests"
