"""What is to be done: requests, workflows, and the campaign that they form."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING, Any, Literal

from socm.errors import MOST_TOLD, ConfigError, Problem, did_you_mean

if TYPE_CHECKING:
    import networkx as nx

Schema = Literal["remote", "local", "batch"]
"""Where workflows run: as jobs of the cluster, on this machine, or within an allocation."""

MOST_HOURS = 1e12
"""A budget of hours is not larger."""
DEFAULT_SPREAD = 0.2
"""Standard deviation of the logarithm of a runtime, where nothing better is known."""


@dataclass(frozen=True, kw_only=True)
class ResourceRequest:
    """What one workflow asks of a cluster.

    Parameters
    ----------
    ranks, threads
        Processes, and cores of each. A rank is never split over nodes.
    cpus
        Whether `threads` counts physical cores or logical cpus (hardware threads).
    memory
        MB of the whole workflow; k of its ranks on one node take ceil(k · memory / ranks).
    whole_memory
        Whether it takes all memory of its nodes, instead of an amount. As nothing else can run
        there, it gets whole nodes.
    gpus
        GPUs of each rank.
    runtime
        Seconds that it is expected to take (the median) on a node of speed 1.
    walltime
        Limit in seconds to ask for; `None` lets the planner choose.
    spread
        Standard deviation of the logarithm of the runtime.
    partition, qos, account
        `None` lets the planner (for the account: the cluster) choose.
    uses
        How much it takes of each counted resource of the campaign (`Campaign.limits`).

    Raises
    ------
    ValueError
        If a number is out of range.
    """

    ranks: int = 1
    threads: int = 1
    cpus: Literal["physical", "logical"] = "physical"
    memory: int = 0
    whole_memory: bool = False
    gpus: int = 0
    runtime: int
    walltime: int | None = None
    spread: float = DEFAULT_SPREAD
    partition: str | None = None
    qos: str | None = None
    account: str | None = None
    uses: Mapping[str, int] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        if self.ranks < 1 or self.threads < 1 or self.runtime < 1:
            raise ValueError("ranks, threads and runtime are at least 1")
        if self.memory < 0 or self.gpus < 0 or not 0 <= self.spread <= 3:
            raise ValueError("memory and gpus are at least 0, spread lies between 0 and 3")
        if self.whole_memory and self.memory:
            raise ValueError("an amount of memory is not the whole memory of a node")
        if self.walltime is not None and self.walltime < 1:
            raise ValueError("walltime is at least 1 second")
        if any(amount < 1 for amount in self.uses.values()):
            raise ValueError("of a counted resource at least 1 is used")

    def cores(self, threads_per_core: int) -> int:
        """Physical cores of one rank on nodes with so many hardware threads per core."""
        return -(-self.threads // threads_per_core) if self.cpus == "logical" else self.threads


@dataclass(frozen=True, kw_only=True)
class Workflow:
    """One job of a campaign: a command, what it asks for, and what it waits for.

    Parameters
    ----------
    name
        Unique within the campaign.
    kind
        The workflow type, such as ``"ml-mapmaking"``; ``"stage"`` in a DAG.
    command
        Argument vector, never a shell string.
    request
        Resources.
    options
        What else is asked of SLURM, by the names of options of sbatch; a flag has an empty value.
    depends
        Names of the workflows that must have completed before.
    priority
        What is to be dropped first where not all can be done: the lowest. It changes no plan.
    environment
        Variables to set for the command.
    modules, setup
        Environment modules to load and lines of shell to run before the command.
    launcher
        What starts the ranks: ``"srun"``, ``"mpirun"``, or ``"none"`` for a command that does so
        itself.
    outputs
        Files that a run that went well leaves behind, relative to the directory.
    skip_if_outputs_exist
        Whether outputs that are newer than the inputs make a run needless.
    directory
        Working directory; `None` is the run directory.
    inputs
        Files that a run needs; planning does not read them.
    files
        Text by path: written when the workflow is submitted, never earlier.
    sizes
        What drives its cost: ``observations``, ``detector_sets`` (one wafer in one band of one
        observation) and ``samples`` of all of these; empty where that is not known.
    assumed
        Whether it was taken as present, unseen: it can be planned, not run.
    description
        For people.
    unset
        Variables that its section names and that were not set when the file was read: it can be
        planned, not run. Like every field that does not compare, it is no part of a fingerprint.
    """

    name: str
    kind: str = "stage"
    command: tuple[str, ...] = ()
    request: ResourceRequest
    options: Mapping[str, str] = field(default_factory=dict)
    depends: tuple[str, ...] = ()
    priority: int = 0
    environment: Mapping[str, str] = field(default_factory=dict)
    modules: tuple[str, ...] = ()
    setup: tuple[str, ...] = ()
    launcher: Literal["srun", "mpirun", "none"] = "srun"
    outputs: tuple[str, ...] = ()
    skip_if_outputs_exist: bool = False
    directory: str | None = None
    inputs: tuple[str, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)
    sizes: Mapping[str, int] = field(default_factory=dict)
    assumed: bool = False
    description: str | None = None
    unset: tuple[str, ...] = field(default=(), compare=False)


@dataclass(frozen=True, kw_only=True)
class Budget:
    """The most a campaign may hold at once, and be charged in all; `None` is no limit.

    Parameters
    ----------
    cores
        Cores in use: ranks × threads, or whole nodes where they are given whole.
    nodes
        Distinct nodes in use.
    core_hours, node_hours
        Hours that all jobs together are charged; one of the two at the most.
    """

    cores: int | None = None
    nodes: int | None = None
    core_hours: float | None = None
    node_hours: float | None = None

    def __post_init__(self) -> None:
        if self.core_hours is not None and self.node_hours is not None:
            raise ValueError("a budget is in core-hours or in node-hours, not in both")
        if self.hours is not None and not 0 < self.hours <= MOST_HOURS:
            raise ValueError("a budget of hours is more than 0")

    @property
    def hours(self) -> float | None:
        """Core-hours or node-hours that all jobs together are charged at most."""
        return self.core_hours if self.node_hours is None else self.node_hours


@dataclass(frozen=True, kw_only=True)
class Campaign:
    """Workflows with dependencies, a deadline and a budget.

    Parameters
    ----------
    name
        For people and file names.
    workflows
        By name, in the order in which they were declared.
    deadline
        Seconds from the start, or `None`.
    budget
        What may be in use at once.
    limits
        Counted resources of the campaign's own, such as licences or connections to a database:
        how much of each may be in use at once.
    policy
        What the plan is made to achieve; ``"time"`` is the shortest makespan.
    retries
        How often a workflow that failed for a cause that may pass is tried again.
    execution_schema
        Where a run takes place; `None` leaves it to what is there.
    source
        Path of the file that it was read from.

    Raises
    ------
    ConfigError
        If a dependency or a counted resource is unknown, a workflow uses more of one than there
        is, or dependencies form a cycle; every one is named.

    Examples
    --------
    >>> minute = ResourceRequest(runtime=60)
    >>> campaign = Campaign.of("pair", [
    ...     Workflow(name="b", request=minute, depends=("a",)),
    ...     Workflow(name="a", request=minute),
    ... ])
    >>> campaign.order, [*campaign.dag.edges]
    (('a', 'b'), [('a', 'b')])
    """

    name: str
    workflows: Mapping[str, Workflow]
    deadline: int | None = None
    budget: Budget = Budget()
    limits: Mapping[str, int] = field(default_factory=dict)
    policy: str = "time"
    retries: int = 2
    execution_schema: Schema | None = field(default=None, compare=False)
    source: str | None = field(default=None, compare=False)

    @classmethod
    def of(
        cls,
        name: str,
        workflows: Iterable[Workflow],
        *,
        deadline: int | None = None,
        budget: Budget | None = None,
        **more: Any,
    ) -> Campaign:
        """Build a campaign from workflows in order; a name that is used twice is refused.

        Parameters
        ----------
        more
            Any other field.
        """
        by_name: dict[str, Workflow] = {}
        doubled = {}
        for workflow in workflows:
            if workflow.name in by_name:
                doubled[workflow.name] = Problem(
                    message=f"two workflows are called {workflow.name!r}"
                )
            by_name[workflow.name] = workflow
        if doubled:
            raise ConfigError(*doubled.values())
        budget = budget or Budget()
        return cls(name=name, workflows=by_name, deadline=deadline, budget=budget, **more)

    def __post_init__(self) -> None:
        if any(most < 1 for most in self.limits.values()):
            raise ValueError("the limit of a counted resource is at least 1")
        unknown = [
            (w.name, parent)
            for w in self.workflows.values()
            for parent in w.depends
            if parent not in self.workflows
        ]
        problems = [
            Problem(
                message=f"{name!r} depends on {parent!r}, which is not in the campaign",
                hint=did_you_mean(parent, self.workflows) if number < MOST_TOLD else None,
                subject=name,
            )
            for number, (name, parent) in enumerate(unknown)
        ]
        problems += [
            Problem(message=f"{w.name!r} {message}", hint=hint, subject=w.name)
            for w in self.workflows.values()
            for _, message, hint in bad_uses(w.request.uses, self.limits)
        ]
        if problems:
            raise ConfigError(*problems)
        try:
            _ = self.order
        except CycleError as error:
            cycle = error.args[1][::-1]
            message = f"dependencies form a cycle: {' → '.join(cycle)}"
            raise ConfigError(Problem(message=message, subject=cycle[0])) from None

    @cached_property
    def order(self) -> tuple[str, ...]:
        """Names, each after all that it depends on."""
        sorter: TopologicalSorter[str] = TopologicalSorter()
        for name in self.workflows:
            sorter.add(name)  # all of them first: what can come in any order keeps theirs
        for workflow in self.workflows.values():
            sorter.add(workflow.name, *workflow.depends)
        return tuple(sorter.static_order())

    @cached_property
    def children(self) -> Mapping[str, tuple[str, ...]]:
        """Names of those that wait for each workflow."""
        children: dict[str, list[str]] = {name: [] for name in self.workflows}
        for workflow in self.workflows.values():
            for parent in dict.fromkeys(workflow.depends):
                children[parent].append(workflow.name)
        return {name: tuple(those) for name, those in children.items()}

    @cached_property
    def dag(self) -> nx.DiGraph[str]:
        """The dependencies as a graph, an edge from each workflow to those that wait for it."""
        import networkx as nx  # a third of a second to import: only for those who want the graph

        return nx.DiGraph(dict[str, Iterable[str]](self.children))

    @cached_property
    def fingerprint(self) -> str:
        """Sixteen hex digits that change whenever anything does that is planned or run."""
        data = asdict(self)
        for part in (data, *data["workflows"].values()):
            for each in fields(Campaign if part is data else Workflow):
                # Plans of before there were these keep their fingerprint.
                newer = each.name in ("options", "limits") and not part[each.name]
                if not each.compare or newer:
                    del part[each.name]
        for key in ("core_hours", "node_hours"):
            if data["budget"][key] is None:
                del data["budget"][key]
        for workflow in data["workflows"].values():
            for newer_key in ("uses", "whole_memory"):
                if not workflow["request"][newer_key]:
                    del workflow["request"][newer_key]
        return hashlib.sha256(json.dumps(data).encode()).hexdigest()[:16]


def bad_uses(
    uses: Mapping[str, int], limits: Mapping[str, int]
) -> Iterator[tuple[str, str, str | None]]:
    """Yield what is wrong with the counted resources of a workflow: which one, what, and a hint.

    Examples
    --------
    >>> for _, message, hint in bad_uses({"ios": 1, "db": 3}, {"io": 4, "db": 2}):
    ...     print(message, "-", hint)
    uses 'ios', which is not in the limits of the campaign - did you mean 'io'?
    uses 3 of 'db', the limit is 2 - None
    """
    for name, amount in uses.items():
        if name not in limits:
            hint = did_you_mean(name, limits) or (
                f"known are {', '.join(sorted(limits))}"
                if limits
                else f"[campaign.limits] {name} = N says how many may be in use at once"
            )
            yield name, f"uses {name!r}, which is not in the limits of the campaign", hint
        elif amount > limits[name]:
            yield name, f"uses {amount} of {name!r}, the limit is {limits[name]}", None
