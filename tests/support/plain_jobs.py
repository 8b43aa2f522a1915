"""The data of the plainest job, for tests that ask something else."""

from typing import Any


def plain_data(**fields: Any) -> dict[str, Any]:
    """Return the data of a job that minimises ``loss`` over one float ``x``.

    Args:
        fields: further fields of the job, or others in place of these.
    """
    return {
        "name": "j",
        "trial": {"command": "true"},
        "objective": {"metric": "loss", "goal": "minimize"},
        "space": {"x": {"type": "float", "low": 0.0, "high": 1.0}},
        **fields,
    }
