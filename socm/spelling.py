"""Keys of files: the same with dashes and with underscores."""

from __future__ import annotations

from pydantic import AliasChoices, AliasGenerator, ConfigDict


def snake(name: str) -> str:
    """Write a key as the models do.

    Examples
    --------
    >>> snake("cores-per-node")
    'cores_per_node'
    """
    return name.replace("-", "_")


def kebab(name: str) -> str:
    """Write a key as the documentation does.

    Examples
    --------
    >>> kebab("cores_per_node")
    'cores-per-node'
    """
    return name.replace("_", "-")


def spellings(*names: str) -> AliasChoices:
    """Return every spelling of a key that has one name or several.

    Examples
    --------
    >>> spellings("max_dets", "dets").choices
    ['max_dets', 'max-dets', 'dets']
    """
    return AliasChoices(*dict.fromkeys(s for name in names for s in (name, kebab(name))))


SECTION = ConfigDict(
    extra="forbid", frozen=True, alias_generator=AliasGenerator(validation_alias=spellings)
)
"""How a model reads a section: its keys in either spelling, and no others."""
