"""Files of other systems as plain data: JSON or YAML 1.1, compressed by gzip or not."""

from __future__ import annotations

import json
import posixpath
import re
from dataclasses import dataclass
from pathlib import Path

import yaml

from socm.config.source import MOST_UNFOLDED, NodeReader, Source, with_text
from socm.config.toml_positions import Key
from socm.errors import ConfigError, Problem
from socm.exchange.others import other_text
from socm.files import BY_PROGRAM, check_values, most_values, read_whole, unpacked
from socm.units import format_memory
from socm.words import reason_of

LARGEST_YAML = 4
"""Most MB of a YAML file: a pipeline has less, and reading it takes a minute or two."""
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
        content = unpacked(read_whole(path, BY_PROGRAM.size), BY_PROGRAM.size)
        text = content.decode("utf-8-sig")
        if other := other_text(text):
            what, hint = other
            raise ConfigError(Problem(file=str(path), message=f"is {what}", hint=hint))
        check_values(text, BY_PROGRAM.values)
    except UnicodeDecodeError as error:
        message = f"is not UTF-8: byte {error.start} is 0x{error.object[error.start]:02x}"
        raise ConfigError(Problem(file=str(path), message=message)) from error
    except OSError as error:
        message = f"cannot be read: {reason_of(error)}"
        raise ConfigError(Problem(file=str(path), message=message)) from error
    except ValueError as error:  # a path with a null byte
        raise ConfigError(Problem(file=str(path), message=f"cannot be read: {error}")) from error
    return text


def _read_json(file: str, text: str) -> Document:
    try:
        return Document(file=file, data=json.loads(text))
    except json.JSONDecodeError as error:
        problem = Problem(file=file, line=error.lineno, column=error.colno, message=error.msg)
        raise ConfigError(problem) from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(Problem(file=file, message=f"is not JSON: {error}")) from error


def _read_yaml(file: str, text: str) -> Document:
    if len(text) > LARGEST_YAML * 1024**2:
        message = f"is a YAML file larger than {format_memory(LARGEST_YAML)}"
        raise ConfigError(Problem(file=file, message=message))
    lines = text.split("\n")
    try:
        reader = _Reader(file, text)
        data = reader.data()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        message = ", ".join(x for x in (error.context, error.problem) if x)
        line, column = (mark.line + 1, mark.column + 1) if mark else (None, None)
        problem = Problem(file=file, line=line, column=column, message=message)
        raise ConfigError(with_text(problem, lines)) from error
    except yaml.YAMLError as error:
        raise ConfigError(Problem(file=file, message=str(error).splitlines()[0])) from error
    except RecursionError as error:
        raise ConfigError(Problem(file=file, message="is nested too deeply")) from error
    if reader.problems:
        raise ConfigError(*(with_text(problem, lines) for problem in reader.problems))
    if not isinstance(data, dict):
        raise ConfigError(Problem(file=file, message="is neither a JSON object nor a YAML mapping"))
    return Document(
        file=file, data=data, positions=reader.positions, lines=lines, twice=tuple(reader.twice)
    )


class _Reader(NodeReader):
    """Reads as the safe constructors of YAML 1.1 do.

    There are two exceptions. Clock times stay text, as YAML 1.1 reads ``10:30:00`` as a number of
    base sixty; and so do dates.
    """

    def __init__(self, file: str, text: str) -> None:
        super().__init__(file, max(MOST_UNFOLDED, most_values(text)))
        self._loader = yaml.SafeLoader(text)
        self.twice: dict[str, None] = {}

    def data(self) -> object:
        """Return the data of the text."""
        try:
            root = self._loader.get_single_node()
            return None if root is None else self.read(root, ())
        finally:
            self._loader.dispose()

    def doubled(self, name: yaml.Node) -> bool:
        """Return whether the last value counts of a key that is given twice: it does."""
        self.twice[str(name.value)] = None
        return True

    def scalar(self, node: yaml.Node, key: Key) -> object:
        """Return the value of a scalar; of a sequence, the path whose parts it has."""
        if isinstance(node, yaml.SequenceNode) and node.tag == "!concat":
            return posixpath.join("", *map(str, self.items(node, key)))
        tag = node.tag.removeprefix(_TAG)
        if isinstance(node, yaml.ScalarNode):
            text = str(node.value)
            clock = tag in ("int", "float") and ":" in text
            try:
                match tag:
                    case "null":
                        return None
                    case "str" | "timestamp":
                        return text
                    case "int" | "float" if clock:
                        return text
                    case "bool":
                        return self._loader.construct_yaml_bool(node)
                    case "int" if re.fullmatch(r"0\d+", text):
                        return text  # a name: its digits are no octal number to who wrote it
                    case "int":
                        return self._loader.construct_yaml_int(node)
                    case "float":
                        return self._loader.construct_yaml_float(node)
            except (ValueError, LookupError) as error:
                self.complain(node, f"{text[:40]!r} is not of type {tag}: {error}")
                return None
        hint = "write the value itself" if tag.startswith("!") else None
        self.complain(node, f"the tag {tag!r} is not supported: it could run code", hint)
        return None
