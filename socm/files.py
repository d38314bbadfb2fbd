"""Files that are written whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


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
