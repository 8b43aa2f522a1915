"""Jobs as plain data, checked against the fields of the API."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from cloudtune.errors import suggest
from cloudtune.planning.plain_data import join
from cloudtune.planning.violations import Violation
from cloudtune_kubernetes.schema_update import ROOT, Field, Schema, newer, written

Data = Any
"""Plain data: what JSON can say."""

_QUANTITY = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+|[numkMGTPE]|[KMGTPE]i)?")
"""A `resource.Quantity` (https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity)."""

_QUANTITIES = frozenset({"limits", "requests", "sizeLimit", "divisor"})
"""Fields whose values are quantities, which may be written as numbers as well."""

_LONG = frozenset({
    "activeDeadlineSeconds", "deletionGracePeriodSeconds", "expirationSeconds", "fsGroup", "generation", "runAsGroup", "runAsUser",
    "seconds", "startingDeadlineSeconds", "supplementalGroups", "terminationGracePeriodSeconds", "tolerationSeconds",
})  # fmt: skip
"""Fields of a Job whose whole numbers have 64 bits (``format: int64`` of the API's OpenAPI); those of all others have 32."""

_WORDS = {"str": "a text", "int": "a whole number", "bool": "true or false", "float": "a number", "datetime": "a time as a text"}  # fmt: skip
_KINDS: Mapping[str, tuple[type, ...]] = {"str": (str,), "int": (int,), "bool": (bool,), "float": (int, float), "datetime": (str,)}  # fmt: skip


def problems(job: Data) -> list[Violation]:
    """Return what the API would refuse of a Job for its fields alone; none for one that fits.

    Args:
        job: the manifest.
    """
    found = list(_Walk(written()).model(job, ROOT, ""))
    better = newer() if any(each.strange for each in found) else None
    return found if better is None else list(_Walk(better).model(job, ROOT, ""))


class _Walk:
    """Walks data by a schema."""

    def __init__(self, schema: Schema) -> None:
        self._schema = schema

    def model(self, data: Data, name: str, path: str) -> Iterator[Violation]:
        """Yield what does not fit a model."""
        if not isinstance(data, Mapping):
            yield Violation(path, f"must be an object ({name.removeprefix('V1')})")
            return
        fields = self._schema.models[name]
        for key, value in data.items():
            if key not in fields:
                hint = suggest(str(key), fields)
                yield Violation(
                    join(path, str(key)), f"is no field of a {name.removeprefix('V1')}; {hint}", strange=True
                )
            elif value is not None:
                yield from self._field(value, fields[key], join(path, str(key)))
        for key, field in fields.items():
            if field.required and data.get(key) is None:
                yield Violation(join(path, key), f"is needed in a {name.removeprefix('V1')}")

    def _field(self, value: Data, field: Field, path: str) -> Iterator[Violation]:
        if field.many == "list":
            if not isinstance(value, list | tuple):
                yield Violation(path, "must be a list")
                return
            for index, part in enumerate(value):
                yield from self._value(part, field, f"{path}[{index}]")
        elif field.many == "map":
            if not isinstance(value, Mapping):
                yield Violation(path, "must be an object")
                return
            for key, part in value.items():
                yield from self._value(part, field, join(path, str(key)), path.rpartition(".")[2])
        else:
            yield from self._value(value, field, path)

    def _value(self, value: Data, field: Field, path: str, owner: str = "") -> Iterator[Violation]:
        if field.kind in self._schema.models:
            yield from self.model(value, field.kind, path)
        elif {owner, path.rpartition(".")[2]} & _QUANTITIES and field.kind == "str":
            if isinstance(value, bool) or not _QUANTITY.fullmatch(str(value)):
                yield Violation(path, f"must be a quantity such as 500m, 2 or 4Gi, not {value!r}")
        elif field.kind in _KINDS and not _is(value, field.kind):
            yield Violation(path, f"must be {_WORDS[field.kind]}, not {value!r}")
        elif field.kind == "int":
            bits = 64 if path.rpartition(".")[2].partition("[")[0] in _LONG else 32
            if not -(2 ** (bits - 1)) <= value < 2 ** (bits - 1):
                yield Violation(path, f"must be a whole number of {bits} bits, not {value}")


def _is(value: Data, kind: str) -> bool:
    return isinstance(value, _KINDS[kind]) and (kind == "bool" or not isinstance(value, bool))
