"""The command line: the only place where planner, engine and emulator meet."""

from __future__ import annotations

import sys

from socm.cli.interrupts import INTERRUPTED, Interrupts
from socm.cli.streams import open_all
from socm.threads import do_without


def main() -> None:
    """Run the command line, and end this process with its exit code.

    Whenever an interrupt comes, the process ends with code 130.
    """
    do_without()
    open_all()
    interrupts = Interrupts()
    code = INTERRUPTED
    try:
        try:
            # Imports take a while, and may be interrupted like anything else.
            from socm.cli.app import command_line

            code = command_line(sys.argv[1:])
        finally:
            interrupts.over()
    except KeyboardInterrupt:
        interrupts.over()
    if interrupts.noted:
        code = INTERRUPTED
    if code == INTERRUPTED:
        interrupts.say()
    sys.exit(code)
