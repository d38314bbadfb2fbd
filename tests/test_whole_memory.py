"""`memory = 0` is all memory of each node, as in SLURM, wherever an amount of memory counts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from builders import job, plan_of

from sim.montecarlo import simulate
from socm.config import LoadedCampaign, load_campaign
from socm.engine.attempts import first_attempts
from socm.engine.backend import JobUpdate
from socm.engine.events import JobState
from socm.engine.retry import RetryPolicy
from socm.errors import ConfigError, InvalidPlan
from socm.exchange.campaign_file import campaign_file
from socm.executor.folder import JobFolder
from socm.executor.script import sbatch_options
from socm.model.campaign import Campaign, ResourceRequest, Workflow
from socm.model.check import check_plan
from socm.model.document import plan_document, read_plan
from socm.model.partition import Partition
from socm.model.plan import Plan
from socm.report.keys import resolved_table

CPU = Partition(name="cpu", nodes=2, cores=8, memory=1000)


def loaded(folder: Path, resources: str) -> LoadedCampaign:
    (folder / "small.toml").write_text(
        'name = "small"\n[[partitions]]\nname = "cpu"\nnodes = 2\ncores-per-node = 8\n'
        "memory-per-node = 1000\n"
    )
    path = folder / "maps.yaml"
    path.write_text(
        "campaign: {resource: small.toml}\nstages:\n"
        f"  map: {{executable: make, resources: {{runtime: 10m, {resources}}}}}\n"
    )
    return load_campaign(path, explain=True)


def planned(**request: int) -> Plan:
    """Two workflows that take the memory of a node, and one that takes little, on one node."""
    whole = [job(name, whole_memory=True, **request) for name in ("a", "b")]
    return plan_of([*whole, job("c", memory=1)], partitions=(replace(CPU, nodes=1),))


@pytest.mark.parametrize("written", ["0", "0G", '"0"', "0 MB"])
@pytest.mark.parametrize("key", ["memory", "memory-per-node", "memory_per_node", "mem"])
def test_a_file_asks_for_it_with_nothing(key: str, written: str, tmp_path: Path) -> None:
    if key == "mem":
        with pytest.raises(ConfigError, match="memory"):
            loaded(tmp_path, f"{key}: {written}")
        return
    campaign = loaded(tmp_path, f"{key}: {written}")
    request = campaign.campaign.workflows["map"].request
    assert (request.whole_memory, request.memory) == (True, 0)
    table = resolved_table(campaign.resolved)
    assert "all of each node" in [*table.columns[1].cells]
    assert not [w for w in campaign.warnings if "memory is not given" in w]


@pytest.mark.parametrize("key", ["memory-per-rank", "memory_per_cpu"])
def test_a_rank_or_a_cpu_without_memory_is_refused(key: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as error:
        loaded(tmp_path, f"{key}: 0")
    assert "0 is less than 1 MB; `memory = 0` asks for all of each node" in str(error.value)


def test_it_is_not_an_amount_of_memory() -> None:
    with pytest.raises(ValueError, match="an amount of memory is not the whole memory"):
        ResourceRequest(memory=5, whole_memory=True, runtime=60)


def test_nothing_else_is_planned_on_its_nodes() -> None:
    made = planned()
    assert sorted((w.start, w.finish) for w in made.workflows) == [
        (0, 600), (600, 1200), (1200, 1800)
    ]  # fmt: skip
    wide = plan_of([job("a", whole_memory=True, ranks=9)], partitions=(CPU,))
    assert len(wide.workflows[0].placements) == 2


def test_a_plan_that_shares_its_nodes_is_refused() -> None:
    made = planned()
    at_once = [replace(w, start=0, finish=600) for w in made.workflows]
    with pytest.raises(InvalidPlan, match="in use at 0 s, it has 8"):
        check_plan(replace(made, workflows=tuple(at_once)))
    shared = [replace(w, exclusive=False, cores=1) for w in made.workflows]
    with pytest.raises(InvalidPlan, match="exclusive is False, not True"):
        check_plan(replace(made, workflows=tuple(shared)))


def test_the_emulator_does_not_share_its_nodes_either() -> None:
    made = planned()
    exact = simulate(made, replications=0).exact
    assert exact.makespan == made.makespan == 1800


def test_slurm_is_asked_for_all_memory_and_not_for_whole_nodes() -> None:
    def options(made: Plan) -> dict[str, str | int | None]:
        [first] = first_attempts(made)
        return dict(sbatch_options(first, made.cluster, JobFolder(Path("/run"), "a", 1)))

    asked = options(plan_of([job("a", whole_memory=True)], partitions=(CPU,)))
    assert asked["mem"] == 0
    assert "exclusive" not in asked
    whole_nodes = replace(CPU, exclusive=True)
    assert "exclusive" in options(plan_of([job("a")], partitions=(whole_nodes,)))


def test_more_memory_is_not_asked_for_where_there_is_no_more() -> None:
    made = plan_of([job("a", whole_memory=True)], partitions=(CPU,))
    [first] = first_attempts(made)
    failed = JobUpdate(job=first, state=JobState.OUT_OF_MEMORY, time=1.0, peak_memory=900)
    assert RetryPolicy().after(failed, made.cluster) is None


def test_plans_and_campaign_files_keep_it(tmp_path: Path) -> None:
    import json

    made = planned()
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(plan_document(made)))
    assert read_plan(path) == made
    written = campaign_file(made.campaign).stages
    assert [written[name]["resources"]["memory"] for name in "abc"] == [0, 0, "1M"]  # type: ignore[index]


def test_a_workflow_that_asks_for_no_memory_is_not_written_as_one_that_wants_all() -> None:
    nothing = Campaign.of("none", [Workflow(name="a", request=ResourceRequest(runtime=60))])
    assert "memory" not in campaign_file(nothing).stages["a"]["resources"]  # type: ignore[operator]


def test_fingerprints_of_other_campaigns_stay_as_they_were() -> None:
    plain = Campaign.of("none", [Workflow(name="a", request=ResourceRequest(runtime=60))])
    whole = Campaign.of(
        "none", [Workflow(name="a", request=ResourceRequest(runtime=60, whole_memory=True))]
    )
    assert plain.fingerprint == "2ab77e50dbb7e947"
    assert plain.fingerprint != whole.fingerprint
