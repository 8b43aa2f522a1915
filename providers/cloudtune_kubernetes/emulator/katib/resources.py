"""Katib's kinds, with their definitions as custom resources."""

from typing import Any

from cloudtune_kubernetes.emulator.kinds import Kind

GROUP, VERSION = "kubeflow.org", "v1beta1"
_STATUS = ("status", ("get", "patch", "update"))

EXPERIMENT = Kind(GROUP, VERSION, "Experiment", "experiments", True, (), ("all", "kubeflow", "katib"), (_STATUS,))
SUGGESTION = Kind(GROUP, VERSION, "Suggestion", "suggestions", True, (), ("all", "kubeflow", "katib"), (_STATUS,))
TRIAL = Kind(GROUP, VERSION, "Trial", "trials", True, (), ("all", "kubeflow", "katib"), (_STATUS,))
KINDS = (EXPERIMENT, SUGGESTION, TRIAL)

EXPERIMENT_LABEL, TRIAL_LABEL = "katib.kubeflow.org/experiment", "katib.kubeflow.org/trial"

INJECTED = ("katib.kubeflow.org/metrics-collector-injection", "enabled")
"""The label of namespaces in which Katib gives trials' pods its metrics collector."""

_STATE = {"name": "Type", "type": "string", "jsonPath": ".status.conditions[-1:].type"}
_STATUS_COLUMN = {"name": "Status", "type": "string", "jsonPath": ".status.conditions[-1:].status"}
_REQUESTED = [
    {"name": "Requested", "type": "string", "jsonPath": ".spec.requests"},
    {"name": "Assigned", "type": "string", "jsonPath": ".status.suggestionCount"},
]
_BORN = {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}


def definition(kind: Kind) -> dict[str, Any]:
    """Return the CustomResourceDefinition of a kind."""
    columns = [_STATE, _STATUS_COLUMN, *(_REQUESTED if kind == SUGGESTION else []), _BORN]
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    return {
        "metadata": {"name": kind.qualified},
        "spec": {
            "group": kind.group,
            "scope": "Namespaced",
            "names": {"kind": kind.kind, "listKind": f"{kind.kind}List", "plural": kind.plural, "singular": kind.singular,
                      "categories": list(kind.categories)},
            "versions": [
                {"name": kind.version, "served": True, "storage": True, "subresources": {"status": {}},
                 "schema": {"openAPIV3Schema": schema}, "additionalPrinterColumns": columns}
            ],
        },
    }  # fmt: skip
