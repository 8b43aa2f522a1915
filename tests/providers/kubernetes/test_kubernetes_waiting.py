"""What keeps a Job from its pods: a quota of the namespace, and Kueue, which suspends Jobs until their turn and takes their pods away again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cloud_runs import Submit, job_of, submitting
from late import LATE

from cloudtune.errors import ProviderError
from cloudtune.store.records import RunState, TrialState

if LATE:
    pytest.importorskip("kubernetes")
    from kubernetes import client

    from cloudtune_kubernetes.emulator import KubernetesEmulator
    from cloudtune_kubernetes.emulator.errors import forbidden
    from cloudtune_kubernetes.emulator.kinds import JOB, POD
    from cloudtune_kubernetes.feed import Feed
    from cloudtune_kubernetes.logs import PodLog
    from cloudtune_kubernetes.workload import QUEUE

EXCEEDED = "exceeded quota: team, requested: pods=1, used: pods=10, limited: pods=10"


@pytest.fixture
def emulator(monkeypatch: pytest.MonkeyPatch) -> Iterator[KubernetesEmulator]:
    with KubernetesEmulator(grace=0.2, backoff=0.02) as running:
        own = {
            "CLOUDTUNE_KUBERNETES_POLL": "0.1",
            "CLOUDTUNE_KUBERNETES_OUTPUT": "",
            "CLOUDTUNE_KUBERNETES_QUEUE": "team",
        }
        for name, value in {**running.environment, **own}.items():
            monkeypatch.setenv(name, value)
        yield running


submit = submitting("k8s")


@pytest.mark.complete
def test_a_trial_without_a_pod_says_which_quota_and_runs_when_there_is_room(
    emulator: KubernetesEmulator, submit: Submit, tmp_path: Path
) -> None:
    admission = emulator.cluster.registry.admission

    def full(pod: Any, before: Any) -> None:
        if before is None:
            raise forbidden(POD, pod["metadata"]["name"], EXCEEDED)

    admission[POD] = full
    run = submit(job_of(tmp_path, limits={"trials": 1}))
    shown: list[str] = []

    def watch(_: Any) -> None:
        reason = run.trials()[0].reason if run.trials() else ""
        if EXCEEDED in reason and POD in admission:
            shown.append(reason)
            del admission[POD]

    assert run.wait(watch) is RunState.COMPLETED, run.events()
    assert shown[0].startswith("waits for its pod (FailedCreate: Error creating: pods ")
    assert [(trial.state, trial.attempt, trial.reason) for trial in run.trials()] == [(TrialState.COMPLETED, 1, "")]


def test_what_a_trial_reported_is_heard_though_the_watch_of_pods_is_behind_that_of_jobs(
    submit: Submit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = Feed.objects
    monkeypatch.setattr(Feed, "objects", lambda feed: {} if feed._kind == "pods" else told(feed))
    run = submit(job_of(tmp_path, limits={"trials": 2, "parallel": 2}))
    assert run.wait() is RunState.COMPLETED, run.events()
    assert all(len(list(run.reports(trial.number))) == 3 for trial in run.trials())
    assert all(trial.started is not None for trial in run.trials())


@pytest.mark.complete
def test_the_pod_that_replaces_another_in_its_job_is_heard(submit: Submit, tmp_path: Path) -> None:
    mark = tmp_path / "failed"
    script = f"import pathlib, sys, cloudtune.trial as t\nmark = pathlib.Path({str(mark)!r})\n"
    script += "if not mark.exists():\n    mark.touch()\n    sys.exit('once')\nt.report(score=t.params()['x'])\n"
    run = submit(job_of(tmp_path, script, limits={"trials": 1}, kubernetes={"job": {"spec": {"backoffLimit": 1}}}))
    assert run.wait() is RunState.COMPLETED, run.events()
    (trial,) = run.trials()
    assert (trial.attempt, trial.metrics["score"]) == (1, trial.parameters["x"])
    assert list(run.logs(0)) == [f"step 1: score={trial.parameters['x']!r}"]


def test_a_trial_waits_for_its_queue_and_begins_again_when_that_takes_its_pod_away(
    emulator: KubernetesEmulator, submit: Submit, tmp_path: Path
) -> None:
    """As Kueue does: its webhook suspends a Job that names a queue, admits it later, and preempts it by suspending it again."""
    mark, batch = tmp_path / "began", client.BatchV1Api(emulator.client())
    script = f"import pathlib, time, cloudtune.trial as t\nmark = pathlib.Path({str(mark)!r})\nagain = mark.exists()\nmark.touch()\n"
    script += "time.sleep(0 if again else 60)\nt.report(score=t.params()['x'])\n"

    def webhook(job: Any, before: Any) -> None:
        if before is None and QUEUE in job["metadata"]["labels"]:
            job["spec"]["suspend"] = True

    emulator.cluster.registry.admission[JOB] = webhook
    run = submit(job_of(tmp_path, script, limits={"trials": 1}))
    queued: set[int] = set()
    preempted: list[str] = []

    def kueue(_: Any) -> None:
        for trial in run.trials():
            if (
                trial.attempt not in queued
                and trial.reason == "waits for its queue (it is suspended, in the queue team)"
            ):
                queued.add(trial.attempt)
                batch.patch_namespaced_job(trial.place, "default", {"spec": {"suspend": False}})
            elif mark.exists() and not preempted and trial.started is not None:
                preempted.append(trial.place)
                batch.patch_namespaced_job(trial.place, "default", {"spec": {"suspend": True}})

    assert run.wait(kueue) is RunState.COMPLETED, run.events()
    (trial,) = run.trials()
    assert (trial.state, trial.attempt, trial.metrics["score"]) == (TrialState.COMPLETED, 2, trial.parameters["x"])
    assert queued == {1, 2}
    told = [message for _, _, message in run.events()]
    waits = "waits for its queue (it is suspended, in the queue team)"
    taken = "attempt 1 was lost (its queue took its pod away: it is suspended, in the queue team); it is started again"
    assert told == [waits, "begins", taken, waits, "begins", "completed"]


def test_what_ended_well_runs_again_where_its_log_is_gone(
    submit: Submit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of a pod that Succeeded on a node that died before its log was read."""
    read = PodLog.read

    def gone(log: PodLog) -> list[str]:
        if "-0-1" in log.pod:
            raise ProviderError("its node is gone", code="404")
        return read(log)

    monkeypatch.setattr(PodLog, "read", gone)
    monkeypatch.setattr(PodLog, "follow", lambda _: None)
    run = submit(job_of(tmp_path, limits={"trials": 1}))
    assert run.wait() is RunState.COMPLETED, run.events()
    (trial,) = run.trials()
    assert (trial.attempt, trial.state, len(list(run.reports(0)))) == (2, TrialState.COMPLETED, 3)
    lost = "attempt 1 was lost (its pod is gone, and what it printed with it); it is started again"
    assert lost in [message for _, _, message in run.events()]
