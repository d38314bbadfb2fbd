"""The keys of workflow types, described for people from the models that read them."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from itertools import pairwise
from textwrap import dedent
from typing import Any

from pydantic import AliasChoices, BaseModel
from pydantic.fields import FieldInfo

from socm.spelling import snake
from socm.workflows.base import Unit


def keys_of(model: type[BaseModel]) -> list[dict[str, Any]]:
    """Return name, other names, type, default, unit and help of each key of a model.

    Examples
    --------
    >>> from socm.workflows.power_spectra import PowerSpectraOptions
    >>> [key["name"] for key in keys_of(PowerSpectraOptions) if "subcommand" in key["aliases"]]
    ['script']
    """
    properties, helps = model.model_json_schema(by_alias=False)["properties"], helps_of(model)
    return [
        {
            "name": name,
            "aliases": [alias for alias in _aliases(field) if snake(alias) != name],
            "type": _type(properties[name]),
            "required": field.is_required(),
            "default": None if field.is_required() else properties[name].get("default"),
            "unit": next((m.name for m in field.metadata if isinstance(m, Unit)), None),
            "help": helps[name],
        }
        for name, field in model.model_fields.items()
    ]


def helps_of(model: type[BaseModel]) -> dict[str, str]:
    """Return what each key of a model is for: its description, or the text below its field.

    Pydantic would read these texts of every model that a campaign is read with.

    Examples
    --------
    >>> from socm.workflows.script import ScriptOptions
    >>> helps_of(ScriptOptions)["script"]
    'Path of the script.'
    """
    found: dict[str, str] = {}
    for one in reversed(model.__mro__):
        if issubclass(one, BaseModel) and one.model_fields:
            found |= dict(_below_fields(one))
    fields = model.model_fields.items()
    return {name: _plain(field.description or found.get(name)) for name, field in fields}


def _below_fields(model: type[BaseModel]) -> Iterator[tuple[str, str]]:
    """Yield the texts below the fields that a class defines itself."""
    try:
        [body] = ast.parse(dedent(inspect.getsource(model))).body
    except (OSError, TypeError, SyntaxError, ValueError):  # its source is not there
        return
    assert isinstance(body, ast.ClassDef)
    for field, below in pairwise(body.body):
        match field, below:
            case (
                ast.AnnAssign(target=ast.Name(id=name)),
                ast.Expr(value=ast.Constant(value=str(text))),
            ):
                yield name, inspect.cleandoc(text)


def summary_of(model: type[BaseModel]) -> str:
    """Return the first line of a model's docstring.

    Examples
    --------
    >>> from socm.workflows.power_spectra import PowerSpectraOptions
    >>> summary_of(PowerSpectraOptions)
    'A script of PSpipe, under Python.'
    """
    return _plain((model.__doc__ or "").strip().partition("\n")[0])


def _plain(text: str | None) -> str:
    """Return a docstring on one line, with quotes of one kind."""
    return " ".join((text or "").split()).replace("``", "`")


def _aliases(field: FieldInfo) -> list[str]:
    choices = field.validation_alias
    return [str(c) for c in choices.choices] if isinstance(choices, AliasChoices) else []


def _type(schema: dict[str, Any]) -> str:
    """Return the type of a value in words.

    Examples
    --------
    >>> _type({"anyOf": [{"type": "integer"}, {"const": "median"}, {"type": "null"}]})
    "integer or 'median'"
    """
    if "enum" in schema:
        return " or ".join(repr(value) for value in schema["enum"])
    if "const" in schema:
        return repr(schema["const"])
    kinds = [k for k in schema.get("anyOf", ()) if k.get("type") != "null"]
    if kinds:
        return " or ".join(dict.fromkeys(_type(kind) for kind in kinds))
    of = schema.get("type", "any")
    names = {"string": "text", "boolean": "true or false", "object": "table", "array": "list"}
    return " or ".join(names.get(k, k) for k in ([of] if isinstance(of, str) else of))
