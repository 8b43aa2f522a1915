"""The spec itself as static hyperparameters of a tuning job, so that whoever reads the job back has it whole.

Only jobs whose trials start through the trial helper have it: to them the service's ranges are those of codecs, from
which the spec could not be told.
"""

import base64
import json
import zlib
from collections.abc import Mapping
from typing import Any

from cloudtune.api import masked
from cloudtune.job import TuningJob

_NAME = "cloudtune_spec"
_LENGTH = 2400
"""Characters of one hyperparameter; the service takes 2,500 (botocore: HyperParameterValue)."""


def packed_spec(job: TuningJob) -> dict[str, str]:
    """The hyperparameters that hold a spec; values of environment variables are masked."""
    own = masked(job).model_copy(update={"sagemaker": {}})  # what they say is in the request itself
    text = json.dumps(own.to_data(), ensure_ascii=False, separators=(",", ":"))
    packed = base64.b64encode(zlib.compress(text.encode(), 9)).decode()
    parts = [packed[start : start + _LENGTH] for start in range(0, len(packed), _LENGTH)]
    return {f"{_NAME}_{index}": part for index, part in enumerate(parts)}


def unpacked_spec(static: Mapping[str, str]) -> dict[str, Any] | None:
    """The spec in static hyperparameters, as data; None where there is none, or a damaged one."""
    parts: list[str] = []
    while (name := f"{_NAME}_{len(parts)}") in static:
        parts.append(static[name])
    if not parts:
        return None
    try:
        spec: dict[str, Any] = json.loads(zlib.decompress(base64.b64decode("".join(parts))))
    except (ValueError, zlib.error):
        return None
    return spec
