"""What differs between campaigns is what an edit did, no more and no less."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import SHORT, pairs
from test_cli import socm

from socm.config import load_cluster
from socm.model.campaign import Budget, Campaign, ResourceRequest, Workflow
from socm.model.cluster import Cluster
from socm.model.difference import Change, Side, difference
from socm.planner import plan_campaign

ROOT = Path(__file__).parent.parent
PISO = ROOT / "examples" / "piso.yaml"


def side(campaign: Campaign, cluster: Cluster) -> Side:
    return Side(campaign, cluster, plan_campaign(campaign, cluster))


class Edited(NamedTuple):
    before: Side
    after: Side
    added: list[str]
    removed: list[str]
    changed: set[Change]
    campaign: set[Change]
    cluster: set[Change]


_VALUES: dict[str, st.SearchStrategy[Any]] = {
    "runtime": st.integers(1, 60),
    "spread": st.sampled_from([0.1, 0.3]),
    "account": st.sampled_from([None, "so"]),
    "command": st.sampled_from([(), ("make",), ("make", "map")]),
    "priority": st.integers(-2, 2),
    "environment": st.sampled_from([{}, {"A": "1"}]),
    "outputs": st.sampled_from([(), ("map.fits",)]),
    "description": st.sampled_from([None, "a map"]),
}
_OF_REQUEST = ("runtime", "spread", "account")


@st.composite
def edits(draw: st.DrawFn) -> Edited:
    """A campaign, and what became of it by edits that are written down."""
    campaign, cluster = draw(pairs(SHORT, most=8))
    campaign = replace(
        campaign,
        workflows={
            name: replace(w, request=replace(w.request, walltime=None))
            for name, w in campaign.workflows.items()
        },
    )
    workflows = dict(campaign.workflows)
    leaves = [name for name in workflows if not campaign.children[name]]
    removed = draw(st.lists(st.sampled_from(leaves), unique=True, max_size=2))
    for name in removed:
        del workflows[name]
    changed = set()
    for name in campaign.workflows:
        for key in draw(st.lists(st.sampled_from(sorted(_VALUES)), unique=True, max_size=2)):
            if name in removed:
                continue
            new, was = draw(_VALUES[key]), workflows[name]
            if key in _OF_REQUEST:
                old = getattr(was.request, key)
                workflows[name] = replace(was, request=replace(was.request, **{key: new}))
            else:
                old = getattr(was, key)
                workflows[name] = replace(was, **{key: new})
            if new != old:
                changed.add(_hashable(Change(name, key, old, new)))
    added = [f"new{k}" for k in range(draw(st.integers(0, 2)))]
    for name in added:
        workflows[name] = Workflow(name=name, request=ResourceRequest(runtime=5))
    deadline = draw(st.none() | st.integers(1, 100))
    retries = draw(st.integers(0, 2))
    of_campaign = set()
    if deadline is not None:
        of_campaign.add(Change("", "deadline", None, deadline))
    if retries != 2:
        of_campaign.add(Change("", "retries", 2, retries))
    after = replace(campaign, workflows=workflows, deadline=deadline, retries=retries)
    of_cluster = set()
    larger = cluster
    if draw(st.booleans()):
        first, *others = cluster.partitions
        larger = replace(cluster, partitions=(replace(first, nodes=first.nodes + 1), *others))
        of_cluster.add(Change(f"partition {first.name}", "nodes", first.nodes, first.nodes + 1))
    return Edited(
        side(campaign, cluster),
        Side(after, larger, _planned(after, larger)),
        added,
        removed,
        changed,
        of_campaign,
        of_cluster,
    )


def _planned(campaign: Campaign, cluster: Cluster) -> Any:
    fits = all(cluster.admit(w.request, campaign.budget)[0] for w in campaign.workflows.values())
    return plan_campaign(campaign, cluster) if fits else None


def _hashable(change: Change) -> Change:
    return change._replace(before=repr(change.before), after=repr(change.after))


@given(edits())
def test_precisely_the_edits_are_listed(edited: Edited) -> None:
    found = difference(edited.before, edited.after)
    assert [*found.added] == edited.added
    assert sorted(found.removed) == sorted(edited.removed)
    assert {_hashable(c) for c in found.changed} == edited.changed
    assert len(found.changed) == len(edited.changed)
    assert {*found.campaign} == edited.campaign
    assert {*found.cluster} == edited.cluster


@given(edits())
def test_precisely_what_is_planned_otherwise_is_listed(edited: Edited) -> None:
    before, after = edited.before.plan, edited.after.plan
    found = {(c.subject, c.key): (c.before, c.after) for c in difference(*edited[:2]).planned}
    if before is None or after is None:
        assert not found
        return
    expected = {}
    for w in after.workflows:
        if old := before.by_name.get(w.name):
            for key in ("partition", "qos", "start", "finish", "walltime"):
                if getattr(w, key) != getattr(old, key):
                    expected[w.name, key] = getattr(old, key), getattr(w, key)
            if len(w.placements) != len(old.placements):
                expected[w.name, "nodes"] = len(old.placements), len(w.placements)
    assert found == expected


@given(edits())
def test_nothing_differs_from_itself_and_the_way_back_is_the_same_turned_round(
    edited: Edited,
) -> None:
    a, b = edited.before, edited.after
    assert not difference(a, side(a.campaign, a.cluster))
    there, back = difference(a, b), difference(b, a)
    assert bool(there) == bool(back) == (there != difference(a, a))
    assert set(there.added) == set(back.removed)
    assert sorted(map(repr, there.changed)) == sorted(
        repr(c._replace(before=c.after, after=c.before)) for c in back.changed
    )


def test_qos_and_partitions_that_only_one_has_are_named() -> None:
    campaign = Campaign.of("none", [])
    a, b = load_cluster("tiger3"), load_cluster("perlmutter")
    found = difference(Side(campaign, a, None), Side(campaign, b, None)).cluster
    assert Change("", "name", "tiger3", "perlmutter") in found
    assert Change("QOS vshort", "there", True, False) in found
    assert Change("QOS regular", "there", False, True) in found


def test_budgets_are_told_by_what_they_limit() -> None:
    a, b = (Campaign.of("c", [], budget=budget) for budget in (Budget(cores=8), Budget(nodes=2)))
    cluster = Cluster(name="none", partitions=())
    found = difference(Side(a, cluster, None), Side(b, cluster, None)).campaign
    assert found == (Change("", "budget.cores", 8, None), Change("", "budget.nodes", None, 2))


# On the command line


def edited(tmp_path: Path, *changes: tuple[str, str]) -> Path:
    text = PISO.read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    path = tmp_path / "edited.yaml"
    path.write_text(text)
    return path


def test_a_campaign_a_copy_of_it_and_its_plan_are_the_same(tmp_path: Path) -> None:
    plan = tmp_path / "plan.json"
    assert socm("plan", PISO, "--output", plan).returncode == 0
    copy = edited(tmp_path)
    for a, b in ((PISO, PISO), (PISO, copy), (PISO, plan), (plan, copy)):
        done = socm("diff", a, b, "--exit-code")
        assert done.returncode == 0, done.stdout
        assert "Nothing differs." in done.stdout


def test_an_edit_is_told_in_words(tmp_path: Path) -> None:
    other = edited(
        tmp_path,
        ("deadline: 4h", "deadline: 3h"),
        ("ranks: 14, threads: 8, memory-per-cpu: 8G, runtime: 1h",
         "ranks: 14, threads: 8, memory-per-cpu: 8G, qos: short, runtime: 30m"),
    )  # fmt: skip
    done = socm("diff", PISO, other)
    assert done.returncode == 0
    text = " ".join(done.stdout.split())
    assert "makespan 2:30:00 2:00:00 30 min sooner" in text
    assert "margin 1:30:00 1:00:00 30 min less" in text
    assert "campaign deadline 4h → 3h" in text
    assert "changed get_ana_cov_blocks: runtime 1h → 30m" in text
    assert "get_ana_cov_blocks: QOS - → short" in text
    assert "get_ana_cov_blocks: QOS vshort → short, ends at 1:45:00 instead of 2:15:00" in text
    assert "get_xarrays_covmat: starts at 1:45:00 instead of 2:15:00, 30 min sooner" in text
    assert "charged" not in text  # it is the core-hours
    assert socm("diff", PISO, other, "--exit-code").returncode == 1


def test_the_document_has_all_that_its_contract_names(tmp_path: Path) -> None:
    other = edited(tmp_path, ("runtime: 1h", "runtime: 2h"))
    document = json.loads(socm("diff", PISO, other, "--json").stdout)
    assert set(document) == {
        "schema", "differ", "a", "b", "campaign", "cluster", "added", "removed", "changed",
        "planned",
    }  # fmt: skip
    assert (document["schema"], document["differ"]) == ("socm.diff/1", True)
    assert document["changed"] == [
        {"workflow": "get_ana_cov_blocks", "key": "runtime", "a": 3600, "b": 7200}
    ]
    assert document["a"]["margin_s"] - document["b"]["margin_s"] == 3600
    assert set(document["a"]) == {
        "campaign", "cluster", "fingerprint", "workflows", "deadline_s", "feasible", "makespan_s",
        "margin_s", "lower_bound_s", "nodes", "core_hours", "charged_core_hours", "reasons",
    }  # fmt: skip


def test_a_campaign_that_fits_nowhere_is_compared_all_the_same(tmp_path: Path) -> None:
    other = edited(tmp_path, ("requested_resources: 224", "requested_resources: 100"))
    done = socm("diff", PISO, other)
    assert done.returncode == 0
    assert "budget.cores 224 → 100" in done.stdout
    assert "no plan" in done.stdout
    assert "needs 112 cores, the budget is 100" in done.stdout


def test_a_file_that_is_wrong_is_an_error(tmp_path: Path) -> None:
    assert socm("diff", PISO, tmp_path / "none.yaml").returncode == 2
    assert socm("diff", PISO, edited(tmp_path, ("deadline", "deadlin"))).returncode == 2


@pytest.mark.parametrize("flag", [(), ("--all",)])
def test_a_long_difference_is_summed_up(flag: tuple[str, ...], tmp_path: Path) -> None:
    def file(name: str, count: int, runtime: str) -> Path:
        stages = [
            f"  w{k:03}: {{executable: x, resources: {{threads: 112, runtime: {runtime}}}}}\n"
            for k in range(count)
        ]
        path = tmp_path / name
        path.write_text("campaign: {resources: {nodes: 10}}\nstages:\n" + "".join(stages))
        return path

    a, b = file("a.yaml", 100, "1h"), file("b.yaml", 160, "2h")
    done = socm("diff", a, b, *flag)
    text = " ".join(done.stdout.split())
    assert ("w099: runtime 1h → 2h" in text) == bool(flag)
    assert ("added w100, w101, w102 and 57 more" in text) == (not flag)
    assert ("and 85 more (--all lists all); in all runtime of 100" in text) == (not flag)
    assert ("start of 90" in text) == (not flag)
