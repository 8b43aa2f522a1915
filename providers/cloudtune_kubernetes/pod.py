"""The parts of a Job's pod: resources, the nodes that it may have, volumes, and the program of its container."""

import math
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from cloudtune.planning.account import Account
from cloudtune.planning.plan import Beside, Ledger, Support, said_for
from cloudtune.spec.fields import alternatives, pick
from cloudtune.spec.job import TuningJob
from cloudtune.spec.places import is_remote
from cloudtune.trial import data_variable
from cloudtune_kubernetes.accelerators import device
from cloudtune_kubernetes.capabilities import SUPPORT
from cloudtune_kubernetes.settings import KubernetesSettings
from cloudtune_kubernetes.words import CLAIM

PROVIDER = "kubernetes"

CONTAINER = "trial"
"""The name of the container that runs the trial."""

CODE, FILES, DATA = "/cloudtune/code", "/cloudtune/files", "/cloudtune/data"
"""Where the container finds the code, outputs and checkpoints, and inputs."""

FETCH = "fetch"
"""The init container that fetches what travels by the profile's storage, and the ConfigMap with what it needs."""

LISTING, PROGRAM, OBJECTS = "/cloudtune/fetch", "objects.py", "objects.json"
"""Where that container finds its program, and the list of what it fetches."""

INSTANCE = "node.kubernetes.io/instance-type"
"""The label by which clouds say the machine type of a node (https://kubernetes.io/docs/reference/labels-annotations-taints)."""

TEMPLATE = "spec.template"
_SPEC = f"{TEMPLATE}.spec"
_CONTAINER = f"{_SPEC}.containers[0]"

SPOT: Mapping[str, Mapping[str, Any]] = {
    # cloud.google.com/kubernetes-engine/docs/concepts/spot-vms
    "gke": {
        "nodeSelector": {"cloud.google.com/gke-spot": "true"},
        "tolerations": [{"key": "cloud.google.com/gke-spot", "operator": "Equal", "value": "true", "effect": "NoSchedule"}],
    },
    # docs.aws.amazon.com/eks/latest/userguide/managed-node-groups.html
    "eks": {"nodeSelector": {"eks.amazonaws.com/capacityType": "SPOT"}},
    # learn.microsoft.com/azure/aks/spot-node-pool
    "aks": {
        "nodeSelector": {"kubernetes.azure.com/scalesetpriority": "spot"},
        "tolerations": [{"key": "kubernetes.azure.com/scalesetpriority", "operator": "Equal", "value": "spot", "effect": "NoSchedule"}],
    },
    # karpenter.sh/docs/concepts/scheduling
    "karpenter": {"nodeSelector": {"karpenter.sh/capacity-type": "spot"}},
}  # fmt: skip
"""The part of a pod's spec that leads to spot nodes, by where the cluster is."""


def helped(job: TuningJob) -> bool:
    """Return whether trials start through cloudtune's helper."""
    return (job.trial.command is not None or job.trial.function is not None) and not starts_itself(job)


def starts_itself(job: TuningJob) -> bool:
    """Return whether the native settings name the command of the container."""
    spec = job.native_settings(PROVIDER).get("spec")
    containers = spec.get("containers") if isinstance(spec, dict) else None
    own = [each for each in containers if isinstance(each, dict)] if isinstance(containers, list) else []
    return any(bool(each.get("command")) for each in own if each.get("name") == CONTAINER)


class ManifestWriter(Account):
    """Writes a part of a trial's Job, and keeps the account of where each field went.

    Args:
        job: the spec.
        settings: of the profile.
        ledger: keeps the account.
    """

    support = SUPPORT

    def __init__(self, job: TuningJob, settings: KubernetesSettings, ledger: Ledger) -> None:
        super().__init__(job, ledger)
        self._settings = settings


class PodWriter(ManifestWriter):
    """Writes the spec of a trial's pod."""

    def __init__(self, job: TuningJob, settings: KubernetesSettings, ledger: Ledger) -> None:
        super().__init__(job, settings, ledger)
        self._helped = helped(job)
        self._volumes: list[dict[str, Any]] = []
        self._mounts: list[dict[str, Any]] = []
        self._selector: dict[str, str] = {}
        self._terms: list[list[dict[str, Any]]] = [[]]
        self._preferred: list[dict[str, Any]] = []
        self._fetched: list[dict[str, Any]] = []

    def write(self) -> dict[str, Any]:
        """Return the pod's spec."""
        resources = self._resources()
        self._instance()
        container = self._container(resources)
        settings = self._settings
        spec = {
            "restartPolicy": "Never",
            "activeDeadlineSeconds": self._deadline(),
            "serviceAccountName": self._identity(),
            "priorityClassName": settings.priority_class,
            "imagePullSecrets": [{"name": settings.pull_secret}] if settings.pull_secret else None,
            "initContainers": self._fetching(container),
            "containers": [container],
            "volumes": self._volumes,
            "nodeSelector": self._selector,
            "affinity": self._affinity(),
            "subdomain": "${run}" if self._job.compute.count > 1 else None,
        }
        return {name: value for name, value in spec.items() if value not in (None, {}, [])}

    # Machines

    def _resources(self) -> dict[str, Any]:
        compute, limits = self._job.compute, f"{_CONTAINER}.resources.limits"
        own: dict[str, str] = {}
        if compute.cpus is not None:
            exact = compute.cpus * 1000
            milli = max(1, math.ceil(round(exact, 6)))
            same = math.isclose(exact, milli, rel_tol=1e-9)
            message = f"Kubernetes counts thousandths of a processor: {milli / 1000:g}"
            self._ledger.carry_if(same, "compute.cpus", f"{limits}.cpu", Support.APPROXIMATE, message)
            own["cpu"] = format((Decimal(milli) / 1000).normalize(), "f")
        for field, name in (("memory", "memory"), ("disk", "ephemeral-storage")):
            if (size := getattr(compute, field)) is not None:
                self._ledger.carry(f"compute.{field}", f"{limits}.{name}")
                own[name] = str(size)
        devices = self._accelerators(limits)
        found = {"limits": {**own, **devices}, "requests": own}
        return {name: value for name, value in found.items() if value}

    def _accelerators(self, limits: str) -> dict[str, str]:
        asked = self._job.compute.accelerators
        if asked is None:
            return {}
        try:
            found = device(asked.type)
        except ValueError as error:
            self._ledger.note("compute.accelerators", Support.UNSUPPORTED, str(error))
            return {}
        if asked.count < 1:
            self.note("compute.accelerators.count", "compute.accelerators.part")
        else:
            self._ledger.carry("compute.accelerators.count", f"{limits}.{found.resource}")
        if found.labels:
            target = f"{_SPEC}.affinity.nodeAffinity"
            self._terms = [[_among(label, [value])] for label, value in found.labels]
        else:
            target = limits
        self.note("compute.accelerators.type", "compute.accelerators", target)
        return {found.resource: str(math.ceil(asked.count))}

    def _instance(self) -> None:
        """Choose nodes by machine type, and spot nodes."""
        value = self._job.compute.instance
        named = alternatives(value, PROVIDER)
        own = [name for name in named if not name.startswith("ml.")]
        target = f"{_SPEC}.nodeSelector.{INSTANCE}" if len(own) == 1 else f"{_SPEC}.affinity.nodeAffinity"
        if value is not None:
            self._ledger.carry_per_provider("compute.instance", value, target)
            path = "compute.instance" if not isinstance(value, dict) else f"compute.instance.{PROVIDER}"
            if own:
                self.note(path, "compute.instance.several" if len(own) > 1 else "compute.instance", target)
            if len(own) < len(named):
                self.note(path, "compute.instance.foreign")
        if len(own) == 1:
            self._selector[INSTANCE] = own[0]
        elif own:
            self._terms = [[*term, _among(INSTANCE, own)] for term in self._terms]
            self._preferred = [{"weight": 100, "preference": {"matchExpressions": [_among(INSTANCE, own[:1])]}}]
        spot = self._job.compute.spot
        if self._settings.spot is None:
            self.note_or_default("compute.spot", spot)
        else:
            self.carry_switch("compute.spot", spot, _SPEC)
        self.note_given("compute", "max_wait", "keep")

    def _affinity(self) -> dict[str, Any]:
        terms = [{"matchExpressions": term} for term in self._terms if term]
        own: dict[str, Any] = {}
        if terms:
            own["requiredDuringSchedulingIgnoredDuringExecution"] = {"nodeSelectorTerms": terms}
        if self._preferred:
            own["preferredDuringSchedulingIgnoredDuringExecution"] = self._preferred
        return {"nodeAffinity": own} if own else {}

    def _deadline(self) -> int | None:
        limit = self._job.limits.trial_time
        if limit is None:
            return None
        seconds = limit.total_seconds()
        if seconds == int(seconds):  # else the driver alone watches it, to the second
            self._ledger.carry("limits.trial_time", f"{_SPEC}.activeDeadlineSeconds")
        return max(1, math.ceil(seconds))

    def _identity(self) -> str | None:
        value, target = self._job.identity, f"{_SPEC}.serviceAccountName"
        own = pick(value, PROVIDER)
        if own is not None and not _ACCOUNT.fullmatch(own):
            path = self.own_path("identity", value or "")
            self._ledger.note(path, *SUPPORT["identity.foreign"])
            for other in value.keys() - {PROVIDER} if isinstance(value, dict) else ():
                self._ledger.note(f"identity.{other}", *said_for(other))
            own = None
        elif value is not None:
            self._ledger.carry_per_provider("identity", value, target)
        return own or self._settings.service_account

    # Program

    def _container(self, resources: Mapping[str, Any]) -> dict[str, Any]:
        image = self.own("trial.image", self._job.trial.image, f"{_CONTAINER}.image") or self._settings.image
        self._program()
        variables = self._variables()
        container = {
            "name": CONTAINER,
            "image": image,
            "command": ["python3", f"{CODE}/trial.py"] if self._helped else None,
            "env": variables,
            "resources": dict(resources),
            "volumeMounts": self._mounts,
            "terminationMessagePolicy": "FallbackToLogsOnError",
        }
        return {name: value for name, value in container.items() if value not in (None, {}, [])}

    def _program(self) -> None:
        if not self._helped:
            self.note_code_of_none(starts_itself=starts_itself(self._job))
            return
        for part in ("source", "ignore"):
            self._ledger.carry(f"trial.{part}", Beside.CODE)
        name = "command" if self._job.trial.command is not None else "function"
        row = "trial.command.stored" if self._settings.storage and name == "command" else f"trial.{name}"
        self.note(f"trial.{name}", row, f"{_CONTAINER}.command")
        self._travelling("code", CODE, "${code}")

    def _variables(self) -> list[dict[str, Any]]:
        target = f"{_CONTAINER}.env"
        self._ledger.carry("trial.environment", target)
        own = [
            {"name": name, "valueFrom": {"secretKeyRef": {"name": "${run}", "key": f"variable-{index}"}}}
            for index, name in enumerate(self._job.trial.environment)
        ]
        inputs = [{"name": data_variable(name), "value": place} for name, place in self._data(target).items()]
        files = self._files()
        return [
            *own,
            *inputs,
            {"name": "CLOUDTUNE_RUN", "value": "${run}"},
            {"name": "CLOUDTUNE_FILES", "value": f"{files}/${{run}}"},
            *(self._of_several() if self._job.compute.count > 1 else ()),
        ]

    def _of_several(self) -> list[dict[str, Any]]:
        """Return the variables by which the pods of one trial find each other, as torch.distributed reads them."""
        index = "metadata.annotations['batch.kubernetes.io/job-completion-index']"
        return [
            {"name": "RANK", "valueFrom": {"fieldRef": {"fieldPath": index}}},
            {"name": "WORLD_SIZE", "value": str(self._job.compute.count)},
            {"name": "MASTER_ADDR", "value": "${trial}-0.${run}"},
            {"name": "MASTER_PORT", "value": "29500"},
        ]

    # Inputs and outputs

    def _mount(self, name: str, path: str, source: Mapping[str, Any], *, read_only: bool) -> None:
        self._volumes.append({"name": name, **source})
        self._mounts.append({"name": name, "mountPath": path, **({"readOnly": True} if read_only else {})})

    def _travelling(self, name: str, path: str, mark: str) -> None:
        """Mount the folder of something that travels from the user's machine."""
        if self._settings.storage is None:
            self._mount(name, path, {"configMap": {"name": f"${{run}}-{mark}"}}, read_only=True)
            return
        self._mount(name, path, {"emptyDir": {}}, read_only=True)
        self._fetched.append({"name": name, "mountPath": path})

    def _fetching(self, container: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return the container that fetches what travels by the profile's storage, before that of the trial."""
        if not self._fetched:
            return []
        self._volumes.append({"name": FETCH, "configMap": {"name": f"${{run}}-{FETCH}"}})
        folders = [each["mountPath"] for each in self._fetched]
        made = {
            "name": FETCH,
            "image": container.get("image"),
            "command": ["python3", f"{LISTING}/{PROGRAM}", f"{LISTING}/{OBJECTS}", *folders],
            "volumeMounts": [{"name": FETCH, "mountPath": LISTING, "readOnly": True}, *self._fetched],
            "terminationMessagePolicy": "FallbackToLogsOnError",
        }
        return [{name: value for name, value in made.items() if value is not None}]

    def _data(self, target: str) -> dict[str, str]:
        """Return where the container finds each input."""
        places: dict[str, str] = {}
        for index, (name, value) in enumerate(self._job.data.items()):
            place, own = pick(value, PROVIDER), self.own_path(f"data.{name}", value)
            path = f"{DATA}/{index}"
            claim = None if place is None else CLAIM.fullmatch(place)
            if place is None or (claim is None and is_remote(place)):
                self.note(f"data.{name}", "data.remote")
                continue
            if claim is not None:
                self._ledger.carry_per_provider(f"data.{name}", value, f"{_CONTAINER}")
                source = {"persistentVolumeClaim": {"claimName": claim[1], "readOnly": True}}
                path = f"{path}/{claim[2]}" if claim[2] else path
                self._mount(f"data-{index}", f"{DATA}/{index}", source, read_only=True)
            else:
                self._ledger.carry_per_provider(f"data.{name}", value, target)
                self.note(own, "data.stored" if self._settings.storage else "data", target)
                self._travelling(f"data-{index}", path, f"${{data:{name}}}")
            places[name] = path
        return places

    def _files(self) -> str:
        """Return the folder for outputs and checkpoints of all runs: on a volume, or in the pod's own."""
        own, target = pick(self._job.output, PROVIDER) or self._settings.output, f"{_SPEC}.volumes"
        claim = None if own is None else CLAIM.fullmatch(own)
        if self._job.output is not None:
            if own is not None and claim is None:
                self.note("output", "output.remote")
            else:
                self._ledger.carry_per_provider("output", self._job.output, target)
                if claim is not None:
                    self.note(self.own_path("output", self._job.output), "output", target)
        if claim is None:
            self._mount("files", FILES, {"emptyDir": {}}, read_only=False)
            return FILES
        self._mount("files", FILES, {"persistentVolumeClaim": {"claimName": claim[1]}}, read_only=False)
        return f"{FILES}/{claim[2].strip('/')}" if claim[2] else FILES


_ACCOUNT = re.compile(r"[a-z0-9](?:[-a-z0-9.]{0,251}[a-z0-9])?")


def _among(label: str, values: Sequence[str]) -> dict[str, Any]:
    return {"key": label, "operator": "In", "values": list(values)}
