"""The kinds of files that socm reads: examples, mistakes in them, and how each is read."""

from __future__ import annotations

import gzip
import json
import random
import shutil
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from benchmarks.fuzz.commands import CAMPAIGN, CLUSTER, IMPORT, PLAN, RUN
from benchmarks.fuzz.mutations import mutated_bytes, mutated_json, mutated_text
from socm.config import load_campaign, load_cluster
from socm.engine.run import Run
from socm.errors import ConfigError
from socm.exchange.importing import import_file
from socm.exchange.slurm import Answers, imported_cluster
from socm.model.document import read_plan
from socm.model.entries import PlanFile

ROOT = Path(__file__).parent.parent.parent
DATA = ROOT / "tests" / "data"
DOCUMENTS = DATA / "documents" / "0.1.0"
OBSERVATIONS = ROOT / "examples" / "so" / "obsdb.sqlite"


@dataclass(frozen=True)
class Kind:
    """A kind of files.

    Parameters
    ----------
    write
        Writes one with mistakes into a folder.
    read
        Reads it, or raises a `SocmError`.
    commands
        Command lines that take such a file.
    name
        What they are given; the only file of the folder if empty.
    """

    write: Callable[[random.Random, Path], None]
    read: Callable[[Path], object]
    commands: Sequence[Sequence[str]] = ()
    name: str = ""


def _text(path: Path) -> str:
    content = path.read_bytes()
    return (gzip.decompress(content) if path.suffix == ".gz" else content).decode()


@cache
def _texts(*patterns: str) -> list[tuple[str, str]]:
    """Return the names and the texts of files of the repository."""
    paths = [path for pattern in patterns for path in sorted(ROOT.glob(pattern))]
    return [(path.name.removesuffix(".gz"), _text(path)) for path in paths]


def _write(path: Path, text: str) -> None:
    path.write_bytes(text.encode("utf-8", "surrogatepass"))


def _only(folder: Path) -> Path:
    [path] = folder.iterdir()
    return path


# Campaigns and clusters


def _write_campaign(rng: random.Random, folder: Path) -> None:
    name, text = rng.choice(_texts("examples/*.toml", "examples/*.y*ml", "tests/data/user_guide/*"))
    _write(folder / f"campaign{Path(name).suffix}", mutated_text(rng, text))


def _read_campaign(folder: Path) -> None:
    """Read a campaign; whatever is wrong has its place."""
    path = _only(folder)
    try:
        load_campaign(path)
    except ConfigError as error:
        for problem in error.problems:
            whole = problem.message.startswith(("is empty", "is not UTF-8"))
            if problem.file == str(path) and not (problem.line and problem.column) and not whole:
                raise AssertionError(f"no position: {problem}") from error
        raise


def _write_cluster(rng: random.Random, folder: Path) -> None:
    _, text = rng.choice(_texts("socm/clusters/*.toml"))
    _write(folder / "cluster.toml", mutated_text(rng, text))


# Plans and runs


def _write_plan(rng: random.Random, folder: Path) -> None:
    _, text = rng.choice(_texts("tests/data/documents/0.1.0/plan*.json"))
    text = mutated_json(rng, text)
    with suppress(Exception):  # else few would get past the fingerprint
        data = json.loads(text)
        data["fingerprint"] = PlanFile.model_validate(data).campaign.fingerprint
        text = json.dumps(data)
    _write(folder / "plan.json", text)


def _copy_run(rng: random.Random, folder: Path) -> Path:
    runs = sorted((DOCUMENTS / "runs").iterdir())
    return Path(shutil.copytree(rng.choice(runs), folder / "run"))


def _write_journal(rng: random.Random, folder: Path) -> None:
    path = _copy_run(rng, folder) / "journal.jsonl"
    if rng.random() < 0.5:
        path.write_bytes(mutated_bytes(rng, path.read_bytes()))
        return
    lines = path.read_text().splitlines()
    for _ in range(rng.choice([1, 1, 2, 5])):
        at = rng.randrange(len(lines))
        with suppress(ValueError):
            lines[at] = mutated_json(rng, lines[at])
    _write(path, "\n".join(lines) + "\n")


def _write_run(rng: random.Random, folder: Path) -> None:
    path = _copy_run(rng, folder) / "run.json"
    _write(path, mutated_json(rng, path.read_text()))


def _read_run(folder: Path) -> None:
    run = Run.find(str(folder / "run"))
    run.state()
    run.life()


# Observations

NULL_TESTS = """[campaign]
resource = "tiger3"
[campaign.ml-null-tests]
context = "context.yaml"
area = "/area.fits"
output_dir = "/out"
query = "1"
chunk_nobs = 10
nsplits = 2
resources = { ranks = 1, threads = 8, memory = "80G", runtime = "1h" }
"""
TESTS = ("mission", "wafer", "direction", "pwv", "day-night", "elevation", "sun-close")


@cache
def _observations() -> tuple[bytes, bytes]:
    """Return a small database of observations, and its dump."""
    with (
        closing(sqlite3.connect(OBSERVATIONS)) as whole,
        closing(sqlite3.connect(":memory:")) as few,
    ):
        whole.backup(few)
        few.execute("delete from obs where rowid % 10")
        few.commit()
        few.execute("vacuum")
        return few.serialize(), "\n".join(few.iterdump()).encode()


def _write_observations(rng: random.Random, folder: Path) -> None:
    database, dump = _observations()
    context = "tags: {here: '.'}\nobsdb: '{here}/db'\n"
    match rng.randrange(4):
        case 0:
            content = mutated_bytes(rng, database)
        case 1:
            content = mutated_text(rng, dump.decode()).encode("utf-8", "surrogatepass")
        case 2:
            content = mutated_bytes(rng, gzip.compress(dump, mtime=0))
        case _:
            content, context = database, mutated_text(rng, context)
    (folder / "db").write_bytes(content)
    _write(folder / "context.yaml", context)
    test = f"[campaign.ml-null-tests.{rng.choice(TESTS)}-tests]\n"
    (folder / "campaign.toml").write_text(NULL_TESTS + test)


# Other systems


def _write_import(rng: random.Random, folder: Path) -> None:
    name, text = rng.choice(_texts("tests/data/exchange/*.json.gz", "tests/data/exchange/*.yml"))
    mutate = mutated_json if name.endswith(".json") else mutated_text
    _write(folder / name, mutate(rng, text))


def _write_answers(rng: random.Random, folder: Path) -> None:
    spoilt = rng.randrange(5)
    for number, (name, text) in enumerate(_texts("tests/data/slurm/*.txt")):
        _write(folder / name, mutated_text(rng, text) if number == spoilt else text)


def _read_answers(folder: Path) -> None:
    texts = {path.stem: path.read_bytes().decode(errors="replace") for path in folder.iterdir()}
    imported_cluster(Answers(**texts), checked="2026-01-01")


KINDS: Mapping[str, Kind] = {
    "campaign": Kind(_write_campaign, _read_campaign, CAMPAIGN),
    "cluster": Kind(_write_cluster, lambda folder: load_cluster(str(_only(folder))), CLUSTER),
    "plan": Kind(_write_plan, lambda folder: read_plan(_only(folder)), PLAN),
    "journal": Kind(_write_journal, _read_run, RUN),
    "run.json": Kind(_write_run, _read_run, RUN),
    "observations": Kind(
        _write_observations,
        lambda folder: load_campaign(folder / "campaign.toml"),
        CAMPAIGN,
        "campaign.toml",
    ),
    "import": Kind(_write_import, lambda folder: import_file(_only(folder)), IMPORT),
    "SLURM's answers": Kind(_write_answers, _read_answers),
}
