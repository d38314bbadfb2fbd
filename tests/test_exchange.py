"""Workflows of other systems come in, and campaigns go out to them."""

from __future__ import annotations

import copy
import gzip
import json
import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from strategies import LONG, campaigns, clusters, pairs, partitions, share

from sim.montecarlo import simulate
from socm.cli.export import export
from socm.cli.import_ import import_
from socm.config import LoadedCampaign, load_campaign
from socm.config.source import read
from socm.errors import ConfigError
from socm.exchange.campaign_file import CampaignFile, campaign_file
from socm.exchange.importing import FORMATS, import_file, recognise
from socm.exchange.others import other_text
from socm.exchange.source import Document, read_document
from socm.exchange.wfformat_writer import execution, instance
from socm.model.campaign import Campaign, ResourceRequest, Workflow
from socm.model.cluster import Cluster
from socm.planner import plan_campaign

DATA = Path(__file__).parent / "data" / "exchange"
EXAMPLES = Path(__file__).parent.parent / "examples"
MBATCH, PSPIPE = DATA / "mbatch.yml", DATA / "pspipe.yml"
INSTANCES = sorted(DATA.glob("*.json.gz"))
SCHEMA = jsonschema.Draft7Validator(
    json.loads((DATA / "wfformat-1.5.schema.json").read_text(encoding="utf-8"))
)
ANYWHERE = "universe"
"""A cluster for campaigns that nobody plans: loading only asks how many cores its nodes have."""
NAMES = st.from_regex(r"\A[A-Za-z0-9_][A-Za-z0-9_.+@-]{0,12}\Z")
WORDS = st.one_of(st.text(), st.sampled_from(["-u", "$HOME", "${X}", "file:///a", "no", "1e3", ""]))


def loaded(made: CampaignFile, cluster: str | None = ANYWHERE) -> LoadedCampaign:
    with TemporaryDirectory() as folder:
        path = Path(folder, "campaign.yaml")
        path.write_text(made.text, encoding="utf-8")
        return load_campaign(path, cluster=cluster)


def from_json(document: object, **options: Any) -> CampaignFile:
    with TemporaryDirectory() as folder:
        path = Path(folder, "instance.json")
        path.write_text(json.dumps(document), encoding="utf-8")
        return import_file(path, **options)


def from_text(text: str, tmp_path: Path, **options: Any) -> CampaignFile:
    path = tmp_path / "pipeline.yml"
    path.write_text(text, encoding="utf-8")
    return import_file(path, **options)


def told(call: Callable[[], object]) -> str:
    """What is complained of."""
    with pytest.raises(ConfigError) as error:
        call()
    return str(error.value)


# Campaign files


@given(st.text(), NAMES)
def test_any_text_is_read_back_from_a_campaign_file(text: str, name: str) -> None:
    made = CampaignFile(
        campaign={"name": text},
        stages={name: {"list": [text] * 9, "table": {text: text}, "long": [text + "x" * 99]}},
        head=text,
        notes=(text,),
    )
    meant = {"list": [text] * 9, "table": {text: text}, "long": [text + "x" * 99]}
    assert yaml.safe_load(made.text)["stages"] == {name: meant}
    with TemporaryDirectory() as folder:
        path = Path(folder, "campaign.yaml")
        path.write_text(made.text, encoding="utf-8")
        assert read(path).data["stages"] == {name: meant}


@given(
    names=st.lists(NAMES, unique=True, min_size=1, max_size=4),
    commands=st.lists(st.lists(WORDS, min_size=1), min_size=4, max_size=4),
    environment=st.dictionaries(NAMES, st.text()),
    script=st.none() | st.sampled_from(["/w/run.py", "/w/a b.py", "/w/$X.py"]),
    directory=st.none() | st.sampled_from(["/work", "/work/$x"]),
    priority=st.integers(-3, 3),
)
def test_a_campaign_is_the_same_when_its_file_is_loaded(
    names: list[str],
    commands: list[list[str]],
    environment: dict[str, str],
    script: str | None,
    directory: str | None,
    priority: int,
) -> None:
    campaign = Campaign.of(
        "all of it",
        [
            Workflow(
                name=name,
                command=(*command, *([script, *command] if script else [])),
                request=ResourceRequest(runtime=61, memory=1),
                depends=tuple(names[:k]),
                priority=priority,
                environment=environment,
                directory=directory,
                inputs=(script,) if script else (),
            )
            for k, (name, command) in enumerate(zip(names, commands, strict=False))
        ],
        deadline=93784,
    )
    assert loaded(campaign_file(campaign)).campaign == campaign


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.[ty]*ml")), ids=lambda p: p.name)
def test_the_examples_are_the_same_campaigns_after_a_round_trip(path: Path) -> None:
    original = load_campaign(path)
    back = loaded(from_json(instance(original.campaign)), original.cluster.name).campaign
    assert (back.name, back.deadline, back.budget) == (
        original.campaign.name,
        original.campaign.deadline,
        original.campaign.budget,
    )
    for name, workflow in original.campaign.workflows.items():
        mine = back.workflows[name]
        assert mine.request == workflow.request
        assert (mine.command, set(mine.depends)) == (workflow.command, set(workflow.depends))
        assert (mine.environment, mine.directory) == (workflow.environment, workflow.directory)


# Out, and in again


@share(0.5)
@given(clusters().flatmap(campaigns))
def test_what_is_exported_is_imported_as_it_was(campaign: Campaign) -> None:
    document = instance(campaign)
    SCHEMA.validate(document)
    back = loaded(from_json(document)).campaign
    assert list(back.workflows) == list(campaign.workflows)
    assert (back.deadline, back.budget) == (campaign.deadline, campaign.budget)
    for name, workflow in campaign.workflows.items():
        mine, request = back.workflows[name].request, workflow.request
        if not request.memory and not request.whole_memory:
            mine = replace(mine, memory=0)  # no file says so: who asks for nothing gets a share
        assert mine == request
        assert set(back.workflows[name].depends) == set(workflow.depends)


@given(st.lists(NAMES, unique=True, min_size=1, max_size=6))
def test_names_that_are_no_ids_are_kept_all_the_same(names: list[str]) -> None:
    request = ResourceRequest(runtime=60)
    workflows = [
        Workflow(name=name, request=request, depends=tuple(names[:k]))
        for k, name in enumerate(names)
    ]
    document = instance(Campaign.of("names", workflows))
    SCHEMA.validate(document)
    back = loaded(from_json(document)).campaign
    assert {n: set(w.depends) for n, w in back.workflows.items()} == {
        w.name: set(w.depends) for w in workflows
    }


def uniform() -> st.SearchStrategy[Cluster]:
    return partitions("p0", uniform=True).map(lambda p: Cluster(name="one", partitions=(p,)))


@share(0.2)
@given(pairs(LONG, cluster=uniform(), most=10))
def test_a_simulated_execution_says_what_ran(pair: tuple[Campaign, Cluster]) -> None:
    """Others do not know our keys: without them cores, memory and runtimes are those of the run."""
    campaign, cluster = pair
    plan = plan_campaign(campaign, cluster)
    outcome = simulate(plan, replications=0).exact
    document = instance(campaign, execution(plan, outcome))
    SCHEMA.validate(document)
    run = document["workflow"]["execution"]
    nodes = {machine["nodeName"] for machine in run["machines"]}
    assert all(set(task["machines"]) <= nodes for task in run["tasks"])
    assert run["makespanInSeconds"] == outcome.makespan
    for task in document["workflow"]["specification"]["tasks"]:
        del task["socm"]
    back = loaded(from_json(document)).campaign
    for name, workflow in campaign.workflows.items():
        request, mine = workflow.request, back.workflows[name].request
        cores = request.ranks * request.cores(cluster.partitions[0].threads_per_core)
        assert (mine.ranks * mine.threads, mine.runtime) == (cores, request.runtime)
        assert mine.memory == request.memory or not request.memory
        assert set(back.workflows[name].depends) == set(workflow.depends)


# WfFormat


@pytest.mark.parametrize("path", INSTANCES, ids=lambda p: p.name)
def test_a_recorded_workflow_can_be_planned_and_simulated(path: Path) -> None:
    with gzip.open(path) as file:
        workflow = json.load(file)["workflow"]
    campaign = loaded(import_file(path)).campaign
    edges = {(p, t["id"]) for t in workflow["specification"]["tasks"] for p in t["parents"]}
    assert len(campaign.workflows) == len(workflow["specification"]["tasks"])
    mine = [(p, c) for p, children in campaign.children.items() for c in children]
    assert len(mine) == len(edges)
    records = {task["id"]: task for task in workflow["execution"]["tasks"]}
    if set(records) == set(campaign.workflows):
        assert set(mine) == edges
    recorded = sorted(max(1, math.ceil(t["runtimeInSeconds"])) for t in records.values())
    assert sorted(w.request.runtime for w in campaign.workflows.values()) == recorded
    used = sorted(math.ceil(t["memoryInBytes"] / 2**20) for t in records.values())
    assert sorted(w.request.memory for w in campaign.workflows.values()) == used
    plan = plan_campaign(campaign, loaded(import_file(path, resource="tiger3"), None).cluster)
    assert simulate(plan, replications=0).exact.makespan == plan.makespan


def task(name: str, *parents: str, **more: object) -> dict[str, object]:
    return {"name": name, "id": name, "parents": list(parents), "children": [], **more}


def two_tasks() -> dict[str, Any]:
    first = {"id": "a", "runtimeInSeconds": 0.2, "coreCount": 1.5, "memoryInBytes": 3 * 2**20 + 1}
    command = {"program": "sum it", "arguments": ["$x", "-n"]}
    second = {"id": "b", "runtimeInSeconds": 61.5, "command": command}
    return {
        "name": "two",
        "schemaVersion": "1.5",
        "workflow": {
            "specification": {"tasks": [task("a"), task("b", "a")]},
            "execution": {"tasks": [first, second]},
        },
    }


def test_numbers_are_rounded_up_and_commands_kept() -> None:
    campaign = loaded(from_json(two_tasks())).campaign
    a, b = campaign.workflows.values()
    assert (a.request.runtime, a.request.threads, a.request.memory) == (1, 2, 4)
    assert (b.request.runtime, b.request.threads, b.depends) == (62, 1, ("a",))
    assert b.command == ("sum it", "$x", "-n")


def test_what_is_not_recorded_is_said() -> None:
    made = from_json(two_tasks())
    assert made.stages["b"]["resources"] == {"runtime": "1m2s"}
    notes = "\n".join(made.notes)
    assert "cores are not recorded for 1 task" in notes
    assert "memory is not recorded for 1 task" in notes
    assert "no command is recorded for 1 task" in notes
    assert all(note.split()[0] in made.text for note in made.notes)


@pytest.mark.parametrize(
    ("version", "tasks", "runtime", "memory"),
    [("1.4", "tasks", "runtimeInSeconds", ("memoryInBytes", 5 * 2**20)),
     ("1.3", "tasks", "runtime", ("memory", 5_000)),
     ("1.1", "jobs", "runtime", ("memory", 5_000))],
)  # fmt: skip
def test_older_layouts_name_their_parents(
    version: str, tasks: str, runtime: str, memory: tuple[str, int]
) -> None:
    def old(number: int, *parents: str) -> dict[str, object]:
        ids = {} if version == "1.1" else {"id": f"ID{number}"}
        sizes = {runtime: 9, "cores": 2, memory[0]: memory[1]}
        return {"name": f"t_ID{number}", "type": "compute", "parents": parents, **ids, **sizes}

    document = {
        "name": "old",
        "schemaVersion": version,
        "workflow": {"executedAt": "then", tasks: [old(1), old(2, "t_ID1")]},
    }
    campaign = loaded(from_json(document)).campaign
    assert campaign.workflows["t_ID2"].depends == ("t_ID1",)
    request = campaign.workflows["t_ID1"].request
    assert (request.runtime, request.threads, request.memory) == (9, 2, 5)


def test_names_that_tell_nothing_apart_give_way_to_ids() -> None:
    document = two_tasks()
    for each in document["workflow"]["specification"]["tasks"]:
        each["name"] = "same"
    assert list(loaded(from_json(document)).campaign.workflows) == ["a", "b"]


def test_children_are_dependencies_too() -> None:
    document = two_tasks()
    document["workflow"]["specification"]["tasks"] = [task("a", children=["b"]), task("b")]
    assert loaded(from_json(document)).campaign.workflows["b"].depends == ("a",)


def by_files(
    *tasks: tuple[str, str, str], named: dict[str, Any] | None = None, **more: list[str]
) -> dict[str, Any]:
    """A record of tasks that say which files they read and write; `more` are their parents."""

    def file(link: str, name: str) -> dict[str, object]:
        return {"link": link, **(named or {}).get(name, {"name": name})}

    return {
        "name": "by files",
        "schemaVersion": "1.4",
        "workflow": {
            "tasks": [
                task(name, *more.get(name, ()), runtimeInSeconds=9)
                | {
                    "files": [file("input", f) for f in reads.split()]
                    + [file("output", f) for f in writes.split()]
                }
                for name, reads, writes in tasks
            ]
        },
    }


def depends(made: CampaignFile) -> dict[str, set[str]]:
    return {name: {*stage.get("depends", ())} for name, stage in made.stages.items()}  # type: ignore[misc]


CHAIN = (("fetch", "", "raw"), ("trim", "raw", "cut"), ("align", "cut raw", "bam"))
AS_FILES_SAY = {"fetch": set[str](), "trim": {"fetch"}, "align": {"fetch", "trim"}}


@pytest.mark.parametrize(
    "named",
    [
        {},
        {"raw": {"path": "/a/", "name": "x"}, "cut": {"path": "/b/", "name": "x"}},
        {"raw": {"path": "/a/x", "name": "x"}, "cut": {"path": "/b/x"}},
        {"raw": {"name": "/a/./x"}, "cut": {"name": "b/x"}},
        {"raw": {"id": "1"}, "cut": {"id": "2"}},
        {"raw": {"id": "1", "name": "x", "path": "/a"}, "cut": {"id": "2", "name": "x"}},
    ],
    ids=["names", "folders", "paths", "names with folders", "ids", "ids and names"],
)
def test_without_parents_files_tell_the_order(named: dict[str, Any]) -> None:
    made = from_json(by_files(*CHAIN, named=named))
    assert depends(made) == AS_FILES_SAY
    assert "2 tasks depend on those that write the files they read" in made.notes


def test_files_are_named_by_ids_from_version_1_5_on() -> None:
    document = two_tasks()
    specification = document["workflow"]["specification"]
    specification["tasks"] = [task("a", outputFiles=["f1"]), task("b", inputFiles=["f1", "in"])]
    specification["files"] = [{"id": "f1", "sizeInBytes": 5}, {"id": "in", "sizeInBytes": 5}]
    assert depends(from_json(document)) == {"a": set(), "b": {"a"}}


def test_a_file_that_two_tasks_write_is_awaited_from_both() -> None:
    made = from_json(by_files(("one", "", "log"), ("two", "", "log"), ("sum", "log", "")))
    assert depends(made) == {"one": set(), "two": set(), "sum": {"one", "two"}}


def test_a_file_elsewhere_is_another_file() -> None:
    named = {"a": {"name": "x", "path": "/1"}, "b": {"name": "x", "path": "/2"}}
    made = from_json(
        by_files(("one", "", "a"), ("two", "b", ""), ("three", "a b", ""), named=named)
    )
    assert depends(made) == {"one": set(), "two": set(), "three": {"one"}}


def test_a_file_that_is_updated_in_place_is_read_after_its_first_writer() -> None:
    made = from_json(by_files(("make", "", "map"), ("mask", "map", "map"), ("use", "map", "")))
    assert depends(made) == {"make": set(), "mask": {"make"}, "use": {"make", "mask"}}


def test_parents_decide_in_which_order_a_file_is_updated() -> None:
    tasks = ("a", "map", "map"), ("b", "map", "map"), ("c", "map", "map")
    made = from_json(by_files(*tasks, b=["a"], c=["b"]))
    assert depends(made) == {"a": set(), "b": {"a"}, "c": {"a", "b"}}


def test_files_complete_parents_that_are_given_in_part() -> None:
    made = from_json(by_files(*CHAIN, align=["trim"]))
    assert depends(made) == AS_FILES_SAY
    assert "2 tasks depend on those that write the files they read" in made.notes
    complete = from_json(by_files(*CHAIN, trim=["fetch"], align=["trim", "fetch"]))
    assert not [note for note in complete.notes if "files they read" in note]


def test_tasks_that_wait_for_each_others_files_are_told() -> None:
    tasks = ("a", "y", "x"), ("b", "x", "y"), ("c", "", "")
    complaint = told(lambda: from_json(by_files(*tasks)))
    assert "tasks wait for each other's files" in complaint
    assert "a reads 'y' of b" in complaint
    assert "b reads 'x' of a" in complaint
    assert "`parents` can say which of them comes first" in complaint
    made = from_json(by_files(*tasks, b=["a"]))
    assert depends(made) == {"a": set(), "b": {"a"}, "c": set()}


def test_a_parent_whose_name_several_tasks_have_is_the_one_whose_file_is_read() -> None:
    """So Nextflow's records are: a name for each process, and an id for each of its tasks."""
    document = by_files(
        ("1", "", "x"), ("2", "", "y"), ("3", "x", "z"), ("4", "y", ""), ("5", "", "")
    )
    tasks = document["workflow"]["tasks"]
    for each, name in zip(tasks, ("trim", "trim", "align", "align", "report"), strict=True):
        each["name"] = name
    tasks[2]["parents"] = tasks[3]["parents"] = ["trim"]
    tasks[4]["parents"] = ["align"]
    tasks[0]["children"] = ["align"]
    made = from_json(document)
    both = {"3", "4"}
    assert depends(made) == {"1": set(), "2": set(), "3": {"1"}, "4": {"2"}, "5": both}
    assert [note for note in made.notes if "named as several tasks are (align and trim)" in note]


def test_a_command_may_be_a_text() -> None:
    document = by_files(("a", "", ""))
    document["workflow"]["tasks"][0]["command"] = "fastqc --quiet a.fq"
    assert loaded(from_json(document)).campaign.workflows["a"].command[0] == "fastqc"


def test_without_a_record_a_runtime_must_be_given() -> None:
    document = two_tasks()
    del document["workflow"]["execution"]
    assert "no runtime is recorded for a and b; --runtime sets it" in told(
        lambda: from_json(document)
    )
    campaign = loaded(from_json(document, runtime=90)).campaign
    assert [w.request.runtime for w in campaign.workflows.values()] == [90, 90]


def test_every_problem_of_an_instance_is_told_at_once() -> None:
    document = two_tasks()
    tasks = document["workflow"]["specification"]["tasks"]
    tasks[1]["parents"] = ["a", "ghost"]
    tasks.append({"parents": []})
    tasks.append(task("a"))
    document["workflow"]["execution"]["tasks"][0]["runtimeInSeconds"] = "long"
    complaints = told(lambda: from_json(document))
    assert "'ghost' is not the id of a task" in complaints
    assert "specification.tasks[2]: is not a task with an id" in complaints
    assert "there are two tasks 'a'" in complaints
    assert "runtimeInSeconds should be a number" in complaints


def test_a_cycle_is_a_problem_of_the_file() -> None:
    document = two_tasks()
    document["workflow"]["specification"]["tasks"][0]["parents"] = ["b"]
    complaint = told(lambda: from_json(document))
    assert "instance.json" in complaint
    assert "dependencies form a cycle" in complaint


# mbatch


def test_a_pipeline_of_mbatch() -> None:
    made = import_file(MBATCH)
    campaign = loaded(made, "tiger3").campaign
    sims, tttt, ttee, stack = campaign.workflows.values()
    # An option is --name=value, what is true a flag, what is false nothing.
    folder = "/scratch/lensing/mbatch"
    assert sims.command[0] == "python"
    assert sims.command[1].endswith("/sims.py")
    assert sims.command[2:] == (
        "-n=4", "--seed=7", "--lmax=3000", f"--output-dir={folder}/sims", "--apodise",
    )  # fmt: skip
    assert (sims.request.ranks, sims.request.threads) == (4, 8)
    assert (sims.request.walltime, sims.request.runtime) == (37800, 25200)
    # A list of arguments is as many stages; who waits for them waits for all.
    assert (tttt.name, ttee.name) == ("kappa_TTTT", "kappa_TTEE")
    assert ttee.command[:2] == ("python", "-u")
    assert ttee.command[3:] == (
        "TTEE", "--lmin=100", "--lmax=3000", f"--output-dir={folder}/kappa_TTEE",
    )  # fmt: skip
    assert (ttee.request.memory, ttee.request.threads) == (9216, 6)
    assert stack.depends == ("kappa_TTTT", "kappa_TTEE", "sims")
    # Without a section `parallel` mbatch takes a node for a quarter of an hour.
    assert (stack.request.threads, stack.request.walltime) == (112, 900)
    assert "left out: gitcheck_pkgs" in made.notes[-1]
    assert import_file(MBATCH, runtime=120).stages["stack"]["resources"]["runtime"] == "2m"


def test_every_problem_of_an_mbatch_pipeline_is_told_with_its_line(tmp_path: Path) -> None:
    text = """\
globals: {lmax: 3000}
stages:
  one: {exec: python, script: a.py, depends: [tow], globals: [lmin]}
  two: {exec: python, parallel: {nproc: 0, walltime: long}}
"""
    complaints = told(lambda: from_text(text, tmp_path))
    assert ":3:" in complaints
    assert "'one' depends on 'tow', which is not a stage; did you mean 'two'?" in complaints
    assert "'lmin' is not among the globals" in complaints
    assert "stage 'two' lacks 'script'" in complaints
    assert ":4:" in complaints
    assert "nproc is a number of at least 1, not 0" in complaints
    assert "'long' is not a duration" in complaints


# PSpipe


def test_a_pipeline_of_pspipe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PSPIPE_ROOT", "/pspipe")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "3")
    made = import_file(PSPIPE)
    campaign = loaded(made, None).campaign
    project = "/pspipe/project/data_analysis"
    config = f"{project}/paramfiles/night.dict"
    alms, cov, nlms, tt, te, subtract, mcmc = campaign.workflows.values()
    assert alms.command == ("python", "-u", f"{project}/python/get_alms.py", config)
    assert (alms.directory or "").endswith("/products/night")
    assert (alms.request.ranks, alms.request.threads, alms.request.cpus) == (5, 48, "logical")
    # Without cpus_per_task the tasks share the nodes; a time needed is a limit.
    assert (cov.request.ranks, cov.request.threads) == (8, 64)
    assert (cov.request.walltime, cov.request.runtime) == (43200, 28800)
    # What a run took is the runtime.
    assert (nlms.request.walltime, nlms.request.runtime) == (None, 48 * 60 + 11)
    assert nlms.name == "montecarlo.get_nlms"
    assert nlms.command[3:] == ("--bunch", "3", config)
    assert (tt.name, te.name) == ("fit.TT.1", "fit.TE.1")
    assert te.command[2:] == (
        f"{project}/python/dust/fit.py", "--mode", "TE", "--verbose", config,
    )  # fmt: skip
    assert subtract.command == (f"{project}/python/planck/subtract.sh", config)
    assert mcmc.command == ("cobaya-run", "--resume", "--config", "my run.yaml", config)
    assert [w.depends for w in campaign.workflows.values()] == [
        (), *((name,) for name in list(campaign.workflows)[:-1])
    ]  # fmt: skip
    assert {w.request.account for w in campaign.workflows.values()} == {"mp000"}
    assert made.campaign["resource"] == "perlmutter"
    assert "left out: variables" in made.notes
    plan = plan_campaign(campaign, loaded(made, None).cluster)
    assert plan.makespan == sum(w.request.runtime for w in campaign.workflows.values())


def test_modules_without_a_time_need_one(tmp_path: Path) -> None:
    text = "pipeline: {get_alms: null, get_spectra: {minimal_needed_time: 01:00:00}}"
    complaint = told(lambda: from_text(text, tmp_path))
    assert "neither time nor duration is given for get_alms; --runtime sets it" in complaint
    runtimes = [
        s["resources"]["runtime"] for s in from_text(text, tmp_path, runtime=60).stages.values()
    ]
    assert runtimes == ["1m", "40m"]


BATCH = """
product_dir: /products
slurm:
  account: mp107b
  constraint: cpu
  qos: {qos}
  nodes: 4
  time: 09:00:00
  mail_user: me@home
  precmd: |
    module load python
    source __pspipe_root__/env.sh
  postcmd: echo done
  {array}
pipeline:
  sims:
    slurm: {{nodes: 2, ntasks: 4, cpus_per_task: 128, {own}}}
    kwargs: --bunch $SLURM_ARRAY_TASK_ID
  spectra:
    slurm: {{ntasks: 16, cpus_per_task: 16, account: other}}
    kwargs: --bunch ${{SLURM_ARRAY_TASK_ID}} --of $HOME
  plots: {{duration: "0:10:00"}}
"""


def batch(tmp_path: Path, qos: str = "regular", array: str = "", own: str = "", **more: Any) -> Any:
    return from_text(BATCH.format(qos=qos, array=array, own=own), tmp_path, **more)


def test_what_pspipe_asks_of_sbatch_is_asked_of_each_stage(tmp_path: Path) -> None:
    made = batch(tmp_path)
    sims, spectra, plots = loaded(made, None).campaign.workflows.values()
    assert (sims.request.account, spectra.request.account) == ("mp107b", "other")
    assert {w.request.qos for w in (sims, spectra, plots)} == {"regular"}
    assert sims.options == {"constraint": "cpu", "mail-user": "me@home"}
    assert plots.setup == ("module load python", "source $PSPIPE_ROOT/env.sh")
    # All modules share the time: none may take longer, each is expected to take a part of it.
    assert (sims.request.walltime, sims.request.runtime) == (9 * 3600, 2 * 3600)
    assert (plots.request.walltime, plots.request.runtime) == (None, 600)
    notes = " ".join(made.notes)
    assert "left out: nodes of all in slurm, postcmd of all in slurm" in notes
    assert "time of all in slurm is the walltime of sims and spectra" in notes
    timed = loaded(batch(tmp_path, runtime=3600), None).campaign.workflows["sims"].request
    assert (timed.walltime, timed.runtime) == (9 * 3600, 3600)


def test_a_qos_of_another_cluster_is_left_out(tmp_path: Path) -> None:
    made = batch(tmp_path, "some_qos")
    assert "qos" not in made.stages["sims"]["resources"]
    assert "qos of all in slurm" in made.notes[-1]


def test_an_array_of_all_modules_is_as_many_pipelines(tmp_path: Path) -> None:
    made = batch(tmp_path, array="array: 0-1")
    assert [*made.stages] == ["sims.0", "spectra.0", "plots.0", "sims.1", "spectra.1", "plots.1"]
    assert depends(made)["spectra.1"] == {"sims.1"}
    assert depends(made)["sims.1"] == set()
    assert made.stages["spectra.1"]["script-args"][:4] == ["--bunch", "1", "--of", "$HOME"]
    assert made.stages["plots.0"]["environment"] == {"SLURM_ARRAY_TASK_ID": "0"}
    assert loaded(made, None).campaign.workflows["plots.1"].environment == {
        "SLURM_ARRAY_TASK_ID": "1"
    }


@pytest.mark.parametrize(
    ("array", "tasks"), [("0-1", "01"), ("'1,3-5:2%1'", "135"), ("4", "4"), ("'2,2'", "2")]
)
def test_an_array_of_one_module_is_as_many_stages(array: str, tasks: str, tmp_path: Path) -> None:
    made = batch(tmp_path, own=f"array: {array}")
    sims = {f"sims.{task}" for task in tasks}
    assert {*made.stages} == {*sims, "spectra", "plots"}
    assert depends(made)["spectra"] == sims
    assert depends(made)["plots"] == {"spectra"}
    assert "environment" not in made.stages["spectra"]
    assert ("limits" in " ".join(made.notes)) == ("%" in array)


@pytest.mark.parametrize("array", ["few", "0-99999999", "9-3", "-1", "[0, 1]", "''"])
def test_what_is_no_array_is_told(array: str, tmp_path: Path) -> None:
    complaint = told(lambda: batch(tmp_path, array=f"array: {array}"))
    assert "array" in complaint
    assert ":14:" in complaint


def test_what_mbatch_asks_of_sbatch_is_asked_too(tmp_path: Path) -> None:
    text = """
root_dir: /x
account: 17
constraint: cpu
stages:
  a: {exec: python, script: a.py, parallel: {threads: 2, walltime: "00:10:00", qos: short}}
  b: {exec: python, script: b.py, parallel: {threads: 2, walltime: "00:10:00", qos: other}}
"""
    made = from_text(text, tmp_path, resource="tiger3")
    asked = made.stages["a"]["resources"]
    assert (asked["account"], asked["qos"], asked["constraint"]) == ("17", "short", "cpu")
    assert "qos" not in made.stages["b"]["resources"]
    assert "left out: qos of parallel" in made.notes


def test_what_is_given_twice_counts_once(tmp_path: Path) -> None:
    text = """\
pipeline:
  one: &one {duration: "0:01:00"}
  two: {<<: *one, duration: "0:02:00"}
  one: {duration: "0:03:00"}
  again: *one
"""
    made = from_text(text, tmp_path)
    assert [s["resources"]["runtime"] for s in made.stages.values()] == ["3m", "2m", "1m"]
    assert "given twice, the last one counts: one" in made.notes


# Files


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("pipeline: !!python/object/apply:os.system [touch {folder}/harm]", "is not supported"),
        ("pipeline: {{a: !eval 'open(\"{folder}/harm\", \"w\")'}}", "is not supported"),
        ("pipeline: !concat {{a: 1}}", "is not supported"),
        ("pipeline: &p {{a: *p}}", "nested too deeply"),
        ('{{"a":' * 100_000, "is not JSON"),
        ("- 1", "is neither a JSON object nor a YAML mapping"),
        ("", "is neither a JSON object nor a YAML mapping"),
        ("a: b: c", "mapping values are not allowed"),
        ("pipeline: {{a: {{minimal_needed_time: 99:99:99}}}}", "minutes and seconds go up to 59"),
        ('{{"workflow": {{"specification": {{"tasks": []}}}}}}', "there are no tasks"),
        ('{{"schema": "socm.plan/1"}}', "it is a plan"),
        ("campaign: {{}}\nstages: {{a: {{executable: x}}}}", "it may be a campaign already"),
        ("steps: {{a: b}}", "known are wfformat, mbatch, pspipe"),
    ],
)  # fmt: skip
def test_files_that_are_refused(text: str, complaint: str, tmp_path: Path) -> None:
    text = text.format(folder=tmp_path)
    assert complaint in told(lambda: from_text(text, tmp_path, runtime=60))
    assert not (tmp_path / "harm").exists()


OTHERS = {
    "SWF": "; Version: 2\n;\n\n 1 5094 -1 12072 16 -1 -1 -1 -1 -1 1 -1 -1 -1 0 -1 -1 -1\n",
    "SWF) ": "1 5094 -1 12072.5 16 -1 -1 -1 -1 -1 1 -1 -1 -1 0 -1 -1 -1",
    "row": "[workspace]\nvalue_file = 'x'\n\n[[action]]\nname = 'init'\n",
    "workload of Batsim": '{"nb_res": 4, "jobs": [{"id": 1}], "profiles": {"d": {}}}',
    "SimGrid or Batsim": '<?xml version="1.0"?>\n<!DOCTYPE platform>\n<platform version="4.1"/>',
    "Pegasus": "<!-- made -->\n<adag xmlns='x'></adag>",
    "job script of SLURM": "#!/bin/bash\n# maps\n#SBATCH -N 2\nsrun x\n",
    "Snakemake": "configfile: 'x'\nrule all:\n    input: 'x'\n",
    "Nextflow": "nextflow.enable.dsl=2\nprocess FOO {\n}\n",
    "CWL": "cwlVersion: v1.2\nclass: Workflow\n",
    "campaign of socm": "# mine\n[campaign]\nname = 'x'\n[campaign.sat-sims]\n",
}


@pytest.mark.parametrize("what", OTHERS)
@pytest.mark.parametrize("packed", [False, True])
def test_files_of_other_systems_are_called_by_their_names(
    what: str, packed: bool, tmp_path: Path
) -> None:
    content = OTHERS[what].encode()
    path = tmp_path / "file"
    path.write_bytes(gzip.compress(content) if packed else content)
    for kind in (None, "wfformat"):
        if kind is None or what not in ("workload of Batsim", "CWL"):
            complaint = told(lambda kind=kind: import_file(path, kind))  # type: ignore[misc]
            assert what.rstrip(") ") in complaint
            assert "`socm import` reads WfFormat, mbatch and PSpipe" in complaint


@pytest.mark.parametrize("path", [MBATCH, PSPIPE, *INSTANCES[:2]], ids=lambda p: p.name)
def test_files_that_are_read_are_not_taken_for_others(path: Path) -> None:
    content = path.read_bytes()
    text = (gzip.decompress(content) if path.suffix == ".gz" else content).decode()
    assert other_text(text) is None


def test_aliases_that_unfold_without_end_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("socm.exchange.source.MOST_UNFOLDED", 9_999)
    lines = [
        "a: &a [x]",
        *(f"{n}: &{n} [{'*' + p}{f', *{p}' * 9}]" for p, n in ("ab", "bc", "cd", "de")),
    ]
    assert "unfolds to more than" in told(lambda: from_text("\n".join(lines), tmp_path))
    merging = [
        "a: &a {x: y}",
        *(f"{n}: &{n} {{<<: [{'*' + p}{f', *{p}' * 9}]}}" for p, n in ("ab", "bc", "cd", "de")),
    ]
    assert "unfolds to more than" in told(lambda: from_text("\n".join(merging), tmp_path))


@pytest.mark.parametrize("content", [b"\x1f\x8b\x08rubbish", b"\xff\xfe{", b"\x1f\x8b"])
def test_broken_files_are_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "broken.json.gz"
    path.write_bytes(content)
    assert str(path) in told(lambda: import_file(path))


def leaves(data: object, key: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Where values are, of documents within documents too."""
    if key:
        yield key
    if isinstance(data, dict | list):
        for name, value in data.items() if isinstance(data, dict) else enumerate(data):
            yield from leaves(value, (*key, name))


PLAIN: dict[str, Any] = {
    "wfformat": two_tasks(),
    "wfformat of socm": instance(load_campaign(EXAMPLES / "piso.yaml").campaign),
    "mbatch": read_document(MBATCH).data,
    "pspipe": read_document(PSPIPE).data,
}
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=5,
)


@given(st.data(), st.sampled_from(sorted(PLAIN)), ANYTHING, st.sampled_from([None, 60]))
def test_whatever_a_file_says_is_a_campaign_or_a_problem(
    data: st.DataObject, kind: str, value: object, runtime: int | None
) -> None:
    """One value, anywhere in a good document, is something else."""
    document = copy.deepcopy(PLAIN[kind])
    *way, last = data.draw(st.sampled_from(list(leaves(document))))
    here = document
    for step in way:
        here = here[step]
    here[last] = value
    try:
        made = from_json(document, kind=kind.split()[0], runtime=runtime)
    except ConfigError as error:
        problems = error.problems
    else:
        assert loaded(made, made.campaign.get("resource", "tiger3")).campaign.workflows
        return
    assert problems
    assert all(problem.file and problem.message for problem in problems)


@pytest.mark.parametrize("kind", FORMATS)
def test_formats_are_recognised(kind: str) -> None:
    assert recognise(Document(file="x", data=PLAIN[kind])) == kind


# The commands


def test_import_writes_a_campaign_and_says_what_it_assumed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert import_(MBATCH) == 0
    printed = capsys.readouterr()
    assert printed.out == import_file(MBATCH).text
    assert printed.err.count("note: ") == len(import_file(MBATCH).notes)
    output = tmp_path / "campaign.yaml"
    assert import_(MBATCH, output=output, resource="tiger3", deadline="2d") == 0
    assert capsys.readouterr().out == ""
    campaign = load_campaign(output)
    assert (campaign.campaign.deadline, campaign.cluster.name) == (172800, "tiger3")


def test_import_overwrites_only_when_told_to(tmp_path: Path) -> None:
    output = tmp_path / "campaign.yaml"
    output.write_text("mine", encoding="utf-8")
    assert "already exists; --force overwrites it" in told(lambda: import_(MBATCH, output=output))
    assert output.read_text(encoding="utf-8") == "mine"
    assert import_(MBATCH, output=output, force=True) == 0
    assert load_campaign(output).campaign.workflows


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"kind": "wfformt"}, "unknown format 'wfformt'; did you mean 'wfformat'?"),
        ({"resource": "tigre3"}, "did you mean 'tiger3'?"),
        ({"deadline": "soon"}, "--deadline: 'soon' is not a duration"),
        ({"runtime": "0"}, "--runtime must be longer than nothing"),
    ],
)
def test_import_refuses_what_it_does_not_know(options: dict[str, Any], complaint: str) -> None:
    assert complaint in told(lambda: import_(MBATCH, **options))


def test_a_cluster_of_ones_own_is_found_from_where_the_campaign_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = 'name = "own"\n[[partitions]]\nname = "cpu"\nnodes = 9\ncores-per-node = 64\n'
    (tmp_path / "own.toml").write_text(f"{cluster}memory-per-node = 99000\n", encoding="utf-8")
    (tmp_path / "sub").mkdir()
    monkeypatch.chdir(tmp_path)
    for output in (Path("here.yaml"), Path("sub/there.yaml")):
        assert import_(MBATCH, output=output, resource="own.toml") == 0
        assert load_campaign(output).cluster.name == "own"
    assert "resource: own.toml" in Path("here.yaml").read_text(encoding="utf-8")


def test_import_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert import_(MBATCH, json=True) == 0
    made, document = import_file(MBATCH), json.loads(capsys.readouterr().out)
    assert document["schema"] == "socm.import/1"
    assert (document["text"], document["notes"]) == (made.text, list(made.notes))
    assert import_(MBATCH, output=tmp_path / "c.yaml", json=True) == 0
    assert json.loads(capsys.readouterr().out)["file"] == str(tmp_path / "c.yaml")


def test_export_prints_or_writes_the_instance(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = EXAMPLES / "piso.yaml"
    assert export(path) == 0
    document = json.loads(capsys.readouterr().out)
    SCHEMA.validate(document)
    assert "execution" not in document["workflow"]
    assert export(path, simulated=True, output=tmp_path / "run.json") == 0
    assert capsys.readouterr().out == ""
    run = json.loads((tmp_path / "run.json").read_text(encoding="utf-8"))
    SCHEMA.validate(run)
    loaded_ = load_campaign(path)
    plan = plan_campaign(loaded_.campaign, loaded_.cluster)
    assert run["workflow"]["execution"]["makespanInSeconds"] == plan.makespan
    assert run["workflow"]["specification"] == document["workflow"]["specification"]


def test_export_takes_a_plan(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from socm.model.document import plan_document

    loaded_ = load_campaign(EXAMPLES / "piso.yaml")
    plan = plan_campaign(loaded_.campaign, loaded_.cluster)
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(plan_document(plan)), encoding="utf-8")
    assert export(path) == 0
    assert json.loads(capsys.readouterr().out) == instance(loaded_.campaign)
    assert "unknown format 'wf'" in told(lambda: export(path, kind="wf"))


def test_export_says_when_not_all_completes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Lost:
        def __init__(self, exact: Any) -> None:
            first, *others = exact.workflows
            failed = [replace(w, status="skipped", start=None, finish=None) for w in others]
            self.exact = replace(exact, workflows=(replace(first, status="failed"), *failed))

    run = simulate
    monkeypatch.setattr(
        "sim.montecarlo.simulate", lambda plan, **options: Lost(run(plan, **options).exact)
    )
    assert export(EXAMPLES / "piso.yaml", simulated=True) == 0
    printed = capsys.readouterr()
    assert "not all workflows complete" in printed.err
    document = json.loads(printed.out)
    SCHEMA.validate(document)
    assert len(document["workflow"]["execution"]["tasks"]) == 1
