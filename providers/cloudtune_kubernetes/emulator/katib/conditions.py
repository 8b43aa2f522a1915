"""The conditions of Katib's objects: one is true at a time, besides that it was created."""

from collections.abc import Mapping
from typing import Any

from cloudtune_kubernetes.emulator import times

OVER_EXPERIMENT = ("Succeeded", "Failed")
OVER_TRIAL = ("Succeeded", "Failed", "Killed", "EarlyStopped", "MetricsUnavailable")


def state_of(each: Mapping[str, Any]) -> str:
    """Return the type of the latest condition that is true; "" for none."""
    held = (each.get("status") or {}).get("conditions") or ()
    return next((one["type"] for one in reversed(held) if one["status"] == "True"), "")


def marked(status: Mapping[str, Any], kind: str, reason: str, message: str) -> dict[str, Any]:
    """Return a status with a condition that is true now, the others but Created false."""
    now = times.now()
    held = [
        {**one, "status": "False", "lastUpdateTime": now, "lastTransitionTime": now}
        if one["status"] == "True" and one["type"] not in ("Created", kind)
        else one
        for one in status.get("conditions") or ()
        if one["type"] != kind
    ]
    made = {
        "type": kind,
        "status": "True",
        "reason": reason,
        "message": message,
        "lastUpdateTime": now,
        "lastTransitionTime": now,
    }
    return {**status, "conditions": [*held, made], "lastReconcileTime": now}
