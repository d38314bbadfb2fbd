"""What all null tests share: their options, and how their groups become maps."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator, Field, WithJsonSchema, field_validator, model_validator

from socm.model.campaign import Workflow
from socm.units import parse_duration
from socm.workflows.base import Context, Unit, WorkflowType
from socm.workflows.ml_mapmaking import (
    MLMapmakingOptions,
    check,
    command,
    inputs,
    listed,
    query_file,
    read,
    sizes,
)
from socm.workflows.null_tests.splits import split
from socm.workflows.obsdb import ContextUnavailable
from socm.workflows.observations import Observations

Duration = Annotated[
    int,
    BeforeValidator(parse_duration),
    Field(ge=1),
    WithJsonSchema({"type": ["string", "number"], "description": "10d, 12h, or seconds"}),
]


class NullTestOptions(MLMapmakingOptions):
    """What a section ``[campaign.ml-null-tests.*]`` may say beside the options of its maps."""

    tags: tuple[str, ...] = ()
    """Tags of the database: ``name=1`` or ``name=0`` selects, ``name`` is a column for `query`."""
    nsplits: int = Field(default=2, ge=2, le=1000)
    """Splits of each group; an even number."""
    chunk_nobs: Annotated[int | None, Unit("observations")] = Field(default=None, ge=1)
    """Approximate number of observations in a chunk; chunks are assigned to splits in turn."""
    chunk_duration: Annotated[Duration | None, Unit("10d, 12h, or s")] = None
    """Observations that start within this time of the first form one chunk."""
    chunk_sessions: int | None = Field(default=None, ge=1)
    """Number of sessions in a chunk (default: 1)."""
    simultaneous: Literal["together", "apart"] = "together"
    """Whether the tubes of one telescope that observe at one time stay in one split."""
    seed: int | None = Field(default=None, ge=0)
    """Random seed; if given, each round of chunks is assigned in random order."""
    tolerance: float = Field(default=0.3, ge=0)
    """Largest inequality of the splits of a group, in samples, without a warning."""

    @field_validator("nsplits")
    @classmethod
    def _even(cls, nsplits: int) -> int:
        if nsplits % 2:
            raise ValueError(f"{nsplits} is odd: splits are differenced in pairs")
        return nsplits

    @model_validator(mode="after")
    def _one_way_to_chunk(self) -> Self:
        ways = ("chunk_nobs", "chunk_duration", "chunk_sessions")
        given = [way for way in ways if getattr(self, way) is not None]
        if len(given) > 1:
            raise ValueError(f"{' and '.join(given)} exclude each other")
        return self


@dataclass(frozen=True, kw_only=True)
class Group:
    """Observations that a test holds against others.

    Parameters
    ----------
    name
        Begins the names of its splits, after that of the test; empty where it is the only one.
    members
        Indices.
    wafers
        Wafer slot that is mapped, where it is not all.
    """

    name: str
    members: NDArray[np.int64]
    wafers: str | None = None


@dataclass(frozen=True, kw_only=True)
class Grouping:
    """The groups of a test.

    Parameters
    ----------
    groups
        In order.
    noted
        How many observations something is to be told of, by what that is: that they are in no
        group, or how they were taken.
    limit
        What parts the groups, where the data say it: ``"median 1.31 mm"``.
    """

    groups: tuple[Group, ...]
    noted: Mapping[str, int] = field(default_factory=dict)
    limit: str = ""


class Split(NamedTuple):
    """A group that was split: members of each part, and what is to be told of each."""

    parts: Sequence[NDArray[np.int64]]
    notes: Sequence[str] = ()
    warning: str = ""


@dataclass(frozen=True, kw_only=True)
class NullTest:
    """A null test.

    Parameters
    ----------
    tag
        Begins the names of its workflows.
    group
        Puts observations into groups.
    assumed
        Names of the groups where observations cannot be read.
    split
        Splits a group; in turn, if nothing else is said.
    """

    tag: str
    group: Callable[[Any, Observations], Grouping]
    assumed: Callable[[Any], Iterable[Group]]
    split: Callable[[Observations, Any], Split] = lambda observations, options: Split(
        split(observations, options)
    )

    def expand(self, options: NullTestOptions, context: Context) -> list[Workflow]:
        """Make a map of each split of each group."""
        check(options, context)
        try:
            observations = read(options, context, options.tags)
        except ContextUnavailable as error:
            if not context.assume:
                raise
            return self._assume(options, context, error)
        if not len(observations):
            context.warn("the query selects no observations, so there are no maps")
        grouping = self.group(options, observations)
        for what, count in grouping.noted.items():
            if count:
                context.warn(f"{count} of {len(observations)} observations {what}")
        workflows = []
        for group in grouping.groups:
            workflows += self._maps(group, observations[group.members], options, context)
        counts = ", ".join(f"{g.name or 'all'} {len(g.members)}" for g in grouping.groups)
        limit = f" ({grouping.limit})" if grouping.limit else ""
        noted = [f"{count} {what}" for what, count in grouping.noted.items() if count]
        context.tell("; ".join([f"{counts}{limit}", *noted, f"{len(workflows)} maps"]))
        return workflows

    def _maps(
        self, group: Group, observations: Observations, options: NullTestOptions, context: Context
    ) -> list[Workflow]:
        title = group.name or "all"
        if not len(observations):
            if group.name:
                context.warn(f"{title}: this group has no observations and so no maps")
            return []
        split = self.split(observations, options)
        full = [(k, members) for k, members in enumerate(split.parts, 1) if len(members)]
        if len(full) < options.nsplits:
            context.warn(
                f"{title}: {len(observations)} observations make {len(full)} of the "
                f"{options.nsplits} splits: make the chunks smaller"
            )
        if split.warning:
            context.warn(split.warning)
        workflows = [
            self._map(group, k, options, context, observations[members],
                      split.notes[k - 1] if split.notes else "")
            for k, members in full
        ]  # fmt: skip
        weights = [w.sizes["samples"] for w in workflows]
        if not any(weights):
            context.warn(f"{title}: nothing to map in these wafers and bands")
        elif min(weights) * (1 + options.tolerance) < max(weights):
            context.warn(
                f"{title}: its splits are unequal, the largest has "
                + (f"{max(weights) / min(weights):.2f} times" if min(weights) else "all")
                + " the samples of the smallest"
            )
        return workflows

    def _map(
        self,
        group: Group,
        number: int,
        options: NullTestOptions,
        context: Context,
        observations: Observations | None,
        note: str = "",
    ) -> Workflow:
        """Make the map of one split; without observations, as if they were there."""
        parts = [self.tag, group.name, "split", str(number)]
        name = "_".join(part for part in parts if part)
        if context.named:
            name = f"{context.section.name}_{name}"
        folder = Path(options.output_dir) / name
        file = folder / "query.txt"
        changes: dict[str, object] = {"output_dir": str(folder)}
        if group.wafers is not None:
            changes["wafers"] = group.wafers
        mapped = listed(options.model_copy(update=changes), file)
        needed = tuple(path for path in inputs(mapped) if path != str(file))
        if observations is None:
            return context.workflow(command(mapped), name=name, inputs=needed, assumed=True)
        sessions = len(np.unique(observations.session))
        what = f"{len(observations)} observations in {sessions} sessions"
        return context.workflow(
            command(mapped),
            name=name,
            inputs=needed,
            files={str(file): query_file(observations)},
            sizes=sizes(mapped, observations),
            description=context.section.description or (f"{what}; {note}" if note else what),
        )

    def _assume(
        self, options: NullTestOptions, context: Context, error: ContextUnavailable
    ) -> list[Workflow]:
        context.warn(f"{error.problems[0].message}: every group and split is assumed to be present")
        groups = [*self.assumed(options)]
        names = ", ".join(group.name or "all" for group in groups)
        context.tell(f"{names}, assumed; {len(groups) * options.nsplits} maps")
        return [
            self._map(group, k, options, context, None)
            for group in groups
            for k in range(1, options.nsplits + 1)
        ]


def null_test(name: str, options: type[NullTestOptions], test: NullTest) -> WorkflowType:
    """Return the workflow type of a null test."""
    return WorkflowType(name=f"ml-null-tests.{name}", options=options, expand=test.expand)
