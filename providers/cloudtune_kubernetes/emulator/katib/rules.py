"""The defaults of Experiments, and what Katib's webhook finds wrong with them (pkg/webhook/v1beta1/experiment)."""

import copy
import json
from collections.abc import Mapping
from typing import Any

from cloudtune_kubernetes.emulator.errors import Refused
from cloudtune_kubernetes.emulator.katib.conditions import OVER_EXPERIMENT, state_of
from cloudtune_kubernetes.emulator.katib.space import ALGORITHMS, BadSpace, axes_of, search_of

_SUCCESS = 'status.conditions.#(type=="Complete")#|#(status=="True")#'
_FAILURE = 'status.conditions.#(type=="Failed")#|#(status=="True")#'
_EDITABLE = ("parallelTrialCount", "maxTrialCount", "maxFailedTrialCount")
COLLECTORS = ("StdOut", "File")
"""Collectors that are emulated."""


def refused(message: str) -> Refused:
    """Return the refusal of the webhook."""
    return Refused(
        400, "BadRequest", f'admission webhook "validator.experiment.katib.kubeflow.org" denied the request: {message}'
    )


def default(made: dict[str, Any]) -> None:
    """Write the defaults into an Experiment, which is the caller's own."""
    spec = made.setdefault("spec", {})
    spec.setdefault("parallelTrialCount", 3)
    spec.setdefault("resumePolicy", "Never")
    objective = spec.get("objective") or {}
    if objective.get("objectiveMetricName"):
        names = [objective["objectiveMetricName"], *(objective.get("additionalMetricNames") or ())]
        held = {each["name"] for each in objective.get("metricStrategies") or ()}
        best = {"minimize": "min", "maximize": "max"}.get(objective.get("type", ""), "latest")
        objective["metricStrategies"] = [
            *(objective.get("metricStrategies") or ()), *({"name": name, "value": best} for name in names if name not in held)
        ]  # fmt: skip
    template = spec.get("trialTemplate")
    if isinstance(template, dict):
        kind = (template.get("trialSpec") or {}).get("kind", "Job")
        if kind == "Job":
            template.setdefault("successCondition", _SUCCESS)
            template.setdefault("failureCondition", _FAILURE)
    collector = spec.setdefault("metricsCollectorSpec", {}).setdefault("collector", {})
    collector.setdefault("kind", "StdOut")
    if collector["kind"] == "File":
        source = spec["metricsCollectorSpec"].setdefault("source", {}).setdefault("fileSystemPath", {})
        source.setdefault("kind", "File")
        source.setdefault("path", "/var/log/katib/metrics.log")
        source.setdefault("format", "TEXT")


def check(made: Mapping[str, Any], before: Mapping[str, Any] | None) -> None:
    """Refuse an Experiment, or a change of one, that the webhook would.

    Raises:
        Refused: it would.
    """
    spec = made.get("spec") or {}
    objective = spec.get("objective") or {}
    if objective.get("type") not in ("minimize", "maximize"):
        raise refused("spec.objective.type must be minimize or maximize")
    if not objective.get("objectiveMetricName"):
        raise refused("spec.objective.objectiveMetricName must be specified")
    algorithm = (spec.get("algorithm") or {}).get("algorithmName")
    if not algorithm:
        raise refused("spec.algorithm.algorithmName must be specified")
    if algorithm not in ALGORITHMS:
        raise refused(f"unknown algorithm {algorithm}; the emulator has: {', '.join(ALGORITHMS)}")
    stopping = spec.get("earlyStopping")
    if stopping and stopping.get("algorithmName") != "medianstop":
        raise refused(f"unknown early stopping algorithm {stopping.get('algorithmName')}")
    _check_counts(spec)
    _check_template(spec)
    try:
        search_of(spec, axes_of(spec), 0)
    except BadSpace as error:
        raise refused(str(error)) from None
    if before is not None:
        _check_change(made, before)


def _check_counts(spec: Mapping[str, Any]) -> None:
    parallel, most, failed = (spec.get(name) for name in _EDITABLE)
    for name, value in zip(_EDITABLE, (parallel, most, failed), strict=True):
        if value is not None and (not isinstance(value, int) or value < (0 if name == "maxFailedTrialCount" else 1)):
            raise refused(f"spec.{name} must be greater than 0")
    if most is not None and failed is not None and failed > most:
        raise refused("spec.maxFailedTrialCount should be less than or equal to spec.maxTrialCount")
    if most is not None and parallel is not None and parallel > most:
        raise refused("spec.parallelTrialCount should be less than or equal to spec.maxTrialCount")


def _check_template(spec: Mapping[str, Any]) -> None:
    template = spec.get("trialTemplate") or {}
    if bool(template.get("trialSpec")) == bool(template.get("configMap")):
        raise refused("spec.trialTemplate must have either trialSpec or configMap")
    if not template.get("primaryContainerName"):
        raise refused("spec.trialTemplate.primaryContainerName must be specified")
    if not template.get("trialParameters"):
        raise refused("spec.trialTemplate.trialParameters must be specified")
    kind = (template.get("trialSpec") or {}).get("kind", "Job")
    if kind != "Job":
        raise refused(f'no matches for kind "{kind}" in version "{template["trialSpec"].get("apiVersion")}"')
    own = (template.get("trialSpec") or {}).get("metadata") or {}
    if own.get("name") or own.get("namespace"):
        raise refused("metadata.name and metadata.namespace in spec.trialTemplate must be omitted")
    names = {each["name"] for each in spec.get("parameters") or ()}
    text = json.dumps(template.get("trialSpec"), ensure_ascii=False)
    for each in template["trialParameters"]:
        if template.get("trialSpec") and f"${{trialParameters.{each['name']}}}" not in text:
            raise refused(f"parameter name: {each['name']} in spec.trialParameters not found in spec.trialTemplate")
        reference = each.get("reference", "")
        if reference not in names and not reference.startswith("${trialSpec."):
            raise refused(f"parameter reference {reference} does not exist in spec.parameters: {sorted(names)}")
    collector = spec["metricsCollectorSpec"]["collector"]["kind"]
    if collector not in COLLECTORS:
        raise refused(f"the emulator has no metrics collector {collector}; it has {', '.join(COLLECTORS)}")


def _check_change(made: Mapping[str, Any], before: Mapping[str, Any]) -> None:
    old, new = copy.deepcopy(dict(before["spec"])), copy.deepcopy(dict(made["spec"]))
    counts = [(each.pop(name, None)) for name in _EDITABLE for each in (old, new)]
    if old != new:
        raise refused("only spec.parallelTrialCount, spec.maxTrialCount and spec.maxFailedTrialCount are editable")
    if state_of(before) not in OVER_EXPERIMENT or counts[::2] == counts[1::2]:
        return
    reasons = [each["reason"] for each in before["status"]["conditions"] if each["status"] == "True"]
    if (
        before["spec"].get("resumePolicy") not in ("LongRunning", "FromVolume")
        or "ExperimentMaxTrialsReached" not in reasons
    ):
        raise refused(
            "Experiment can't be restarted. It must be in Succeeded state by reaching max trials and .spec.resumePolicy "
            "must be LongRunning or FromVolume"
        )
