"""Sections of a file, read with a model; problems in plain words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from pydantic import AliasChoices, BaseModel, ValidationError

from socm.config.sbatch import SYNONYMS
from socm.config.source import Source
from socm.config.toml_positions import Key
from socm.config.values import Section
from socm.errors import Problem, did_you_mean
from socm.misfits import misfits
from socm.spelling import kebab, snake

Model = TypeVar("Model", bound=BaseModel)


def read_section(
    model: type[Model],
    data: object,
    source: Source,
    key: Key,
    problems: list[Problem],
    *,
    also_known: tuple[str, ...] = (),
    written_at: Callable[[Key], Key] = lambda key: key,
) -> Model | None:
    """Read a table with a model; where it does not fit, return `None` and add to the problems.

    Parameters
    ----------
    also_known
        Keys that are read elsewhere, for suggestions.
    written_at
        Returns where a value is in the file that was not written in this table.
    """
    if not isinstance(data, Mapping):
        what = "nothing" if data is None else f"{data!r}"
        problems.append(source.problem(key, f"{_dotted(key)} is a table, not {what}"))
        return None
    try:
        return model.model_validate(data)
    except ValidationError as error:
        for details in misfits(error, data):
            where = written_at((*key, *details["loc"]))
            message, hint = in_words(model, details, where, also_known)
            problems.append(source.problem(where, message, hint))
        return None


def in_words(
    model: type[BaseModel], details: dict[str, Any], where: Key, also_known: tuple[str, ...]
) -> tuple[str, str | None]:
    """Return what pydantic found in the words of the file, and a hint."""
    last = str(where[-1])
    table = _dotted(where[:-1])
    match details["type"]:
        case "extra_forbidden":
            fields = _section_at(model, details["loc"][:-1]).model_fields
            if any(last in _spellings(field.validation_alias) for field in fields.values()):
                return f"key {last!r} is given twice", None
            spell = snake if "_" in last else kebab
            known = [spell(name) for name in fields]
            known += also_known if len(details["loc"]) == 1 else ()
            meant = SYNONYMS.get(kebab(last))
            hint = f"did you mean {spell(meant)!r}?" if meant in fields else None
            hint = hint or did_you_mean(spell(last), known)
            hint = hint or f"known are {', '.join(sorted(known))}"
            return f"unknown key {last!r} in {table}", hint
        case "missing":
            name = kebab(last) if issubclass(model, Section) else last
            return f"{table} lacks {name!r}", None
        case "too_short":
            return f"{_dotted(where)}: needs at least one", None
        case _:
            message = details["msg"]
            given = details.get("input")
            if message.startswith("should") and isinstance(given, str | int | float | None):
                message += f", not {'nothing' if given is None else repr(given)[:40]}"
            return f"{_dotted(where)}: {message}", None


def _spellings(alias: object) -> list[object]:
    return [*alias.choices] if isinstance(alias, AliasChoices) else [alias]


def _section_at(model: type[BaseModel], loc: tuple[str | int, ...]) -> type[BaseModel]:
    """Return the model of the section at a place within another."""
    for part in loc:
        field = model.model_fields.get(snake(part)) if isinstance(part, str) else None
        annotation: Any = field.annotation if field is not None else None
        for candidate in (annotation, *getattr(annotation, "__args__", ())):
            if isinstance(candidate, type) and issubclass(candidate, BaseModel):
                model = candidate
    return model


def _dotted(key: Key) -> str:
    """Write where a value is, as a person would.

    Examples
    --------
    >>> _dotted(("stages", "window", "script-args", 0))
    'stages.window.script-args[0]'
    """
    text = ""
    for part in key:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text or "the file"
