"""What makes a deadline impossible: statements that hold for every plan."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from socm.model.campaign import ResourceRequest
from socm.model.cluster import Mode
from socm.model.plan import Plan
from socm.planner.bounds import heads_and_tails
from socm.planner.instance import Modes, modes_of
from socm.planner.whynot.words import chain_in_words, names_in_words, nodes_in_words
from socm.units import format_count, format_duration, format_memory


@dataclass(frozen=True, kw_only=True)
class Binding:
    """What keeps a campaign from its deadline.

    Parameters
    ----------
    kind
        ``"critical-path"``, ``"cores"``, ``"memory"``, ``"gpus"``, ``"qos"``, ``"budget"``,
        ``"nodes"``, ``"begun"``, or ``"lower-bound"`` for several of them together.
    text
        In words.
    at_least
        Seconds since the start before which no plan can end because of it; `None` if that proves
        nothing.
    without
        Makespan of a plan that was made without it; `None` if none was.
    """

    kind: str
    text: str
    at_least: int | None = None
    without: int | None = None


def proven(plan: Plan) -> Iterator[Binding]:
    """Yield what no plan can do by the deadline, the worst first.

    What has begun is left out, and what it uses: that only makes the statements weaker.
    """
    deadline = plan.campaign.deadline
    assert deadline is not None
    begun = [w for w in plan.workflows if w.fixed]
    names = [w.name for w in plan.workflows if not w.fixed]
    found = [
        Binding(
            kind="begun",
            text=f"{w.name} has begun, and is to end after {format_duration(w.finish)}",
            at_least=w.finish,
        )
        for w in begun
    ]
    if names:
        all_modes = modes_of(plan.campaign, plan.cluster)
        modes = {name: all_modes[name] for name in names}
        found += [_critical_path(plan, modes), *_areas(plan, modes)]
    too_long = [b for b in found if b.at_least is not None and b.at_least > deadline]
    if not too_long and plan.lower_bound > deadline:
        too_long.append(
            Binding(
                kind="lower-bound",
                text="what must come one after the other, and what there is room for, together: "
                f"no plan ends before {format_duration(plan.lower_bound)}",
                at_least=plan.lower_bound,
            )
        )
    yield from sorted(too_long, key=lambda b: -(b.at_least or 0))


def _critical_path(plan: Plan, modes: Modes) -> Binding:
    """Say how long the longest chain takes where it is fastest, with nothing to wait for."""
    campaign = plan.campaign
    duration = {name: min(o.duration for o in ways) for name, ways in modes.items()}
    head, tail = heads_and_tails(campaign, duration)
    chain = [max(duration, key=lambda name: (not head[name], duration[name] + tail[name]))]
    while tail[chain[-1]]:
        left = tail[chain[-1]]
        chain.append(next(c for c in campaign.children[chain[-1]] if duration[c] + tail[c] == left))
    takes = sum(duration[name] for name in chain)
    if len(chain) == 1:
        text = f"{chain[0]} alone takes {format_duration(takes)}"
    else:
        text = f"{chain_in_words(chain)} take {format_duration(takes)}, one after the other"
    return Binding(kind="critical-path", text=text, at_least=plan.start + takes)


def _areas(plan: Plan, modes: Modes) -> Iterator[Binding]:
    """Say for each resource and each limit what would have to be in use at all times."""
    campaign, cluster = plan.campaign, plan.cluster
    for what, of_node, use, write in (
        ("cores", [p.cores for p in cluster.partitions], _cores, _count),
        ("memory", [p.memory for p in cluster.partitions], _memory, format_memory),
        ("gpus", [p.gpus for p in cluster.partitions], _gpus, _count),
    ):
        requests = {name: campaign.workflows[name].request for name in modes}
        work = sum(
            min(use(o, requests[name]) * o.duration for o in ways) for name, ways in modes.items()
        )
        have, owner = _total(plan, what, of_node)
        yield _area(plan, what, work, have, f"{owner} {write(have)}", write)
    for qos in cluster.qos_by_size:
        mine = {n: ways for n, ways in modes.items() if all(o.qos == qos for o in ways)}
        who = f"QOS {qos.name}, which alone admits {names_in_words([*mine])}"
        if mine and qos.running_jobs is not None:
            jobs = sum(min(o.duration for o in ways) for ways in mine.values())
            lets = f"{who}, lets {qos.running_jobs} run"
            yield _area(plan, "qos", jobs, qos.running_jobs, lets, "{:.1f} jobs".format)
        if mine and qos.cores is not None:
            work = sum(min(o.cores * o.duration for o in ways) for ways in mine.values())
            lets = f"{who}, lets them have {format_count(qos.cores)}"
            yield _area(plan, "qos", work, qos.cores, lets, _cores_in_words)


def _count(amount: float) -> str:
    return format_count(math.ceil(amount))


def _cores_in_words(amount: float) -> str:
    return f"{_count(amount)} cores"


def _cores(mode: Mode, request: ResourceRequest) -> int:
    return mode.cores


def _memory(mode: Mode, request: ResourceRequest) -> int:
    whole = mode.fewest_nodes * mode.partition.memory if mode.exclusive else 0
    return max(whole, request.memory)


def _gpus(mode: Mode, request: ResourceRequest) -> int:
    return request.ranks * request.gpus


def _total(plan: Plan, what: str, of_node: Sequence[int]) -> tuple[int, str]:
    """Return the most of a resource that can be in use at once, and whose it is."""
    budget, partitions = plan.campaign.budget, plan.cluster.partitions
    left = nodes = sum(p.nodes for p in partitions)
    if budget.nodes is not None:
        left = nodes = min(nodes, budget.nodes)
    total = 0
    for amount, partition in sorted(
        zip(of_node, partitions, strict=True), key=lambda pair: -pair[0]
    ):
        total += amount * min(partition.nodes, left)
        left -= min(partition.nodes, left)
    owner = "the cluster has"
    if budget.nodes is not None and budget.nodes < sum(p.nodes for p in partitions):
        owner = f"the budget of {nodes_in_words(nodes)} has"
    if what == "cores" and budget.cores is not None and budget.cores < total:
        return budget.cores, "the budget is"
    return total, owner


def _area(
    plan: Plan, kind: str, work: int, have: int, lets: str, write: Callable[[float], str]
) -> Binding:
    assert plan.campaign.deadline is not None
    time = max(plan.campaign.deadline - plan.start, 1)
    what = {"cores": " cores", "memory": " of memory", "gpus": " GPUs"}.get(kind, "")
    return Binding(
        kind=kind,
        text=f"{write(work / time)}{what} would have to be in use at all times until the deadline; "
        f"{lets}",
        at_least=plan.start + math.ceil(work / have) if have else None,
    )
