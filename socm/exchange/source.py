"""Files of other systems as plain data: JSON or YAML 1.1, compressed by gzip or not."""

from __future__ import annotations

import gzip
import json
import posixpath
import zlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from socm.config.source import MOST_VALUES, Source
from socm.config.toml_positions import Key, Position
from socm.errors import ConfigError, Problem
from socm.words import reason_of

LARGEST = 512 * 1024**2
"""Most bytes of a file after decompression."""
_TAG = "tag:yaml.org,2002:"


@dataclass(frozen=True, kw_only=True)
class Document(Source):
    """The content of a file of another system.

    Parameters
    ----------
    twice
        Keys that are given twice; as in those systems, the last one counts.
    """

    twice: tuple[str, ...] = ()


def read_document(path: Path) -> Document:
    """Read a JSON or YAML file, compressed by gzip or not.

    No code in the file is run: the only tag of YAML that is supported is ``!concat``, which joins
    the parts of a path.

    Raises
    ------
    ConfigError
        If it cannot be read, or is neither JSON nor YAML.
    """
    file = str(path)
    text = _text(path)
    if text.lstrip()[:1] == "{":
        return _read_json(file, text)
    return _read_yaml(file, text)


def _text(path: Path) -> str:
    try:
        with path.open("rb") as plain:
            compressed = plain.read(2) == b"\x1f\x8b"
            plain.seek(0)
            content = (gzip.GzipFile(fileobj=plain) if compressed else plain).read(LARGEST + 1)
        if len(content) > LARGEST:
            raise ConfigError(Problem(file=str(path), message="is larger than 512 MB"))
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        message = f"is not UTF-8: byte {error.start} is 0x{error.object[error.start]:02x}"
        raise ConfigError(Problem(file=str(path), message=message)) from error
    except (OSError, EOFError, zlib.error) as error:
        reason = reason_of(error) if isinstance(error, OSError) else str(error).lower()
        raise ConfigError(Problem(file=str(path), message=f"cannot be read: {reason}")) from error


def _read_json(file: str, text: str) -> Document:
    try:
        return Document(file=file, data=json.loads(text))
    except json.JSONDecodeError as error:
        problem = Problem(file=file, line=error.lineno, column=error.colno, message=error.msg)
        raise ConfigError(problem) from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(Problem(file=file, message=f"is not JSON: {error}")) from error


def _read_yaml(file: str, text: str) -> Document:
    try:
        reader = _NodeReader(file, text)
        data = reader.data()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        message = ", ".join(x for x in (error.context, error.problem) if x)
        if mark is None:
            raise ConfigError(Problem(file=file, message=message)) from error
        raise ConfigError(_problem(file, text.split("\n"), mark, message)) from error
    except yaml.YAMLError as error:
        raise ConfigError(Problem(file=file, message=str(error).splitlines()[0])) from error
    except RecursionError as error:
        raise ConfigError(Problem(file=file, message="is nested too deeply")) from error
    if reader.problems:
        raise ConfigError(*reader.problems)
    if not isinstance(data, dict):
        raise ConfigError(Problem(file=file, message="is neither a JSON object nor a YAML mapping"))
    return Document(
        file=file,
        data=data,
        positions=reader.positions,
        lines=reader.lines,
        twice=tuple(dict.fromkeys(reader.twice)),
    )


def _problem(
    file: str, lines: list[str], mark: yaml.Mark, message: str, hint: str | None = None
) -> Problem:
    return Problem(
        file=file,
        line=mark.line + 1,
        column=mark.column + 1,
        text=lines[mark.line] if mark.line < len(lines) else None,
        message=message,
        hint=hint,
    )


class _NodeReader:
    """Turns composed nodes into plain data, as the safe constructors of YAML 1.1 do.

    There are two exceptions. Clock times stay text, as YAML 1.1 reads ``10:30:00`` as a number of
    base sixty; and so do dates.
    """

    def __init__(self, file: str, text: str) -> None:
        self._file = file
        self._loader = yaml.SafeLoader(text)
        self.lines = text.split("\n")
        self._values = 0
        self._seen: set[int] = set()
        self.positions: dict[Key, Position] = {}
        self.problems: list[Problem] = []
        self.twice: list[str] = []

    def data(self) -> object:
        try:
            root = self._loader.get_single_node()
            return None if root is None else self._read(root, ())
        finally:
            self._loader.dispose()

    def _complain(self, node: yaml.Node, message: str, hint: str | None = None) -> None:
        self.problems.append(_problem(self._file, self.lines, node.start_mark, message, hint))

    def _read(self, node: yaml.Node, key: Key) -> object:
        self._values += 1
        if self._values > MOST_VALUES:
            message = f"unfolds to more than {MOST_VALUES:,} values"
            raise ConfigError(Problem(file=self._file, message=message))
        self.positions.setdefault(key, (node.start_mark.line + 1, node.start_mark.column + 1))
        if isinstance(node, yaml.MappingNode) and node.tag == f"{_TAG}map":
            return self._mapping(node, key)
        if isinstance(node, yaml.SequenceNode) and node.tag in (f"{_TAG}seq", "!concat"):
            items = [self._read(item, (*key, index)) for index, item in enumerate(node.value)]
            return posixpath.join("", *map(str, items)) if node.tag == "!concat" else items
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node)
        self._refuse(node)
        return None

    def _refuse(self, node: yaml.Node) -> None:
        tag = node.tag.removeprefix(_TAG)
        hint = "write the value itself" if tag.startswith("!") else None
        self._complain(node, f"the tag {tag!r} is not supported: it could run code", hint)

    def _mapping(self, node: yaml.MappingNode, key: Key) -> dict[str, object]:
        if id(node) not in self._seen:  # flattening adds the keys of merged mappings, once
            self._seen.add(id(node))
            names = Counter(str(name.value) for name, _ in node.value)
            self.twice += [n for n, count in names.items() if count > 1 and n != "<<"]
            self._loader.flatten_mapping(node)
        read: dict[str, object] = {}
        for name_node, value_node in node.value:
            if not isinstance(name_node, yaml.ScalarNode):
                self._complain(name_node, "a key is a single word")
                continue
            name = str(name_node.value)
            mark = name_node.start_mark
            self.positions[(*key, name)] = (mark.line + 1, mark.column + 1)
            read[name] = self._read(value_node, (*key, name))
        return read

    def _scalar(self, node: yaml.ScalarNode) -> object:
        text = str(node.value)
        construct: Mapping[str, object] = {"null": None, "str": text, "timestamp": text}
        tag = node.tag.removeprefix(_TAG)
        if tag in construct or (tag in ("int", "float") and ":" in text):
            return construct.get(tag, text)
        try:
            match tag:
                case "bool":
                    return self._loader.construct_yaml_bool(node)
                case "int":
                    return self._loader.construct_yaml_int(node)
                case "float":
                    return self._loader.construct_yaml_float(node)
        except ValueError as error:
            self._complain(node, f"{text!r} is not a number: {error}")
            return None
        self._refuse(node)
        return None
