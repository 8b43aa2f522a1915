"""The spec itself as a text that travels with a service's request, so that whoever reads the job back has it whole.

Only jobs whose trials start through the trial helper need it: what the service searches for them are the axes of
codecs, from which the spec could not be told.
"""

import base64
import json
import zlib
from typing import Any

from cloudtune.spec.job import TuningJob
from cloudtune.store.secrets import masked


def packed_spec(job: TuningJob, provider: str) -> str:
    """A spec as letters, digits, ``+``, ``/`` and ``=``; values of environment variables are masked.

    Args:
        job: the spec.
        provider: whose native settings stay out, as they are in the request itself.
    """
    own = masked(job).model_copy(update={provider: {}})
    text = json.dumps(own.to_data(), ensure_ascii=False, separators=(",", ":"))
    return base64.b64encode(zlib.compress(text.encode(), 9)).decode()


def unpacked_spec(packed: str) -> dict[str, Any] | None:
    """The spec in such a text, as data; None for a damaged one."""
    try:
        spec: dict[str, Any] = json.loads(zlib.decompress(base64.b64decode(packed)))
    except (ValueError, zlib.error):
        return None
    return spec
