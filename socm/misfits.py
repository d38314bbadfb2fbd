"""What pydantic finds wrong with data, in words for people."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

Place = tuple[str | int, ...]
"""The keys and indices that lead to a value."""

_SHOULD_BE = {
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_parsing_size": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "string_type": "text",
    "tuple_type": "a list",
    "list_type": "a list",
    "dict_type": "a table",
    "mapping_type": "a table",
    "model_type": "a table",
    "model_attributes_type": "a table",
    "dataclass_type": "a table",
    "named_tuple_type": "a table",
    "none_required": "nothing",
}
"""What a value should be, by the type of pydantic's error."""
_IS = {"missing": "is missing", "extra_forbidden": "is not known"}


def misfits(error: ValidationError, data: object) -> Iterator[dict[str, Any]]:
    """Yield what does not fit: pydantic's ``type``, ``loc``, ``input``, and ``msg`` in words.

    A value that may be of several types is one misfit, at the place that it has in the data.

    Examples
    --------
    >>> from pydantic import TypeAdapter
    >>> kind = TypeAdapter(dict[str, float | tuple[int | str, ...]])
    >>> data = {"a": True, "b": "much", "c": [1, []]}
    >>> try:
    ...     kind.validate_python(data, strict=True)
    ... except ValidationError as error:
    ...     for found in misfits(error, data):
    ...         print(found["loc"], found["msg"])
    ('a',) should be a number or a list
    ('b',) should be a number or a list
    ('c',) should be a number or a list
    """
    found: dict[Place, list[dict[str, Any]]] = {}
    for details in error.errors():
        found.setdefault(_place(details, data), []).append({**details})
    for place, several in found.items():
        within = any(len(p) > len(place) and p[: len(place)] == place for p in found)
        if within and (several[0]["type"] == "too_short" or several[0]["loc"] != place):
            continue  # what is in there has problems of its own
        yield {**several[0], "loc": place, "msg": _in_words(several)}


def _place(details: Mapping[str, Any], data: object) -> Place:
    """Return where a value is in the data: without the names of the types that it may be of."""
    place: list[str | int] = []
    for part in details["loc"]:
        if isinstance(data, Mapping):
            known = part in data
        else:
            known = isinstance(data, list | tuple) and isinstance(part, int) and part < len(data)
        if known:
            data = data[part]  # type: ignore[index]
        elif details["type"] != "missing":
            continue
        place.append(part)
    return tuple(place)


def _in_words(several: Sequence[Mapping[str, Any]]) -> str:
    should_be: dict[str, None] = {}
    for details in several:
        message = str(details["msg"]).removeprefix("Value error, ")
        if details["type"] in _IS:
            return _IS[details["type"]]
        if details["type"] in _SHOULD_BE:
            message = f"should be {_SHOULD_BE[details['type']]}"
        message = re.sub(r"^\w+ should ", "should ", message)
        if not message.startswith("should be "):
            return message
        should_be[message.removeprefix("should be ")] = None
    if "a number" in should_be:
        should_be.pop("a whole number", None)
        if "text" in should_be:
            should_be.pop("true or false", None)  # they are text as well
    return f"should be {' or '.join(should_be)}"
