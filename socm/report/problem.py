"""Errors as people read them, on standard error, and as JSON."""

from __future__ import annotations

import re
from typing import Any

from rich.console import Console
from rich.text import Text

from socm.errors import MOST_TOLD, ConfigError, Infeasible, InvalidPlan, Problem, SocmError
from socm.report.terminal import Terminal, printable
from socm.words import count

MOST_REASONS = 40
"""More reasons than this are counted, not printed."""
WIDEST_LINE = 160
"""A longer line of a file is not shown."""
_TOKEN = re.compile(r'"[^"]*"|\'[^\']*\'|[^\s,:=\[\]{}]+|.')


def print_error(error: SocmError) -> None:
    """Print an error to standard error: what is wrong, and what would be right."""
    console = Terminal(stderr=True)
    if isinstance(error, ConfigError):
        for problem in error.problems[:MOST_TOLD]:
            console.print(problem_text(problem))
        if more := error.problems[MOST_TOLD:]:
            console.print(Text(f"and {count(len(more), 'more', 'more')}", style="dim"))
        if len(error.problems) > 1:
            console.print(Text(count(len(error.problems), "problem"), style="bold red"))
        return
    if isinstance(error, InvalidPlan):
        console.print(Text.assemble(("error: ", "bold red"), "the plan is not valid"))
        _print_reasons(console, error.violations)
        return
    console.print(Text.assemble(("error: ", "bold red"), error.message))
    if isinstance(error, Infeasible):
        _print_reasons(console, error.reasons)
        for remedy in error.remedies:
            console.print(Text.assemble(("  would fit: ", "cyan"), remedy))
    if error.hint:
        console.print(Text.assemble(("  hint: ", "cyan"), error.hint))


def _print_reasons(console: Console, reasons: tuple[str, ...]) -> None:
    for reason in reasons[:MOST_REASONS]:
        console.print(Text(f"  {reason}"))
    if len(reasons) > MOST_REASONS:
        console.print(Text(f"  and {len(reasons) - MOST_REASONS} more", style="dim"))


def problem_text(problem: Problem) -> Text:
    """Write a problem: where and what, the line itself with a caret, and what would be right.

    Examples
    --------
    >>> print(problem_text(Problem(
    ...     message="unknown key 'wafr'", file="c.toml", line=3, column=1,
    ...     text="wafr = 'ws0'", hint="did you mean 'wafers'?",
    ... )))
    c.toml:3:1: error: unknown key 'wafr'
      3 | wafr = 'ws0'
        | ^^^^
      hint: did you mean 'wafers'?
    """
    place = ":".join(str(x) for x in (problem.file, problem.line, problem.column) if x is not None)
    text = Text()
    text.append(f"{place}: " if place else "", style="bold")
    text.append("error: ", style="bold red")
    text.append(printable(problem.message))
    if problem.text is not None and problem.line is not None and len(problem.text) <= WIDEST_LINE:
        margin = " " * len(str(problem.line))
        line = problem.text.rstrip().replace("\t", " ")
        column = min((problem.column or 1) - 1, len(line))
        before, line = printable(line[:column]), printable(line[column:])
        text.append(f"\n  {problem.line} | ", style="dim")
        text.append(before + line)
        text.append(f"\n  {margin} | ", style="dim")
        token = _TOKEN.match(line)
        text.append(" " * len(before) + "^" * (len(token[0]) if token else 1), style="bold red")
    if problem.hint:
        text.append("\n  hint: ", style="cyan")
        text.append(printable(problem.hint))
    return text


def error_document(error: SocmError) -> dict[str, Any]:
    """Return an error as the JSON document ``socm.error/1``."""
    problems = error.problems if isinstance(error, ConfigError) else ()
    reasons = (
        error.reasons
        if isinstance(error, Infeasible)
        else error.violations
        if isinstance(error, InvalidPlan)
        else ()
    )
    return {
        "schema": "socm.error/1",
        "errors": [
            {
                "file": p.file,
                "line": p.line,
                "column": p.column,
                "message": p.message,
                "hint": p.hint,
                "text": p.text,
            }
            for p in problems or (Problem(message=error.message, hint=error.hint),)
        ],
        "reasons": list(reasons),
        "remedies": list(error.remedies) if isinstance(error, Infeasible) else [],
    }
