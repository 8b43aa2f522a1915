"""Where the members of SageMaker's requests come from: ``python -m cloudtune_sagemaker.schema_update`` writes them down anew.

Planning needs neither the SDK nor the quarter of a second that its whole model takes to load: so the shapes of the
requests that make a tuning job or a training job stand in ``schema.json`` beside this file. They are botocore's own,
and a test compares them with those of the botocore that is installed. What is not written down is looked up there, so
that a newer one may know more.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("schema.json")

REQUESTS = ("CreateHyperParameterTuningJob", "CreateTrainingJob")
ANSWERS = ("DescribeHyperParameterTuningJob",)

Shape = Mapping[str, Any]
"""``type``; ``members`` (names of shapes by name), ``member``, ``key`` and ``value`` (names of shapes); ``required``, ``min``, ``max``, ``pattern``, ``enum``."""

_RULES = ("type", "required", "min", "max", "pattern", "enum")
_PARTS = ("member", "key", "value")


@dataclass(frozen=True, slots=True)
class Schema:
    """A part of botocore's model of SageMaker.

    Attributes:
        version: of the botocore that it was read from.
        requests: the name of each operation's input shape.
        answers: the names of the members of operations' answers.
        shapes: by name.
        regions: in which SageMaker is, as botocore's endpoints have them.
    """

    version: str
    requests: Mapping[str, str]
    answers: Mapping[str, tuple[str, ...]]
    shapes: Mapping[str, Shape]
    regions: tuple[str, ...]


@cache
def written() -> Schema:
    """Return the schema in the file."""
    data = json.loads(FILE.read_text("utf-8"))
    answers = {name: tuple(members) for name, members in data["answers"].items()}
    return Schema(data["version"], data["requests"], answers, data["shapes"], tuple(data["regions"]))


@cache
def of_sdk() -> Schema:
    """Return the schema of all operations of the installed botocore.

    Raises:
        ImportError: it is not installed.
    """
    import botocore  # noqa: PLC0415  # nothing of AWS is loaded before it is needed
    from botocore.loaders import Loader  # noqa: PLC0415

    model = Loader().load_service_model("sagemaker", "service-2")
    endpoints = Loader().load_data("endpoints")
    operations, shapes = model["operations"], model["shapes"]
    requests = {name: each["input"]["shape"] for name, each in operations.items() if "input" in each}
    answers = {
        name: tuple(shapes[each["output"]["shape"]]["members"]) for name, each in operations.items() if "output" in each
    }
    return Schema(
        botocore.__version__,
        requests,
        answers,
        {name: _plain(each) for name, each in shapes.items()},
        _regions(endpoints),
    )


def schema_for(operation: str) -> Schema:
    """Return what is written down of an operation, else the SDK's own.

    Raises:
        ImportError: only the SDK knows the operation, and it is not installed.
    """
    own = written()
    return own if operation in own.requests or operation in own.answers else of_sdk()


def newer() -> Schema | None:
    """Return the installed SDK's schema if it is of another version than what is written down; None else."""
    try:
        import botocore  # noqa: PLC0415
    except ImportError:
        return None
    return None if botocore.__version__ == written().version else of_sdk()


def _plain(shape: Mapping[str, Any]) -> Shape:
    plain = {name: shape[name] for name in _RULES if name in shape}
    plain |= {name: shape[name]["shape"] for name in _PARTS if name in shape}
    if "members" in shape:
        plain["members"] = {name: each["shape"] for name, each in shape["members"].items()}
    return plain


def _regions(endpoints: Mapping[str, Any]) -> tuple[str, ...]:
    found = {
        name
        for partition in endpoints["partitions"]
        for name in partition["services"].get("api.sagemaker", {}).get("endpoints", {})
        if name in partition["regions"]
    }
    return tuple(sorted(found))


def needed(schema: Schema, operations: Iterable[str]) -> dict[str, Shape]:
    """Return the shapes that the requests of operations are made of."""
    waiting, found = [schema.requests[name] for name in operations], {}
    while waiting:
        name = waiting.pop()
        if name not in found:
            shape = found[name] = schema.shapes[name]
            waiting += [*shape.get("members", {}).values(), *(shape[part] for part in _PARTS if part in shape)]
    return found


def as_text(schema: Schema) -> str:
    """Return the text of the file."""
    shapes = sorted(needed(schema, REQUESTS).items())
    parts = {
        "version": json.dumps(schema.version),
        "requests": json.dumps({name: schema.requests[name] for name in REQUESTS}),
        "answers": json.dumps({name: schema.answers[name] for name in ANSWERS}),
        "regions": json.dumps(schema.regions),
        "shapes": "{\n" + ",\n".join(f" {json.dumps(name)}: {json.dumps(shape)}" for name, shape in shapes) + "\n}",
    }
    return "{\n" + ",\n".join(f"{json.dumps(name)}: {text}" for name, text in parts.items()) + "\n}\n"


if __name__ == "__main__":
    FILE.write_text(as_text(of_sdk()), "utf-8")
