"""An interrupt (Ctrl-C) that cannot be lost.

Python raises `KeyboardInterrupt` wherever the program happens to be, and some of these places
swallow it: the callback of a weak reference (imports have them), ``__del__``, a library's
``except BaseException``, a function that runs at exit. The program would then go on to its end.
And where the main thread is just about to wait for a lock, or another thread receives the signal,
it is not raised before the wait is over. So an interrupt is noted, the main thread is woken up, and
the interrupt is raised again until it has left the program.

This is imported before anything else, so it imports next to nothing.
"""

from __future__ import annotations

import _thread
import os
import signal
import sys
import time
from contextlib import suppress

INTERRUPTED = 130
"""Exit code of a program that was interrupted."""
AGAIN = 0.05
"""Seconds after which an interrupt is raised again."""


class Interrupts:
    """Notes interrupts, for the rest of this process.

    A process that ignores interrupts, such as a job in the background of a script, still does.

    Attributes
    ----------
    noted
        Whether there was an interrupt.
    """

    def __init__(self) -> None:
        self.noted = False
        self._over = self._said = False
        if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
            return
        signal.signal(signal.SIGALRM, self._again)
        signal.signal(signal.SIGINT, self._interrupt)
        heard, told = os.pipe()
        os.set_blocking(told, False)
        signal.set_wakeup_fd(told, warn_on_full_buffer=False)
        with suppress(RuntimeError):  # no thread can be started: it is raised only once
            _thread.start_new_thread(self._insist, (heard, _thread.get_ident()))
        # What is swallowed is raised again: there is nothing to report.
        report = sys.unraisablehook
        sys.unraisablehook = lambda lost: (
            None if issubclass(lost.exc_type, KeyboardInterrupt) else report(lost)
        )

    def over(self) -> None:
        """Raise nothing from now on: an interrupt ends the process at once.

        Call it when the work is done and the output is written. What runs afterwards, at exit,
        swallows exceptions.
        """
        self._over = True

    def say(self) -> None:
        """Say once that this was an interrupt."""
        if not self._said:
            self._said = True
            with suppress(OSError):
                os.write(2, b"interrupted\n")

    def _interrupt(self, number: int, frame: object) -> None:
        if self._over:
            self._leave()
        self.noted = True
        raise KeyboardInterrupt

    def _insist(self, heard: int, main: int) -> None:
        """Wait for an interrupt, in a thread; from then on wake the main thread up."""
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        while os.read(heard, 1)[0] != signal.SIGINT:
            pass
        while True:
            signal.pthread_kill(main, signal.SIGALRM)
            time.sleep(AGAIN)

    def _again(self, number: int, frame: object) -> None:
        if self.noted and not self._over and not _on_its_way():
            raise KeyboardInterrupt

    def _leave(self) -> None:
        self.say()
        # Processes of a pool wait for work, and never learn that nobody is left to send it.
        if pools := sys.modules.get("multiprocessing"):
            for child in pools.active_children():
                child.kill()
        os._exit(INTERRUPTED)


def _on_its_way() -> bool:
    """Whether what runs now cleans up after an interrupt."""
    error = sys.exception()
    while error is not None:
        if isinstance(error, KeyboardInterrupt):
            return True
        error = error.__context__
    return False
