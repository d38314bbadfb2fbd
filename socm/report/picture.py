"""A picture of a simulation, in the format that its file's name asks for."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from socm.errors import ConfigError, Problem
from socm.files import write_whole
from socm.model.outcome import Simulation
from socm.report.plot import plot
from socm.report.timeline import page
from socm.words import reason_of

FORMATS = ("svg", "png", "pdf", "html")


def draw(simulation: Simulation, path: Path) -> None:
    """Draw the exact run of a simulation: a page of HTML, or a chart.

    Raises
    ------
    ConfigError
        If matplotlib is missing, the format is unknown or the file cannot be written.
    """
    picture = picture_format(path)
    if picture == "html":
        write_picture(path, page(simulation).encode())
    else:
        write_picture(path, plot(simulation, picture))


def picture_format(path: Path) -> str:
    """Return the format that a path asks for by its suffix.

    A program that works for long before it draws asks this first.

    Raises
    ------
    ConfigError
        If it is none of `FORMATS`, or matplotlib is needed for it and missing.

    Examples
    --------
    >>> picture_format(Path("week.SVG"))
    'svg'
    """
    picture = path.suffix.lower().removeprefix(".")
    if picture not in FORMATS:
        known = ", ".join(f".{name}" for name in FORMATS)
        message = f"{str(path)!r} does not end in a format of pictures"
        raise ConfigError(Problem(message=message, hint=f"end it in one of {known}"))
    if picture != "html" and find_spec("matplotlib") is None:
        hint = "pip install 'socm[plot]', or a name that ends in .html, which needs nothing"
        raise ConfigError(Problem(message=f"drawing .{picture} needs matplotlib", hint=hint))
    return picture


def write_picture(path: Path, content: bytes) -> None:
    """Write a picture, whole or not at all.

    Raises
    ------
    ConfigError
        If the file cannot be written.
    """
    try:
        write_whole(path, content)
    except OSError as error:
        message = f"cannot be written: {reason_of(error)}"
        raise ConfigError(Problem(file=str(path), message=message)) from error
