"""Files that are written whole or not at all, and read within bounds."""

from __future__ import annotations

import errno
import gzip
import os
import stat
import tempfile
import zlib
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, NamedTuple

from socm.units import format_count, format_memory


class Bounds(NamedTuple):
    """How large a file may be, so that a login node has the memory to read it.

    Parameters
    ----------
    size
        The most MB.
    values
        The most values; lines count, too.
    """

    size: int
    values: int


BY_HAND = Bounds(size=64, values=8_000_000)
"""Of a campaign and its like: one of 200 000 stages has less. A value takes half a kilobyte."""
BY_PROGRAM = Bounds(size=512, values=64_000_000)
"""Of a plan and its like: one of 200 000 workflows has less. It takes ten times that to read it."""


def write_whole(path: Path, content: str | bytes, *, durable: bool = False) -> None:
    """Write a file so that whoever reads it finds the old content or the new, never a part.

    The content goes to a new file beside it, which then takes its place. A link is followed; what
    is not a regular file, such as ``/dev/stdout``, is written to directly. The mode is that of any
    new file.

    Parameters
    ----------
    content
        Text is written as UTF-8.
    durable
        Whether it has to be on the disk when this returns, as after a loss of power.

    Raises
    ------
    OSError
        If it cannot be written; then the old file is as it was.

    Examples
    --------
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "plan.json")
    ...     write_whole(path, "{}")
    ...     path.read_text(), os.listdir(folder)
    ('{}', ['plan.json'])
    """
    data = content.encode() if isinstance(content, str) else content
    path = path.resolve()
    if path.exists() and not path.is_file():
        path.write_bytes(data)
        return
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            mask = os.umask(0)
            os.umask(mask)
            os.fchmod(file.fileno(), 0o666 & ~mask)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise


def read_whole(path: Path, most: int) -> bytes:
    """Return the content of a regular file, of which nothing is read if it is too large.

    Parameters
    ----------
    most
        The most MB that it may have.

    Raises
    ------
    OSError
        If it is larger, or cannot be read; see `open_regular`.

    Examples
    --------
    >>> read_whole(Path("/dev/zero"), most=100)
    Traceback (most recent call last):
    OSError: [Errno 22] it is not a regular file: '/dev/zero'
    """
    with open_regular(path) as file:
        size = most * 1024**2
        large = os.fstat(file.fileno()).st_size > size
        content = b"" if large else file.read(size + 1)
        if large or len(content) > size:
            raise OSError(errno.EFBIG, f"it is larger than {format_memory(most)}", str(path))
    return content


def open_regular(path: Path) -> BinaryIO:
    """Open a file for reading; refuse what is not a regular file, and wait for nothing.

    Raises
    ------
    OSError
        If it cannot be opened, or is a folder, a pipe or a device.
    ValueError
        If its path has a null byte.
    """
    file = open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK))  # noqa: SIM115 - closed by the caller
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(errno.EINVAL, "it is not a regular file", str(path))
    return file


def unpacked(content: bytes, most: int) -> bytes:
    """Return the content of a file; if gzip has compressed it, as it was before.

    Parameters
    ----------
    most
        The most MB that it may have then.

    Raises
    ------
    OSError
        If it is damaged, or would be larger.

    Examples
    --------
    >>> unpacked(gzip.compress(b"a campaign"), most=1), unpacked(b"a campaign", most=1)
    (b'a campaign', b'a campaign')
    """
    if not content.startswith(b"\x1f\x8b"):
        return content
    size = most * 1024**2
    try:
        with gzip.GzipFile(fileobj=BytesIO(content)) as packed:
            content = packed.read(size + 1)
    except (EOFError, zlib.error) as error:
        raise OSError(errno.EINVAL, f"gzip: {str(error).lower()}") from error
    if len(content) > size:
        raise OSError(errno.EFBIG, f"unpacked it is larger than {format_memory(most)}")
    return content


def most_values(text: str) -> int:
    r"""Return how many values TOML, YAML or JSON may hold at most, before aliases unfold.

    Between two values there is one of these signs, at least.

    Examples
    --------
    >>> most_values("a: 1\nb: [2, 3]\n"), most_values("- - 1")
    (7, 3)
    """
    return 1 + sum(text.count(sign) for sign in ("\n", ",", ":", "=", "[", "{", "- ", "? "))


def check_values(text: str, most: int) -> None:
    """Refuse the text of a file that may hold too many values.

    Raises
    ------
    OSError
        If it may hold more than `most`.

    Examples
    --------
    >>> check_values("[1, 2]", most=2)
    Traceback (most recent call last):
    OSError: [Errno 27] it has more than 2 values
    """
    if most_values(text) > most:
        raise OSError(errno.EFBIG, f"it has more than {format_count(most)} values")
