"""Katib's median stopping: the rule that each new trial gets from those that succeeded (pkg/earlystopping/v1beta1/medianstop)."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from cloudtune_kubernetes.emulator.katib.conditions import state_of

_TRIALS, _STEP = 3, 4
"""The defaults of min_trials_required and start_step."""


def settings_of(spec: Mapping[str, Any]) -> tuple[int, int]:
    """Return how many trials must have succeeded, and from which step on the rule counts."""
    given = {
        each["name"]: int(each["value"]) for each in (spec.get("earlyStopping") or {}).get("algorithmSettings") or ()
    }
    return given.get("min_trials_required", _TRIALS), given.get("start_step", _STEP)


def rules_for(
    spec: Mapping[str, Any], earlier: Sequence[tuple[Mapping[str, Any], Sequence[float]]]
) -> list[dict[str, Any]]:
    """Return the early stopping rules of a new trial; [] while too few have succeeded.

    Args:
        spec: of the Experiment.
        earlier: its trials, with the objective's values that each reported, in their order.
    """
    if not spec.get("earlyStopping"):
        return []
    least, start = settings_of(spec)
    averages = [
        statistics.fmean(values[:start]) for trial, values in earlier if state_of(trial) == "Succeeded" and values
    ]
    if len(averages) < least:
        return []
    comparison = "less" if spec["objective"]["type"] == "maximize" else "greater"
    median = statistics.median(averages)
    return [
        {
            "name": spec["objective"]["objectiveMetricName"],
            "value": repr(median),
            "comparison": comparison,
            "startStep": start,
        }
    ]


def stops(rule: Mapping[str, Any], values: Sequence[float]) -> bool:
    """Return whether a rule ends a trial with these values of its metric, in their order: by the best so far."""
    if len(values) < int(rule.get("startStep") or 1):
        return False
    bound = float(rule["value"])
    return max(values) < bound if rule["comparison"] == "less" else min(values) > bound
