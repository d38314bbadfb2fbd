"""The observation database of a sotodlib context: read with SQLite, never written.

A query means what it means to sotodlib's ``ObsDb.query``; sotodlib itself is not needed.
"""

from __future__ import annotations

import gzip
import re
import sqlite3
from collections.abc import Collection, Sequence
from contextlib import closing
from pathlib import Path

import yaml

from socm.errors import ConfigError, Problem, did_you_mean
from socm.words import count, listed, reason_of
from socm.workflows.base import FILE_SCHEME, local_path
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
    with closing(_connect(_database(context))) as connection:
        connection.row_factory = sqlite3.Row
        if not query.startswith(FILE_SCHEME):
            return observations_of(map(dict, _select(connection, query, tags)), {})
        lines = _lines(Path(local_path(query)))
        found = [dict(row) for row in _select(connection, "1", tags) if row["obs_id"] in lines]
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
        data = yaml.safe_load(context.read_text(encoding="utf-8"))
    except OSError as error:
        raise _unavailable(f"the context {context} cannot be read: {reason_of(error)}") from error
    except (yaml.YAMLError, UnicodeDecodeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise _wrong(f"the context {context} is not YAML: {reason}", "context") from error
    name = data.get("obsdb") if isinstance(data, dict) else None
    if not isinstance(name, str):
        raise _wrong(f"the context {context} does not name an obsdb", "context")
    tags = data.get("tags")
    try:
        for _ in range(20):  # a tag may hold tags; sotodlib stops at the same depth
            name = name.format(**(tags if isinstance(tags, dict) else {}))
    except (LookupError, ValueError) as error:
        raise _wrong(f"obsdb {name!r} in {context}: no tag {error}", "context") from error
    return context.parent / name


def _connect(path: Path) -> sqlite3.Connection:
    """Open a database for reading: a file of SQLite, a dump, or a dump in gzip."""
    try:
        with path.open("rb") as file:
            head = file.read(20)
        is_database = head.startswith(b"SQLite format 3") or not head
        connection = _open(path, head) if is_database else _filled(path.read_bytes())
        connection.execute("select obs_id from obs limit 1")
    except OSError as error:
        raise _unavailable(f"the database {path} cannot be read: {reason_of(error)}") from error
    except (sqlite3.Error, ValueError, EOFError) as error:
        raise _wrong(f"{path} is not an observation database: {error}", "context") from error
    _allow(connection, _READING)
    return connection


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
    try:
        connection.execute("select 1 from sqlite_master").fetchone()
    except sqlite3.OperationalError as error:
        connection.close()
        reason = str(error)
        if unfinished:
            reason = f"{unfinished[0]} holds changes of a program that is writing, or was killed"
        raise _unavailable(f"the database {path} cannot be read: {reason}") from error
    return connection


def _filled(dump: bytes) -> sqlite3.Connection:
    """Return a database in memory, made from a dump, whose statements may do nothing else."""
    text = (gzip.decompress(dump) if dump[:2] == b"\x1f\x8b" else dump).decode()
    connection = sqlite3.connect(":memory:")
    _allow(connection, _FILLING)
    connection.executescript(text)
    return connection


def _allow(connection: sqlite3.Connection, actions: Collection[int]) -> None:
    """Deny every other action; a pragma, with which dumps begin, has no effect."""

    def verdict(action: int, *_: str | None) -> int:
        if action in actions:
            return sqlite3.SQLITE_OK
        return sqlite3.SQLITE_IGNORE if action == sqlite3.SQLITE_PRAGMA else sqlite3.SQLITE_DENY

    connection.set_authorizer(verdict)


def _select(connection: sqlite3.Connection, query: str, tags: Sequence[str]) -> list[sqlite3.Row]:
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
    order = "timestamp" if "timestamp" in _columns(connection) else "start_time"
    text = f"select {', '.join(columns)} from obs{joins} where {where} order by obs.{order}, obs_id"
    try:
        return connection.execute(text, names).fetchall()
    except sqlite3.DatabaseError as error:
        raise _wrong_query(query, str(error), [*_columns(connection), *names]) from error
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
        text = path.read_text(encoding="utf-8")
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
