"""The spec itself as static hyperparameters of a tuning job; see `cloudtune.planning.embedded_spec`."""

from collections.abc import Mapping
from typing import Any

from cloudtune.planning import embedded_spec as spec_text
from cloudtune.spec.job import TuningJob

_NAME = "cloudtune_spec"
_LENGTH = 2400
"""Characters of one hyperparameter; the service takes 2,500 (botocore: HyperParameterValue)."""


def packed_spec(job: TuningJob) -> dict[str, str]:
    """The hyperparameters that hold a spec."""
    packed = spec_text.packed_spec(job, "sagemaker")
    parts = [packed[start : start + _LENGTH] for start in range(0, len(packed), _LENGTH)]
    return {f"{_NAME}_{index}": part for index, part in enumerate(parts)}


def unpacked_spec(static: Mapping[str, str]) -> dict[str, Any] | None:
    """The spec in static hyperparameters, as data; None where there is none, or a damaged one."""
    parts: list[str] = []
    while (name := f"{_NAME}_{len(parts)}") in static:
        parts.append(static[name])
    return spec_text.unpacked_spec("".join(parts)) if parts else None
