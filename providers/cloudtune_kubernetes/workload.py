"""The Job that runs one trial, as a driven run makes it and as the trials of an Experiment are made of it."""

from collections.abc import Mapping
from typing import Any

from cloudtune.planning.merge_patch import Merging
from cloudtune.planning.plain_data import mapping
from cloudtune.planning.plan import Beside, Support
from cloudtune_kubernetes.capabilities import SUPPORT
from cloudtune_kubernetes.names import legal_label
from cloudtune_kubernetes.pod import SPOT, ManifestWriter, PodWriter

MERGING = Merging(("name", "mountPath", "key"))
"""How native settings are merged into a Job: which members tell the items of its lists apart."""

QUEUE = "kueue.x-k8s.io/queue-name"
"""The label by which Kueue takes a Job into a queue (https://kueue.sigs.k8s.io/docs/tasks/run/jobs)."""


class JobWriter(ManifestWriter):
    """Writes the manifest of a trial's Job."""

    def write(self) -> dict[str, Any]:
        """Return the manifest with what the profile says of spot nodes and of its pod template."""
        request = self._manifest()
        spot = self._settings.spot if self._job.compute.spot else None
        pod = SPOT.get(spot, {}) if isinstance(spot, str) else spot
        if pod:
            request = MERGING.merge(request, {"spec": {"template": {"spec": dict(pod)}}})
        merged: dict[str, Any] = MERGING.merge(request, part_of_job(self._settings.template))
        return merged

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


def part_of_job(said: Mapping[str, Any]) -> dict[str, Any]:
    """Return a part of a Job from one of a pod template, which may have one of the Job itself as ``job``."""
    template = {name: value for name, value in said.items() if name != "job"}
    part = {"spec": {"template": template}} if template else {}
    merged: dict[str, Any] = MERGING.merge(dict(mapping(said.get("job"))), part)
    return merged


def job_in(request: Mapping[str, Any]) -> Any:  # plain data, which native settings may have made anything of
    """Return the Job of a trial in a plan's request: the request itself, or a part of an Experiment."""
    if request.get("kind") == "Job":
        return request
    return mapping(mapping(mapping(request.get("spec")).get("trialTemplate")).get("trialSpec"))
