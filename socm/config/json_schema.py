"""JSON Schema of campaign and cluster files, with which editors complete and check them."""

from __future__ import annotations

from typing import Any

from pydantic import AliasChoices, BaseModel

from socm.config.drafts import STAGE
from socm.config.keys import helps_of
from socm.config.schema import CampaignSection, ClusterFile, WorkflowSection
from socm.spelling import kebab
from socm.workflows import WORKFLOW_TYPES, groups_of

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def campaign_schema() -> dict[str, Any]:
    """Return the JSON Schema of campaign files, TOML and YAML alike.

    Examples
    --------
    >>> schema = campaign_schema()
    >>> sorted(schema["properties"])
    ['campaign', 'stages']
    >>> "script-args" in schema["properties"]["stages"]["additionalProperties"]["properties"]
    True
    """
    definitions: dict[str, Any] = {}
    campaign = _of(CampaignSection, definitions)
    sections = {
        kind: _one_or_several(_workflow(kind, definitions))
        for kind in WORKFLOW_TYPES
        if kind != STAGE and "." not in kind
    }
    groups = {
        group: {
            "type": "object",
            "properties": {
                member: _one_or_several(_shared(_workflow(f"{group}.{member}", definitions)))
                for member in members
            },
        }
        for group, members in groups_of(WORKFLOW_TYPES).items()
    }
    campaign["properties"] |= sections | groups
    stage = _workflow(STAGE, definitions)
    del stage["properties"]["name"]
    return {
        "$schema": DIALECT,
        "title": "socm campaign",
        "type": "object",
        "properties": {
            "campaign": campaign,
            "stages": {"type": "object", "additionalProperties": stage},
        },
        "anyOf": [{"required": ["campaign"]}, {"required": ["stages"]}],
        "$defs": definitions,
    }


def cluster_schema() -> dict[str, Any]:
    """Return the JSON Schema of cluster files."""
    definitions: dict[str, Any] = {}
    schema = _of(ClusterFile, definitions)
    return {"$schema": DIALECT, "title": "socm cluster", **schema, "$defs": definitions}


def _workflow(kind: str, definitions: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a section of a type: the common keys, and its options."""
    common = _of(WorkflowSection, definitions)
    options = WORKFLOW_TYPES[kind].options
    own = _of(options, definitions)
    for name, text in helps_of(options).items():
        for key in {name, kebab(name)} & own["properties"].keys():
            own["properties"][key] = {**own["properties"][key], "description": text}
    for name, field in options.model_fields.items():
        if isinstance(field.validation_alias, AliasChoices):
            names = [str(choice) for choice in field.validation_alias.choices]
            own["properties"] |= dict.fromkeys(names, own["properties"][names[0]])
            assert name in names
    required = {*own.get("required", ())} | {"resources"}
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": common["properties"] | own["properties"],
        "required": sorted(required),
    }


def _shared(schema: dict[str, Any]) -> dict[str, Any]:
    """Make every key optional, as the group may have it."""
    return {k: v for k, v in schema.items() if k != "required"}


def _one_or_several(schema: dict[str, Any]) -> dict[str, Any]:
    return {"anyOf": [schema, {"type": "array", "items": schema}]}


def _of(model: type[BaseModel], definitions: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a model with both spellings of its keys; collect its references."""
    schema = model.model_json_schema(ref_template="#/$defs/{model}", by_alias=True)
    for name, inner in schema.pop("$defs", {}).items():
        definitions[name] = _spelled(_lenient(inner))
    return _spelled(_lenient(schema))


def _lenient(schema: Any) -> Any:
    """Permit a number where a text is wanted, and one text where a list of them is.

    Examples
    --------
    >>> _lenient({"type": "array", "items": {"type": "string"}})
    {'type': ['array', 'string', 'number'], 'items': {'type': ['string', 'number']}}
    """
    if isinstance(schema, list):
        return [_lenient(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    changed = {key: _lenient(value) for key, value in schema.items()}
    if schema.get("type") == "string" and not schema.keys() & {"enum", "const", "pattern"}:
        changed["type"] = ["string", "number"]
    items = schema.get("items")
    if schema.get("type") == "array" and isinstance(items, dict) and items.get("type") == "string":
        changed["type"] = ["array", "string", "number"]
    return changed


def _spelled(schema: dict[str, Any]) -> dict[str, Any]:
    """Permit dashes in keys; of a required key, either spelling."""
    properties = schema.get("properties", {})
    both = {kebab(name): value for name, value in properties.items()} | properties
    plain = {k: v for k, v in schema.items() if k not in ("title", "description", "required")}
    required = schema.get("required", [])
    spelled = {**plain, "properties": both} if properties else plain
    if alike := [name for name in required if kebab(name) == name]:
        spelled["required"] = alike
    if other := [name for name in required if kebab(name) != name]:
        spelled["allOf"] = [
            {"anyOf": [{"required": [name]}, {"required": [kebab(name)]}]} for name in other
        ]
    return spelled
