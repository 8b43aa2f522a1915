"""The job controller: makes a job's pods, counts their ends, and decides the job's own (k8s.io/kubernetes/pkg/controller/job).

What differs from the real one: ends are counted and the pods let go in one step, so that ``uncountedTerminatedPods`` is
always empty; and a job has 10,000 pods at a time at most.
"""

import copy
import itertools
import time
from collections.abc import Callable
from typing import Any

from cloudtune_kubernetes.emulator import indexes, times
from cloudtune_kubernetes.emulator.defaults import PREFIX, random_part
from cloudtune_kubernetes.emulator.errors import Refused
from cloudtune_kubernetes.emulator.events import Events
from cloudtune_kubernetes.emulator.failure_policy import verdict
from cloudtune_kubernetes.emulator.garbage import without
from cloudtune_kubernetes.emulator.kinds import JOB, POD
from cloudtune_kubernetes.emulator.registry import TRACKING, Options, Registry
from cloudtune_kubernetes.emulator.store import Object

INDEX = f"{PREFIX}job-completion-index"
_FAILURES = f"{PREFIX}job-index-failure-count"
_IGNORED = f"{PREFIX}job-index-ignored-failure-count"
_OVER = ("Complete", "Failed")
_AT_ONCE = 500
"""Pods that are made in one step (`MaxPodCreateDeletePerSync`)."""

_MOST_PODS = 10_000
"""Most pods of one job at a time; a real cluster is bounded by its store."""

_LONGEST = 36
"""Times the first delay, the longest one between failures: 6 minutes for 10 s."""


def is_over(job: Object) -> bool:
    """Return whether a job has ended."""
    return any(
        each["type"] in _OVER and each["status"] == "True" for each in (job.get("status") or {}).get("conditions") or ()
    )


def _phase(pod: Object) -> str:
    return str((pod.get("status") or {}).get("phase", "Pending"))


def _is_active(pod: Object) -> bool:
    return _phase(pod) not in ("Succeeded", "Failed") and "deletionTimestamp" not in pod["metadata"]


def _is_terminating(pod: Object) -> bool:
    return _phase(pod) not in ("Succeeded", "Failed") and "deletionTimestamp" in pod["metadata"]


def index_of(pod: Object) -> int:
    """Return the completion index of a pod; -1 for none."""
    return int((pod["metadata"].get("annotations") or {}).get(INDEX, -1))


class Jobs:
    """Reconciles jobs with their pods.

    Args:
        registry: the objects of the cluster.
        events: takes what it says.
        pods_of: returns the pods that an owner's uid has.
        later: asks to be called again for a job, by namespace and name, after so many seconds.
        backoff: seconds before a failed pod is replaced the first time.

    Attributes:
        failures: of each job, by its uid: how many pods have failed in a row, and when the last was counted.
    """

    def __init__(
        self,
        registry: Registry,
        events: Events,
        *,
        pods_of: Callable[[str], list[Object]],
        later: Callable[[str, str, float], None],
        backoff: float,
    ) -> None:
        self.registry, self.events, self.pods_of, self.later, self.backoff = (
            registry,
            events,
            pods_of,
            later,
            backoff,
        )
        self.failures: dict[str, tuple[int, float]] = {}

    def reconcile(self, namespace: str, name: str) -> None:
        """Bring a job's pods and status to where they should be."""
        store = self.registry.store
        with store.lock:
            job = store.get(JOB, namespace, name)
            if job is None or job["spec"].get("managedBy") not in (None, "kubernetes.io/job-controller"):
                return
            step = _Step(self, job, self.pods_of(job["metadata"]["uid"]))
            step.run()

    def forget(self, uid: str) -> None:
        """Forget a job that is gone."""
        self.failures.pop(uid, None)


class _Step:
    """One look at a job; the store's lock is held."""

    def __init__(self, jobs: Jobs, job: Object, pods: list[Object]) -> None:
        self._jobs, self._job, self._pods = jobs, job, pods
        self._spec: dict[str, Any] = job["spec"]
        self._status: dict[str, Any] = copy.deepcopy(job.get("status") or {})
        self._conditions: list[dict[str, Any]] = self._status.setdefault("conditions", [])
        self._uid = job["metadata"]["uid"]
        self._indexed = self._spec["completionMode"] == "Indexed"
        self._done = indexes.parsed(self._status.get("completedIndexes", ""))
        self._failed = indexes.parsed(self._status.get("failedIndexes", ""))
        self._target: tuple[str, str] | None = None

    # The whole

    def run(self) -> None:
        if "deletionTimestamp" in self._job["metadata"]:
            self._release_all()
            return
        if is_over(self._job):
            self._release_all()
            self._expire()
            return
        if not self._spec.get("suspend"):
            self._status.setdefault("startTime", times.now())
        held = self._condition("FailureTarget") or self._condition("SuccessCriteriaMet")
        self._count_ends()
        if held is None:
            self._decide()
        if self._condition("FailureTarget") or self._condition("SuccessCriteriaMet"):
            self._end_active()
        elif self._spec.get("suspend"):
            self._suspend()
        else:
            self._resume()
            self._manage()
        self._conclude()
        self._write()

    def _write(self) -> None:
        pods = self._pods
        active = sum(map(_is_active, pods))
        self._status["active"] = active
        self._status["ready"] = sum(_is_active(pod) and _is_ready(pod) for pod in pods)
        self._status["terminating"] = sum(map(_is_terminating, pods))
        self._status["uncountedTerminatedPods"] = {}
        if self._indexed:
            self._status["completedIndexes"] = indexes.written(self._done)
            self._status["succeeded"] = len(self._done)
            if self._spec.get("backoffLimitPerIndex") is not None:
                self._status["failedIndexes"] = indexes.written(self._failed)
        for name in ("active", "succeeded", "failed", "completedIndexes", "conditions"):
            if not self._status.get(name):
                self._status.pop(name, None)
        before = self._job
        self._job = self._jobs.registry.store.put(JOB, {**self._job, "status": self._status})
        if is_over(self._job) and not is_over(before):
            self._say_end()
            self._jobs.forget(self._uid)
            self._expire()

    # Conditions

    def _condition(self, kind: str) -> dict[str, Any] | None:
        return next((each for each in self._conditions if each["type"] == kind and each["status"] == "True"), None)

    def _set(self, kind: str, status: str, reason: str, message: str) -> None:
        now = times.now()
        made = {
            "type": kind,
            "status": status,
            "lastProbeTime": now,
            "lastTransitionTime": now,
            "reason": reason,
            "message": message,
        }
        held = next((at for at, each in enumerate(self._conditions) if each["type"] == kind), None)
        if held is None:
            self._conditions.append(made)
        elif self._conditions[held]["status"] != status:
            self._conditions[held] = made

    def _fail(self, reason: str, message: str) -> None:
        self._set("FailureTarget", "True", reason, message)

    # Counting

    def _count_ends(self) -> None:
        """Count pods that have ended, and let them go."""
        replaces_failed = self._spec.get("podReplacementPolicy") == "Failed"
        kept = []
        for pod in self._pods:
            tracked = TRACKING in (pod["metadata"].get("finalizers") or ())
            failed = _phase(pod) == "Failed" or (_is_terminating(pod) and not replaces_failed)
            if tracked and (failed or _phase(pod) == "Succeeded"):
                if _phase(pod) == "Succeeded":
                    self._count_success(pod)
                elif not self._spec.get("suspend") or _phase(pod) == "Failed":
                    self._count_failure(pod)
                kept.append(self._release(pod))
            else:
                kept.append(pod)
        self._pods = [
            pod
            for pod in kept
            if self._jobs.registry.store.get(POD, pod["metadata"]["namespace"], pod["metadata"]["name"])
        ]

    def _count_success(self, pod: Object) -> None:
        self._jobs.failures.pop(self._uid, None)
        if not self._indexed:
            self._status["succeeded"] = self._status.get("succeeded", 0) + 1
        elif 0 <= index_of(pod) < self._spec["completions"]:
            self._done.add(index_of(pod))

    def _count_failure(self, pod: Object) -> None:
        action, message = verdict(self._spec.get("podFailurePolicy"), pod)
        if action == "Ignore":
            return
        if action == "FailJob" and self._target is None:
            self._target = ("PodFailurePolicy", message)
        self._status["failed"] = self._status.get("failed", 0) + 1
        count, _ = self._jobs.failures.get(self._uid, (0, 0.0))
        self._jobs.failures[self._uid] = (count + 1, time.monotonic())
        limit = self._spec.get("backoffLimitPerIndex")
        if limit is not None and (action == "FailIndex" or self._failures_of(pod) >= limit):
            self._failed.add(index_of(pod))

    @staticmethod
    def _failures_of(pod: Object) -> int:
        return int((pod["metadata"].get("annotations") or {}).get(_FAILURES, 0))

    def _release(self, pod: Object) -> Object:
        """Take the job's finalizer off a pod."""
        return self._jobs.registry.settle(POD, without(pod, TRACKING))

    def _release_all(self) -> None:
        for pod in self._pods:
            if TRACKING in (pod["metadata"].get("finalizers") or ()):
                self._release(pod)

    # Deciding

    def _decide(self) -> None:
        if self._target is not None:
            self._fail(*self._target)
        elif self._is_past_backoff_limit():
            self._fail("BackoffLimitExceeded", "Job has reached the specified backoff limit")
        elif self._is_past_deadline():
            self._fail("DeadlineExceeded", "Job was active longer than specified deadline")
        elif self._indexed and self._spec.get("backoffLimitPerIndex") is not None and self._decide_by_index():
            return
        elif self._has_succeeded():
            self._set("SuccessCriteriaMet", "True", "CompletionsReached", "Reached expected number of succeeded pods")

    def _decide_by_index(self) -> bool:
        most = self._spec.get("maxFailedIndexes")
        if most is not None and len(self._failed) > most:
            self._fail("MaxFailedIndexesExceeded", "Job has exceeded the specified maximal number of failed indexes")
            return True
        if self._failed and len(self._failed | self._done) >= self._spec["completions"]:
            self._fail("FailedIndexes", "Job has failed indexes")
            return True
        return False

    def _is_past_backoff_limit(self) -> bool:
        limit = int(self._spec["backoffLimit"])
        if self._status.get("failed", 0) > limit:
            return True
        if self._spec["template"]["spec"].get("restartPolicy") != "OnFailure":
            return False
        restarts = sum(
            each.get("restartCount", 0)
            for pod in self._pods
            if _phase(pod) in ("Running", "Pending")
            for kind in ("containerStatuses", "initContainerStatuses")
            for each in pod["status"].get(kind) or ()
        )
        return bool(restarts > 0 if limit == 0 else restarts >= limit)

    def _is_past_deadline(self) -> bool:
        deadline = self._spec.get("activeDeadlineSeconds")
        if deadline is None or self._spec.get("suspend") or "startTime" not in self._status:
            return False
        left = times.seconds_of(self._status["startTime"]) + float(deadline) - time.time()
        if left > 0:
            self._again(left)
        return left <= 0

    def _has_succeeded(self) -> bool:
        wanted = self._spec.get("completions")
        if self._indexed:
            return len(self._done) >= int(self._spec["completions"])
        succeeded = self._status.get("succeeded", 0)
        if wanted is None:
            return bool(succeeded > 0 and not any(map(_is_active, self._pods)))
        return bool(succeeded >= wanted)

    def _end_active(self) -> None:
        """Delete the pods that are still active when the job's end is decided."""
        for pod in [pod for pod in self._pods if _is_active(pod)]:
            self._delete(pod)

    def _conclude(self) -> None:
        """Write the end, once all pods have ended."""
        if any(_is_active(pod) or _is_terminating(pod) for pod in self._pods):
            return
        failure, success = self._condition("FailureTarget"), self._condition("SuccessCriteriaMet")
        if failure is not None:
            self._set("Failed", "True", failure["reason"], failure["message"])
        elif success is not None:
            self._set("Complete", "True", success["reason"], success["message"])
            self._status["completionTime"] = times.now()

    # Pods

    def _suspend(self) -> None:
        for pod in [pod for pod in self._pods if _is_active(pod)]:
            self._delete(pod)
        if self._condition("Suspended") is None:
            self._set("Suspended", "True", "JobSuspended", "Job suspended")
            self._status.pop("startTime", None)
            self._say("Suspended", "Job suspended")

    def _resume(self) -> None:
        if self._condition("Suspended") is not None:
            self._set("Suspended", "False", "JobResumed", "Job resumed")
            self._status["startTime"] = times.now()
            self._say("Resumed", "Job resumed")

    def _manage(self) -> None:
        """Make or delete pods until there are as many as wanted."""
        active = [pod for pod in self._pods if _is_active(pod)]
        terminating = [pod for pod in self._pods if _is_terminating(pod)]
        held = active + (terminating if self._spec.get("podReplacementPolicy") == "Failed" else [])
        wanted = min(self._wanted(len(held)), _MOST_PODS)
        if len(active) > wanted:
            for pod in sorted(active, key=_rank)[: len(active) - wanted]:
                self._delete(pod)
            return
        missing = wanted - len(held)
        if missing <= 0:
            return
        wait = self._delay()
        if wait > 0 and self._spec.get("backoffLimitPerIndex") is None:
            self._again(wait)
            return
        for index in self._next(min(missing, _AT_ONCE), held):
            self._create(index)
        if missing > _AT_ONCE:
            self._again(0.0)

    def _wanted(self, active: int) -> int:
        parallelism, completions = int(self._spec["parallelism"]), self._spec.get("completions")
        if completions is None:
            return min(active, parallelism) if self._status.get("succeeded", 0) else parallelism
        done = len(self._done | self._failed) if self._indexed else self._status.get("succeeded", 0)
        return max(0, min(parallelism, int(completions) - done))

    def _next(self, missing: int, held: list[Object]) -> list[int]:
        """Return the indexes of the next pods; -1 each for those without."""
        if not self._indexed:
            return [-1] * missing
        busy = {index_of(pod) for pod in held} | self._done | self._failed
        free = (index for index in range(self._spec["completions"]) if index not in busy)
        return list(itertools.islice(free, missing))

    def _delay(self) -> float:
        """Return the seconds until a failed pod may be replaced."""
        count, last = self._jobs.failures.get(self._uid, (0, 0.0))
        if not count:
            return 0.0
        return last + self._jobs.backoff * float(min(2 ** (count - 1), _LONGEST)) - time.monotonic()

    def _again(self, seconds: float) -> None:
        meta = self._job["metadata"]
        self._jobs.later(meta["namespace"], meta["name"], seconds)

    def _create(self, index: int) -> None:
        try:
            made = self._jobs.registry.create(POD, self._job["metadata"]["namespace"], self._made(index))
        except Refused as refused:
            self._say("FailedCreate", f"Error creating: {refused.message}", kind="Warning")
            self._again(1.0)
            return
        self._pods.append(made)
        self._say("SuccessfulCreate", f"Created pod: {made['metadata']['name']}")

    def _made(self, index: int) -> Object:
        meta, template = self._job["metadata"], copy.deepcopy(self._spec["template"])
        own: dict[str, Any] = {
            "generateName": f"{meta['name']}-",
            **{name: template["metadata"][name] for name in ("labels", "annotations") if template["metadata"].get(name)},
            "finalizers": [*(template["metadata"].get("finalizers") or ()), TRACKING],
            "ownerReferences": [
                {
                    "apiVersion": "batch/v1", "kind": "Job", "name": meta["name"], "uid": meta["uid"], "controller": True,
                    "blockOwnerDeletion": True,
                }
            ],
        }  # fmt: skip
        if index >= 0:
            own["generateName"] = f"{meta['name'][:52]}-{index}-"
            own["annotations"] = {**(own.get("annotations") or {}), INDEX: str(index), **self._counts(index)}
            own["labels"] = {**(own.get("labels") or {}), INDEX: str(index)}
            _give_index(template["spec"], meta["name"], index)
        own["name"] = f"{own['generateName']}{random_part()}"
        return {"kind": "Pod", "apiVersion": "v1", "metadata": own, "spec": template["spec"]}

    def _counts(self, index: int) -> dict[str, str]:
        if self._spec.get("backoffLimitPerIndex") is None:
            return {}
        failed = [pod for pod in self._jobs.pods_of(self._uid) if index_of(pod) == index and _phase(pod) == "Failed"]
        counted = [pod for pod in failed if verdict(self._spec.get("podFailurePolicy"), pod)[0] != "Ignore"]
        most = max((self._failures_of(pod) + (pod in counted) for pod in failed), default=0)
        return {
            _FAILURES: str(most),
            **({_IGNORED: str(len(failed) - len(counted))} if len(failed) > len(counted) else {}),
        }

    def _delete(self, pod: Object) -> None:
        made, gone = self._jobs.registry.delete(POD, pod["metadata"]["namespace"], pod["metadata"]["name"], Options())
        self._say("SuccessfulDelete", f"Deleted pod: {pod['metadata']['name']}")
        if not gone and TRACKING in (made["metadata"].get("finalizers") or ()):
            made = self._release(made)
        self._pods = [each for each in self._pods if each["metadata"]["uid"] != pod["metadata"]["uid"]]
        if self._jobs.registry.store.get(POD, pod["metadata"]["namespace"], pod["metadata"]["name"]):
            self._pods.append(made)

    # Words and time

    def _say(self, reason: str, message: str, kind: str = "Normal") -> None:
        self._jobs.events.say(self._job, reason, message, component="job-controller", kind=kind)

    def _say_end(self) -> None:
        failed = self._condition("Failed")
        if failed is not None:
            self._say(failed["reason"], failed["message"], kind="Warning")
        else:
            self._say("Completed", "Job completed")

    def _expire(self) -> None:
        """Delete a job that has ended, once its time is over."""
        seconds = self._spec.get("ttlSecondsAfterFinished")
        if seconds is None:
            return
        ends = [each for each in self._conditions if each["type"] in _OVER and each["status"] == "True"]
        left = times.seconds_of(ends[0]["lastTransitionTime"]) + seconds - time.time()
        meta = self._job["metadata"]
        if left > 0:
            self._again(left)
        else:
            self._jobs.registry.delete(JOB, meta["namespace"], meta["name"], Options(propagation="Background"))


def _give_index(spec: dict[str, Any], job: str, index: int) -> None:
    spec.setdefault("hostname", f"{job}-{index}")
    reference = {"fieldRef": {"apiVersion": "v1", "fieldPath": f"metadata.labels['{INDEX}']"}}
    for container in [*(spec.get("initContainers") or ()), *spec["containers"]]:
        variables = container.setdefault("env", [])
        if not any(each["name"] == "JOB_COMPLETION_INDEX" for each in variables):
            variables.append({"name": "JOB_COMPLETION_INDEX", "valueFrom": reference})


def _is_ready(pod: Object) -> bool:
    return any(each["type"] == "Ready" and each["status"] == "True" for each in pod["status"].get("conditions") or ())


def _rank(pod: Object) -> tuple[bool, bool, str]:
    """Order pods by what is lost when they are deleted: those without a node first, then those that do not run, then the youngest."""
    moment = times.seconds_of(pod["metadata"]["creationTimestamp"])
    return bool(pod["spec"].get("nodeName")), _phase(pod) == "Running", f"{-moment:020.0f}"
