"""Values as people write them: numbers for names, one text for a list, a file for a query."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import get_origin

import pytest
from test_cli import socm

from socm.config import LoadedCampaign, load_campaign
from socm.config.json_schema import campaign_schema
from socm.errors import ConfigError
from socm.exchange.importing import import_file
from socm.workflows import WORKFLOW_TYPES
from socm.workflows.obsdb import read_observations

STAGES = """
campaign: {{resource: tiger3, name: 090}}
stages:
  090: {{executable: make, resources: {{runtime: 10m, account: 1234}}}}
  150: {{executable: make, depends: 090, resources: {{runtime: 10m, account: 0123}}}}
  010: {{executable: make, depends: {depends}, resources: {{runtime: 10m, licenses: [1, 2]}}}}
"""
MAPS = """
[campaign]
resource = "tiger3"
name = 90
[[campaign.ml-mapmaking]]
name = 90
context = "context.yaml"
area = "area.fits"
output_dir = "{first}"
{keys}
resources = {{ runtime = "1h", memory = "1G", account = 17 }}
[[campaign.ml-mapmaking]]
name = 150
depends = 90
context = "context.yaml"
area = "area.fits"
output_dir = "{second}"
{more}
resources = {{ runtime = "1h", memory = "1G", partition = "cpu" }}
"""


def stages(folder: Path, depends: str) -> LoadedCampaign:
    (folder / "dag.yaml").write_text(STAGES.format(depends=depends))
    return load_campaign(folder / "dag.yaml")


def maps(
    folder: Path, keys: str = "", more: str = "", first: str = "f090", second: str = "f150"
) -> LoadedCampaign:
    text = MAPS.format(keys=keys, more=more, first=first, second=second)
    (folder / "maps.toml").write_text(text)
    return load_campaign(folder / "maps.toml")


@pytest.mark.parametrize("depends", ["[090, 150]", '["090", "150"]', "090, 150", "'090,150'"])
def test_a_stage_may_have_a_number_for_its_name(depends: str, tmp_path: Path) -> None:
    if depends == "090, 150":
        depends = '"090, 150"'
    campaign = stages(tmp_path, depends).campaign
    assert campaign.name == "090"
    assert [*campaign.workflows] == ["090", "150", "010"]
    assert campaign.workflows["010"].depends == ("090", "150")
    assert campaign.workflows["150"].depends == ("090",)


def test_accounts_and_other_texts_may_be_numbers(tmp_path: Path) -> None:
    workflows = stages(tmp_path, "[150]").campaign.workflows
    assert [w.request.account for w in workflows.values()] == ["1234", "0123", None]
    assert workflows["010"].options["licenses"] == "1,2"
    made = maps(tmp_path).campaign
    assert (made.name, made.workflows["90"].request.account) == ("90", "17")
    assert made.workflows["150"].depends == ("90",)


@pytest.mark.parametrize("suffix", ["toml", "yaml"])
def test_a_number_is_kept_as_it_is_written(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"dag.{suffix}"
    path.write_text(
        "[stages.a]\nexecutable = 'make'\nmodules = [3.10, 'intel']\nscript-args = [1.50, 2.5]\n"
        "resources = { runtime = '1h', spread = 0.20 }\n"
        if suffix == "toml"
        else "stages:\n  a: {executable: make, modules: [3.10, intel], script-args: [1.50, 2.5],\n"
        "      resources: {runtime: 1h, spread: 0.20}}\n"
    )
    made = load_campaign(path, cluster="tiger3").campaign.workflows["a"]
    assert made.modules == ("3.10", "intel")
    assert made.command == ("make", "1.50", "2.5")
    assert made.request.spread == 0.2


def test_what_is_neither_text_nor_number_is_no_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as error:
        stages(tmp_path, "[true, [1]]")
    told = str(error.value)
    assert "depends[0]: should be text, not True" in told
    assert "depends[1]: should be text" in told


def test_names_of_other_systems_may_be_numbers_too(tmp_path: Path) -> None:
    path = tmp_path / "m.yml"
    parallel = "parallel: {nproc: 1, threads: 2, walltime: '00:10:00'}"
    path.write_text(
        f"root_dir: /x\nstages:\n  090: {{exec: a, script: a.py, {parallel}}}\n"
        f"  010: {{exec: a, script: a.py, depends: 090, {parallel}}}\n"
        f"  150: {{exec: a, script: a.py, depends: [090, 010], {parallel}}}\n"
    )
    made = import_file(path).stages
    assert made["150"]["depends"] == ["090", "010"]
    assert made["010"]["depends"] == ["090"]


@pytest.mark.parametrize(
    ("kind", "key"),
    [
        (kind, key)
        for kind in WORKFLOW_TYPES
        for key, field in WORKFLOW_TYPES[kind].options.model_fields.items()
        if get_origin(field.annotation) is tuple
    ],
)
def test_one_text_is_a_list_of_one(kind: str, key: str) -> None:
    needed = {"context": "c", "area": "a", "output_dir": "o", "executable": "x", "script": "s"}
    options = WORKFLOW_TYPES[kind].options
    given = {k: v for k, v in needed.items() if k in options.model_fields and k != "script"}
    assert getattr(options.model_validate({**given, key: "cmb"}), key) == ("cmb",)
    assert getattr(options.model_validate({**given, key: ["a", 5]}), key)[0] == "a"


def test_editors_take_what_is_taken() -> None:
    found = campaign_schema()["properties"]["campaign"]["properties"]
    assert found["name"]["anyOf"][0]["type"] == ["string", "number"]
    tests = found["ml-null-tests"]["properties"]["pwv-tests"]["anyOf"][0]["properties"]
    assert tests["tags"]["type"] == ["array", "string", "number"]


@pytest.mark.parametrize("name", ["obslist.txt", "./obslist.txt", "lists/two", "obs list"])
def test_a_query_may_be_the_name_of_a_file(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("obs_1\n")
    made = maps(tmp_path, f'query = "{name}"').campaign.workflows["90"]
    assert made.command[2] == str(tmp_path / name)
    assert str(tmp_path / name) in made.inputs


@pytest.mark.parametrize("query", ["1", "cmb", "type = 'obs'", "timestamp > 1e9/2", "$OBS"])
def test_a_condition_is_no_file(query: str, tmp_path: Path) -> None:
    (tmp_path / "1").write_text("a file whose name is a query for all")
    made = maps(tmp_path, f'query = "{query}"').campaign.workflows["90"]
    assert made.command[2] == query


def test_a_list_that_is_missing_is_told(tmp_path: Path) -> None:
    context = tmp_path / "context.yaml"
    context.write_text("obsdb: obs.sqlite\n")
    with sqlite3.connect(tmp_path / "obs.sqlite") as database:
        database.execute("create table obs (obs_id text, timestamp float)")
    with pytest.raises(ConfigError) as error:
        read_observations(context, f"file://{tmp_path}/obslist.txt")
    assert "obslist.txt cannot be read" in str(error.value)


@pytest.mark.parametrize("second", ["maps", "./maps/", "maps/../maps"])
def test_two_maps_in_one_folder_are_refused_by_both_names(second: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as error:
        maps(tmp_path, first="maps", second=second)
    told = str(error.value)
    assert "the maps of 90 and 150 would overwrite each other in " in told
    assert "give each an output_dir of its own, or a prefix" in told


def test_maps_with_prefixes_of_their_own_share_a_folder(tmp_path: Path) -> None:
    prefix = 'preprocess_config = "p.yaml"\nprefix = "{}"'
    keys, more = prefix.format("f090"), prefix.format("f150")
    assert len(maps(tmp_path, keys, more, "maps", "maps").campaign.workflows) == 2
    with pytest.raises(ConfigError, match="would overwrite each other"):
        maps(tmp_path, keys, keys, "maps", "maps")


def test_what_a_key_takes_is_said_without_the_theory_of_types() -> None:
    for kind in WORKFLOW_TYPES:
        done = socm("workflows", "show", kind)
        assert not done.returncode
        for word in ("tuple", "union", "dict[", "list["):
            assert word not in done.stdout, kind
