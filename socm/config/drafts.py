"""The sections of a campaign file that describe workflows: named, and with what they inherit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import NamedTuple

from socm.config.findings import Findings
from socm.config.schema import CampaignSection, WorkflowSection
from socm.config.toml_positions import Key, Position
from socm.errors import did_you_mean
from socm.spelling import kebab, snake
from socm.workflows import WORKFLOW_TYPES, groups_of

STAGE = "stage"
"""The workflow type of the stages of a DAG."""
COMMON = frozenset(WorkflowSection.model_fields)
"""Keys of every section, whatever its type."""


class Draft(NamedTuple):
    """A section that is to become workflows.

    Parameters
    ----------
    name
        Its own, or one made from its type.
    kind
        Its workflow type.
    groups
        The groups that it is in, from the outside.
    key
        Where it is in the file.
    data
        Its content, with what it inherits from its groups.
    """

    name: str
    kind: str
    groups: tuple[str, ...]
    key: Key
    data: Mapping[str, object]

    @property
    def depends(self) -> list[str]:
        """Names in ``depends``, which is a list, or a text with commas.

        Examples
        --------
        >>> [Draft("a", "stage", (), (), {"depends": d}).depends for d in ("b, c", ["b", 1], None)]
        [['b', 'c'], ['b', '1'], []]
        """
        value = self.data.get("depends")
        if isinstance(value, str):
            return [name.strip() for name in value.split(",") if name.strip()]
        names = value if isinstance(value, list) else [value]
        return [
            str(name)
            for name in names
            if isinstance(name, str | int | float) and not isinstance(name, bool)
        ]

    def written_at(self, place: Key, positions: Mapping[Key, Position]) -> Key:
        """Return where a value of the section is in the file: there, or in a group around it."""
        rest = place[len(self.key) :]
        homes = [self.key, *(self.key[: 1 + n] for n in range(len(self.groups), 0, -1))]
        places = [(*home, *rest) for home in homes]
        return next((p for p in places if rest and p in positions), place)


class DraftReader:
    """Finds the sections of workflows in a campaign file.

    Parameters
    ----------
    findings
        Collects what is wrong.
    """

    def __init__(self, findings: Findings) -> None:
        self._findings = findings

    def stages(self, stages: object) -> Iterator[Draft]:
        """Yield the ``stages`` of a DAG; the name of each is its key."""
        if not isinstance(stages, Mapping):
            self._findings.problem(("stages",), "stages is a table of stages by name")
            return
        for name, item in stages.items():
            key: Key = ("stages", name)
            if not isinstance(item, Mapping):
                self._findings.problem(key, f"stages.{name} is a table, not {item!r}")
            elif "name" in item:
                self._findings.problem((*key, "name"), "the name of a stage is its key")
            else:
                yield Draft(name, STAGE, (), key, item)

    def typed(self, sections: Mapping[str, object]) -> Iterator[Draft]:
        """Yield sections ``[campaign.<type>]`` and ``[campaign.<group>.<type>]``.

        A section without a name has that of its type, with a number if there are several.
        """
        found = [*self._sections(sections, ("campaign",), (), {})]
        unnamed = Counter(draft.kind for draft in found if "name" not in draft.data)
        numbers: Counter[str] = Counter()
        for draft in found:
            if "name" in draft.data:
                name = str(draft.data["name"])
            else:
                numbers[draft.kind] += 1
                name = draft.kind.rpartition(".")[2]
                if unnamed[draft.kind] > 1:
                    name = f"{name}-{numbers[draft.kind]}"
            yield draft._replace(name=name)

    def refuse(
        self,
        sections: Mapping[str, object],
        key: Key = ("campaign",),
        groups: tuple[str, ...] = (),
    ) -> None:
        """Add a problem for each key that is neither the campaign's own nor a section here."""
        known = [
            *(kebab(n) for n in CampaignSection.model_fields),
            *(n for n in WORKFLOW_TYPES if n != STAGE and "." not in n),
            *self._groups,
        ]
        for name in sections:
            if name in self._groups or name in WORKFLOW_TYPES:
                message = f"[campaign.{name}] and stages exclude each other"
                self._findings.problem((*key, name), message, "make it a stage")
                continue
            where = ".".join(("campaign", *groups))
            hint = did_you_mean(name, known) or f"known are {', '.join(sorted(known))}"
            self._findings.problem((*key, name), f"unknown key {name!r} in {where}", hint)

    @cached_property
    def _groups(self) -> dict[str, list[str]]:
        return groups_of(WORKFLOW_TYPES)

    def _sections(
        self,
        sections: Mapping[str, object],
        key: Key,
        groups: tuple[str, ...],
        inherited: Mapping[str, object],
    ) -> Iterator[Draft]:
        for name, value in sections.items():
            kind = ".".join((*groups, name))
            if kind in self._groups and isinstance(value, Mapping):
                yield from self._group(kind, value, (*key, name), groups, inherited)
            elif kind in WORKFLOW_TYPES and kind != STAGE:
                several = isinstance(value, list)
                for index, item in enumerate(value if isinstance(value, list) else [value]):
                    place: Key = (*key, name, index) if several else (*key, name)
                    if isinstance(item, Mapping):
                        yield Draft("", kind, groups, place, _inherit(inherited, item))
                    else:
                        dotted = ".".join(map(str, (*key, name)))
                        self._findings.problem(place, f"[{dotted}] is a table, not {item!r}")
            else:
                self.refuse({name: value}, key, groups)

    def _group(
        self,
        group: str,
        value: Mapping[str, object],
        key: Key,
        groups: tuple[str, ...],
        inherited: Mapping[str, object],
    ) -> Iterator[Draft]:
        members = self._groups[group]
        mine = {n: v for n, v in value.items() if n in members}
        shared = _inherit(inherited, {n: v for n, v in value.items() if n not in mine})
        for name, item in [*shared.items()]:
            if isinstance(item, Mapping) and name not in ("resources", "environment"):
                hint = did_you_mean(name, members) or f"known are {', '.join(members)}"
                self._findings.problem((*key, name), f"unknown section {name!r} in {group}", hint)
                del shared[name]
        if not mine:
            self._findings.problem(key, f"[{'.'.join(map(str, key))}] has none of its sections")
        knows = {
            name: COMMON | WORKFLOW_TYPES[f"{group}.{name}"].options.model_fields.keys()
            for name in mine
        }
        for name, item in mine.items():
            # A key of the group that only other members know is not meant for this one.
            others = {field for other in knows.values() for field in other} - knows[name]
            fitting = {n: v for n, v in shared.items() if snake(n) not in others}
            yield from self._sections({name: item}, key, (*groups, group), fitting)


def _inherit(shared: Mapping[str, object], own: Mapping[str, object]) -> dict[str, object]:
    """Put a member's own keys over the shared ones; tables within are merged key by key."""
    merged = dict(shared)
    spelled = {snake(name): name for name in shared}
    for name, value in own.items():
        old = merged.pop(spelled.get(snake(name), name), None)
        if isinstance(old, Mapping) and isinstance(value, Mapping):
            value = _inherit(old, value)
        merged[name] = value
    return merged
