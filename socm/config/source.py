"""Files as plain data that remember where each value stood."""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import tomli
import yaml

from socm.config.toml_positions import Key, Position, toml_positions
from socm.errors import ConfigError, Problem
from socm.files import BY_HAND, check_values, most_values, read_whole
from socm.units import format_count
from socm.words import reason_of

MOST_UNFOLDED = 1_000_000
"""Most values that aliases may unfold to, in a file that is not larger itself."""

DEEPEST = 100
"""Most levels of nesting; an anchor that holds itself has more."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """The content of a file.

    Parameters
    ----------
    file
        Its path, as the user wrote it.
    data
        The values.
    positions
        Line and column at which each key and item begins.
    lines
        The text, line by line.
    """

    file: str
    data: dict[str, object]
    positions: Mapping[Key, Position] = field(default_factory=dict)
    lines: Sequence[str] = ()

    def problem(self, key: Key, message: str, hint: str | None = None) -> Problem:
        """Return a problem with the value at `key`, with its position as far as it is known."""
        line = column = None
        for length in range(len(key), 0, -1):
            if (place := self.positions.get(key[:length])) is not None:
                line, column = place
                break
        text = self.lines[line - 1] if line and line <= len(self.lines) else None
        return Problem(
            message=message, hint=hint, file=self.file, line=line, column=column, text=text
        )


def read(path: Path) -> Source:
    """Read a TOML or YAML file.

    Raises
    ------
    ConfigError
        If it cannot be read, is not UTF-8, is empty, or is not in the format of its suffix.
    """
    file = str(path)
    try:
        text = read_whole(path, BY_HAND.size).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        message = f"is not UTF-8: byte {error.start} is 0x{error.object[error.start]:02x}"
        raise ConfigError(Problem(file=file, message=message)) from error
    except OSError as error:
        message = f"cannot be read: {reason_of(error)}"
        raise ConfigError(Problem(file=file, message=message)) from error
    except ValueError as error:  # a path with a null byte
        raise ConfigError(Problem(file=file, message=f"cannot be read: {error}")) from error
    return parse(path, text)


def parse(path: Path, text: str) -> Source:
    """Read the text of a TOML or YAML file.

    Raises
    ------
    ConfigError
        If it is empty, or not in the format of its suffix.
    """
    file = str(path)
    if path.suffix == ".toml":
        reader = _read_toml
    elif path.suffix in (".yaml", ".yml"):
        reader = _read_yaml
    else:
        problem = Problem(
            file=file,
            message=f"has the suffix {path.suffix!r}",
            hint="a campaign is a .toml, .yaml or .yml file",
        )
        raise ConfigError(problem)
    try:
        check_values(text, BY_HAND.values)
    except OSError as error:
        message = f"cannot be read: {reason_of(error)}"
        raise ConfigError(Problem(file=file, message=message)) from error
    lines = text.split("\n")
    try:
        source = reader(file, text)
    except ConfigError as error:
        raise ConfigError(*(with_text(p, lines) for p in error.problems)) from error
    if not source.data:
        raise ConfigError(Problem(file=file, message="is empty"))
    return replace(source, lines=lines)


def with_text(problem: Problem, lines: Sequence[str]) -> Problem:
    """Return a problem with the line that it is about."""
    known = problem.line is not None and problem.line <= len(lines)
    return replace(problem, text=lines[problem.line - 1]) if known and problem.line else problem


def _read_toml(file: str, text: str) -> Source:
    try:
        data = tomli.loads(text, parse_float=_as_written)
        positions = toml_positions(text.replace("\r\n", "\n"))
        return Source(file=file, data=data, positions=positions)
    except tomli.TOMLDecodeError as error:
        message = re.sub(r" \(at .*\)$", "", str(error))
        line, column = getattr(error, "lineno", None), getattr(error, "colno", None)
        problem = Problem(
            file=file, line=line, column=column, message=message[:1].lower() + message[1:]
        )
        raise ConfigError(problem) from error
    except RecursionError as error:
        raise ConfigError(_too_deep(file, text)) from error
    except ValueError as error:  # a number of thousands of digits
        digits = re.search(r"[0-9_]{4000,}", text)
        offset = digits.start() if digits else 0
        raise ConfigError(_at(file, text, offset, "is a number too long to read")) from error


def _as_written(number: str) -> float | str:
    """Read a number; one whose usual form differs stays text, such as 3.10, a version."""
    return float(number) if str(float(number)) == number else number


def _too_deep(file: str, text: str) -> Problem:
    """Return a problem at the place where brackets, or a dotted key, are nested too deeply."""
    dotted = re.search(rf"(?:[\w-]+\.){{{DEEPEST}}}", text)
    offset = _deep_bracket(text) or (dotted.start() if dotted else 0)
    return _at(file, text, offset, "is nested too deeply")


def _deep_bracket(text: str) -> int | None:
    """Return the offset of the first bracket that is too deep, if none is within a text."""
    depth = 0
    for match in re.finditer(r"[\[\]{}]", text):
        depth += 1 if match[0] in "[{" else -1
        if depth > DEEPEST:
            return match.start()
    return None


_SUSPICIOUS = re.compile(r"^[ \t]*(?:[-?] ){40}|^ {160}", re.MULTILINE)
"""Blocks that may be nested too deeply."""


def _refuse_depth(file: str, text: str) -> None:
    """Refuse nesting that overflows the stack of libyaml's composer, though not of its parser."""
    depth = 0
    try:
        for event in yaml.parse(text, Loader=_Loader):
            if isinstance(event, yaml.CollectionStartEvent):
                depth += 1
            elif isinstance(event, yaml.CollectionEndEvent):
                depth -= 1
            if depth > DEEPEST:
                assert event.start_mark is not None
                raise ConfigError(_at(file, text, event.start_mark.index, "is nested too deeply"))
    except yaml.YAMLError as error:
        if "nesting depth" in str(error):  # newer libyaml has a limit of its own, and looks ahead
            raise ConfigError(_too_deep(file, text)) from error
        # The composer reports any other error.


def _at(file: str, text: str, offset: int, message: str) -> Problem:
    """Return a problem at an offset of a text."""
    line = text.count("\n", 0, offset)
    column = offset - (text.rfind("\n", 0, offset) + 1)
    return Problem(file=file, line=line + 1, column=column + 1, message=message)


_YAML = "tag:yaml.org,2002:"


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Composes nodes, and reads plain scalars as YAML 1.2 does.

    So ``no`` and ``on`` are text, and ``10:30`` is not the number 630.
    """

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012


for _tag, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?[0-9]+", list("-+0123456789")),
    ("float", r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?", list("-+.0123456789")),
    ("merge", r"<<", ["<"]),
):
    _Loader.add_implicit_resolver(f"{_YAML}{_tag}", re.compile(rf"^(?:{_pattern})$"), _first)


def _read_yaml(file: str, text: str) -> Source:
    if _SUSPICIOUS.search(text) or _deep_bracket(text) is not None:
        _refuse_depth(file, text)
    loader = None
    try:
        loader = _Loader(text)
        root = loader.get_single_node()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        message = ", ".join(x for x in (error.context, error.problem) if x)
        line, column = (mark.line + 1, mark.column + 1) if mark else (None, None)
        raise ConfigError(Problem(file=file, line=line, column=column, message=message)) from error
    except yaml.reader.ReaderError as error:
        code = error.character if isinstance(error.character, int) else ord(error.character)
        problem = _at(file, text, max(0, text.find(chr(code))), f"holds the character {code:#04x}")
        raise ConfigError(problem) from error
    except RecursionError as error:
        raise ConfigError(_too_deep(file, text)) from error
    finally:
        if loader is not None:
            loader.dispose()
    if root is None:
        return Source(file=file, data={})
    reader = NodeReader(file, max(MOST_UNFOLDED, most_values(text)))
    data = reader.read(root, ())
    if not isinstance(data, dict):
        reader.complain(root, "is not a mapping", "begin with 'campaign:' and 'stages:'")
        data = {}
    if reader.problems:
        raise ConfigError(*reader.problems)
    return Source(file=file, data=data, positions=reader.positions)


class NodeReader:
    """Turns composed nodes into plain data, and refuses ambiguous ones.

    Parameters
    ----------
    file
        Path of the file.
    most
        The most values that it may unfold to.
    """

    def __init__(self, file: str, most: int) -> None:
        self._file = file
        self._most = most
        self._values = 0
        self.positions: dict[Key, Position] = {}
        self.problems: list[Problem] = []

    def complain(self, node: yaml.Node, message: str, hint: str | None = None) -> None:
        """Add a problem with a node."""
        line, column = node.start_mark.line + 1, node.start_mark.column + 1
        self.problems.append(
            Problem(file=self._file, line=line, column=column, message=message, hint=hint)
        )

    def read(self, node: yaml.Node, key: Key) -> object:
        """Return the value of a node, which is at a key of the file.

        Raises
        ------
        ConfigError
            If there are too many values, or too many levels of them.
        """
        self._values += 1
        if self._values > self._most:
            self.complain(node, f"unfolds to more than {format_count(self._most)} values")
            raise ConfigError(*self.problems)
        if len(key) > DEEPEST:
            self.complain(node, "is nested too deeply")
            raise ConfigError(*self.problems)
        self.positions.setdefault(key, (node.start_mark.line + 1, node.start_mark.column + 1))
        if isinstance(node, yaml.MappingNode) and node.tag == f"{_YAML}map":
            return self._mapping(node, key)
        if isinstance(node, yaml.SequenceNode) and node.tag == f"{_YAML}seq":
            return self.items(node, key)
        return self.scalar(node, key)

    def items(self, node: yaml.SequenceNode, key: Key) -> list[object]:
        """Return the values of a sequence."""
        return [self.read(item, (*key, index)) for index, item in enumerate(node.value)]

    def scalar(self, node: yaml.Node, key: Key) -> object:
        """Return the value of any other node."""
        text = str(node.value)
        tag = node.tag.removeprefix(_YAML)
        try:
            match tag:
                case "str":
                    return text
                case "null":
                    return None
                case "bool":
                    return {"true": True, "false": False}[text.lower()]
                case "int" | "float":
                    number: float = int(text) if tag == "int" else float(text)
                    # A number whose usual form differs stays text: 010, 1.50, or an obs_id of
                    # more digits than a float has. Where a number is needed it is read from that.
                    return number if str(number) == text else text
        except (KeyError, ValueError):  # an explicit tag, or 5,000 digits
            self.complain(node, f"{text[:20]!r} is not of type {tag}")
            return None
        self.complain(node, f"the tag {tag!r} is not supported")
        return None

    def _mapping(self, node: yaml.MappingNode, key: Key) -> dict[str, object]:
        own: dict[str, object] = {}
        merged: dict[str, object] = {}
        for name_node, value_node in node.value:
            if name_node.tag == f"{_YAML}merge":
                for part in self._merged(value_node, key):
                    merged = part | merged  # of several, the earlier wins
                continue
            name: Hashable = name_node.value
            if not isinstance(name, str):
                self.complain(name_node, "a key is a single word")
                continue
            if name in own and not self.doubled(name_node):
                continue
            mark = name_node.start_mark
            self.positions[(*key, name)] = (mark.line + 1, mark.column + 1)
            own[name] = self.read(value_node, (*key, name))
        return merged | own

    def doubled(self, name: yaml.Node) -> bool:
        """Return whether the last value counts of a key that is given twice."""
        self.complain(name, f"key {name.value!r} is given twice")
        return False

    def _merged(self, node: yaml.Node, key: Key) -> list[dict[str, object]]:
        """Read the value of ``<<``: a mapping, or several."""
        parts = node.value if isinstance(node, yaml.SequenceNode) else [node]
        mappings = []
        for part in parts:
            value = self.read(part, key) if isinstance(part, yaml.MappingNode) else None
            if isinstance(value, dict):
                mappings.append(value)
            else:
                self.complain(part, "the value of << is a mapping, or a list of mappings")
        return mappings
