"""How attempts stand, from what the API says of their Jobs and pods."""

from __future__ import annotations

from typing import Any

import pytest
from late import LATE

from cloudtune.store.records import TrialState

if LATE:
    pytest.importorskip("kubernetes")

    from cloudtune_kubernetes.parse import kind_of, standing


def job(*conditions: dict[str, Any], **parts: Any) -> dict[str, Any]:
    return {"metadata": {"name": "t-0-1"}, "spec": {}, "status": {"conditions": list(conditions)}, **parts}


def pod(state: dict[str, Any], *conditions: dict[str, Any], index: str | None = None, **status: Any) -> dict[str, Any]:
    annotations = {} if index is None else {"batch.kubernetes.io/job-completion-index": index}
    own = [{"name": "trial", "state": state}] if state else []
    return {
        "metadata": {"name": f"p{index or ''}", "annotations": annotations},
        "status": {"containerStatuses": own, "conditions": list(conditions), **status},
    }


COMPLETE = {"type": "Complete", "status": "True", "lastTransitionTime": "2026-01-01T00:01:40Z"}
FAILED = {"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded", "message": "…", "lastTransitionTime": "2026-01-01T00:01:40Z"}  # fmt: skip
DISRUPTED = {"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI", "message": "Eviction API: evicting"}  # fmt: skip


def ended(code: int, **more: Any) -> dict[str, Any]:
    return {
        "terminated": {
            "exitCode": code,
            "startedAt": "2026-01-01T00:00:00Z",
            "finishedAt": "2026-01-01T00:01:30Z",
            **more,
        }
    }


def test_of_several_pods_of_a_job_the_newest_of_rank_0_counts() -> None:
    first, second, other = pod(ended(1)), pod({"running": {"startedAt": "2026-01-01T00:02:00Z"}}), pod({}, index="1")
    for each, made in ((first, "00:00:00"), (second, "00:01:40"), (other, "00:03:00")):
        each["metadata"] |= {"name": f"p-{made}", "creationTimestamp": f"2026-01-01T{made}Z"}
    for pods in ([first, second, other], [other, second, first]):
        assert (standing(job(), pods).pod, standing(job(), pods).running) == ("p-00:01:40", True)


def test_a_job_that_runs_and_one_that_completes() -> None:
    runs = standing(job(), [pod({"running": {"startedAt": "2026-01-01T00:00:00Z"}})])
    assert (runs.state, runs.running, runs.ended, runs.wait) == (TrialState.RUNNING, True, None, "")
    done = standing(job(COMPLETE), [pod(ended(0))])
    assert done.state is TrialState.COMPLETED
    assert (done.ended or 0) - (done.started or 0) == 90


def test_a_container_says_why_it_failed_in_its_last_message() -> None:
    said = "something\nthe command ended with exit code 1"
    failed = standing(job(FAILED), [pod(ended(1, message=said))])
    assert (failed.state, failed.reason, failed.lost) == (
        TrialState.FAILED,
        "the command ended with exit code 1",
        False,
    )
    bare = standing(job(FAILED), [pod(ended(3))])
    assert bare.reason == "the container ended with exit code 3"
    assert "more memory" in standing(job(FAILED), [pod(ended(137, reason="OOMKilled"))]).reason
    none_left = standing(job(FAILED), [])
    assert "BackoffLimitExceeded" in none_left.reason


@pytest.mark.parametrize("pods", [[pod(ended(143), DISRUPTED)], []])
def test_a_disrupted_pod_is_lost_also_when_it_is_gone(pods: list[dict[str, Any]]) -> None:
    condition = {
        **FAILED,
        "reason": "PodFailurePolicy",
        "message": "Pod x has condition DisruptionTarget matching rule 0",
    }
    seen = standing(job(condition), pods)
    assert seen.lost
    assert "took its pod away" in seen.reason


@pytest.mark.parametrize(
    ("why", "status", "preempted"),
    [
        ("PreemptionByScheduler", None, True),
        ("EvictionByEvictionAPI", None, True),
        ("TerminationByKubelet", "Terminated", True),  # of a node that is shut down, as those of spot are
        ("TerminationByKubelet", "Evicted", False),  # by the node's own pressure
        ("DeletionByTaintManager", None, False),  # with its node, whatever killed that
    ],
)
def test_who_leaves_for_others_is_preempted(why: str, status: str | None, preempted: bool) -> None:
    left = pod(ended(143), {**DISRUPTED, "reason": why}, **({"reason": status} if status else {}))
    seen = standing(job({**FAILED, "reason": "PodFailurePolicy"}), [left])
    assert (seen.lost, seen.preempted) == (True, preempted)


def test_a_pod_past_its_deadline_ran_too_long() -> None:
    seen = standing(job(FAILED), [pod(ended(137), reason="DeadlineExceeded", phase="Failed")])
    assert (seen.too_long, seen.lost) == (True, False)


@pytest.mark.parametrize(
    ("told", "wait", "words"),
    [
        (pod({}, {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes"}), "placing", "Unschedulable: 0/3 nodes"),
        (pod({"waiting": {"reason": "ImagePullBackOff", "message": "Back-off"}}), "starting", "ImagePullBackOff: Back-off"),
        (pod({"waiting": {"reason": "CreateContainerConfigError", "message": "no secret"}}), "starting", "no secret"),
        (pod({"waiting": {"reason": "ContainerCreating"}}), "creating", ""),
    ],
)  # fmt: skip
def test_an_attempt_waits_for_a_reason(told: dict[str, Any], wait: str, words: str) -> None:
    seen = standing(job(), [told])
    assert seen.wait == wait
    assert words in seen.reason
    assert seen.state is TrialState.RUNNING


def test_a_job_waits_in_a_queue_or_for_its_pod() -> None:
    labels = {"name": "t", "labels": {"kueue.x-k8s.io/queue-name": "team"}}
    queued = standing(job(spec={"suspend": True}, metadata=labels), [])
    assert (queued.wait, queued.reason) == ("queued", "it is suspended, in the queue team")
    assert standing(job(), []).wait == "podless"


def test_the_pod_of_rank_0_speaks_for_a_distributed_trial_and_any_other_fails_it() -> None:
    runs = {"running": {"startedAt": "2026-01-01T00:00:00Z"}}
    assert standing(job(), [pod(runs, index="1"), pod(runs, index="0")]).pod == "p0"
    seen = standing(job(FAILED), [pod(ended(0), index="0"), pod(ended(7), index="1")])
    assert "exit code 7" in seen.reason


def test_reasons_of_one_kind_are_one() -> None:
    assert kind_of("ErrImagePull: a") == kind_of("ImagePullBackOff: b")
    assert kind_of("Unschedulable: 1") != kind_of("CreateContainerError: 1")
