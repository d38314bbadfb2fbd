"""Text and other values as TOML and YAML have them, whatever the text holds."""

from __future__ import annotations

import json
import math
import re

_SURROGATE = re.compile("[\ud800-\udfff]")
_UNPRINTABLE = re.compile(
    "[^\t\n\r\x20-\x7e\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]|[\u2028\u2029\ufeff]"
)
_PLAIN = re.compile(r"-{0,2}[A-Za-z0-9_./$][\w./+@=$-]*(?: [\w./+@=$-]+)*", re.ASCII)
# What some YAML, of version 1.1 or 1.2, does not read as text.
_NOT_TEXT = re.compile(
    r"[-+]?[.\d][\d_.:+-]*(?:e[-+]?\d+)?|0[xob][\da-f_]+|[-+]?\.(?:inf|nan)"
    r"|null|true|false|yes|no|on|off|y|n",
    re.IGNORECASE | re.ASCII,
)


def quoted(text: str) -> str:
    r"""Write a text in double quotes, so that TOML and every YAML read it back.

    Their escapes are JSON's, but for characters outside ASCII. A lone surrogate, which no file can
    hold, becomes the replacement character.

    Examples
    --------
    >>> print(quoted('a "b"\n\x7f ä'))
    "a \"b\"\n\u007f ä"
    """
    text = json.dumps(_SURROGATE.sub("\ufffd", text), ensure_ascii=False)
    return _UNPRINTABLE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def yaml_text(value: object) -> str:
    r"""Write a value so that YAML of any version reads it back; in quotes only where need be.

    Examples
    --------
    >>> [yaml_text(v) for v in ("python -u", "no", "10", 10, True, "a: b", "ä\n")]
    ['python -u', '"no"', '"10"', '10', 'true', '"a: b"', '"ä\\n"']
    """
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int) or (isinstance(value, float) and math.isfinite(value)):
        return repr(value)
    text = str(value)
    plain = _PLAIN.fullmatch(text) and not _NOT_TEXT.fullmatch(text)
    return text if plain else quoted(text)


def comment_text(text: str) -> str:
    r"""Write a text on one line, as a comment may hold it.

    Examples
    --------
    >>> comment_text("no\n[table]\x00")
    'no [table]'
    """
    return "".join(c for c in " ".join(text.split()) if c.isprintable())
