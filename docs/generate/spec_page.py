"""The fields of a job as Markdown, made of its JSON Schema: what an editor checks by is what people read."""

import json
from typing import Any

from cloudtune.plugins.entry_points import providers
from cloudtune.spec.job import TuningJob
from cloudtune.spec.native import own_keys
from cloudtune.spec.schema import job_schema

Schema = dict[str, Any]

TITLES = {
    "TrialSpec": "trial",
    "Objective": "objective",
    "Constraint": "constraints",
    "Limits": "limits",
    "WarmStart": "warm_start",
    "Confirm": "confirm",
    "Compute": "compute",
    "Accelerators": "compute.accelerators",
    "Network": "network",
    "Encryption": "encryption",
    "Notification": "notify",
    "Email": "notify.email",
    "Belief": "strategy.prior",
}
"""The field that each part without a ``type`` stands under."""

KINDS = {"space": "Parameters", "strategy": "Strategies", "stopping": "Stopping rules"}
"""The fields whose parts are told apart by a ``type``, and the heading of these parts."""

UNSHOWN = ("JsonValue",)
"""Parts that are no part of the spec: any value of JSON."""


def spec_page() -> str:
    """Return the sections of the job and of all its parts."""
    job = job_schema()
    parts: dict[str, Schema] = job["definitions"]
    kinds = {field: _references(job["properties"][field]) for field in KINDS}
    own = set(own_keys(TuningJob))
    fields = {name: schema for name, schema in job["properties"].items() if name not in own}
    sections = ["## The job", "", _table({**job, "properties": fields}, parts), ""]
    told_apart = [name for names in kinds.values() for name in names]
    others = [name for name in parts if name not in told_apart and name not in UNSHOWN]
    for name in sorted(others, key=list(TITLES).index):  # an unknown part is an error: it wants a title
        sections += [*_section(f"## `{TITLES[name]}` {{ #{_anchor(name)} }}", parts[name], parts), ""]
    for field, title in KINDS.items():
        sections += [f"## {title} {{ #{field} }}", "", f"What `{field}` takes, by its `type`.", ""]
        for name in kinds[field]:
            kind = parts[name]["properties"]["type"]["const"]
            sections += [*_section(f"### `type: {kind}` {{ #{_anchor(name)} }}", parts[name], parts), ""]
    return "\n".join([*sections, *_native(own)])


def _native(own: set[str]) -> list[str]:
    names = ", ".join(f"`{name}`" for name in sorted(own & set(providers())))
    aliases = ", ".join(f"`{name}`" for name in sorted(own - set(providers())))
    return [
        "## Native settings { #native }",
        "",
        (
            f"What only one provider knows stands beside the fields under its name ({names}) or its alias ({aliases}): a mapping that is"
            " merged into the request last, and checked with it. [Support by provider](support.md) has a row for each."
        ),
        "",
    ]


def _section(heading: str, schema: Schema, parts: dict[str, Schema]) -> list[str]:
    return [heading, "", schema.get("description", ""), "", _table(schema, parts)]


def _table(schema: Schema, parts: dict[str, Schema]) -> str:
    rows = ["| field | value | default | meaning |", "|---|---|---|---|"]
    for name, field in schema["properties"].items():
        if "const" in field:
            continue  # the type, which the heading says
        default = "**required**" if name in schema.get("required", ()) else _default(field)
        rows.append(f"| `{name}` | {words(field, parts)} | {default} | {_cell(field['description'])} |")
    return "\n".join(rows) if len(rows) > 2 else "It has no settings."


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _default(field: Schema) -> str:
    value = field.get("default")
    if value is None:
        return "–"
    if isinstance(value, dict) and value:  # of a part: its own defaults stand there
        return f"`{value['type']}`" if "type" in value else "see there"
    return f"`{json.dumps(value)}`"


def words(schema: Schema, parts: dict[str, Schema]) -> str:
    """Return what a value may be, in a few words of Markdown."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return "any value" if name in UNSHOWN else _link(name, parts)
    if _is_scalar(schema):
        return "a value"
    for several in ("anyOf", "oneOf"):
        if several in schema:
            return _several(schema[several], parts)
    if "enum" in schema:
        return " \\| ".join(f"`{value}`" for value in schema["enum"])
    kind = schema.get("type")
    if kind == "array":
        return f"list of: {words(schema['items'], parts)}" if "items" in schema else "list"
    if kind == "object":
        return _mapping(schema, parts)
    if isinstance(kind, list):
        return ", ".join(_SIMPLE[each] for each in kind)
    return _SIMPLE[kind] + _bounds(schema) if kind else "any value"


_SIMPLE = {
    "string": "text",
    "integer": "whole number",
    "number": "number",
    "boolean": "`true` or `false`",
    "null": "`null`",
}


def _several(schemas: list[Schema], parts: dict[str, Schema]) -> str:
    if sum("$ref" in each for each in schemas) > 2:  # kinds by their type
        return "by its `type`: " + ", ".join(_link(each["$ref"].rpartition("/")[2], parts) for each in schemas)
    found = dict.fromkeys(words(each, parts) for each in schemas if each.get("type") != "null")
    return ", or ".join(found)


def _is_scalar(schema: Schema) -> bool:
    """Return whether a schema takes every text, number and boolean."""
    several = schema.get("anyOf", [])
    kinds = {each.get("type") for each in several if isinstance(each.get("type"), str)} | set(_kinds(schema))
    return {"string", "number", "boolean"} <= kinds


def _kinds(schema: Schema) -> list[str]:
    kinds = schema.get("type", [])
    return kinds if isinstance(kinds, list) else [kinds]


def _mapping(schema: Schema, parts: dict[str, Schema]) -> str:
    values = schema.get("additionalProperties")
    return f"mapping of names to: {words(values, parts)}" if isinstance(values, dict) else "mapping"


def _bounds(schema: Schema) -> str:
    names = {"minimum": "≥ {}", "exclusiveMinimum": "> {}", "maximum": "≤ {}", "exclusiveMaximum": "< {}"}
    found = [text.format(schema[name]) for name, text in names.items() if name in schema]
    return f" {', '.join(found)}" if found else ""


def _link(name: str, parts: dict[str, Schema]) -> str:
    shown = parts[name]["properties"].get("type", {}).get("const") or TITLES[name]
    return f"[`{shown}`](#{_anchor(name)})"


def _anchor(name: str) -> str:
    return f"part-{name.lower()}"


def _references(schema: Schema) -> list[str]:
    """Return the names of the parts in a schema, in their order."""
    found = [schema["$ref"].rpartition("/")[2]] if "$ref" in schema else []
    for key, value in schema.items():
        below = value if key in ("anyOf", "oneOf") else [value] if key in ("items", "additionalProperties") else []
        for each in below:
            found += _references(each) if isinstance(each, dict) else []
    return list(dict.fromkeys(found))
