"""The defaults that the API server writes into objects (k8s.io/kubernetes/pkg/apis/…/defaults.go and its admission)."""

import base64
import secrets
from collections.abc import Callable, Mapping
from typing import Any

from cloudtune_kubernetes.emulator.kinds import EVENT, JOB, NAMESPACE, POD, PVC, SECRET, SERVICE, Kind

Object = dict[str, Any]

_RANDOM = "bcdfghjklmnpqrstvwxz2456789"
"""Characters of generated names (k8s.io/apimachinery/pkg/util/rand)."""

ACCOUNT_FOLDER = "/var/run/secrets/kubernetes.io/serviceaccount"
"""Where a container finds its service account's token."""

NOT_READY = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")

LEGACY_LABELS = ("controller-uid", "job-name")
PREFIX = "batch.kubernetes.io/"


def random_part() -> str:
    """Return the random end of a generated name."""
    return "".join(secrets.choice(_RANDOM) for _ in range(5))


def default(kind: Kind, made: Object) -> None:
    """Write the defaults of its kind into an object, which is the caller's own."""
    own = _OF_KIND.get(kind)
    if own is not None:
        own(made)


def _pod(made: Object) -> None:
    pod_spec(made.setdefault("spec", {}))
    made["spec"].setdefault("enableServiceLinks", True)
    made.setdefault("status", {})


def _claim(made: Object) -> None:
    made.setdefault("spec", {}).setdefault("volumeMode", "Filesystem")
    made.setdefault("status", {}).setdefault("phase", "Pending")


def _namespace(made: Object) -> None:
    made["metadata"].setdefault("labels", {})["kubernetes.io/metadata.name"] = made["metadata"]["name"]
    made["spec"] = {"finalizers": ["kubernetes"]}
    made["status"] = {"phase": "Active"}


def _event(made: Object) -> None:
    for name in ("eventTime", "firstTimestamp", "lastTimestamp"):
        made.setdefault(name, None)
    for name in ("reportingComponent", "reportingInstance"):
        made.setdefault(name, "")
    made.setdefault("source", {})


def _service(made: Object) -> None:
    for name, value in (("type", "ClusterIP"), ("sessionAffinity", "None")):
        made.setdefault("spec", {}).setdefault(name, value)


def _secret(made: Object) -> None:
    made.setdefault("type", "Opaque")
    text = made.pop("stringData", None) or {}
    if text:
        made["data"] = {
            **(made.get("data") or {}),
            **{name: base64.b64encode(value.encode()).decode() for name, value in text.items()},
        }


def pod_spec(spec: Object) -> None:
    """Write the defaults of a pod, or of a pod template, into its spec."""
    for name, value in (
        ("restartPolicy", "Always"),
        ("dnsPolicy", "ClusterFirst"),
        ("schedulerName", "default-scheduler"),
        ("terminationGracePeriodSeconds", 30),
    ):
        spec.setdefault(name, value)
    spec.setdefault("securityContext", {})
    for name in ("initContainers", "containers"):
        for container in spec.get(name) or ():
            _container(container)
    for volume in spec.get("volumes") or ():
        _volume(volume)


def template_spec(spec: Object) -> None:
    """Write the defaults of a job's template: a job's pods have no default restart policy."""
    given = spec.get("restartPolicy")
    pod_spec(spec)
    if given is None:
        del spec["restartPolicy"]


def _container(made: Object) -> None:
    made.setdefault("terminationMessagePath", "/dev/termination-log")
    made.setdefault("terminationMessagePolicy", "File")
    if made.get("image"):
        made.setdefault("imagePullPolicy", "Always" if _is_latest(made["image"]) else "IfNotPresent")
    resources = made.setdefault("resources", {})
    for name, value in (resources.get("limits") or {}).items():
        resources.setdefault("requests", {}).setdefault(name, value)
    for port in made.get("ports") or ():
        port.setdefault("protocol", "TCP")
    for variable in made.get("env") or ():
        reference = (variable.get("valueFrom") or {}).get("fieldRef")
        if reference is not None:
            reference.setdefault("apiVersion", "v1")
        resource = (variable.get("valueFrom") or {}).get("resourceFieldRef")
        if resource is not None:
            resource.setdefault("divisor", "0")
    for name in ("livenessProbe", "readinessProbe", "startupProbe"):
        for key, value in (
            ("timeoutSeconds", 1),
            ("periodSeconds", 10),
            ("successThreshold", 1),
            ("failureThreshold", 3),
        ):
            if made.get(name):
                made[name].setdefault(key, value)


def _is_latest(image: str) -> bool:
    name = image.rpartition("/")[2]
    return "@" not in name and (":" not in name or name.endswith(":latest"))


_SOURCES = ("hostPath", "emptyDir", "gcePersistentDisk", "awsElasticBlockStore", "gitRepo", "secret", "nfs", "iscsi",
            "persistentVolumeClaim", "downwardAPI", "configMap", "projected", "csi", "ephemeral", "image", "azureFile",
            "azureDisk", "cephfs", "fc", "glusterfs", "rbd", "cinder", "flexVolume", "flocker", "portworxVolume",
            "quobyte", "scaleIO", "storageos", "vsphereVolume", "photonPersistentDisk")  # fmt: skip


def _volume(made: Object) -> None:
    if not any(made.get(name) is not None for name in _SOURCES):
        made["emptyDir"] = {}
    for name in ("configMap", "secret", "projected", "downwardAPI"):
        if made.get(name) is not None:
            made[name].setdefault("defaultMode", 420)
    if made.get("hostPath") is not None:
        made["hostPath"].setdefault("type", "")
    for source in (made.get("projected") or {}).get("sources") or ():
        if source.get("serviceAccountToken") is not None:
            source["serviceAccountToken"].setdefault("expirationSeconds", 3600)


def _job(made: Object) -> None:
    spec = made.setdefault("spec", {})
    if spec.get("completions") is None and spec.get("parallelism") is None:
        spec["completions"] = spec["parallelism"] = 1
    if spec.get("parallelism") is None:
        spec["parallelism"] = 1
    spec.setdefault("backoffLimit", 2_147_483_647 if spec.get("backoffLimitPerIndex") is not None else 6)
    spec.setdefault("completionMode", "NonIndexed")
    spec.setdefault("suspend", False)
    spec.setdefault("manualSelector", False)
    rules = (spec.get("podFailurePolicy") or {}).get("rules") or ()
    spec.setdefault("podReplacementPolicy", "Failed" if spec.get("podFailurePolicy") else "TerminatingOrFailed")
    for rule in rules:
        for condition in rule.get("onPodConditions") or ():
            condition.setdefault("status", "True")
    template = spec.setdefault("template", {})
    template.setdefault("metadata", {})
    template_spec(template.setdefault("spec", {}))
    made.setdefault("status", {})


_OF_KIND: Mapping[Kind, Callable[[Object], None]] = {
    POD: _pod, JOB: _job, SECRET: _secret, PVC: _claim, NAMESPACE: _namespace, EVENT: _event, SERVICE: _service,
}  # fmt: skip


def select_own_pods(made: Object) -> None:
    """Give a new job the selector and its template the labels that only its own pods have."""
    spec, meta = made["spec"], made["metadata"]
    if spec.get("manualSelector"):
        return
    labels = spec["template"]["metadata"].setdefault("labels", {})
    for name, value in zip(LEGACY_LABELS, (meta["uid"], meta["name"]), strict=True):
        labels[name] = labels[f"{PREFIX}{name}"] = value
    spec.setdefault("selector", {}).setdefault("matchLabels", {})[f"{PREFIX}controller-uid"] = meta["uid"]


def take_labels(made: Object) -> None:
    """Give a job without labels those of its template."""
    meta, labels = made["metadata"], made["spec"]["template"]["metadata"].get("labels")
    if not meta.get("labels") and labels:
        meta["labels"] = dict(labels)


# What admission adds to pods


def admit_pod(made: Object, account: Mapping[str, Any] | None, priority: tuple[int, str, str]) -> None:
    """Write into a new pod what admission plugins do: its service account, its token, its tolerations, its priority.

    Args:
        made: the pod.
        account: its service account; None where there is none.
        priority: its value, its preemption policy, and its class's name, "" for none.
    """
    spec = made["spec"]
    name = spec.get("serviceAccountName") or spec.get("serviceAccount") or "default"
    spec["serviceAccountName"] = spec["serviceAccount"] = name
    secrets_of_account = (account or {}).get("imagePullSecrets")
    if secrets_of_account and not spec.get("imagePullSecrets"):
        spec["imagePullSecrets"] = list(secrets_of_account)
    tolerations = spec.setdefault("tolerations", [])
    for key in NOT_READY:
        if not any(
            each.get("key") in (key, None) and each.get("effect") in ("NoExecute", None) for each in tolerations
        ):
            tolerations.append({"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300})
    spec["priority"], spec["preemptionPolicy"] = priority[0], priority[1]
    if priority[2]:
        spec["priorityClassName"] = priority[2]
    if spec.get("automountServiceAccountToken", (account or {}).get("automountServiceAccountToken", True)):
        _mount_token(spec)


def _mount_token(spec: Object) -> None:
    volume = f"kube-api-access-{random_part()}"
    lacking = False
    for container in [*(spec.get("initContainers") or ()), *spec["containers"]]:
        mounts = container.setdefault("volumeMounts", [])
        if not any(each.get("mountPath") == ACCOUNT_FOLDER for each in mounts):
            mounts.append({"name": volume, "readOnly": True, "mountPath": ACCOUNT_FOLDER})
            lacking = True
    if lacking:
        field = {"apiVersion": "v1", "fieldPath": "metadata.namespace"}
        sources = [
            {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
            {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
            {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": field}]}},
        ]
        spec.setdefault("volumes", []).append({"name": volume, "projected": {"sources": sources, "defaultMode": 420}})
