"""``socm torture``: runs in random worlds full of faults, and whether any promise was broken."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from socm.cli.common import JsonOption, console, print_json
from socm.cli.simulate import usable_cores
from socm.errors import ConfigError, Problem

EXAMPLES = """
[bold]Examples[/bold]

  socm torture

  socm torture --seeds 0:100000 --processes 8

  socm torture --seeds 4711:4712
"""
MOST_STORIES = 3
"""Number of failed seeds whose stories are printed."""


def torture(
    seeds: Annotated[
        str,
        typer.Option("--seeds", metavar="A:B", help="The seeds to try, from A up to B - 1."),
    ] = "0:1000",
    processes: Annotated[
        int | None,
        typer.Option("--processes", min=1, help="Number of processes (default: one per core)."),
    ] = None,
    shrink: Annotated[
        bool,
        typer.Option(
            "--shrink/--no-shrink", help="Search for the shortest story that fails as well."
        ),
    ] = True,
    json: JsonOption = False,
) -> int:
    """Test socm itself: campaigns run in random worlds full of faults, and none may go wrong.

    A seed decides a campaign, its cluster and everything that goes wrong: lost answers, failed
    nodes, killed processes, full disks. The last line says how many seeds passed and failed. Exit
    code 1 if any failed.
    """
    from socm.testing.torture import Account, shorten, tell, torture

    wanted = _range(seeds)
    out = console()
    begun, total = time.monotonic(), Account()
    status = None if json or not out.is_terminal else out.status("")
    if status is not None:
        status.start()
    for account in torture(wanted, processes or usable_cores()):
        total.add(account)
        done = total.passed + len(total.failed)
        rate = done / max(1e-3, time.monotonic() - begun)
        if status is not None:
            failed = len(total.failed)
            status.update(f"{done} of {len(wanted)} seeds, {rate:.0f} per second, {failed} failed")
    if status is not None:
        status.stop()
    if json:
        document = {
            "schema": "socm.torture/1",
            "seeds": [wanted.start, wanted.stop],
            "passed": total.passed,
            "failed": total.failed,
            "processes_started": total.lives,
            "faults": dict(sorted(total.faults.items())),
        }
        print_json(document)
        return 1 if total.failed else 0
    for seed in total.failed[:MOST_STORIES]:
        story = tell(seed)
        for line in (shorten(story) if shrink else story).lines():
            out.print(line, markup=False, highlight=False, soft_wrap=True)
        out.print(f"seed {seed} fails; `socm torture --seeds {seed}:{seed + 1}` tells it again\n")
    if rest := total.failed[MOST_STORIES:]:
        out.print(f"further seeds fail: {', '.join(map(str, rest[:20]))}")
    for fault, number in sorted(total.faults.items()):
        out.print(f"{number:10d}  {fault}", highlight=False)
    out.print(f"{total.lives:10d}  processes carried a run on", highlight=False)
    out.print(f"{total.passed} passed, {len(total.failed)} failed", highlight=False)
    return 1 if total.failed else 0


def _range(text: str) -> range:
    """Read A:B."""
    first, colon, last = text.partition(":")
    if not (colon and first.isdecimal() and last.isdecimal() and int(first) < int(last)):
        message = f"--seeds {text}: this is not a range of seeds"
        raise ConfigError(Problem(message=message, hint="write A:B, such as 0:1000"))
    return range(int(first), int(last))
