"""Prints tables: aligned, or as Markdown if the variable BENCH_TABLES is ``markdown``."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import NamedTuple

MARKDOWN = "BENCH_TABLES"


class Figure(NamedTuple):
    """A line of the summary."""

    what: str
    ours: str
    other: str = ""  # the same of a peer, or of one pass of HEFT
    target: str = ""
    met: bool | None = None  # unknown if there is no target, or nothing to compare with

    @property
    def verdict(self) -> str:
        """In a word whether the target is met."""
        return "" if self.met is None else "yes" if self.met else "NO"


def show(title: str, header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table: the first column to the left, the rest to the right."""
    cells = [list(header), *([_text(cell) for cell in row] for row in rows)]
    lines = _markdown(cells) if os.environ.get(MARKDOWN) == "markdown" else _aligned(cells)
    print("", title, *lines, sep="\n", flush=True)


def summarize(figures: Sequence[Figure]) -> None:
    """Print all figures in one table."""
    if not figures:
        return
    rows = [(*figure[:-1], figure.verdict) for figure in figures]
    show("Summary", ("figure", "ours", "peer or HEFT", "target", "met"), rows)


def _aligned(cells: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[k]) for row in cells) for k in range(len(cells[0]))]
    return [
        "  ".join(
            f"{cell:{'<' if k == 0 else '>'}{widths[k]}}" for k, cell in enumerate(row)
        ).rstrip()
        for row in cells
    ]


def _markdown(cells: Sequence[Sequence[str]]) -> list[str]:
    rule = ["---"] + ["--:"] * (len(cells[0]) - 1)
    # The empty line ends the title's paragraph.
    return ["", *("| " + " | ".join(row) + " |" for row in (cells[0], rule, *cells[1:]))]


def _text(cell: object) -> str:
    return f"{cell:.3f}" if isinstance(cell, float) else str(cell)
