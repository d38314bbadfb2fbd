"""A picture says what the simulation says, and is written whole or not at all."""

from __future__ import annotations

import os
import re
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from socm.errors import ConfigError
from socm.model.campaign import Campaign, ResourceRequest, Workflow
from socm.model.cluster import Cluster
from socm.model.outcome import Outcome, Simulation, WorkflowOutcome
from socm.model.partition import Partition
from socm.model.placement import Placement, PlannedWorkflow
from socm.model.plan import Plan
from socm.report.picture import FORMATS, draw
from socm.report.plot import MOST_ROWS
from socm.report.terminal import printable
from socm.report.usage import lanes, usage

CPU = Partition(name="cpu", nodes=2, cores=10, memory=1000)


def simulated(
    *spans: tuple[float, float] | None, deadline: int | None = 200, exclusive: str = ""
) -> Simulation:
    """What a campaign came to whose workflows ran then; each waits for the one before.

    All have 3 ranks of 2 cores and 100 MB, two of them on the first node.
    """
    names = [f"map-{k}" for k in range(len(spans))]
    request = ResourceRequest(ranks=3, threads=2, memory=100, runtime=60)
    workflows = [
        Workflow(name=name, request=request, depends=tuple(names[max(k - 1, 0) : k]))
        for k, name in enumerate(names)
    ]
    planned = [
        PlannedWorkflow(
            name=name,
            partition="cpu",
            qos=None,
            placements=(
                Placement(partition="cpu", node=0, ranks=2),
                Placement(partition="cpu", node=1, ranks=1),
            ),
            threads=2,
            exclusive=name == exclusive,
            cores=20 if name == exclusive else 6,
            start=0,
            finish=60,
            walltime=90,
        )
        for name in names
    ]
    outcomes = [
        WorkflowOutcome(
            name=name,
            status="completed" if span else "skipped",
            start=span[0] if span else None,
            finish=span[1] if span else None,
            attempts=1 if span else 0,
        )
        for name, span in zip(names, spans, strict=True)
    ]
    makespan = max((span[1] for span in spans if span), default=0.0)
    return Simulation(
        plan=Plan(
            campaign=Campaign.of("a week of $maps", workflows, deadline=deadline),
            cluster=Cluster(name="small", partitions=(CPU,)),
            workflows=tuple(planned),
            lower_bound=60,
        ),
        exact=Outcome(
            workflows=tuple(outcomes),
            makespan=makespan,
            core_seconds=600.0,
            timeouts=0,
            critical_chain=tuple(name for name, span in zip(names, spans, strict=True) if span),
        ),
        makespans=tuple(makespan * (0.9 + 0.02 * k) for k in range(11)),
    )


def drawn(simulation: Simulation, path: Path) -> str:
    """The text in the picture."""
    draw(simulation, path)
    return " ".join(ET.parse(path).getroot().itertext())


def test_svg_has_the_names_and_the_deadline_as_text(tmp_path: Path) -> None:
    text = drawn(simulated((0, 60), (60, 150)), tmp_path / "plan.svg")
    for words in ("a week of $maps on small", "map-0", "map-1", "deadline 3 min 20 s", "In time"):
        assert words in text


def test_deadline_far_away_is_only_named(tmp_path: Path) -> None:
    text = drawn(simulated((0, 60), (60, 150), deadline=86400), tmp_path / "plan.svg")
    assert "the deadline, after 1 d, is further right" in text


def test_usage_adds_up_what_is_held() -> None:
    """The ranks of a workflow take ceil(2 · 100 / 3) + ceil(100 / 3) MB; and 6 cores."""
    assert usage(simulated((0, 60), (30, 90))) == {
        0: (6, 101),
        30: (12, 202),
        60: (6, 101),
        90: (0, 0),
    }


def test_exclusive_workflow_holds_all_of_its_nodes() -> None:
    assert usage(simulated((0, 60), (60, 90), exclusive="map-1")) == {
        0: (6, 101),
        60: (20, 2000),
        90: (0, 0),
    }


def test_lanes_hold_one_at_a_time_and_are_as_few_as_can_be() -> None:
    spans = sorted((k * 7 % 50, k * 7 % 50 + 1 + k % 9) for k in range(200))
    chosen = lanes(spans)
    for lane in set(chosen):
        mine = [span for span, its in zip(spans, chosen, strict=True) if its == lane]
        assert all(a[1] <= b[0] for a, b in pairwise(mine))
    at_once = max(sum(a <= t < b for a, b in spans) for t in range(60))
    assert len(set(chosen)) == at_once


@pytest.mark.parametrize("count", [1, MOST_ROWS, MOST_ROWS + 1])
def test_names_are_shown_while_there_is_room(tmp_path: Path, count: int) -> None:
    spans = [(60.0 * k, 60.0 * k + 60) for k in range(count)]
    text = drawn(simulated(*spans), tmp_path / "plan.svg")
    shown = set(re.findall(r"map-\d+", text))
    assert shown == ({f"map-{k}" for k in range(count)} if count <= MOST_ROWS else set())


def test_kinds_beyond_the_colours_are_counted_together(tmp_path: Path) -> None:
    simulation = simulated(*((60.0 * k, 60.0 * k + 60) for k in range(20)))
    campaign = simulation.plan.campaign
    kinds = [*range(2, 10), *(k % 2 for k in range(12))]  # the rare ones first
    workflows = [
        replace(w, kind=f"kind-{k}")
        for k, w in zip(kinds, campaign.workflows.values(), strict=True)
    ]
    plan = replace(simulation.plan, campaign=Campaign.of("kinds", workflows))
    text = drawn(replace(simulation, plan=plan), tmp_path / "plan.svg")
    assert "kind-0 (6)" in text
    assert "others (4)" in text


def test_what_did_not_run_or_failed_is_told(tmp_path: Path) -> None:
    simulation = simulated((0, 60), (60, 150), None)
    first, second, third = simulation.exact.workflows
    workflows = (replace(first, attempts=2), replace(second, status="failed"), third)
    exact = replace(simulation.exact, workflows=workflows)
    text = drawn(replace(simulation, exact=exact), tmp_path / "plan.svg")
    for words in ("Not completed: map-1 failed", "retried", "failed", "did not run"):
        assert words in text


@pytest.mark.parametrize("count", [1, MOST_ROWS + 1])
def test_nothing_ran(tmp_path: Path, count: int) -> None:
    assert "did not run" in drawn(simulated(*[None] * count), tmp_path / "plan.svg")


@pytest.mark.parametrize("suffix", ["svg", "png", "pdf"])
@pytest.mark.parametrize("count", [2, MOST_ROWS + 1])
def test_names_may_hold_anything(tmp_path: Path, suffix: str, count: int) -> None:
    nasty = "\x1b[31m<b>&\x00\x07\x9b\u202e\ud800"
    simulation = simulated(*[(0, 60)] * count)
    plan = simulation.plan
    names = {name: f"{nasty}{name}" for name in plan.by_name}
    workflows = [
        replace(
            w,
            name=names[w.name],
            kind=f"{nasty}{k % 2}",
            depends=tuple(names[parent] for parent in w.depends),
        )
        for k, w in enumerate(plan.campaign.workflows.values())
    ]
    simulation = replace(
        simulation,
        plan=replace(
            plan,
            campaign=Campaign.of(nasty, workflows, deadline=200),
            cluster=replace(plan.cluster, name=nasty),
            workflows=tuple(replace(w, name=names[w.name], qos=nasty) for w in plan.workflows),
        ),
        exact=replace(
            simulation.exact,
            workflows=tuple(
                replace(w, name=names[w.name], status="failed") for w in simulation.exact.workflows
            ),
            critical_chain=tuple(names[name] for name in simulation.exact.critical_chain),
        ),
    )
    draw(simulation, tmp_path / f"plan.{suffix}")
    if suffix == "svg":
        text = (tmp_path / "plan.svg").read_text(encoding="utf-8")
        assert printable(text) == text
        shown = " ".join(ET.fromstring(text).itertext())
        assert "\\x1b[31m<b>&\\x00\\x07\\x9b\\u202e\\ud800" in shown


@pytest.mark.parametrize(("suffix", "magic"), [("png", b"\x89PNG"), ("pdf", b"%PDF")])
def test_other_formats(tmp_path: Path, suffix: str, magic: bytes) -> None:
    path = tmp_path / f"plan.{suffix.upper()}"
    draw(simulated((0, 60)), path)
    assert path.read_bytes().startswith(magic)


@pytest.mark.parametrize("suffix", FORMATS)
def test_same_simulation_gives_the_same_bytes(tmp_path: Path, suffix: str) -> None:
    first, second = tmp_path / f"a.{suffix}", tmp_path / f"b.{suffix}"
    draw(simulated((0, 60), (60, 150)), first)
    draw(simulated((0, 60), (60, 150)), second)
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize("name", ["plan.gif", "plan"])
def test_unknown_format_is_refused_with_those_that_there_are(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match=r"\.svg, \.png, \.pdf"):
        draw(simulated((0, 60)), tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_path_that_can_not_be_written_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"plan\.svg: cannot be written: no such file"):
        draw(simulated((0, 60)), tmp_path / "missing" / "plan.svg")


def test_failure_leaves_what_was_there_and_no_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "plan.svg"
    path.write_text("before")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(ConfigError, match="no space left"):
        draw(simulated((0, 60)), path)
    assert [p.read_text() for p in tmp_path.iterdir()] == ["before"]


def test_missing_matplotlib_gives_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ConfigError, match=r"pip install 'socm\[plot\]'"):
        draw(simulated((0, 60)), tmp_path / "plan.svg")


def test_settings_of_others_are_left_alone(tmp_path: Path) -> None:
    import matplotlib as mpl

    before, modules = mpl.rcParams.copy(), set(sys.modules)
    draw(simulated((0, 60)), tmp_path / "plan.svg")
    assert mpl.rcParams.copy() == before
    assert "matplotlib.pyplot" not in set(sys.modules) - modules
