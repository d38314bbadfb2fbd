"""Contexts and databases of observations that may hold anything: read or refused, within bounds."""

from __future__ import annotations

import gzip
import os
import random
import sqlite3
from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from test_input import no_file_to_hold

from socm.errors import ConfigError
from socm.workflows import obsdb
from socm.workflows.obsdb import read_observations

CONTEXT = Path(__file__).parent.parent / "examples" / "so" / "context.yaml"
ENDLESS = "with recursive n(i) as (select 1 union all select i + 1 from n) "
ONE_ROW = "create table obs (obs_id text, timestamp real); insert into obs values ('a', 1);"


def context(folder: Path, text: str = "obsdb: db\n") -> Path:
    path = folder / "context.yaml"
    path.write_text(text)
    return path


def database(folder: Path, statements: str) -> Path:
    """Make a database and its context."""
    with closing(sqlite3.connect(folder / "db")) as connection:
        connection.executescript(statements)
    return context(folder)


def refused(path: Path, told: str, query: str = "1") -> None:
    with pytest.raises(ConfigError) as caught:
        read_observations(path, query)
    (problem,) = caught.value.problems
    assert told in problem.message
    assert len(problem.message) < 400


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(obsdb, "PATIENCE", 0.05)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    ("statements", "query"),
    [
        (f"create view obs as {ENDLESS} select 'a' obs_id, 1 timestamp from n where i < 0", "1"),
        (f"{ONE_ROW} create view n as {ENDLESS} select i from n", "0 in (select i from n)"),
        (ONE_ROW, f"0 in ({ENDLESS} select i from n)"),
    ],
    ids=["view", "view in a query", "query"],
)
def test_what_never_ends_is_refused(tmp_path: Path, statements: str, query: str) -> None:
    refused(database(tmp_path, statements), "takes longer than", query)


@pytest.mark.usefixtures("impatient")
def test_a_dump_that_never_ends_is_refused(tmp_path: Path) -> None:
    (tmp_path / "db").write_text(
        f"{ONE_ROW} insert into obs {ENDLESS} select 'b', 1 from n where i < 0"
    )
    refused(context(tmp_path), "takes longer than")


HUGE = f"{ENDLESS} select hex(zeroblob(1000)) || i, 1 from n"


@pytest.mark.parametrize("dumped", [False, True])
def test_what_needs_too_much_memory_is_refused(tmp_path: Path, dumped: bool) -> None:
    # A bound of SQLite can only be lowered within a process: the child has one of its own.
    if dumped:
        (tmp_path / "db").write_text(f"{ONE_ROW} insert into obs {HUGE}")
        path = context(tmp_path)
    else:
        path = database(tmp_path, f"create view obs (obs_id, timestamp) as {HUGE}")
    child = os.fork()
    if child == 0:
        try:
            obsdb.MEMORY = 16
            refused(path, "it needs more than 16 MB of memory")
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitpid(child, 0)[1] == 0


def test_a_query_that_selects_too_much_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = f"{ENDLESS} select 'obs_' || i, 1 from n limit 1000"
    path = database(tmp_path, f"create table obs (obs_id, timestamp); insert into obs {many}")
    monkeypatch.setattr(obsdb, "MOST_ROWS", 1000)
    assert len(read_observations(path, "1")) == 1000
    monkeypatch.setattr(obsdb, "MOST_ROWS", 999)
    refused(path, "selects more than 999 rows")
    monkeypatch.setattr(obsdb, "MOST_ROWS", 1000)
    monkeypatch.setattr(obsdb, "MOST_TEXT", 0)
    refused(path, "0 MB of text")


@pytest.mark.parametrize("name", ["null", "1", "x'6162'", "''", "'a b'", "'a' || char(10) || 'b'",
                                  "'a:ws0'", "'#a'", "hex(zeroblob(101))"])  # fmt: skip
def test_an_observation_has_a_name_that_a_list_can_hold(tmp_path: Path, name: str) -> None:
    path = database(
        tmp_path, f"create table obs (obs_id, timestamp); insert into obs values ({name}, 1)"
    )
    refused(path, "has an observation called")


def test_numbers_that_no_observation_has_count_as_missing(tmp_path: Path) -> None:
    columns = "start_time, stop_time, n_samples, az_center, el_center, pwv_mean"
    values = "9e307, -9e999, 1e300, 'x', x'00', 9e999"
    path = database(
        tmp_path, f"create table obs (obs_id, {columns}); insert into obs values ('a', {values})"
    )
    read = read_observations(path, "1")
    assert read.n_samples.tolist() == [0]
    assert read.start.tolist() == [0]
    assert np.isnan([read.azimuth[0], read.elevation[0], read.pwv[0]]).all()


def damaged(content: bytes, count: int) -> Iterable[bytes]:
    """Yield a file with flipped bits, with pages of other content, and cut."""
    rng = random.Random(1)
    for _ in range(count):
        mutant = bytearray(content)
        match rng.randrange(3):
            case 0:
                for _ in range(rng.choice([1, 8, 64])):
                    mutant[rng.randrange(len(mutant))] ^= 1 << rng.randrange(8)
            case 1:
                at = rng.randrange(len(mutant))
                mutant[at : at + 512] = rng.randbytes(512)
            case 2:
                del mutant[rng.randrange(len(mutant)) :]
        yield bytes(mutant)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("kind", ["database", "dump", "packed dump"])
def test_a_damaged_database_is_read_or_refused(tmp_path: Path, kind: str) -> None:
    original = (CONTEXT.parent / "obsdb.sqlite").read_bytes()
    if kind != "database":
        with closing(sqlite3.connect(CONTEXT.parent / "obsdb.sqlite")) as connection:
            original = "\n".join(connection.iterdump()).encode()
    if kind == "packed dump":
        original = gzip.compress(original)
    outcomes = set()
    for content in damaged(original, 60):
        (tmp_path / "db").write_bytes(content)
        try:
            read_observations(context(tmp_path), "type='obs'", ["planet"])
            outcomes.add("read")
        except ConfigError:
            outcomes.add("refused")
        assert sorted(p.name for p in tmp_path.iterdir()) == ["context.yaml", "db"]
    assert "refused" in outcomes


def test_a_dump_that_unpacks_to_too_much_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(obsdb, "LARGEST_DUMP", 1)
    (tmp_path / "db").write_bytes(gzip.compress(b" " * 2_000_000))
    refused(context(tmp_path), "unpacked it is larger than 1 MB")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{a: b, obsdb: '{a:>999999999}'}", "cannot be read"),
        ("{obsdb: '{a}', tags: {a: '{a}{a}{a}{a}{a}{a}{a}{a}'}}", "its path is too long"),
        ("{obsdb: '{a.__class__}', tags: {a: b}}", "cannot be read"),
        ("obsdb: " + "[" * 5000, "nested too deeply"),
        ("obsdb: [db]", "does not name an obsdb"),
        ('obsdb: "a\\0b"', "null byte"),
        ("- obsdb: db", "does not name an obsdb"),
        ("&a [*a]", "does not name an obsdb"),
        ("x: &x {obsdb: nowhere}\n<<: *x", "nowhere cannot be read"),
    ],
)
def test_a_hostile_context_is_refused(tmp_path: Path, text: str, told: str) -> None:
    refused(context(tmp_path, text), told)


def test_mappings_that_merge_each_other_many_times_do_no_harm(tmp_path: Path) -> None:
    database(tmp_path, ONE_ROW)
    lines = ["a0: &a0 {obsdb: db}"]
    lines += [f"a{i}: &a{i} {{<<: [{', '.join([f'*a{i - 1}'] * 20)}]}}" for i in range(1, 30)]
    path = context(tmp_path, "\n".join([*lines, "<<: *a29", ""]))
    assert len(read_observations(path, "1")) == 1


@no_file_to_hold
@pytest.mark.parametrize("which", ["context", "database", "list"])
def test_what_is_not_a_file_that_can_be_held_is_refused(
    tmp_path: Path, which: str, make: Callable[[Path], None], told: str
) -> None:
    strange = tmp_path / "strange"
    make(strange)
    if which == "context":
        refused(strange, told)
    elif which == "database":
        refused(context(tmp_path, "obsdb: strange\n"), told)
    else:
        refused(database(tmp_path, ONE_ROW), told, f"file://{strange}")
