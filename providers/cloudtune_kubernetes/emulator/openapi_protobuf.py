"""The OpenAPI document in the protobuf form of gnostic (openapi_v2/OpenAPIv2.proto), which kubectl before 1.29 asks for alone."""

import json
from collections.abc import Mapping
from typing import Any

FORM = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"


def encoded(document: Mapping[str, Any]) -> bytes:
    """Return a document of OpenAPI 2 with its definitions and patches, which is all that `cloudtune_kubernetes.emulator.openapi.v2` has."""
    info = document["info"]
    definitions = b"".join(_field(1, _named(name, _schema(each))) for name, each in document["definitions"].items())
    paths = b"".join(
        _field(2, _named(path, _field(8, _operation(each["patch"])))) for path, each in document["paths"].items()
    )
    return b"".join((
        _text(1, document["swagger"]),
        _field(2, _text(1, info["title"]) + _text(2, info["version"])),
        _field(8, paths),
        _field(9, definitions),
    ))  # fmt: skip


def _operation(operation: Mapping[str, Any]) -> bytes:
    """Return an Operation with its parameters of the query."""
    queried = [_text(2, each["in"]) + _text(4, each["name"]) for each in operation["parameters"]]
    made = [_field(8, _field(1, _field(2, _field(3, each)))) for each in queried]
    return b"".join([*made, *_extensions(operation, 13)])


def _extensions(held: Mapping[str, Any], number: int) -> list[bytes]:
    """Return vendor extensions, whose values are YAML, as JSON is."""
    return [
        _field(number, _text(1, name) + _field(2, _text(2, json.dumps(value))))
        for name, value in held.items()
        if name.startswith("x-")
    ]


def _schema(schema: Mapping[str, Any]) -> bytes:
    """Return a Schema."""
    made = [
        _text(number, schema[name])
        for number, name in ((1, "$ref"), (2, "format"), (4, "description"))
        if schema.get(name)
    ]
    made += [_text(19, name) for name in schema.get("required") or ()]
    if isinstance(schema.get("additionalProperties"), dict):
        made.append(_field(21, _field(1, _schema(schema["additionalProperties"]))))
    if schema.get("type"):
        made.append(_field(22, _text(1, schema["type"])))
    if "items" in schema:
        made.append(_field(23, _field(1, _schema(schema["items"]))))
    if "properties" in schema:
        inside = b"".join(_field(1, _named(name, _schema(each))) for name, each in schema["properties"].items())
        made.append(_field(25, inside))
    return b"".join([*made, *_extensions(schema, 31)])


def _named(name: str, value: bytes) -> bytes:
    return _text(1, name) + _field(2, value)


def _text(number: int, text: str) -> bytes:
    return _field(number, text.encode())


def _field(number: int, data: bytes) -> bytes:
    """Return a field with its length before it."""
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _varint(value: int) -> bytes:
    made = bytearray()
    while value >= 0x80:
        made.append(value & 0x7F | 0x80)
        value >>= 7
    made.append(value)
    return bytes(made)
