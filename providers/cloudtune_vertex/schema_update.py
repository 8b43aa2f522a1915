"""Where the fields of Vertex AI's messages come from: ``python -m cloudtune_vertex.schema_update`` writes them down anew.

The SDK takes a second to import, and a plan must take milliseconds: so the fields of the messages that a tuning job
and a custom job are made of stand in ``schema.json`` beside this file. They are the SDK's own, and a test compares
them with those of the SDK that is installed. A field that is not written down is looked up in the SDK itself where that
is a newer one, which may know more.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("schema.json")

ROOTS = ("HyperparameterTuningJob", "CustomJob")

_SDK = "google-cloud-aiplatform"

_PACKAGE = "google.cloud.aiplatform.v1."
_SCALARS = {1: "double", 2: "double", 3: "int64", 5: "int32", 8: "bool", 9: "string"}
"""Types of `google.protobuf.descriptor.FieldDescriptor` as they are called here."""


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a message.

    Attributes:
        kind: ``double``, ``int64``, ``int32``, ``bool``, ``string``, ``duration``, ``timestamp``, ``any``, or the name
            of a message or enum.
        many: "" for one value, ``list`` or ``map`` (of texts to values).
        present: whether its default value differs from its absence.
        oneof: the group of fields of which one may be given; "" for none.
        output: whether the service fills it in, and reads none ("Output only" in the SDK).
    """

    kind: str
    many: str = ""
    present: bool = False
    oneof: str = ""
    output: bool = False


@dataclass(frozen=True, slots=True)
class Schema:
    """What an SDK knows.

    Attributes:
        messages: by their names without the package: fields by their names in JSON.
        enums: by their names without the package.
        regions: of the service.
        version: of the SDK (google-cloud-aiplatform).
    """

    messages: Mapping[str, Mapping[str, Field]]
    enums: Mapping[str, tuple[str, ...]]
    regions: tuple[str, ...]
    version: str


@cache
def written() -> Schema:
    """Return the schema in the file."""
    data = json.loads(FILE.read_text("utf-8"))
    messages = {
        name: {field: Field(*parts) for field, parts in fields.items()} for name, fields in data["messages"].items()
    }
    return Schema(
        messages,
        {name: tuple(values) for name, values in data["enums"].items()},
        tuple(data["regions"]),
        data["version"],
    )


def newer() -> Schema | None:
    """Return the schema of the installed SDK, if that is newer than the one that is written down; None for none.

    What a release says of itself is enough to know: an SDK that knows no more is not imported.
    """
    try:
        installed = metadata.version(_SDK)
    except metadata.PackageNotFoundError:
        return None
    return of_sdk() if _release(installed) > _release(written().version) else None


def _release(version: str) -> tuple[int, ...]:
    """Return the numbers of a version, as far as they are some: (1, 71, 1) of ``1.71.1rc2``."""
    found = re.match(r"\d+(?:\.\d+)*", version)
    return tuple(map(int, found[0].split("."))) if found else ()


@cache
def of_sdk() -> Schema:
    """Return the schema of the installed SDK; takes a second.

    Raises:
        ImportError: it is not installed.
    """
    from google.cloud import aiplatform_v1  # noqa: PLC0415
    from google.cloud.aiplatform.constants import base  # noqa: PLC0415

    messages: dict[str, dict[str, Field]] = {}
    enums: dict[str, tuple[str, ...]] = {}
    waiting = [getattr(aiplatform_v1, name).pb().DESCRIPTOR for name in ROOTS]
    while waiting:
        message = waiting.pop()
        name = _name(message)
        if name in messages:
            continue
        outputs = _outputs(name)
        messages[name] = {
            field.json_name: replace(_field(field), output=field.name in outputs) for field in message.fields
        }
        for field in message.fields:
            if field.enum_type is not None:
                values = sorted(field.enum_type.values, key=lambda value: value.number)
                enums[_name(field.enum_type)] = tuple(f"{value.number} {value.name}" for value in values)
            waiting += _below(field)
    regions = tuple(sorted(base.SUPPORTED_REGIONS - {"global"}))  # jobs are regional
    return Schema(messages, enums, regions, metadata.version(_SDK))


def _name(descriptor: Any) -> str:  # protobuf's descriptors have no types of their own
    return str(descriptor.full_name).removeprefix(_PACKAGE)


def _below(field: Any) -> Iterator[Any]:
    """Yield the message of a field, if it is one of Vertex AI's own."""
    message = field.message_type
    if message is not None and message.full_name.startswith(_PACKAGE) and not message.GetOptions().map_entry:
        yield message


def _field(field: Any) -> Field:
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        return Field(_field(field.message_type.fields_by_name["value"]).kind, "map")
    oneof = field.containing_oneof
    group = "" if oneof is None or oneof.name.startswith("_") else oneof.name
    alone = not field.is_repeated
    many = "" if alone else "list"
    return Field(_kind(field), many, alone and field.has_presence, group)


def _outputs(message: str) -> frozenset[str]:
    """Return the fields of a message that the service fills in, by the names in its docstring: its descriptor does not say."""
    from google.cloud import aiplatform_v1  # noqa: PLC0415

    kind: Any = aiplatform_v1
    for part in message.split("."):
        kind = getattr(kind, part)
    return frozenset(re.findall(r"^ +(\w+) \(.*?\):\s+Output only\b", kind.__doc__ or "", re.MULTILINE))


_KNOWN = {
    "google.protobuf.Duration": "duration",
    "google.protobuf.Timestamp": "timestamp",
    "google.protobuf.Int32Value": "int32",
    "google.protobuf.BoolValue": "bool",
}


def _kind(field: Any) -> str:
    if field.enum_type is not None:
        return _name(field.enum_type)
    if field.message_type is None:
        return _SCALARS[field.type]
    full = field.message_type.full_name
    return _name(field.message_type) if full.startswith(_PACKAGE) else _KNOWN.get(full, "any")


def _as_text(schema: Schema) -> str:
    messages = {
        name: {key: _parts(field) for key, field in sorted(fields.items())}
        for name, fields in sorted(schema.messages.items())
    }
    lines = [
        f"  {json.dumps(name)}: {{\n"
        + ",\n".join(f"   {json.dumps(key)}: {json.dumps(parts)}" for key, parts in fields.items())
        + "\n  }"
        for name, fields in messages.items()
    ]
    enums = [f"  {json.dumps(name)}: {json.dumps(values)}" for name, values in sorted(schema.enums.items())]
    regions = f'"regions": {json.dumps(schema.regions)}'
    version = f'"version": {json.dumps(schema.version)}'
    return (
        '{"messages": {\n'
        + ",\n".join(lines)
        + '\n},\n"enums": {\n'
        + ",\n".join(enums)
        + f"\n}},\n{regions},\n{version}}}\n"
    )


def _parts(field: Field) -> list[Any]:
    return [field.kind, field.many, field.present, field.oneof, *([True] if field.output else [])]


if __name__ == "__main__":
    FILE.write_text(_as_text(of_sdk()), "utf-8")
