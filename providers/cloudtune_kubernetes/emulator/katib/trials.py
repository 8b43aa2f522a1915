"""The controller of Trials, and the metrics collector beside their pods (pkg/controller.v1beta1/trial, pkg/webhook/v1beta1/pod)."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from cloudtune_kubernetes.emulator import times
from cloudtune_kubernetes.emulator.errors import Refused
from cloudtune_kubernetes.emulator.jobs import is_over
from cloudtune_kubernetes.emulator.katib.conditions import OVER_TRIAL, marked, state_of
from cloudtune_kubernetes.emulator.katib.early_stopping import stops
from cloudtune_kubernetes.emulator.katib.metrics import observation, reported, value_of
from cloudtune_kubernetes.emulator.katib.resources import EXPERIMENT_LABEL, INJECTED, TRIAL, TRIAL_LABEL
from cloudtune_kubernetes.emulator.kinds import JOB, NAMESPACE, POD
from cloudtune_kubernetes.emulator.logs import LogRequest
from cloudtune_kubernetes.emulator.registry import Options, Registry
from cloudtune_kubernetes.emulator.store import Object

_VOLUME = "metrics-volume"
"""The volume that the webhook gives to a trial whose metrics are in a file."""

_LOOK = 0.05
"""Seconds between two looks at a file that is followed."""

Output = Callable[[Object, LogRequest], Iterator[bytes]]


class Trials:
    """Reconciles Trials.

    Args:
        registry: the objects of the cluster.
        output: returns the output of a pod's container.
        volumes: returns the folder of a pod's volumes, by its uid.
        lenient: whether trials of all namespaces are measured, whatever labels these have.
    """

    def __init__(
        self, registry: Registry, *, output: Output, volumes: Callable[[str], Path], lenient: bool = False
    ) -> None:
        self._registry, self._output, self._volumes, self._lenient = registry, output, volumes, lenient
        self._histories: dict[str, list[float]] = {}
        self._watched: set[str] = set()

    def history(self, trial: Object) -> list[float]:
        """Return the objective's values that a trial has reported, in their order."""
        return self._histories.get(trial["metadata"]["uid"], [])

    def forget(self, uid: str) -> None:
        """Forget a trial that is gone."""
        self._histories.pop(uid, None)
        self._watched.discard(uid)

    def reconcile(self, namespace: str, name: str) -> None:
        """Bring a Trial to where it should be."""
        store = self._registry.store
        with store.lock:
            trial = store.get(TRIAL, namespace, name)
            if trial is None or "deletionTimestamp" in trial["metadata"]:
                return
            job = store.get(JOB, namespace, name)
            if state_of(trial) in OVER_TRIAL:
                self._clean(trial, job)
            elif job is None:
                self._begin(trial)
            elif is_over(job):
                self._end(trial, job)
            else:
                self._watch(trial, job)

    def _begin(self, trial: Object) -> None:
        if not trial["spec"].get("runSpec"):
            return
        try:
            self._registry.create(JOB, trial["metadata"]["namespace"], _with_collector(trial))
        except Refused as refused:
            self._mark(trial, "Failed", "TrialFailed", f"Trial has failed: {refused.message}", over=True)
            return
        self._mark(trial, "Running", "TrialRunning", "Trial is running")

    def _mark(
        self, trial: Object, kind: str, reason: str, message: str, *, over: bool = False, observed: Any = None
    ) -> None:
        status = marked(trial.get("status") or {}, kind, reason, message)
        if observed is not None:
            status["observation"] = observed
        if over:
            status["completionTime"] = times.now()
        self._registry.store.put(TRIAL, {**trial, "status": status})

    def _end(self, trial: Object, job: Object) -> None:
        """Write a trial's end, once its job has ended."""
        names = _names(trial)
        complete = any(each["type"] == "Complete" and each["status"] == "True" for each in job["status"]["conditions"])
        if complete and not self._measured(trial):
            return  # nobody tells Katib its metrics: it waits for them, for ever
        found = list(reported(self._lines(trial), names, trial["spec"]["metricsCollector"]))
        self._histories[trial["metadata"]["uid"]] = [value for name, value in found if name == names[0]]
        failed = any(each["type"] == "Failed" and each["status"] == "True" for each in job["status"]["conditions"])
        seen = observation(found, names)
        if failed:
            why = next(each["message"] for each in job["status"]["conditions"] if each["type"] == "Failed")
            self._mark(trial, "Failed", "TrialFailed", f"Trial has failed. Job message: {why}", over=True)
        elif value_of(seen, trial["spec"]["objective"]) is None:
            self._mark(
                trial, "MetricsUnavailable", "MetricsUnavailable", "Metrics are not available", over=True, observed=seen
            )
        else:
            self._mark(trial, "Succeeded", "TrialSucceeded", "Trial has succeeded", over=True, observed=seen)

    def _clean(self, trial: Object, job: Object | None) -> None:
        """Delete the job of a trial that is over, unless it is kept."""
        keeps = trial["spec"].get("retainRun") and state_of(trial) not in ("Killed", "EarlyStopped")
        if job is not None and "deletionTimestamp" not in job["metadata"] and not keeps:
            meta = trial["metadata"]
            self._registry.delete(JOB, meta["namespace"], meta["name"], Options(propagation="Background"))

    # Metrics

    def _measured(self, trial: Object) -> bool:
        """Return whether the pods of a trial have a collector."""
        held = self._registry.store.get(NAMESPACE, "", trial["metadata"]["namespace"]) or {"metadata": {}}
        key, value = INJECTED
        return self._lenient or (held["metadata"].get("labels") or {}).get(key) == value

    def _pods(self, trial: Object) -> list[Object]:
        meta = trial["metadata"]
        return [
            pod
            for pod in self._registry.store.objects(POD, meta["namespace"])
            if (pod["metadata"].get("labels") or {}).get(TRIAL_LABEL) == meta["name"]
        ]

    def _lines(self, trial: Object) -> Iterator[str]:
        """Yield the lines that a trial's metrics are in: of a file, or of its output."""
        path = _file_of(trial)
        for pod in self._pods(trial):
            if path:
                file = self._file(pod, path)
                yield from file.read_text(errors="replace").splitlines() if file.is_file() else ()
                continue
            try:
                for chunk in self._output(pod, LogRequest(trial["spec"]["primaryContainerName"])):
                    yield from chunk.decode(errors="replace").splitlines()
            except Refused:
                continue  # it never started

    def _file(self, pod: Object, path: str) -> Path:
        """Return the file of a pod that metrics are in, on this machine."""
        return self._volumes(pod["metadata"]["uid"]) / _VOLUME / PurePosixPath(path).name

    def _watch(self, trial: Object, job: Object) -> None:
        """Follow the output of a running trial that may be stopped early."""
        uid, rules = trial["metadata"]["uid"], trial["spec"].get("earlyStoppingRules")
        if not rules or uid in self._watched or not self._measured(trial):
            return
        running = [pod for pod in self._pods(trial) if pod["status"].get("phase") == "Running"]
        if running:
            self._watched.add(uid)
            threading.Thread(
                target=self._follow,
                args=[trial, running[0], rules[0]],
                name=f"rules of {job['metadata']['name']}",
                daemon=True,
            ).start()

    def _follow(self, trial: Object, pod: Object, rule: dict[str, Any]) -> None:
        values: list[float] = []
        path = _file_of(trial)
        try:
            for lines in self._growing(trial, pod, path) if path else self._printed(trial, pod):
                values += [value for _, value in reported(lines, [rule["name"]], trial["spec"]["metricsCollector"])]
                if stops(rule, values):
                    self._stop_early(trial, rule)
                    return
        except Refused:
            return  # it has gone meanwhile

    def _printed(self, trial: Object, pod: Object) -> Iterator[list[str]]:
        """Yield the lines that a pod prints."""
        for chunk in self._output(pod, LogRequest(trial["spec"]["primaryContainerName"], follow=True)):
            yield chunk.decode(errors="replace").splitlines()

    def _growing(self, trial: Object, pod: Object, path: str) -> Iterator[list[str]]:
        """Yield the lines that a file gets, as long as its trial runs."""
        file, count, meta = self._file(pod, path), 0, trial["metadata"]
        while (held := self._registry.store.get(TRIAL, meta["namespace"], meta["name"])) is not None:
            lines = file.read_text(errors="replace").split("\n")[:-1] if file.is_file() else []
            yield lines[count:]
            count = len(lines)
            if state_of(held) in OVER_TRIAL:
                return
            time.sleep(_LOOK)

    def _stop_early(self, trial: Object, rule: dict[str, Any]) -> None:
        meta, store = trial["metadata"], self._registry.store
        with store.lock:
            held = store.get(TRIAL, meta["namespace"], meta["name"])
            if held is None or state_of(held) in OVER_TRIAL:
                return
            names = _names(held)
            seen = observation(reported(self._lines(held), names, held["spec"]["metricsCollector"]), names)
            message = f"Trial is early stopped: {rule['name']} is {rule['comparison']} than {rule['value']}"
            self._mark(held, "EarlyStopped", "TrialEarlyStopped", message, over=True, observed=seen)


def _names(trial: Object) -> list[str]:
    objective = trial["spec"]["objective"]
    return [objective["objectiveMetricName"], *(objective.get("additionalMetricNames") or ())]


def _file_of(trial: Object) -> str:
    """Return the file that a trial's metrics are in; "" for its output."""
    collector = trial["spec"]["metricsCollector"]
    if collector["collector"]["kind"] != "File":
        return ""
    return str(collector["source"]["fileSystemPath"]["path"])


def _by_a_shell(words: list[str]) -> dict[str, list[str]]:
    """Return how Katib's webhook starts a program: by a shell, which gets the words as they stand, without any quoting."""
    own = 2 if words[0] in ("sh", "bash") and words[1:2] == ["-c"] else 0
    return {"command": words[:2] if own else ["sh", "-c"], "args": [" ".join(words[own:])]}


def _with_collector(trial: Object) -> Object:
    """Return the job of a trial, with the labels, the variable and the volume that Katib's webhook gives to its pods."""
    run, meta, path = trial["spec"]["runSpec"], trial["metadata"], _file_of(trial)
    owner = {
        "apiVersion": trial["apiVersion"],
        "kind": trial["kind"],
        "name": meta["name"],
        "uid": meta["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }
    labels = {EXPERIMENT_LABEL: meta["labels"][EXPERIMENT_LABEL], TRIAL_LABEL: meta["name"]}
    head = {
        **run["metadata"],
        "labels": {**(run["metadata"].get("labels") or {}), **labels},
        "ownerReferences": [owner],
    }
    template = dict(run["spec"]["template"])
    template_meta = dict(template.get("metadata") or {})
    template["metadata"] = {**template_meta, "labels": {**(template_meta.get("labels") or {}), **labels}}
    pod = dict(template["spec"])
    containers = []
    for each in pod["containers"]:
        container = {**each, "env": [*(each.get("env") or ()), {"name": "KATIB_TRIAL_NAME", "value": meta["name"]}]}
        if each["name"] == trial["spec"]["primaryContainerName"] and each.get("command"):
            container |= _by_a_shell([*each["command"], *(each.get("args") or ())])
        if path and each["name"] == trial["spec"]["primaryContainerName"]:
            mount = {"name": _VOLUME, "mountPath": str(PurePosixPath(path).parent)}
            container["volumeMounts"] = [*(each.get("volumeMounts") or ()), mount]
        containers.append(container)
    pod["containers"] = containers
    if path:
        pod["volumes"] = [*(pod.get("volumes") or ()), {"name": _VOLUME, "emptyDir": {}}]
    template["spec"] = pod
    return {**run, "metadata": head, "spec": {**run["spec"], "template": template}}
