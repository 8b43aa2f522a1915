"""Embed the spec as a text in a service's request, so that it can be read back from the job as a whole.

Only jobs whose trials start through the trial helper need it: the service searches the axes of codecs, from which the
spec cannot be derived.
"""

import base64
import json
import zlib
from typing import Any

from cloudtune.spec.job import TuningJob
from cloudtune.store.secrets import masked


def packed_spec(job: TuningJob, provider: str) -> str:
    """Return a spec as letters, digits, ``+``, ``/`` and ``=``; values of environment variables are masked.

    Args:
        job: the spec.
        provider: its native settings are left out, as they are in the request itself.
    """
    own = masked(job).model_copy(update={provider: {}})
    text = json.dumps(own.to_data(portable=True), ensure_ascii=False, separators=(",", ":"))
    return base64.b64encode(zlib.compress(text.encode(), 9)).decode()


def unpacked_spec(packed: str) -> dict[str, Any] | None:
    """Return the spec in such a text, as data; None for a damaged one."""
    try:
        spec: dict[str, Any] = json.loads(zlib.decompress(base64.b64decode(packed)))
    except (ValueError, zlib.error):
        return None
    return spec
