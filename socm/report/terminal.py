"""Text for a terminal: shown, never obeyed."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

_OBEYED = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # controls, but for tab and line feed
    "\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069"  # what turns the direction, or ends a line
    "\ud800-\udfff\ufffe\uffff]"  # what no file can hold
)


def printable(text: str) -> str:
    r"""Return text without characters that a terminal or a browser obeys; they are spelled out.

    Examples
    --------
    >>> print(printable("\x1b[31mred \u202e and a line\r"))
    \x1b[31mred \u202e and a line\x0d
    """
    return _OBEYED.sub(_spelled, text)


def _spelled(sign: re.Match[str]) -> str:
    code = ord(sign[0])
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"


class Terminal(Console):
    """Standard output or standard error: text of files is printable, and never read as markup.

    Parameters
    ----------
    stderr
        Whether it is standard error.
    quiet
        Whether to print nothing.
    """

    def __init__(self, *, stderr: bool = False, quiet: bool = False) -> None:
        super().__init__(
            stderr=stderr, quiet=quiet, highlight=False, markup=False, emoji=False, soft_wrap=stderr
        )

    def render_str(self, text: str, **how: Any) -> Text:
        """Read a text that is to be printed; what it takes to show it counts as its width."""
        return super().render_str(printable(text), **how)

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """Render what is printed; only what rich itself adds is obeyed."""
        for segment in super().render(renderable, options):
            if segment.control or not _OBEYED.search(segment.text):
                yield segment
            else:
                yield Segment(printable(segment.text), segment.style)

    def on_broken_pipe(self) -> None:
        """End quietly: the reader of the output has seen enough."""
        if self.stderr:
            self.quiet = True
        else:
            sys.stdout = open(os.devnull, "w")  # noqa: SIM115
            raise SystemExit(0)
