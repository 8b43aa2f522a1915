"""Where the fields of a Job come from: ``python -m cloudtune_kubernetes.schema_update`` writes them down anew.

A plan needs no client, and reads the fields from ``schema.json`` beside this file. They are those of the official Python
client, which is generated from the API's OpenAPI document; a test compares them with the client that is installed. A field
that is not written down is looked up in the client where that is a newer one.
"""

import inspect
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("schema.json")

ROOT = "V1Job"

_SDK = "kubernetes"

_LEFT_OUT = frozenset({"V1JobStatus", "V1ManagedFieldsEntry"})
"""Models that the service fills in."""


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a model.

    Attributes:
        kind: ``str``, ``int``, ``bool``, ``float``, ``datetime``, ``object`` for anything, or the name of a model.
        many: "" for one value, ``list`` or ``map`` (of texts to values).
        required: whether the model needs it.
    """

    kind: str
    many: str = ""
    required: bool = False


@dataclass(frozen=True, slots=True)
class Schema:
    """What a client knows.

    Attributes:
        models: by their names: fields by their names in JSON.
        version: of the client.
    """

    models: Mapping[str, Mapping[str, Field]]
    version: str


@cache
def written() -> Schema:
    """Return what is written down."""
    data = json.loads(FILE.read_text("utf-8"))
    models = {
        name: {key: Field(kind, many, key in data["required"].get(name, ())) for key, (kind, many) in fields.items()}
        for name, fields in data["models"].items()
    }
    return Schema(models, data["version"])


@cache
def newer() -> Schema | None:
    """Return what the installed client knows, if it is a newer one than what is written down; else None."""
    try:
        version = metadata.version(_SDK)
    except metadata.PackageNotFoundError:
        return None
    return installed() if _numbers(version) > _numbers(written().version) else None


def _numbers(version: str) -> list[int]:
    return [int(part) for part in re.findall(r"\d+", version)]


def installed() -> Schema:
    """Return what the installed client knows; takes a second."""
    models: dict[str, Mapping[str, Field]] = {}
    left = [ROOT]
    while left:
        name = left.pop()
        if name in models or name in _LEFT_OUT:
            continue
        models[name] = dict(_fields(getattr(import_module("kubernetes.client"), name)))
        left += [each.kind for each in models[name].values() if each.kind[:1].isupper()]
    known = {
        name: {key: each for key, each in fields.items() if each.kind not in _LEFT_OUT}
        for name, fields in models.items()
    }
    return Schema(known, metadata.version(_SDK))


_MANY = re.compile(r"(?i:list)\[(.+)\]")
_MAP = re.compile(r"(?i:dict)[(\[]str, (.+)[)\]]")


def _fields(model: Any) -> Iterator[tuple[str, Field]]:
    for attribute, kind in model.openapi_types.items():
        many, of = "", kind
        if found := _MANY.fullmatch(kind):
            many, of = "list", found[1]
        elif found := _MAP.fullmatch(kind):
            many, of = "map", found[1]
        of = of if of[:1].isupper() or of in ("str", "int", "bool", "float", "datetime") else "object"
        yield model.attribute_map[attribute], Field(of, many, _is_required(model, attribute))


def _is_required(model: Any, attribute: str) -> bool:
    """Return whether a model refuses to do without an attribute.

    The models of newer clients are pydantic's; those of older ones refuse None.
    """
    fields = getattr(model, "model_fields", None)
    if fields is not None:
        field = fields.get(attribute)  # one that is called like a method has another name here, and none is needed
        return field is not None and bool(field.is_required())
    refused = inspect.getsource(getattr(model, attribute).fset)
    return "must not be `None`" in refused


def to_data(schema: Schema) -> dict[str, Any]:
    """Return a schema as plain data for JSON."""
    models = {
        name: {key: [each.kind, each.many] for key, each in sorted(fields.items())}
        for name, fields in sorted(schema.models.items())
    }
    required = {
        name: sorted(key for key, each in fields.items() if each.required)
        for name, fields in sorted(schema.models.items())
    }
    return {
        "version": schema.version,
        "models": models,
        "required": {name: keys for name, keys in required.items() if keys},
    }


def main() -> None:
    """Write down what the installed client knows."""
    FILE.write_text(json.dumps(to_data(installed()), indent=0).replace("\n", "") + "\n", "utf-8")


if __name__ == "__main__":
    main()
