"""A job's pod failure policy: what a failed pod means ("Pod failure policy", k8s.io/kubernetes/pkg/controller/job)."""

from collections.abc import Iterator, Mapping
from typing import Any


def verdict(policy: Mapping[str, Any] | None, pod: Mapping[str, Any]) -> tuple[str, str]:
    """Return what a failed pod means by the first rule that matches, and the message for a job that fails by it.

    Returns:
        Count, Ignore, FailIndex or FailJob; and the message.
    """
    for number, rule in enumerate((policy or {}).get("rules") or ()):
        said = _matched(rule, pod)
        if said:
            return rule["action"], f"{said} matching {rule['action']} rule at index {number}"
    return "Count", ""


def _matched(rule: Mapping[str, Any], pod: Mapping[str, Any]) -> str:
    """Return what of the pod matches a rule; "" for nothing."""
    where = f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"
    codes = rule.get("onExitCodes")
    if codes:
        for name, code in _exit_codes(pod):
            if codes.get("containerName") in (None, name) and (code in codes["values"]) == (codes["operator"] == "In"):
                return f"Container {name} for pod {where} failed with exit code {code}"
        return ""
    for wanted in rule.get("onPodConditions") or ():
        for held in pod["status"].get("conditions") or ():
            if held["type"] == wanted["type"] and held["status"] == wanted.get("status", "True"):
                return f"Pod {where} has condition {wanted['type']}"
    return ""


def _exit_codes(pod: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    for kind in ("containerStatuses", "initContainerStatuses"):
        for each in pod["status"].get(kind) or ():
            code = (each.get("state") or {}).get("terminated", {}).get("exitCode", 0)
            if code:
                yield each["name"], code
