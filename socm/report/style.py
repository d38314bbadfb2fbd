"""How all pictures look: colours, ticks, and what matplotlib is told."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from io import BytesIO
from typing import TYPE_CHECKING, Any

from socm.units import DAY, HOUR, MINUTE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INK, PALE, GRID, BAND = "#333333", "#f4f5f7", "#d0d4da", "#dfe3e8"
CORES, MEMORY, ALARM = "#9db4c8", "#882255", "#d55e00"
COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#f0e442")
"""Chosen by M. Okabe and K. Ito so that the colour-blind can tell them apart."""
OTHERS = "#a6a6a6"
STEPS = (
    *(1, 2, 5, 10, 15, 30),
    *(k * MINUTE for k in (1, 2, 5, 10, 15, 30)),
    *(k * HOUR for k in (1, 2, 3, 6, 12)),
    *(k * 10**power * DAY for power in range(8) for k in (1, 2, 5)),
)
"""Seconds that may lie between two ticks of a time axis."""

_SETTINGS: dict[Any, Any] = {
    "svg.fonttype": "none",  # text stays text: it can be searched
    "svg.hashsalt": "socm",  # the same picture is the same file
    "text.parse_math": False,  # a dollar in a name is a dollar
    "font.size": 9,
    **dict.fromkeys(("text.color", "axes.labelcolor", "xtick.color", "ytick.color"), INK),
    **{f"axes.spines.{side}": False for side in ("left", "right", "top")},
}
_METADATA: Mapping[str, Mapping[str, None]] = {
    "svg": {"Date": None}, "png": {}, "pdf": {"CreationDate": None}
}  # fmt: skip
"""Metadata that would change from one second to the next is left out."""


def drawn(figure: Callable[[], Figure], picture: str) -> bytes:
    """Return what matplotlib makes of a figure; the settings of others are left alone.

    Parameters
    ----------
    figure
        Makes the figure.
    picture
        The format: svg, png or pdf.
    """
    from matplotlib import rc_context

    with rc_context(_SETTINGS):
        file = BytesIO()
        figure().savefig(file, format=picture, dpi=160, metadata=_METADATA[picture])
        return file.getvalue()
