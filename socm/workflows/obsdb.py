"""Observations of a sotodlib context: read with SQLite, never written.

The queries mean what they mean to sotodlib's ``ObsDb.query``; sotodlib itself is not needed.
"""

from __future__ import annotations

import gzip
import re
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from socm.errors import ConfigError, Problem, did_you_mean
from socm.workflows.base import FILE_SCHEME, local_path

BANDS: Mapping[str, tuple[str, str]] = {
    "lf": ("f030", "f040"),
    "mf": ("f090", "f150"),
    "hf": ("f150", "f220"),
    "uhf": ("f220", "f280"),
}
"""The two bands of a tube's flavour, as sotodlib's mapmaking takes them."""

SAME_START = 60.0
"""Seconds within which the tubes of one telescope begin what is one scan."""

_READING = frozenset(
    {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE}
)
_NO_COLUMN = re.compile(r"no such column: (.+)")


class ContextUnavailable(ConfigError):
    """The observations of a context cannot be read here."""


@dataclass(frozen=True, kw_only=True)
class Observations:
    """Observations in order of time: one array for each of their properties.

    Parameters
    ----------
    obs_id
        Names.
    lines
        What stands for each in a query file: its name, or its parts ``obs_id:wafer:band``.
    start, stop
        Seconds of the epoch (UTC).
    n_samples
        Samples of each detector.
    telescope, tube, flavor
        Where from: ``"lat"``, ``"i1"``, ``"mf"``; empty where the database does not say.
    wafers
        Wafer slots of each.
    azimuth, elevation, throw
        Centre of the scan and how far it goes to either side, in degrees; NaN without pointing.
        A telescope over the zenith is told as what it looks at.
    pwv
        Precipitable water vapour in mm; NaN where it is missing.
    pwv_quality
        How much of the observation `pwv` is known for, from 0 to 1; NaN where nothing is said.
    session_id
        Of the telescope's own; empty where the database does not say.
    """

    obs_id: NDArray[np.str_]
    lines: NDArray[np.object_]
    start: NDArray[np.float64]
    stop: NDArray[np.float64]
    n_samples: NDArray[np.int64]
    telescope: NDArray[np.str_]
    tube: NDArray[np.str_]
    flavor: NDArray[np.str_]
    wafers: NDArray[np.object_]
    azimuth: NDArray[np.float64]
    elevation: NDArray[np.float64]
    throw: NDArray[np.float64]
    pwv: NDArray[np.float64]
    pwv_quality: NDArray[np.float64]
    session_id: NDArray[np.str_]

    def __len__(self) -> int:
        return len(self.obs_id)

    def __getitem__(self, which: NDArray[Any]) -> Observations:
        """Return some of them, by a mask or by indices."""
        return replace(self, **{f.name: getattr(self, f.name)[which] for f in fields(self)})

    @cached_property
    def middle(self) -> NDArray[np.float64]:
        """Middle of each, in seconds of the epoch."""
        return (self.start + self.stop) / 2

    @cached_property
    def pointed(self) -> NDArray[np.bool_]:
        """Whether it is known where each points."""
        return np.isfinite(self.azimuth) & np.isfinite(self.elevation)

    @cached_property
    def session(self) -> NDArray[np.int64]:
        """Number each session: what one telescope does at one time, with all its tubes.

        By the database's own ids where it has them, else by starts within a minute.
        """
        sessions = np.zeros(len(self), dtype=np.int64)
        last: dict[str, tuple[float, str, int]] = {}
        count = 0
        for i in range(len(self)):
            telescope, begin, own = str(self.telescope[i]), self.start[i], str(self.session_id[i])
            first, name, number = last.get(telescope, (-np.inf, "", -1))
            same = own == name if own or name else begin - first <= SAME_START
            if number < 0 or not same:
                number, first, count = count, begin, count + 1
            last[telescope] = (first, own, number)
            sessions[i] = number
        return sessions

    def of_tubes(self, tubes: str) -> Observations:
        """Return those of optics tubes, with commas; a tube is told by the name of an observation.

        So does make-ml-map, of one tube. Of several, sotodlib 0.6.24 takes what is in none of
        them, if their number is even.
        """
        names = tubes.split(",")
        mask = [any(name in obs_id for name in names) for obs_id in self.obs_id.tolist()]
        return self[np.array(mask, dtype=bool)]

    def detector_sets(self, wafers: str | None, bands: str | None) -> NDArray[np.int64]:
        """Count the detector sets that are mapped of each: one is a wafer in a band.

        Parameters
        ----------
        wafers, bands
            Those asked for, with commas; `None` is all.
        """
        slots = set(wafers.split(",")) if wafers else None
        wanted = set(bands.split(",")) if bands else None
        return np.array(
            [
                sum(
                    (slots is None or wafer in slots) and (wanted is None or band in wanted)
                    for wafer, band in _detector_sets(lines, on, flavor)
                )
                for lines, on, flavor in zip(self.lines, self.wafers, self.flavor, strict=True)
            ],
            dtype=np.int64,
        )


def _detector_sets(
    lines: tuple[str, ...], wafers: tuple[str, ...], flavor: str
) -> Iterable[tuple[str, str]]:
    for line in lines:
        _, *parts = line.split(":")
        if len(parts) == 2:
            yield parts[0], parts[1]
        else:
            yield from ((w, b) for w in wafers for b in BANDS.get(flavor, ("",)))


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
    with _connect(_database(context)) as connection:
        connection.row_factory = sqlite3.Row
        if not query.startswith(FILE_SCHEME):
            return _observations(_select(connection, query, tags), {})
        listed = _listed(Path(local_path(query)))
        rows = _select(connection, "1", tags)
        found = [row for row in rows if row["obs_id"] in listed]
        known = {row["obs_id"] for row in found}
        if unknown := [name for name in listed if name not in known]:
            names = ", ".join(unknown[:3]) + (" …" if len(unknown) > 3 else "")
            tagged = " with these tags" if tags else ""
            message = f"{len(unknown)} of the observations in {local_path(query)} are not in the "
            raise _wrong(f"{message}database{tagged}: {names}", "query")
        return _observations(found, listed)


def _wrong(message: str, subject: str, hint: str | None = None) -> ConfigError:
    return ConfigError(Problem(message=message, hint=hint, subject=subject))


def _unavailable(message: str) -> ContextUnavailable:
    return ContextUnavailable(
        Problem(
            message=message,
            hint="where the data are not, --assume-splits plans with every split present",
            subject="context",
        )
    )


def _database(context: Path) -> Path:
    """Return the path of the observation database that a context names."""
    try:
        data = yaml.safe_load(context.read_text(encoding="utf-8"))
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise _unavailable(f"the context {context} cannot be read: {reason}") from error
    except (yaml.YAMLError, UnicodeDecodeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise _wrong(f"the context {context} is no YAML: {reason}", "context") from error
    name = data.get("obsdb") if isinstance(data, dict) else None
    if not isinstance(name, str):
        raise _wrong(f"the context {context} names no obsdb", "context")
    tags = data.get("tags")
    try:
        for _ in range(20):  # a tag may hold tags; sotodlib gives up at the same depth
            name = name.format(**(tags if isinstance(tags, dict) else {}))
    except (LookupError, ValueError) as error:
        raise _wrong(f"obsdb {name!r} in {context}: no tag {error}", "context") from error
    return context.parent / name


def _connect(path: Path) -> sqlite3.Connection:
    """Open a database for reading: SQLite's own file, a dump, or a dump in gzip."""
    try:
        with path.open("rb") as file:
            head = file.read(16)
        if head.startswith(b"SQLite format 3") or not head:
            connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
            try:
                connection.execute("select 1 from sqlite_master").fetchone()
            except sqlite3.OperationalError:  # a journal that may not be made in its folder
                connection.close()
                uri = f"{path.absolute().as_uri()}?mode=ro&immutable=1"
                connection = sqlite3.connect(uri, uri=True)
        else:
            data = path.read_bytes()
            text = (gzip.decompress(data) if head[:2] == b"\x1f\x8b" else data).decode()
            connection = sqlite3.connect(":memory:")
            connection.executescript(text)
        connection.execute("select obs_id from obs limit 1")
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise _unavailable(f"the database {path} cannot be read: {reason}") from error
    except (sqlite3.Error, ValueError, EOFError) as error:
        raise _wrong(f"{path} is no observation database: {error}", "context") from error
    connection.set_authorizer(
        lambda action, *_: sqlite3.SQLITE_OK if action in _READING else sqlite3.SQLITE_DENY
    )
    return connection


def _select(connection: sqlite3.Connection, query: str, tags: Sequence[str]) -> list[sqlite3.Row]:
    """Select as sotodlib's ``ObsDb.query`` does."""
    columns, joins, conditions, names = ["obs.*"], "", [], []
    for number, tag in enumerate(tags):
        name, _, value = tag.partition("=")
        if value not in ("", "0", "1") or not name:
            raise _wrong(f"{tag!r} is no tag", "tags", "write 'name', 'name=1' or 'name=0'")
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
    """Say what SQLite says, and the column that was probably meant."""
    if said in ("not authorized", "You can only execute one statement at a time."):
        return _wrong(f"query {query!r}: a query only selects", "query", "give one SQL condition")
    hint = None
    if match := _NO_COLUMN.match(said):
        name = match[1].rpartition(".")[2]
        hint = did_you_mean(name, columns) or f"its columns are {', '.join(sorted(columns))}"
    return _wrong(f"query {query!r}: {said}", "query", hint)


def _listed(path: Path) -> dict[str, tuple[str, ...]]:
    """Return the lines of a query file by observation."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = (getattr(error, "strerror", None) or str(error)).lower()
        raise _wrong(f"the query file {path} cannot be read: {reason}", "query") from error
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


def _observations(
    rows: Sequence[sqlite3.Row], lines: Mapping[str, tuple[str, ...]]
) -> Observations:
    """Gather rows in arrays; a database may have one for each wafer and band."""
    by_id: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        by_id.setdefault(row["obs_id"], []).append(dict(row))
    firsts = [several[0] for several in by_id.values()]

    def numbers(*names: str) -> NDArray[np.float64]:
        """Return the first of these columns that there is; NaN where it is missing."""
        return np.array([_number(row, names) for row in firsts], dtype=np.float64)

    def texts(name: str) -> NDArray[np.str_]:
        given = [row.get(name) for row in firsts]
        return np.array(["" if x is None else str(x) for x in given], dtype=np.str_)

    start = np.nan_to_num(numbers("start_time", "timestamp"))
    stop = numbers("stop_time")
    duration = np.nan_to_num(numbers("duration"))
    azimuth, elevation = numbers("az_center"), numbers("el_center")
    over = elevation > 90
    return Observations(
        obs_id=np.array([*by_id], dtype=np.str_),
        lines=_objects([lines.get(name, (name,)) for name in by_id]),
        start=start,
        stop=np.where(np.isfinite(stop), stop, start + duration),
        n_samples=np.nan_to_num(numbers("n_samples")).astype(np.int64),
        telescope=texts("telescope"),
        tube=texts("tube_slot"),
        flavor=np.char.lower(texts("tube_flavor")),
        wafers=_objects([_wafers(several) for several in by_id.values()]),
        azimuth=np.where(over, azimuth + 180, azimuth) % 360,
        elevation=np.where(over, 180 - elevation, elevation),
        throw=np.nan_to_num(numbers("az_throw")),
        pwv=numbers("pwv_mean", "pwv"),
        pwv_quality=numbers("pwv_qual"),
        session_id=texts("session_id"),
    )


def _number(row: Mapping[str, Any], names: Sequence[str]) -> float:
    value = next((row[name] for name in names if name in row), None)
    try:
        return float("nan") if value is None else float(value)
    except (TypeError, ValueError):
        return float("nan")


def _objects(values: Sequence[Any]) -> NDArray[np.object_]:
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def _wafers(rows: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """Return the wafer slots of an observation.

    As make-ml-map does by the mask that ends its name; else from what its database says of them.
    """
    mask = str(rows[0]["obs_id"]).rpartition("_")[2]
    if mask and not mask.strip("01"):
        return tuple(f"ws{i}" for i, on in enumerate(mask) if on == "1")
    slots: list[Any] = [row.get("wafer_slot") for row in rows]
    if not all(slots):
        slots = str(rows[0].get("wafer_slots_list") or "").split(",")
    return tuple(sorted({str(slot).strip() for slot in slots if slot}))
