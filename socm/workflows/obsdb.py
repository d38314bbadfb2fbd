"""The observation database of a sotodlib context: read with SQLite, never written.

A query means what it means to sotodlib's ``ObsDb.query``; sotodlib itself is not needed.
"""

from __future__ import annotations

import re
import sqlite3
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import yaml

from socm.errors import ConfigError, Problem, did_you_mean
from socm.files import open_regular, read_whole, unpacked
from socm.units import format_count, format_duration, format_memory
from socm.words import count, listed, reason_of
from socm.workflows.base import FILE_SCHEME, LARGEST_LIST, local_path
from socm.workflows.observations import Observations, observations_of

_READING = frozenset(
    {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE}
)
_FILLING = _READING | {
    sqlite3.SQLITE_CREATE_TABLE, sqlite3.SQLITE_CREATE_INDEX, sqlite3.SQLITE_CREATE_VIEW,
    sqlite3.SQLITE_CREATE_TRIGGER, sqlite3.SQLITE_INSERT, sqlite3.SQLITE_UPDATE,
    sqlite3.SQLITE_DELETE, sqlite3.SQLITE_REINDEX, sqlite3.SQLITE_ANALYZE,
    sqlite3.SQLITE_TRANSACTION, sqlite3.SQLITE_SAVEPOINT,
}  # fmt: skip
"""Statements of a dump: they fill the database in memory, and reach no other."""
_NO_COLUMN = re.compile(r"no such column: (.+)")
_TAG = re.compile(r"\{(\w+)\}")
_NAME = re.compile(r"[^\s#:]{1,200}")
"""Names of observations are words of lists, in which the other characters have a meaning."""

# The most that is read: more than any context or database of observations has.
LARGEST_CONTEXT = 1
LARGEST_DUMP = 256
"""MB; of a dump in gzip when it is unpacked."""
LARGEST_PATH = 4096
MOST_ROWS = 1_000_000
MOST_TEXT = 512
"""MB of text in all rows that a query selects."""
MEMORY = 1024
"""MB that SQLite may take, in this process."""
PATIENCE = 60.0
"""Seconds for all that is asked of a database."""


class ContextUnavailable(ConfigError):
    """The observations of a context cannot be read here."""


def read_observations(context: Path, query: str, tags: Sequence[str] = ()) -> Observations:
    """Read the observations that a query selects.

    Parameters
    ----------
    context
        A sotodlib context, ``context.yaml``.
    query
        A condition in SQL over the columns of the table ``obs``, or ``file://`` and a list: an
        obs_id or ``obs_id:wafer:band`` on each line, comments after ``#``.
    tags
        ``"planet=1"`` and ``"planet=0"`` select; ``"planet"`` becomes a column for the query.

    Raises
    ------
    ContextUnavailable
        If the context or its database cannot be read.
    ConfigError
        If the query is wrong.
    """
    path = _database(context)
    with closing(_connect(path)) as connection:
        if not query.startswith(FILE_SCHEME):
            return observations_of(_select(connection, path, query, tags), {})
        lines = _lines(Path(local_path(query)))
        rows = _select(connection, path, "1", tags)
        found = [row for row in rows if row["obs_id"] in lines]
        known = {row["obs_id"] for row in found}
        if unknown := [name for name in lines if name not in known]:
            missing, names = count(len(unknown), "observation"), listed(unknown)
            verb = "is" if len(unknown) == 1 else "are"
            tagged = " with these tags" if tags else ""
            raise _wrong(
                f"{missing} of {local_path(query)} {verb} not in the database{tagged}: {names}",
                "query",
            )
        return observations_of(found, lines)


def _wrong(message: str, subject: str, hint: str | None = None) -> ConfigError:
    return ConfigError(Problem(message=message, hint=hint, subject=subject))


def _unavailable(message: str) -> ContextUnavailable:
    return ContextUnavailable(
        Problem(
            message=message,
            hint="to plan without the data, --assume-splits takes every split as present",
            subject="context",
        )
    )


def _database(context: Path) -> Path:
    """Return the path of the observation database that a context names."""
    try:
        root = yaml.compose(read_whole(context, LARGEST_CONTEXT), Loader=yaml.SafeLoader)
    except OSError as error:
        raise _unavailable(f"the context {context} cannot be read: {reason_of(error)}") from error
    except RecursionError as error:
        raise _wrong(f"the context {context} is nested too deeply", "context") from error
    except (yaml.YAMLError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise _wrong(f"the context {context} is not YAML: {reason}", "context") from error
    name = _text(_value(root, "obsdb"))
    if name is None:
        raise _wrong(f"the context {context} does not name an obsdb", "context")
    tags = _value(root, "tags")

    def text_of(tag: re.Match[str]) -> str:
        if (text := _text(_value(tags, tag[1]))) is None:
            raise _wrong(f"obsdb {name!r} in {context}: no tag {tag[1]!r}", "context")
        return text

    for _ in range(20):  # a tag may hold tags; sotodlib stops at the same depth
        name = _TAG.sub(text_of, name)
        if len(name) > LARGEST_PATH:
            raise _wrong(f"obsdb in {context}: its path is too long", "context")
    return context.parent / name


def _value(node: yaml.Node | None, key: str) -> yaml.Node | None:
    """Return the value of a key of a mapping, or of a mapping that is merged into it.

    Nothing is copied, so that mappings that merge each other many times do no harm.
    """
    stack, seen = [node], set[int]()
    while stack:
        mapping = stack.pop()
        if not isinstance(mapping, yaml.MappingNode) or id(mapping) in seen:
            continue
        seen.add(id(mapping))
        values = {name.value: value for name, value in mapping.value if name.id == "scalar"}
        if key in values:
            found: yaml.Node = values[key]
            return found
        merged = values.get("<<")
        stack += reversed(merged.value) if isinstance(merged, yaml.SequenceNode) else [merged]
    return None


def _text(node: yaml.Node | None) -> str | None:
    return str(node.value) if isinstance(node, yaml.ScalarNode) and node.value else None


def _connect(path: Path) -> sqlite3.Connection:
    """Open a database for reading: a file of SQLite, a dump, or a dump in gzip."""
    try:
        connection = _database_of(path)
        with _closed_if_it_fails(connection):
            connection.execute("select obs_id from obs limit 1")
    except OSError as error:
        raise _unavailable(f"the database {path} cannot be read: {reason_of(error)}") from error
    except (sqlite3.Error, MemoryError, ValueError) as error:
        reason = _in_words(error)
        raise _wrong(f"{path} is not an observation database: {reason}", "context") from error
    _allow(connection, _READING)
    connection.row_factory = sqlite3.Row
    return connection


def _database_of(path: Path) -> sqlite3.Connection:
    with open_regular(path) as file:
        head = file.read(20)
    if head.startswith(b"SQLite format 3") or not head:
        return _open(path, head)
    return _filled(unpacked(read_whole(path, LARGEST_DUMP), LARGEST_DUMP).decode())


def _in_words(error: Exception) -> str:
    """Return what SQLite says, or which bound was reached."""
    if isinstance(error, MemoryError):
        return f"it needs more than {format_memory(MEMORY)} of memory"
    if str(error) == "interrupted":
        return f"it takes longer than {format_duration(PATIENCE)}"
    return str(error)


def _open(path: Path, head: bytes) -> sqlite3.Connection:
    """Open a file of SQLite so that nothing is written, not even the index of a journal.

    Raises
    ------
    ContextUnavailable
        If that cannot be done because a writer has not finished.
    """
    journals = (path.with_name(path.name + kind) for kind in ("-wal", "-journal"))
    unfinished = [j.name for j in journals if j.exists() and j.stat().st_size]
    has_wal = head[18:20] == b"\x02\x02"
    # Without a write-ahead log to read, SQLite would make an empty one.
    how = "mode=ro&immutable=1" if has_wal and not unfinished else "mode=ro&readonly_shm=1"
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?{how}", uri=True)
    with _closed_if_it_fails(connection):
        _bound(connection)
        try:
            connection.execute("select 1 from sqlite_master").fetchone()
        except sqlite3.OperationalError as error:
            reason = str(error)
            if unfinished:
                reason = f"{unfinished[0]} holds changes of a program that writes, or was killed"
            raise _unavailable(f"the database {path} cannot be read: {reason}") from error
    return connection


def _filled(dump: str) -> sqlite3.Connection:
    """Return a database in memory, made from a dump, whose statements may do nothing else."""
    connection = sqlite3.connect(":memory:")
    with _closed_if_it_fails(connection):
        _bound(connection)
        _allow(connection, _FILLING)
        connection.executescript(dump)
    return connection


@contextmanager
def _closed_if_it_fails(connection: sqlite3.Connection) -> Iterator[None]:
    try:
        yield
    except BaseException:
        connection.close()
        raise


def _bound(connection: sqlite3.Connection) -> None:
    """Bound the time and the memory of all that is asked of a database; write no temporary file."""
    until = time.monotonic() + PATIENCE
    connection.set_progress_handler(lambda: time.monotonic() > until, 10_000)
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 1024**2)
    connection.execute(f"pragma hard_heap_limit = {MEMORY * 1024**2}")
    connection.execute("pragma temp_store = memory")


def _allow(connection: sqlite3.Connection, actions: Collection[int]) -> None:
    """Deny every other action; a pragma, with which dumps begin, has no effect."""

    def verdict(action: int, *_: str | None) -> int:
        if action in actions:
            return sqlite3.SQLITE_OK
        return sqlite3.SQLITE_IGNORE if action == sqlite3.SQLITE_PRAGMA else sqlite3.SQLITE_DENY

    connection.set_authorizer(verdict)


def _select(
    connection: sqlite3.Connection, path: Path, query: str, tags: Sequence[str]
) -> Iterator[Mapping[str, Any]]:
    """Select as sotodlib's ``ObsDb.query`` does."""
    columns, joins, conditions, names = ["obs.*"], "", [], []
    for number, tag in enumerate(tags):
        name, _, value = tag.partition("=")
        if value not in ("", "0", "1") or not name:
            raise _wrong(f"{tag!r} is not a tag", "tags", "write 'name', 'name=1' or 'name=0'")
        quoted = name.replace('"', '""')
        names.append(name)
        columns.append(f'tag{number} is not null as "{quoted}"')
        joins += f" left join (select distinct obs_id as tag{number} from tags where tag = ?)"
        joins += f" on obs.obs_id = tag{number}"
        if value:
            conditions.append(f"tag{number} is {'not ' if value == '1' else ''}null")
    # sotodlib takes double quotes for single ones, too. The line break ends a comment.
    condition = query.replace('"', "'")
    where = " and ".join([f"({condition}\n)", *conditions])
    size = 0
    try:
        order = "timestamp" if "timestamp" in _columns(connection) else "start_time"
        text = f"select {', '.join(columns)} from obs{joins} where {where}"
        text += f" order by obs.{order}, obs_id"
        for number, row in enumerate(connection.execute(text, names)):
            size += sum(len(value) for value in row if isinstance(value, str | bytes))
            if number == MOST_ROWS or size > MOST_TEXT * 1024**2:
                most = f"{format_count(MOST_ROWS)} rows, or {format_memory(MOST_TEXT)} of text"
                raise _wrong(f"query {query!r}: it selects more than {most}", "query")
            if not isinstance(row["obs_id"], str) or not _NAME.fullmatch(row["obs_id"]):
                message = f"{path} has an observation called {str(row['obs_id'])[:40]!r}"
                raise _wrong(message, "context", "a name is a single word without '#' and ':'")
            yield dict(row)
    except (sqlite3.DatabaseError, MemoryError) as error:
        known = [*_columns(connection), *names]
        raise _wrong_query(query, _in_words(error), known) from error
    except sqlite3.Warning as error:  # more than one statement
        raise _wrong_query(query, str(error), []) from error


def _columns(connection: sqlite3.Connection) -> list[str]:
    return [column for column, *_ in connection.execute("select * from obs limit 0").description]


def _wrong_query(query: str, said: str, columns: Sequence[str]) -> ConfigError:
    """Report what SQLite says, and the column that was probably meant."""
    if said in ("not authorized", "You can only execute one statement at a time."):
        return _wrong(f"query {query!r}: a query can only select", "query", "write one condition")
    hint = None
    if match := _NO_COLUMN.match(said):
        name = match[1].rpartition(".")[2]
        hint = did_you_mean(name, columns) or f"its columns are {', '.join(sorted(columns))}"
    return _wrong(f"query {query!r}: {said}", "query", hint)


def _lines(path: Path) -> dict[str, tuple[str, ...]]:
    """Return the lines of a query file by observation."""
    try:
        text = read_whole(path, LARGEST_LIST).decode("utf-8-sig")
    except OSError as error:
        raise _wrong(
            f"the query file {path} cannot be read: {reason_of(error)}", "query"
        ) from error
    except UnicodeDecodeError as error:
        raise _wrong(f"the query file {path} is not UTF-8", "query") from error
    lines: dict[str, tuple[str, ...]] = {}
    for number, line in enumerate(text.splitlines(), 1):
        words = line.partition("#")[0].split()
        if words:
            name, *parts = words[0].split(":")
            if len(parts) not in (0, 2):
                message = f"{path}:{number}: {words[0]!r} is neither obs_id nor obs_id:wafer:band"
                raise _wrong(message, "query")
            lines[name] = tuple(dict.fromkeys((*lines.get(name, ()), words[0])))
    return lines
