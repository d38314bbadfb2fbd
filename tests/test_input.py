"""What is named on a command line may be anything: it is read within bounds, or refused."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from test_cli import socm

from socm.config import load_campaign, load_cluster
from socm.config.settings import load_settings
from socm.config.source import read
from socm.errors import ConfigError
from socm.exchange.importing import import_file
from socm.files import Bounds
from socm.model.document import read_plan

READERS: dict[str, Callable[[Path], Any]] = {
    "c.toml": load_campaign,
    "c.yaml": load_campaign,
    "cluster.toml": lambda path: load_cluster(str(path)),
    "config.toml": lambda path: load_settings(),
    "plan.json": read_plan,
    "workflow.json": import_file,
    "pipeline.yml": import_file,
}


def _link(path: Path) -> None:
    path.symlink_to("/dev/zero")


def _sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(1024**4)


no_file_to_hold = pytest.mark.parametrize(
    ("make", "told"),
    [
        (Path.mkdir, "is a directory"),
        (os.mkfifo, "it is not a regular file"),
        (_link, "it is not a regular file"),
        (_sparse, "it is larger than"),
    ],
    ids=["folder", "pipe", "device", "1 TB"],
)


@no_file_to_hold
@pytest.mark.parametrize("name", READERS)
def test_what_is_not_a_file_that_can_be_held_is_refused(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    make: Callable[[Path], None],
    told: str,
) -> None:
    path = tmp_path / name
    make(path)
    if name == "config.toml":
        monkeypatch.setenv("SOCM_CONFIG", str(path))
    with pytest.raises(ConfigError) as caught:
        READERS[name](path)
    (problem,) = caught.value.problems
    assert problem.file == str(path)
    assert told in problem.message


def test_a_file_may_have_as_many_values_as_it_likes_where_no_alias_unfolds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("socm.config.source.MOST_UNFOLDED", 10)
    honest = tmp_path / "c.yaml"
    honest.write_text("stages:\n" + "".join(f"  s{i}: {{a: [1, 2]}}\n" for i in range(100)))
    assert len(read(honest).data["stages"]) == 100  # type: ignore[arg-type]
    honest.write_text("".join(f"[s{i}]\na = 1\n" for i in range(100)))
    assert len(read(honest.rename(tmp_path / "c.toml")).data) == 100


@pytest.mark.parametrize("name", ["c.toml", "c.yaml", "plan.json", "workflow.json"])
def test_more_values_than_can_be_held_are_refused_before_they_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    few = Bounds(size=1, values=1000)
    monkeypatch.setattr("socm.config.source.BY_HAND", few)
    for module in ("model.document", "exchange.source"):
        monkeypatch.setattr(f"socm.{module}.BY_PROGRAM", few)
    path = tmp_path / name
    path.write_text('{"a": [' + "[]," * 1000)  # not even well-formed
    with pytest.raises(ConfigError, match="has more than 1 000 values"):
        READERS[name](path)


def test_of_very_many_problems_the_first_are_told_and_the_rest_counted(tmp_path: Path) -> None:
    stages = "".join(
        f"  s{i}: {{executable: x, depends: [s{i}x], resources: {{runtime: 1m}}}}\n"
        for i in range(300)
    )
    path = tmp_path / "c.yaml"
    path.write_text(f"campaign: {{resource: tiger3}}\nstages:\n{stages}")
    done = socm("validate", path)
    assert done.returncode == 2
    assert done.stderr.count("did you mean") == 100
    assert done.stderr.endswith("and 200 more\n300 problems\n")
