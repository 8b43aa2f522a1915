"""The JSON Schema of a job, for editors of YAML."""

import ast
import inspect
import re
import sys
from functools import cache
from typing import Any

from pydantic import BaseModel

from cloudtune.plugins.version import __version__
from cloudtune.spec.job import TuningJob
from cloudtune.spec.kinds import Kinds
from cloudtune.spec.native import FIELD, own_keys
from cloudtune.spec.stopping import STOPPING_KINDS
from cloudtune.spec.strategies import STRATEGY_KINDS
from cloudtune.spec.text.words import models_in

Schema = dict[str, Any]

DIALECT = "http://json-schema.org/draft-07/schema#"
"""The newest that all editors know, and SchemaStore takes; it calls the parts of a schema ``definitions``."""

_PARTS = "#/definitions/{model}"

VERSION = ".".join(__version__.split(".")[:2])
"""The version of the schema: that of cloudtune without its last part, which changes no field."""

SCHEMA_ID = f"https://www.schemastore.org/cloudtune-{VERSION}.json"
"""The schema's name, which tells versions apart, and where SchemaStore would serve it."""

FILE_MATCH = (
    "cloudtune.yaml",
    "cloudtune.yml",
    "*.cloudtune.yaml",
    "*.cloudtune.yml",
    "cloudtune-job.yaml",
    "cloudtune-job.yml",
)
"""The names of job files that no other tool uses; `job.yaml` alone is of many."""

_ABOUT = "A hyperparameter-tuning job of cloudtune: what to run, what to vary, what to aim at, and where."

_RENAMED = {"ge": "minimum", "gt": "exclusiveMinimum", "le": "maximum", "lt": "exclusiveMaximum"}
"""JSON Schema's names of bounds, where pydantic writes its own: behind a validator."""

_TEXT: Schema = {"type": "string", "minLength": 1}
_TEXT_OR_NUMBER: Schema = {"anyOf": [{"type": "string"}, {"type": "number"}]}
_SCALAR: Schema = {"anyOf": [{"type": kind} for kind in ("boolean", "number", "string", "null")]}


def job_schema() -> Schema:
    """Return the schema (draft 7) of what `TuningJob.from_yaml` accepts, including its short forms.

    It checks each part by itself; `from_yaml` also checks rules about several parts, such as conditions that name other
    parameters.
    """
    schema = _in_terms_of_the_dialect(TuningJob.model_json_schema(mode="validation", ref_template=_PARTS))
    parts: Schema = schema.pop("$defs")
    _describe(schema, TuningJob)
    for name, model in _parts(TuningJob).items():
        _describe(parts[name], model)
    _allow_short_forms(schema["properties"], parts)
    _allow_native_keys(schema["properties"])
    for field, kinds in (("strategy", STRATEGY_KINDS), ("stopping", STOPPING_KINDS)):
        _add_installed(schema["properties"][field], kinds, parts)
    _title(parts)
    about = {"$schema": DIALECT, "$id": SCHEMA_ID, "title": "cloudtune job", "description": _ABOUT}
    return {**about, "definitions": parts, **{key: value for key, value in schema.items() if key not in about}}


def catalogue_entry() -> Schema:
    """Return the entry of SchemaStore's catalogue by which editors find the schema for files of these names.

    https://github.com/SchemaStore/schemastore/blob/master/CONTRIBUTING.md
    """
    return {
        "name": "cloudtune job",
        "description": _ABOUT.removesuffix("."),
        "fileMatch": list(FILE_MATCH),
        "url": SCHEMA_ID,
        "versions": {VERSION: SCHEMA_ID},
    }


def _title(parts: Schema) -> None:
    """Give each part of the schema a title, which editors show: the words of its name."""
    for name, part in parts.items():
        words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name.rpartition(".")[2]).lower()
        part.setdefault("title", words)
        part.setdefault("description", f"The fields of {words}.")


def _add_installed(field: Schema, kinds: Kinds, parts: Schema) -> None:
    """Add the kinds of installed packages to a field, and their parts to the schema's; none that cannot be loaded."""
    for name, model in kinds.models()[0].items():
        own = _in_terms_of_the_dialect(
            model.model_json_schema(mode="validation", ref_template=_PARTS.format(model=f"{name}.{{model}}"))
        )
        below = own.pop("$defs", {})
        _describe(own, model)
        for part, found in _parts(model).items():
            _describe(below[part], found)
        parts |= {f"{name}.{part}": schema for part, schema in below.items()} | {name: own}
        _choices_of(field).append({"$ref": _PARTS.format(model=name)})


def _choices_of(field: Schema) -> list[Schema]:
    """Return the list of kinds in the schema of a field that may be null."""
    if "oneOf" in field:
        choices: list[Schema] = field["oneOf"]
        return choices
    return next(_choices_of(each) for each in field["anyOf"] if "oneOf" in each)


def _in_terms_of_the_dialect(node: Any) -> Any:
    """Return a schema of pydantic's without titles and OpenAPI's keywords, with JSON Schema's names of bounds."""
    if isinstance(node, list):
        return [_in_terms_of_the_dialect(item) for item in node]
    if not isinstance(node, dict):
        return node
    plain = {
        _RENAMED.get(key, key): _value(key, value)
        for key, value in node.items()
        if key not in ("title", "discriminator")
    }
    if plain.get("type") == "array" and "minLength" in plain:
        plain["minItems"] = plain.pop("minLength")
    if "patternProperties" in plain:  # a name that does not match is a mistake, not something unknown
        ((pattern, plain["additionalProperties"]),) = plain.pop("patternProperties").items()
        plain["propertyNames"] = {**plain.get("propertyNames", {}), "pattern": pattern}
    return plain


def _value(key: str, value: Any) -> Any:
    if key in ("default", "enum", "const"):  # data, not a schema
        return value
    if key in ("properties", "patternProperties", "$defs"):  # names, not keywords
        return {name: _in_terms_of_the_dialect(schema) for name, schema in value.items()}
    return _in_terms_of_the_dialect(value)


def _describe(schema: Schema, model: type[BaseModel]) -> None:
    """Add the fields' docstrings as descriptions, and require the field ``type`` of models that have one."""
    for name, text in field_docstrings(model).items():
        schema["properties"][name]["description"] = text
    if "const" in schema["properties"].get("type", {}):
        schema["required"] = ["type", *schema.get("required", [])]
        del schema["properties"]["type"]["default"]


def field_docstrings(model: type[BaseModel]) -> dict[str, str]:
    """Return the texts below the fields of a model and of its bases, by field; none without their source."""
    bases = [base for base in reversed(model.__mro__) if issubclass(base, BaseModel) and base is not BaseModel]
    return {name: text for base in bases for name, text in _docstrings(base.__module__).get(base.__name__, {}).items()}


@cache
def _docstrings(module: str) -> dict[str, dict[str, str]]:
    """Return the texts below the fields of each class of a module, by class and field; none without its source."""
    try:
        source = inspect.getsource(sys.modules[module])
    except OSError:
        return {}
    classes = [node for node in ast.parse(source).body if isinstance(node, ast.ClassDef)]
    return {one.name: dict(_documented(one)) for one in classes}


def _documented(node: ast.ClassDef) -> list[tuple[str, str]]:
    return [
        (field.target.id, inspect.cleandoc(text.value.value))
        for field, text in zip(node.body, node.body[1:], strict=False)
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(text, ast.Expr)
        and isinstance(text.value, ast.Constant)
        and isinstance(text.value.value, str)
    ]


def _parts(model: type[BaseModel]) -> dict[str, type[BaseModel]]:
    """Return all models below a model, by name."""
    below: dict[str, type[BaseModel]] = {}
    for info in model.model_fields.values():
        for part in models_in(info.annotation):
            below |= {part.__name__: part, **_parts(part)}
    return below


def _allow_short_forms(job: Schema, parts: Schema) -> None:
    """Add the short forms that validators expand."""
    job["objective"] = _also(job["objective"], job["objective"]["items"])
    job["constraints"] = _also(job["constraints"], job["constraints"]["items"])
    job["first"] = _also(job["first"], job["first"]["items"])
    job["require"] = _also(job["require"], _TEXT)
    job["warm_start"] = _also(job["warm_start"], {"type": "array", "items": _TEXT, "minItems": 1})
    job["notify"] = _also(job["notify"], job["notify"]["items"])
    parts["Email"]["properties"]["to"] = _also(parts["Email"]["properties"]["to"], _TEXT)
    job["confirm"] = _also(job["confirm"], {"type": "integer", "minimum": 1})
    compute, trial = parts["Compute"]["properties"], parts["TrialSpec"]["properties"]
    compute["accelerators"] = _also(compute["accelerators"], _TEXT)
    trial["environment"]["additionalProperties"] = _TEXT_OR_NUMBER
    for part in parts.values():
        if "when" in part.get("properties", {}):
            mapping = part["properties"]["when"]["anyOf"][0]
            mapping["additionalProperties"] = _also(mapping["additionalProperties"], _SCALAR)
            mapping["minProperties"] = 1


def _allow_native_keys(job: Schema) -> None:
    """Add the keys of installed providers beside the fields."""
    settings = job[FIELD]["additionalProperties"]
    for key, name in own_keys(TuningJob).items():
        same = "" if key == name else f"; the same as {name}"
        job[key] = {**settings, "default": {}, "description": f"Native settings of {name}, merged last{same}."}


def _also(schema: Schema, short: Schema) -> Schema:
    """Return the schema of a field that also takes a short form."""
    around: Schema = {key: schema[key] for key in ("description", "default") if key in schema}
    full = {key: value for key, value in schema.items() if key not in around}
    return {"anyOf": [short, *full.get("anyOf", [full])], **around}
