"""Tables of files: keys with dashes or with underscores, and values as people write them."""

from __future__ import annotations

from functools import cache
from typing import Any, get_args, get_origin

from pydantic import (
    AliasChoices,
    AliasGenerator,
    BaseModel,
    ConfigDict,
    ValidationInfo,
    field_validator,
)


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


class Table(BaseModel):
    """A table of a file; what it does not know it refuses.

    Where a text is wanted, a number is read as its text: names and accounts may be numbers. Where
    a list of texts is wanted, one text is a list of one.
    """

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        alias_generator=AliasGenerator(validation_alias=spellings),
        coerce_numbers_to_str=True,
    )

    @field_validator("*", mode="before")
    @classmethod
    def _one_or_several(cls, value: object, info: ValidationInfo) -> object:
        single = isinstance(value, str | int | float) and not isinstance(value, bool)
        return (value,) if single and info.field_name in _lists_of_texts(cls) else value


@cache
def _lists_of_texts(table: type[BaseModel]) -> frozenset[str]:
    return frozenset(
        name
        for name, field in table.model_fields.items()
        if get_origin(field.annotation) is tuple and _is_text(get_args(field.annotation)[0])
    )


def _is_text(annotation: Any) -> bool:
    kinds = get_args(annotation)  # of what is annotated, the first is its type
    return annotation is str or (bool(kinds) and str in kinds)
