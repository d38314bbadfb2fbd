"""Errors for people, on standard error."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from socm.errors import ConfigError, Infeasible, SocmError

MOST_REASONS = 40
"""More reasons than this nobody reads; the rest is counted."""


def print_error(error: SocmError) -> None:
    """Print an error to standard error: what is wrong, what would be right."""
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    if isinstance(error, ConfigError):
        for problem in error.problems:
            place = ":".join(
                str(x) for x in (problem.file, problem.line, problem.column) if x is not None
            )
            line = Text()
            line.append(f"{place}: " if place else "", style="bold")
            line.append("error: ", style="bold red")
            line.append(problem.message)
            console.print(line)
            _hint(console, problem.hint)
        if len(error.problems) > 1:
            console.print(Text(f"{len(error.problems)} problems", style="dim"))
        return
    console.print(Text.assemble(("error: ", "bold red"), error.message))
    if isinstance(error, Infeasible):
        for reason in error.reasons[:MOST_REASONS]:
            console.print(Text(f"  {reason}"))
        if len(error.reasons) > MOST_REASONS:
            console.print(Text(f"  and {len(error.reasons) - MOST_REASONS} more", style="dim"))
    _hint(console, error.hint)


def _hint(console: Console, hint: str | None) -> None:
    if hint:
        console.print(Text.assemble(("  hint: ", "cyan"), hint))
