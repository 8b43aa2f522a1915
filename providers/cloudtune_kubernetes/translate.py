"""From the spec to the Job that runs one trial, and an account of where each field went. Pure: no network, no credentials."""

import json
from collections.abc import Mapping
from functools import reduce
from typing import Any

from cloudtune.planning.account import Account
from cloudtune.planning.known_values import IMAGE, judge_text
from cloudtune.planning.merge_patch import Merging
from cloudtune.planning.plain_data import mapping, mappings
from cloudtune.planning.plan import Beside, Ledger, Machines, Plan, Support
from cloudtune.space.parameters import Parameter
from cloudtune.space.space_codec import Flattened, SpaceCodec
from cloudtune.spec.fields import alternatives
from cloudtune.spec.job import TuningJob
from cloudtune.spec.native import native_path
from cloudtune.spec.stopping import Auto
from cloudtune.store.records import Trial
from cloudtune_kubernetes.capabilities import SUPPORT
from cloudtune_kubernetes.names import legal_label
from cloudtune_kubernetes.pod import PROVIDER, SPOT, TEMPLATE, PodWriter, helped
from cloudtune_kubernetes.schema import problems
from cloudtune_kubernetes.settings import KubernetesSettings

MERGING = Merging(("name", "mountPath", "key"))
"""How native settings are merged into a Job: which members tell the items of its lists apart."""

VALUES = "CLOUDTUNE_VALUES"
"""The environment variable with a trial's parameters, as JSON."""

QUEUE = "kueue.x-k8s.io/queue-name"
"""The label by which Kueue takes a Job into a queue (https://kueue.sigs.k8s.io/docs/tasks/run/jobs)."""

_OF_THE_DRIVER = (
    "name", "objective", "constraints", "metrics", "space", "require", "strategy", "first", "stopping", "limits", "retries", "warm_start", "confirm", "mode",
)  # fmt: skip

_NO_IMAGE = 'no image to run in; give trial.image, or image = "…" in the profile'


def translate(job: TuningJob, settings: KubernetesSettings | None = None) -> Plan:
    """Return the plan for a cluster: the manifest of the Job that each trial is, and a note for each field not carried exactly.

    Args:
        job: the spec.
        settings: of the profile.

    Returns:
        A plan whose request is a Job (batch/v1). ``${run}``, ``${code}`` and ``${data:NAME}`` in it are known when the run
        starts, ``${trial}`` when a trial does.
    """
    return _Translation(job, settings or KubernetesSettings()).plan()


def codec_of(job: TuningJob) -> SpaceCodec:
    """Return how the values of a job's space travel: as they stand, in JSON."""
    return Flattened(job.search_space(), _no_codecs)


def _no_codecs(parameter: Parameter) -> tuple[()]:  # noqa: ARG001  # of any
    return ()


def parameters_of(job: TuningJob, trial: Trial) -> tuple[list[str], dict[str, str]]:
    """Return the arguments and the variables by which a trial's container gets its parameters."""
    if helped(job):
        return [], {VALUES: json.dumps(codec_of(job).encode(trial.parameters))}
    return [f"--{name}={_text(value)}" for name, value in trial.parameters.items()], {}


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


class _Translation(Account):
    """One translation of one job to a cluster."""

    support = SUPPORT

    def __init__(self, job: TuningJob, settings: KubernetesSettings) -> None:
        super().__init__(job, Ledger(PROVIDER))
        self._settings = settings
        self._native_at = native_path(TuningJob, PROVIDER)

    def plan(self) -> Plan:
        """Return the plan."""
        self._ledger.carry("strict", Beside.PLAN)
        self._ledger.note_other_natives(self._job, *SUPPORT["native"])
        self._search()
        self._of_the_cluster()
        request = reduce(MERGING.merge, self._parts(), self._manifest())
        self._check(request)
        named = alternatives(self._job.compute.instance, PROVIDER)
        machines = Machines(named[0] if named else "pod", self._job.compute.count)
        return self._ledger.close(self._job, "driven", request, machines)

    # What the driver does, and the cluster alone

    def _search(self) -> None:
        for path in _OF_THE_DRIVER:
            self._ledger.carry(path, Beside.DRIVER)
        self.note_sources(f"{TEMPLATE}.spec.containers[0].command", helped=helped(self._job))
        if isinstance(self._job.stopping, Auto):
            self.note("stopping", "stopping.auto")
        if self._job.mode == "managed":
            self.note("mode", "mode.managed")

    def _of_the_cluster(self) -> None:
        network, encryption = self._job.network, self._job.encryption
        if network is not None:
            self.note_given("network", "name", "subnets", "security_groups", row="network")
            self.note_isolation(network.isolated, ensured=self._settings.isolated)
        if encryption is not None:
            self.note("encryption")
        if self._job.region is not None:
            self.note("region")

    # The manifest

    def _manifest(self) -> dict[str, Any]:
        count = self._job.compute.count
        labels = self._labels()
        if count == 1:
            self._ledger.carry("compute.count", Beside.DEFAULT)
        else:
            self.note("compute.count", target="spec.completions")
        pod = PodWriter(self._job, self._settings, self._ledger).write()
        several = {"completionMode": "Indexed", "completions": count, "parallelism": count} if count > 1 else {}
        queue = {QUEUE: self._settings.queue} if self._settings.queue else {}
        return {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {
                "name": "${trial}",
                **({"namespace": self._settings.namespace} if self._settings.namespace else {}),
                **({"labels": {**labels, **queue}} if labels or queue else {}),
            },
            "spec": {
                **several,
                "backoffLimit": 0,
                # A disrupted pod fails its Job at once, with a reason that tells: the driver starts the trial again.
                "podFailurePolicy": {
                    "rules": [
                        {"action": "FailJob", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}
                    ]
                },
                "ttlSecondsAfterFinished": self._settings.ttl,
                "template": {**({"metadata": {"labels": labels}} if labels else {}), "spec": pod},
            },
        }

    def _labels(self) -> dict[str, str]:
        labels = {}
        for key, value in self._job.tags.items():
            name, text = legal_label(key, value)
            labels[name] = text
            if (name, text) == (key, value):
                self._ledger.carry(f"tags.{key}", f"metadata.labels.{name}")
            else:
                message = f"{SUPPORT['tags.legal'][1]}: {name}={text}"
                self._ledger.note(f"tags.{key}", Support.APPROXIMATE, message, f"metadata.labels.{name}")
        return labels

    # What is merged into it

    def _parts(self) -> list[dict[str, Any]]:
        """Return the parts of a Job that are merged into it: of spot nodes, of the profile, of the job."""
        spot = self._settings.spot if self._job.compute.spot else None
        pod = SPOT.get(spot, {}) if isinstance(spot, str) else spot
        parts = [{"spec": {"template": {"spec": dict(pod)}}}] if pod else []
        return [*parts, self._of(self._settings.template), self._native()]

    def _of(self, said: Mapping[str, Any]) -> dict[str, Any]:
        """Return a part of a Job from one of a pod template, which may have one of the Job itself as ``job``."""
        template = {name: value for name, value in said.items() if name != "job"}
        part = {"spec": {"template": template}} if template else {}
        merged: dict[str, Any] = MERGING.merge(dict(mapping(said.get("job"))), part)
        return merged

    def _native(self) -> dict[str, Any]:
        own = self._job.native_settings(PROVIDER)
        for name in own:
            if name != "job":
                self._ledger.carry(f"{self._native_at}.{name}", f"{TEMPLATE}.{name}")
                continue
            if not isinstance(own[name], Mapping):
                self._ledger.note(
                    f"{self._native_at}.job", Support.UNSUPPORTED, "must be an object, with metadata or spec"
                )
            for below in mapping(own[name]):
                self._ledger.carry(f"{self._native_at}.job.{below}", below)
        return self._of(own)

    # What the API would refuse

    def _check(self, request: dict[str, Any]) -> None:
        spec = mapping(mapping(mapping(request.get("spec")).get("template")).get("spec"))
        for index, container in enumerate(mappings(spec.get("containers"))):
            if not container.get("image"):
                self._ledger.note("trial.image", Support.UNSUPPORTED, _NO_IMAGE)
            target = f"{TEMPLATE}.spec.containers[{index}].image"
            verdict = judge_text(IMAGE, container.get("image"))
            self._ledger.judge(self._path_of(target) if verdict else target, verdict, target)
        spot = self._settings.spot
        if self._job.compute.spot and isinstance(spot, str) and spot not in SPOT:
            message = f"the profile's spot = {spot!r} is none of {', '.join(SPOT)}, and no part of a pod's spec"
            self._ledger.note("compute.spot", Support.UNSUPPORTED, message)
        for violation in problems(request):
            message = f"Kubernetes refuses {violation.path}: {violation.words}"
            self._ledger.note(self._path_of(violation.path), Support.UNSUPPORTED, message)

    def _path_of(self, target: str) -> str:
        """Return the field of the spec that a field of the request came from."""
        if target.endswith(".image"):
            return self._ledger.field_at(self._job, target) or "trial.image"
        below = target.removeprefix(f"{TEMPLATE}.")
        other = f"{self._native_at}.{below}" if below != target else f"{self._native_at}.job.{target}"
        return self._ledger.field_at(self._job, target) or other
