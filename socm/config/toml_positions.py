"""Line and column of the keys and values of a TOML document, which no maintained parser reports.

The scanner reads only documents that a real parser has accepted, so it does not validate: it
follows brackets, quotes and commas, and leaves the meaning of values to the parser.
"""

from __future__ import annotations

import re

import tomli

Key = tuple[str | int, ...]
Position = tuple[int, int]

_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_SPACE = re.compile(r"[ \t]*")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_STRING = re.compile(
    r'"""(?:\\.|[^\\])*?"{3,5}'
    r"|'''(?:.)*?'{3,5}"
    r'|"(?:\\.|[^"\\\n])*"'
    r"|'[^'\n]*'",
    re.DOTALL,
)
_SCALAR = re.compile(r"[^,\]}#\r\n]+")


def toml_positions(text: str) -> dict[Key, Position]:
    r"""Return line and column, from 1, of each key and of each item of an array.

    Parameters
    ----------
    text
        A valid TOML document.

    Examples
    --------
    >>> toml_positions('[campaign]\nbands = ["f090", "f150"]\n')[("campaign", "bands", 1)]
    (2, 18)
    """
    return _Scanner(text).scan()


class _Scanner:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._lines = [0, *(m.end() for m in re.finditer("\n", text))]
        self._line = 0  # of the last position asked for; positions only grow
        self._tables: dict[Key, int] = {}  # index of the current table of each array of tables
        self._positions: dict[Key, Position] = {}

    def scan(self) -> dict[Key, Position]:
        table: Key = ()
        while self._skip(_BLANK) < len(self._text):
            if self._text.startswith("[[", self._at):
                table = self._header(2)
            elif self._text[self._at] == "[":
                table = self._header(1)
            else:
                self._pair(table)
        return self._positions

    def _skip(self, pattern: re.Pattern[str]) -> int:
        match = pattern.match(self._text, self._at)
        assert match is not None
        self._at = match.end()
        return self._at

    def _mark(self, key: Key, at: int) -> None:
        """Note where a key begins; where it is named several times, the first counts."""
        if key in self._positions:
            return
        line = self._line
        while line + 1 < len(self._lines) and self._lines[line + 1] <= at:
            line += 1
        self._line = line
        self._positions[key] = (line + 1, at - self._lines[line] + 1)

    def _header(self, brackets: int) -> Key:
        """Read ``[a.b]`` or ``[[a.b]]``; return the key of the table that begins."""
        self._at += brackets
        names = self._names()
        self._skip(_SPACE)
        self._at += brackets
        key: Key = ()
        for depth, (name, at) in enumerate(names):
            key = (*key, name)
            self._mark(key, at)
            if depth == len(names) - 1 and brackets == 2:
                self._tables[key] = self._tables.get(key, -1) + 1
            if key in self._tables:
                key = (*key, self._tables[key])
                self._mark(key, at)
        return key

    def _names(self) -> list[tuple[str, int]]:
        """Read a dotted key: each part and where it begins."""
        names = []
        while True:
            at = self._skip(_SPACE)
            if match := _BARE_KEY.match(self._text, at):
                name = match[0]
            else:
                match = _STRING.match(self._text, at)
                assert match is not None
                name = tomli.loads(f"{match[0]} = 0").popitem()[0]
            self._at = match.end()
            names.append((name, at))
            if self._text[self._skip(_SPACE)] != ".":
                return names
            self._at += 1

    def _pair(self, table: Key) -> None:
        """Read ``a.b = value``."""
        key = table
        for name, at in self._names():
            key = (*key, name)
            self._mark(key, at)
        self._at += 1  # the equals sign
        self._skip(_SPACE)
        self._value(key)

    def _value(self, key: Key) -> None:
        match self._text[self._at]:
            case "[":
                self._array(key)
            case "{":
                self._inline_table(key)
            case '"' | "'":
                self._skip(_STRING)
            case _:
                self._skip(_SCALAR)

    def _array(self, key: Key) -> None:
        self._at += 1
        index = 0
        while self._text[self._skip(_BLANK)] != "]":
            self._mark((*key, index), self._at)
            self._value((*key, index))
            index += 1
            if self._text[self._skip(_BLANK)] == ",":
                self._at += 1
        self._at += 1

    def _inline_table(self, key: Key) -> None:
        self._at += 1
        while self._text[self._skip(_BLANK)] != "}":
            self._pair(key)
            if self._text[self._skip(_BLANK)] == ",":
                self._at += 1
        self._at += 1
