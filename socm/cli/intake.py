"""The one way from a file that was named on the command line to a campaign and its plan."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from socm.errors import ConfigError, InvalidPlan, Problem
from socm.words import count, listed

if TYPE_CHECKING:
    from socm.model.allocation import AnyPlan
    from socm.model.campaign import Campaign, Schema
    from socm.model.cluster import Cluster
    from socm.model.placement import Reservation
    from socm.model.plan import Plan
    from socm.planner.effort import Effort


@dataclass(frozen=True, kw_only=True)
class Intake:
    """The content of a campaign or plan file, read and proved once.

    Parameters
    ----------
    file
        The file.
    campaign, cluster
        What to do, and where.
    warnings
        Those of a campaign; those of a plan are in the plan.
    made
        The plan, if the file is one.
    """

    file: Path
    campaign: Campaign
    cluster: Cluster
    warnings: tuple[str, ...] = ()
    made: AnyPlan | None = None

    @property
    def closures(self) -> tuple[Reservation, ...]:
        """The maintenance of the cluster, for a campaign that begins now."""
        return self.cluster.closed(datetime.now(UTC))

    def plan(self, effort: Effort | None = None) -> Plan:
        """Return `any_plan`, to be carried out.

        Raises
        ------
        ConfigError
            If it is a plan of allocations, or if a plan is given an effort.
        Infeasible
            If no plan exists.
        """
        from socm.model.allocation import of_jobs

        return of_jobs(self.any_plan(effort))

    def any_plan(self, effort: Effort | None = None) -> AnyPlan:
        """Return the plan of the file, or plan its campaign; the warnings of both are in the plan.

        A campaign of the schema ``batch`` is planned in allocations.

        Raises
        ------
        ConfigError
            If a plan is given an effort.
        Infeasible
            If no plan exists.
        """
        if self.made is not None:
            if effort is not None:
                raise _made_already(self.file, "a plan is made already", "effort")
            made = replace(self.made, cluster=self.cluster)
            return _from_now_on(made, self.closures, self.file)

        from socm.model.machine import HERE
        from socm.planner import plan_campaign
        from socm.planner.effort import USUAL

        planner = partial(plan_campaign, effort=effort or USUAL)
        plan: AnyPlan
        if self.campaign.execution_schema == "batch" and self.cluster.name not in HERE:
            from socm.planner.sizing.allocation import plan_allocation

            plan = plan_allocation(self.campaign, self.cluster, planner)
            try:
                plan = _from_now_on(plan, self.closures, self.file)
            except ConfigError as error:
                message = "its allocations would run into the maintenance of the cluster"
                hint = "with execution_schema = 'remote' its workflows are planned around that"
                problem = Problem(file=str(self.file), message=message, hint=hint)
                raise ConfigError(problem) from error
        else:
            plan = planner(self.campaign, self.cluster, reservations=self.closures)
        return replace(plan, warnings=(*self.warnings, *plan.warnings))


def take_in(
    file: Path,
    cluster: str | None = None,
    *,
    policy: str | None = None,
    execution_schema: Schema | None = None,
    assume_splits: bool = False,
    maintenance: Iterable[str] | None = None,
) -> Intake:
    """Read a campaign or a plan.

    Parameters
    ----------
    file
        A plan if it ends in ``.json``, else a campaign.
    cluster, policy
        To use instead of those of the campaign; a plan has its own.
    execution_schema, assume_splits
        As in `load_campaign`.
    maintenance
        More times of maintenance, each as ``START/END``.

    Raises
    ------
    ConfigError
        With every problem in the file; or if a plan is given a cluster or a policy.
    InvalidPlan
        If it is a plan that breaks a rule.
    """
    if file.suffix == ".json":
        from socm.model.document import read_plan

        for name, given in (("cluster", cluster), ("policy", policy)):
            if given is not None:
                raise _made_already(file, f"a plan has its {name} already", name)
        made = read_plan(file)
        cluster_now = with_maintenance(made.cluster, maintenance)
        return Intake(file=file, campaign=made.campaign, cluster=cluster_now, made=made)

    from socm.config import load_campaign

    loaded = load_campaign(
        file,
        cluster=cluster,
        policy=policy,
        execution_schema=execution_schema,
        assume_splits=assume_splits,
    )
    cluster_now = with_maintenance(loaded.cluster, maintenance)
    return Intake(
        file=file, campaign=loaded.campaign, cluster=cluster_now, warnings=loaded.warnings
    )


def with_maintenance(cluster: Cluster, given: Iterable[str] | None) -> Cluster:
    """Return a cluster with more times of maintenance, each as ``START/END``.

    Raises
    ------
    ConfigError
        If one of them is not two dates with a zone.
    """
    from socm.model.maintenance import Maintenance

    more, problems = [], []
    for text in given or ():
        start, _, end = text.partition("/")
        if not end or end.lstrip()[:1].isalpha():  # the name of a zone has a slash, too
            zone, _, end = end.partition("/")
            start = f"{start}/{zone}"
        try:
            more.append(Maintenance(start=start, end=end))
        except ValueError as error:
            hint = "--maintenance 2026-12-08T06:00-05:00/2026-12-08T10:00-05:00"
            problems.append(Problem(message=f"--maintenance {text}: {error}", hint=hint))
    if problems:
        raise ConfigError(*problems)
    return replace(cluster, maintenance=(*cluster.maintenance, *more))


def _from_now_on(plan: AnyPlan, closures: Sequence[Reservation], file: Path) -> AnyPlan:
    """Return a plan with the maintenance of its cluster as it is for a start now.

    Raises
    ------
    ConfigError
        If the plan does not keep clear of it.
    """
    from socm.model.check import check_plan

    if not plan.cluster.maintenance or plan.start:
        return plan
    others = [r for r in plan.reservations if not r.maintenance]
    moved = replace(plan, reservations=(*others, *closures))
    try:
        check_plan(moved)
    except InvalidPlan as error:
        message = f"was planned for an earlier start: {error.violations[0]}"
        hint = f"`socm plan {plan.campaign.source or 'CAMPAIGN'} --output {file}` plans it anew"
        raise ConfigError(Problem(file=str(file), message=message, hint=hint)) from error
    return moved


def _made_already(file: Path, message: str, option: str) -> ConfigError:
    hint = f"plan the campaign again with --{option}"
    return ConfigError(Problem(file=str(file), message=message, hint=hint))


def refuse_unready(campaign: Campaign, cluster: Cluster, file: Path) -> None:
    """Refuse to run a campaign in which something is missing that a run needs.

    Raises
    ------
    ConfigError
        With every variable that was not set, and the workflows that name it; with workflows that
        were assumed to exist, unseen; and with those without the account that the cluster wants.
    """
    if problems := [*_unready(campaign, file), *_without_account(campaign, cluster, file)]:
        raise ConfigError(*problems)


def _unready(campaign: Campaign, file: Path) -> Iterator[Problem]:
    again = f"`socm plan {campaign.source or 'CAMPAIGN'} --output {file}`"
    is_plan = file.suffix == ".json"
    unset: dict[str, list[str]] = {}
    for workflow in campaign.workflows.values():
        for variable in workflow.unset:
            unset.setdefault(variable, []).append(workflow.name)
    for variable, names in unset.items():
        yield Problem(
            file=str(file),
            message=f"${variable} is not set in the environment; {listed(names)} "
            + ("needs it" if len(names) == 1 else "need it"),
            hint=f"set it, then {again}" if is_plan else "set it and run again",
        )
    if assumed := [w.name for w in campaign.workflows.values() if w.assumed]:
        yield Problem(
            file=str(file),
            message=f"{count(len(assumed), 'workflow')} assumed, not seen: {listed(assumed)}",
            hint="plan the campaign where its observations can be read, without --assume-splits",
        )


def _without_account(campaign: Campaign, cluster: Cluster, file: Path) -> Iterator[Problem]:
    if not cluster.account_required or cluster.account:
        return
    names = [w.name for w in campaign.workflows.values() if not w.request.account]
    if names:
        yield Problem(
            file=str(file),
            message=f"{cluster.name} wants an account for each job; none is given for "
            f"{listed(names)}",
            hint="set SOCM_ACCOUNT, or `account` in `resources` of a workflow or of your own "
            "~/.config/socm/config.toml; `sacctmgr show assoc user=$USER` lists yours",
        )
