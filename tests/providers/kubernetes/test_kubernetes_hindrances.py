"""What keeps an attempt from starting is told with what to do, and fails it where that does not pass by itself."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from late import LATE

from cloudtune.store.records import TrialState

if LATE:
    pytest.importorskip("kubernetes")
    from cloudtune_kubernetes import waiting
    from cloudtune_kubernetes.advice import lasts, with_advice
    from cloudtune_kubernetes.check import findings
    from cloudtune_kubernetes.client import Cluster
    from cloudtune_kubernetes.emulator import KubernetesEmulator
    from cloudtune_kubernetes.emulator.errors import forbidden
    from cloudtune_kubernetes.emulator.kinds import POD
    from cloudtune_kubernetes.parse import Standing, standing
    from cloudtune_kubernetes.settings import KubernetesSettings
    from cloudtune_kubernetes.waiting import Waiting

SECURITY = 'violates PodSecurity "restricted:latest": allowPrivilegeEscalation != false'


@pytest.mark.parametrize(
    ("said", "stays", "todo"),
    [
        (f'FailedCreate: Error creating: pods "a-0" is forbidden: {SECURITY}', True, "say a securityContext under kubernetes: {spec: …}"),
        ('FailedCreate: Error creating: pods "a-0-" is forbidden: error looking up service account t/s: serviceaccount "s" not found', True, "make it (kubectl create serviceaccount)"),
        ('FailedCreate: Error creating: pods "a-0-" is forbidden: no PriorityClass with name p was found', True, "priority_class of the profile"),
        ('FailedCreate: Error creating: pods "a-0" is forbidden: maximum cpu usage per Container is 100m, but limit is 1', True, "compute.cpus and memory"),
        ('FailedCreate: Error creating: pods "a-0" is forbidden: failed quota: q: must specify limits.cpu for: trial', True, "say compute.cpus"),
        ('FailedCreate: Error creating: admission webhook "w.example.com" denied the request: no', True, ""),
        ('FailedCreate: Error creating: pods "a-0" is forbidden: exceeded quota: q, requested: pods=1, used: pods=9, limited: pods=9', False, ""),
        ('FailedCreate: Error creating: Internal error occurred: failed calling webhook "w": connection refused', False, ""),
        ('FailedMount: MountVolume.SetUp failed for volume "v" : secret "nope" not found', True, "make it, or name another"),
        ('Unschedulable: 0/2 nodes are available: persistentvolumeclaim "c" not found.', True, "make the claim"),
        ("Unschedulable: 0/2 nodes are available: 2 Insufficient cpu.", False, ""),
        ("ImagePullBackOff: Back-off pulling image", False, "pull_secret of the profile"),
    ],
)  # fmt: skip
def test_what_the_cluster_says_passes_or_stays_and_has_its_advice(said: str, stays: bool, todo: str) -> None:
    assert lasts(said) is stays
    assert with_advice(said) == said if not todo else todo in with_advice(said)


class Told:
    """A cluster that has one event about everything.

    Args:
        message: of the event.
    """

    def __init__(self, message: str) -> None:
        self.message, self.settings = message, KubernetesSettings(unstartable=20)

    def path(self, kind: str) -> str:
        return kind

    def call(self, *given: Any) -> Any:
        kind = "job" if "Job" in given[3]["fieldSelector"] else "pod"
        return {
            "items": [{"involvedObject": {"name": kind}, "reason": "FailedCreate", "message": self.message}],
            "metadata": {},
        }


@pytest.mark.parametrize("wait", ["podless", "creating"])
def test_an_attempt_without_a_pod_or_its_volumes_fails_after_the_time_that_one_without_its_image_does(
    monkeypatch: pytest.MonkeyPatch, wait: Any
) -> None:
    now = [1000.0]
    monkeypatch.setattr(waiting, "time", SimpleNamespace(monotonic=lambda: now[0]))
    stands = Standing(TrialState.RUNNING, "pod", wait=wait)
    cluster: Any = Told(f"it is forbidden: {SECURITY}")
    held = Waiting()
    seen = []
    for now[0] in (1000.0, 1011.0, 1030.0, 1032.0):
        seen.append((held.see(cluster, "job", stands), bool(held.too_long(cluster.settings))))
    whose = "its pod" if wait == "podless" else "its container"
    told = f"{whose} ({with_advice('FailedCreate: ' + cluster.message)})"
    assert seen == [("", False), (told, False), (told, False), (told, True)]
    assert held.too_long(cluster.settings).startswith("it could not start within 20 s: FailedCreate: it is forbidden")
    assert held.see(cluster, "job", Standing(TrialState.RUNNING, "pod", running=True)) == ""
    assert held.too_long(cluster.settings) == ""


def test_a_quota_is_waited_for_and_the_time_counts_from_the_reason_that_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(waiting, "time", SimpleNamespace(monotonic=lambda: now[0]))
    pod = {"metadata": {"name": "p"}, "status": {"conditions": [{"type": "PodScheduled", "status": "False"}]}}
    held, cluster = Waiting(), Told("")
    ends: list[bool] = []
    for now[0], message in ((0.0, "2 Insufficient cpu"), (900.0, "2 Insufficient cpu"), (901.0, 'persistentvolumeclaim "c" not found'), (930.0, 'persistentvolumeclaim "c" not found')):  # fmt: skip
        pod["status"]["conditions"][0].update(reason="Unschedulable", message=message)  # type: ignore[index]
        held.see(cluster, "job", standing({"metadata": {}}, [pod]))  # type: ignore[arg-type]
        ends.append(bool(held.too_long(cluster.settings)))
    assert ends == [False, False, False, True]


def test_check_has_a_pod_of_the_profile_judged_as_well() -> None:
    def refuse(pod: Any, before: Any) -> None:
        raise forbidden(POD, pod["metadata"]["name"], SECURITY)

    with KubernetesEmulator() as emulator:
        emulator.cluster.registry.admission[POD] = refuse
        own = {key.removeprefix("CLOUDTUNE_KUBERNETES_").lower(): value for key, value in emulator.environment.items()}
        cluster = Cluster(
            KubernetesSettings.of(
                {key: own[key] for key in ("endpoint", "kubeconfig", "namespace", "image")}, "kubernetes"
            )
        )
        found = {each.subject: each for each in findings(cluster)}
    assert found["job"].ok
    assert found["pod"].ok is False
    assert SECURITY in found["pod"].message
    assert "say a securityContext" in found["pod"].message
